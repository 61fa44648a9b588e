/**
 * The log's counters as commits are built: per stream next offsets, counts and watermark. State: the values at the
 * last durable commit, which are immutable, and working values that run ahead of them by the commits being built or
 * written. A commit's header says which streams it changed and their values after it, so "durable" means: take over
 * the header's values; and "failed" means: start again from the durable ones. No offset, count or watermark of a
 * failed commit survives.
 */

import type { CommitSeq, Offset, OffsetVector } from '../model/cut.ts'
import type { StreamDef } from '../model/schema.ts'
import { must } from '../std/assert.ts'
import type { StateValues } from './frame.ts'
import type { CommitHeader, DurableState, StreamCounts } from './types.ts'

/** One stream's values, changed in place by the commit that is being built. */
export interface StreamWork {
  readonly name: string
  latenessUs: number
  readonly offsets: Offset[]
  accepted: number
  duplicate: number
  rejected: number
  watermarkUs: number | undefined
  /** Late events; undefined without a time field. */
  late: number | undefined
}

const NO_COUNTS: StreamCounts = { accepted: 0, duplicate: 0, rejected: 0 }

export class LogState {
  #defs: ReadonlyMap<string, StreamDef>
  #commit: CommitSeq
  #durable: StateValues
  readonly #work = new Map<string, StreamWork>()

  constructor(streams: readonly StreamDef[], commit: CommitSeq, values: StateValues) {
    this.#defs = byName(streams)
    this.#commit = commit
    this.#durable = values
  }

  /** The last durable commit. */
  get commit(): CommitSeq {
    return this.#commit
  }

  get durable(): StateValues {
    return this.#durable
  }

  /** Adds and changes definitions; a stream that is no longer defined stays known. */
  setStreams(streams: readonly StreamDef[]): void {
    this.#defs = new Map([...this.#defs, ...byName(streams)])
    for (const work of this.#work.values()) {
      const def = must(this.#defs.get(work.name), 'a stream stays known')
      work.latenessUs = def.latenessMs * 1000
      if (def.time !== undefined) work.late ??= this.#durable.late?.[work.name] ?? 0
      while (work.offsets.length < def.partitions) work.offsets.push(0)
    }
  }

  work(stream: string): StreamWork {
    const known = this.#work.get(stream)
    if (known !== undefined) return known
    const def = must(this.#defs.get(stream), `the log knows stream "${stream}"`)
    const counts = this.#durable.counts[stream] ?? NO_COUNTS
    const offsets = [...(this.#durable.offsets[stream] ?? [])]
    while (offsets.length < def.partitions) offsets.push(0)
    const work: StreamWork = {
      name: stream,
      latenessUs: def.latenessMs * 1000,
      offsets,
      ...counts,
      watermarkUs: this.#durable.watermarksUs[stream],
      late: this.#durable.late?.[stream] ?? (def.time === undefined ? undefined : 0),
    }
    this.#work.set(stream, work)
    return work
  }

  /** The working values of these streams, for a header. */
  changed(streams: Iterable<string>): Omit<StateValues, 'timeMs'> {
    const offsets: Record<string, readonly Offset[]> = {}
    const watermarksUs: Record<string, number> = {}
    const counts: Record<string, StreamCounts> = {}
    const late: Record<string, number> = {}
    for (const name of streams) {
      const { accepted, duplicate, rejected, watermarkUs, offsets: next, late: lateEvents } = this.work(name)
      offsets[name] = [...next]
      counts[name] = { accepted, duplicate, rejected }
      if (lateEvents !== undefined) late[name] = lateEvents
      if (watermarkUs !== undefined && watermarkUs !== this.#durable.watermarksUs[name]) {
        watermarksUs[name] = watermarkUs
      }
    }
    return { offsets, watermarksUs, counts, late }
  }

  setDurable(header: CommitHeader): void {
    this.#commit = header.commit
    this.#durable = withHeader(this.#durable, header)
  }

  rollBack(): void {
    this.#work.clear()
  }

  /** The durable state, with every stream that is defined. */
  view(): DurableState {
    const offsets: Record<string, readonly Offset[]> = { ...this.#durable.offsets }
    const counts: Record<string, StreamCounts> = { ...this.#durable.counts }
    for (const [name, def] of this.#defs) {
      const known = offsets[name] ?? []
      if (known.length < def.partitions) {
        offsets[name] = [...known, ...new Array<Offset>(def.partitions - known.length).fill(0)]
      }
      counts[name] ??= NO_COUNTS
    }
    const cut = { commit: this.#commit, offsets: offsets as OffsetVector }
    const { timeMs, watermarksUs, late = {} } = this.#durable
    return { cut, timeMs, counts, watermarksUs, late }
  }
}

/** The state after a commit. */
export function withHeader(values: StateValues, header: CommitHeader): StateValues {
  return {
    timeMs: header.timeMs,
    offsets: { ...values.offsets, ...header.offsets },
    watermarksUs: { ...values.watermarksUs, ...header.watermarksUs },
    counts: { ...values.counts, ...header.counts },
    late: { ...values.late, ...header.late },
  }
}

function byName(streams: readonly StreamDef[]): ReadonlyMap<string, StreamDef> {
  return new Map(streams.map((stream) => [stream.name, stream]))
}
