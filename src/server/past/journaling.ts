/**
 * Writes the journals in their steady rhythm: once a second the cut, where it moved on, and what answers have shown.
 * State: the last cut that was written, and the sync of the catalog's write-ahead log that is under way.
 *
 * The transaction is not synced by SQLite, which would do it on this thread and hold up ingest; the file is synced
 * right after it, on libuv's threads. So a moment is durable about a second after its answer; what a killed process
 * has not written yet is in the tail beside the catalog (`report-tail.ts`).
 */

import { layerCut } from '../../catalog/batches.ts'
import { recordCut } from '../../catalog/journal.ts'
import { catalogPath } from '../../catalog/open-catalog.ts'
import type { CommitSeq } from '../../model/cut.ts'
import { type FileHandle, realFiles } from '../../std/files.ts'
import type { ServerContext } from '../context.ts'

export class Journaling {
  readonly #context: ServerContext
  #written: CommitSeq
  #file: Promise<FileHandle> | undefined
  #syncing: Promise<void> | undefined

  constructor(context: ServerContext) {
    this.#context = context
    this.#written = context.log.state().cut.commit
  }

  /** Notes what a reader would get now, and writes everything that waits. */
  write(): void {
    const { catalog, log, logger, reports } = this.#context
    this.note()
    const cut = log.state().cut.commit
    if (cut === this.#written && !reports.waits) return
    try {
      reports.write((entries) => recordCut(catalog, cut === this.#written ? undefined : cut, entries))
      this.#written = cut
      this.#syncing ??= this.#sync().finally(() => {
        this.#syncing = undefined
      })
    } catch (error) {
      logger.warn('cut journal', { reason: String(error) })
    }
  }

  /** To be called when pointers were moved in catalog and engine, so that the moment is known even if nobody reads. */
  note(): void {
    const { supervisor, reports, serving, catalog } = this.#context
    const { progress } = supervisor
    if (progress === undefined) return
    const stalledAt: Record<string, CommitSeq> = {}
    const batches: Record<string, CommitSeq> = {}
    for (const [view, version] of Object.entries(serving())) {
      const batch = layerCut(catalog, view, version)
      if (batch !== undefined) batches[view] = batch
      const own = progress.views.find((entry) => entry.view === view && entry.version === version)
      if (own?.stalled !== undefined || own?.paused !== undefined) stalledAt[view] = own.cut
    }
    reports.note(progress.cut, stalledAt, batches)
  }

  async close(): Promise<void> {
    await this.#syncing
    await (await this.#file?.catch(() => undefined))?.close()
    this.#context.reports.close()
  }

  async #sync(): Promise<void> {
    try {
      this.#file ??= realFiles.open(`${catalogPath(this.#context.folder.root)}-wal`, 'write')
      await (await this.#file).datasync()
    } catch (error) {
      this.#file = undefined
      this.#context.logger.warn('cut journal is not synced', { reason: String(error) })
    }
  }
}
