/**
 * What was true at recent cuts: ingest time, watermarks and counts of each commit, for the stamp of an answer (lag,
 * watermarks) and for conservation at a view's cut. State: the commits' states in order, oldest first, in memory.
 *
 * It is bounded: when it is full, every second entry of its older half goes. A cut that lost its entry is answered
 * from the one before it, so a watermark may be stated too early but never too late.
 */

import type { LogReader } from '../log/reader.ts'
import type { LogManifest, StreamCounts } from '../log/types.ts'
import type { CommitSeq, OffsetVector } from '../model/cut.ts'

export interface CommitState {
  readonly commit: CommitSeq
  readonly timeMs: number
  readonly watermarksUs: Readonly<Record<string, number>>
  readonly counts: Readonly<Record<string, StreamCounts>>
  /** By stream the next offset of each partition. */
  readonly offsets: OffsetVector
  /** Per stream with a time field: late events. */
  readonly late?: Readonly<Record<string, number>>
  /** Bytes of the log written up to this commit since the process began; only differences mean something. */
  readonly logBytes: number
}

const ENTRIES_MAX = 1 << 16

export class CommitHistory {
  readonly #entriesMax: number
  #entries: CommitState[] = []

  constructor(entriesMax: number = ENTRIES_MAX) {
    this.#entriesMax = entriesMax
  }

  add(state: CommitState): void {
    this.#entries.push(state)
    if (this.#entries.length <= this.#entriesMax) return
    const half = this.#entries.length >> 1
    this.#entries = this.#entries.filter((_, index) => index >= half || index % 2 === 0)
  }

  get newest(): CommitState | undefined {
    return this.#entries.at(-1)
  }

  /** The state at a cut, or the nearest kept one before it. */
  at(cut: CommitSeq): CommitState | undefined {
    return this.#entries[this.#firstAfter(cut) - 1]
  }

  /** The oldest kept commit that a cut does not include. */
  after(cut: CommitSeq): CommitState | undefined {
    return this.#entries[this.#firstAfter(cut)]
  }

  /** The oldest kept commit that is not older than a time. */
  since(timeMs: number): CommitState | undefined {
    return this.#entries.find((entry) => entry.timeMs >= timeMs)
  }

  /** Age of the oldest commit that the cut does not include; 0 when it includes all. */
  lagMs(cut: CommitSeq, nowMs: number): number {
    const newest = this.#entries.at(-1)
    if (newest === undefined || newest.commit <= cut) return 0
    const missing = this.after(cut)
    return missing === undefined ? 0 : Math.max(0, nowMs - missing.timeMs)
  }

  /** Bytes of the log between a cut and another, or the newest commit; what is older than the history counts as none. */
  bytesAfter(cut: CommitSeq, upTo: CommitSeq = Number.POSITIVE_INFINITY): number {
    const oldest = this.#entries[0]?.logBytes ?? 0
    return (this.at(upTo)?.logBytes ?? oldest) - (this.at(cut)?.logBytes ?? oldest)
  }

  #firstAfter(cut: CommitSeq): number {
    let low = 0
    let high = this.#entries.length
    while (low < high) {
      const middle = (low + high) >> 1
      const entry = this.#entries[middle]
      if (entry !== undefined && entry.commit <= cut) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Fills a history from the hot log's headers, after the state at its beginning; answers the bytes that it covers. */
export async function loadHistory(
  history: CommitHistory,
  reader: LogReader,
  manifest: LogManifest,
): Promise<number> {
  const from = manifest.segments[0]?.base ?? 0
  const { timeMs, watermarksUs, counts, offsets, late = {} } = await reader.begin(manifest)
  let state: CommitState = { commit: from, timeMs, watermarksUs, counts, offsets, late, logBytes: 0 }
  history.add(state)
  // A header names only the streams that its commit changed.
  for await (const header of reader.headers(manifest, { from, to: manifest.durable })) {
    state = {
      commit: header.commit,
      timeMs: header.timeMs,
      watermarksUs: { ...state.watermarksUs, ...header.watermarksUs },
      counts: { ...state.counts, ...header.counts },
      offsets: { ...state.offsets, ...header.offsets },
      late: { ...state.late, ...header.late },
      logBytes: state.logBytes + header.bytes,
    }
    history.add(state)
  }
  return state.logBytes
}
