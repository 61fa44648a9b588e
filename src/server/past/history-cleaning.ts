/**
 * Lets go of what reads of the past no longer need quickly: superseded slices beyond the project's limit, slices of
 * versions that ended, and report entries finer than a second. State: whether a round runs.
 *
 * Nothing is lost by it that the log cannot give again. What the engine holds is never superseded, bases are never let
 * go, and a slice that a question reads at this moment waits for the next round; a question that finds one gone all
 * the same folds its events instead.
 */

import { rmSync } from 'node:fs'
import { thinReports } from '../../catalog/reports.ts'
import { dropSlices, forgetSlices, pastSlicesOf, storedPath } from '../../catalog/slices.ts'
import { readVersion } from '../../catalog/versions.ts'
import { snapshotPaths } from '../../catalog/view-snapshots.ts'
import type { HistorySettings } from '../../define/types.ts'
import { partNames } from '../../plan/queries.ts'
import { slicesToForget } from '../../run/slice-history.ts'
import { nextTurn } from '../../std/turn.ts'
import type { ServerContext } from '../context.ts'

export const historyDefaults: HistorySettings = { quickMs: 86_400_000, fineMs: 30 * 86_400_000 }

export class HistoryCleaning {
  readonly #context: ServerContext
  readonly #settings: () => HistorySettings
  #running = false

  constructor(context: ServerContext, settings: () => HistorySettings) {
    this.#context = context
    this.#settings = settings
  }

  /** Called by a timer; never throws and never holds up the thread for long. */
  check(): void {
    if (this.#running || this.#context.closing()) return
    this.#running = true
    void this.clean()
      .catch((error: unknown) => this.#context.logger.warn('cleaning the past', { reason: String(error) }))
      .finally(() => {
        this.#running = false
      })
  }

  async clean(): Promise<void> {
    const { catalog, clock, closing, pins } = this.#context
    // A backup copies the slices that the catalog listed when it began.
    if (pins.held > 0) return
    const { fineMs } = this.#settings()
    // Versions that could have something to let go; most have not.
    const rows = catalog.all(
      `SELECT DISTINCT v.view, v.version FROM versions v JOIN slices s ON s.view = v.view AND s.version = v.version
       WHERE s.base = 0 AND (s.superseded_ms IS NOT NULL OR v.state IN ('retired', 'failed'))`,
    )
    for (const { view, version } of rows) {
      if (closing()) return
      await this.#context.publications.run(async () => this.#cleanVersion(String(view), String(version)))
    }
    while (!closing() && thinReports(catalog, (clock.nowMs() - fineMs) * 1000)) await nextTurn()
  }

  /** In one step, so that no version begins again in between. */
  #cleanVersion(view: string, version: string): void {
    const { catalog, clock, past, logger } = this.#context
    const { quickMs } = this.#settings()
    const row = readVersion(catalog, view, version)
    if (row === undefined) return
    const slices = pastSlicesOf(catalog, view, version)
    const isOver = row.state === 'retired' || row.state === 'failed'
    if (isOver && clock.nowMs() - row.changedMs >= quickMs) {
      if (slices.some(({ path }) => past.isUsed(path))) return
      for (const { path } of dropSlices(catalog, view, version)) rmSync(path, { force: true })
      return
    }
    const stage = row.plan.stages[0]
    const parts = stage === undefined ? [] : partNames(stage)
    const kept = snapshotPaths(catalog, view, version)
    const forgotten = slicesToForget({ slices, parts, start: row.start }, clock.nowMs(), quickMs)
      .map(({ path }) => path)
      .filter((path) => !past.isUsed(path) && !kept.has(storedPath(catalog, path)))
    forgetSlices(catalog, forgotten)
    for (const path of forgotten) rmSync(path, { force: true })
    if (forgotten.length > 0) logger.debug('superseded slices let go', { view, slices: forgotten.length })
  }
}
