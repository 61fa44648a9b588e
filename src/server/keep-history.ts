/**
 * Keeps the history of commits in step with the log: what its headers say at the start, then each commit as it becomes
 * durable. State: how many bytes of the log were written, and where in it that was.
 */

import type { CommitLog } from '../log/commit-log.ts'
import { loadHistory } from './commit-history.ts'
import type { ServerContext } from './context.ts'

export class HistoryKeeper {
  readonly #context: Pick<ServerContext, 'log' | 'history' | 'reader'>
  #mark = { segment: 0, bytes: 0, total: 0 }

  constructor(context: Pick<ServerContext, 'log' | 'history' | 'reader'>) {
    this.#context = context
  }

  /** Commits that views have not folded yet need their times and watermarks: the hot log's headers have them. */
  async load(): Promise<void> {
    const { log, history, reader } = this.#context
    this.#mark = { ...lastSegment(log), total: await loadHistory(history, reader, log.manifest()) }
  }

  /** Called for each commit before its senders are answered, so it does little. */
  add(): void {
    const { log, history } = this.#context
    const { cut, timeMs, counts, watermarksUs, late } = log.state()
    const { segment, bytes } = lastSegment(log)
    const added = segment === this.#mark.segment ? bytes - this.#mark.bytes : bytes
    this.#mark = { segment, bytes, total: this.#mark.total + added }
    const { commit, offsets } = cut
    history.add({ commit, timeMs, counts, watermarksUs, offsets, late, logBytes: this.#mark.total })
  }
}

function lastSegment(log: CommitLog): { readonly segment: number; readonly bytes: number } {
  const last = log.manifest().segments.at(-1)
  return { segment: last?.number ?? 0, bytes: last?.bytes ?? 0 }
}
