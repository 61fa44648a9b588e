/**
 * What the parts of a live engine share: its views by version, which version serves, the manifests of log and lake,
 * and the tables. Changed only between two ticks (`between`); read at any time, because read sets are immutable.
 */

import type { LogManifest } from '../log/types.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import type { StreamDef } from '../model/schema.ts'
import { must } from '../std/assert.ts'
import { systemClock } from '../std/clock.ts'
import { Serial } from '../std/serial.ts'
import type { EngineSettings, EngineSpec, LogSources, ReadStamp } from './engine.ts'
import { LiveFolds } from './fold/live-folds.ts'
import { goesOn, type LiveView, viewKey } from './live-view.ts'
import { type ReadSet, tablesOf } from './read-set.ts'
import type { TableStore } from './table-store.ts'
import { WorkMark, workMarkPath } from './work-mark.ts'

/** How long after a delta the tables for the next one are kept. */
const DELTA_KEEP_MS = 30_000

export class LiveState {
  readonly settings: EngineSettings
  readonly tables: TableStore
  /** What is being done to a view, for whoever asks why this process died. */
  readonly mark: WorkMark
  readonly streams: ReadonlyMap<string, StreamDef>
  readonly views = new Map<string, LiveView>()
  readonly folds: LiveFolds
  /** Runs tasks one at a time, ticks among them. */
  readonly between = new Serial()
  serving: Readonly<Record<string, VersionId>>
  #sources: LogSources
  /** Reads over streams use files that the manifests name; they hold the manifests while they run. */
  readonly #held = new Map<LogSources, number>()

  constructor(spec: EngineSpec, tables: TableStore) {
    this.settings = spec.settings
    this.tables = tables
    this.mark = new WorkMark(workMarkPath(spec.settings.scratchDir))
    this.streams = new Map(spec.streams.map((stream) => [stream.name, stream]))
    this.serving = spec.serving
    this.folds = new LiveFolds(spec.settings.code, spec.settings.scratchDir)
    this.#sources = spec.sources
  }

  get sources(): LogSources {
    return this.#sources
  }

  advance(log: LogManifest): void {
    this.#sources = { ...this.#sources, log }
  }

  /** Swaps both manifests; resolves when nothing reads the files that only the old ones name. */
  async setSources(sources: LogSources): Promise<void> {
    let old: readonly LogSources[] = []
    await this.between.run(async () => {
      // Taken in the same step as the swap: reads that began while this waited hold the old ones too.
      old = [...this.#held.keys()]
      // The durable cut may have moved on since the server wrote the message.
      const current = this.#sources.log
      this.#sources = {
        lake: sources.lake,
        log: sources.log.durable >= current.durable ? sources.log : current,
      }
    })
    while (old.some((held) => this.#held.has(held))) await pause()
  }

  /** Holds the manifests of the moment, and their files, while `read` runs. */
  async withSources<T>(read: (sources: LogSources) => Promise<T>): Promise<T> {
    const sources = this.#sources
    this.#held.set(sources, (this.#held.get(sources) ?? 0) + 1)
    try {
      return await read(sources)
    } finally {
      const left = (this.#held.get(sources) ?? 1) - 1
      if (left === 0) this.#held.delete(sources)
      else this.#held.set(sources, left)
    }
  }

  live(view: string, version: VersionId): LiveView {
    return must(this.views.get(viewKey(view, version)), `version ${version} of view ${view} is in the engine`)
  }

  /** The version that answers for a view's name, or the one that the reader pins by the beginning of its hash. */
  serves(name: string, version?: string): LiveView {
    const serving = this.serving[name]
    if (version === undefined || serving?.startsWith(version)) {
      const view = serving === undefined ? undefined : this.views.get(viewKey(name, serving))
      if (view === undefined) throw new RefoldError('VIEW_BUILDING', `view "${name}" is being built`)
      return view
    }
    for (const view of this.views.values()) {
      if (view.spec.view === name && view.spec.version.startsWith(version)) return view
    }
    throw new RefoldError('VERSION_UNKNOWN', `view "${name}" has no version "${version}" in the engine`)
  }

  /** Runs `read` on the read sets of all serving views. Those that are not stalled stand at one cut. */
  async withServing<T>(deadlineMs: number, read: (readSets: readonly ReadSet[]) => Promise<T>): Promise<T> {
    while (true) {
      const views = [...this.#servingViews()]
      const cuts = new Set(views.filter(goesOn).map((view) => view.readSet.cut))
      if (cuts.size <= 1) {
        const readSets = views.map((view) => view.readSet)
        // Held in the same step in which they were taken: in between, their tables could go.
        return await this.tables.pinned(readSets, () => read(readSets))
      }
      if (systemClock.monotonicMs() > deadlineMs) {
        throw new RefoldError('CUT_NOT_REACHED', 'the views do not stand at one cut yet: one is catching up')
      }
      await pause()
    }
  }

  *#servingViews(): Iterable<LiveView> {
    for (const [name, version] of Object.entries(this.serving)) {
      const view = this.views.get(viewKey(name, version))
      if (view !== undefined) yield view
    }
  }

  stamp(readSets: readonly ReadSet[], cut?: CommitSeq): ReadStamp {
    const stalled: Record<string, NonNullable<LiveView['stalled']>> = {}
    let paused: Record<string, string> | undefined
    let stalledAt: Record<string, CommitSeq> | undefined
    for (const { view, version, cut: at } of readSets) {
      const live = this.views.get(viewKey(view, version))
      if (live === undefined || goesOn(live)) continue
      if (live.stalled !== undefined) stalled[view] = live.stalled
      if (live.spec.paused !== undefined) paused = { ...paused, [view]: live.spec.paused }
      stalledAt = { ...stalledAt, [view]: at }
    }
    const batched = readSets.filter(({ batch }) => batch !== undefined)
    const going = readSets.filter((readSet) => stalledAt?.[readSet.view] === undefined)
    const cuts = (going.length === 0 ? readSets : going).map((readSet) => readSet.cut)
    return {
      cut: Math.min(...cuts, cut ?? Number.POSITIVE_INFINITY),
      versions: Object.fromEntries(readSets.map((readSet) => [readSet.view, readSet.version])),
      stalled,
      ...(paused === undefined ? {} : { paused }),
      ...(stalledAt === undefined ? {} : { stalledAt }),
      ...(batched.length === 0
        ? {}
        : { batches: Object.fromEntries(batched.map(({ view, batch = 0 }) => [view, batch])) }),
    }
  }

  isServing({ spec }: LiveView): boolean {
    return this.serving[spec.view] === spec.version
  }

  /** The least cut of the views that answer and go on, beside one; of all while none answers. */
  commonCut(except?: LiveView): CommitSeq {
    const going = [...this.views.values()].filter((view) => view !== except && goesOn(view))
    const answering = going.filter((view) => this.isServing(view))
    const cuts = (answering.length > 0 ? answering : going).map((view) => view.readSet.cut)
    return cuts.length === 0 ? this.#sources.log.durable : Math.min(...cuts)
  }

  /** Drops the tables that nothing reads any more. */
  async sweep(): Promise<void> {
    await this.between.run(async () => {
      const now = systemClock.monotonicMs()
      const used: string[] = []
      for (const view of this.views.values()) {
        if (view.deltaAskedMs === undefined || now - view.deltaAskedMs > DELTA_KEEP_MS)
          view.previous = undefined
        if (view.repair !== undefined && now - view.repair.madeAtMs > DELTA_KEEP_MS) view.repair = undefined
        if (view.repair !== undefined)
          used.push(...tablesOf(view.repair.before), ...tablesOf(view.repair.after))
        used.push(...tablesOf(view.readSet), ...(view.previous === undefined ? [] : tablesOf(view.previous)))
        used.push(...view.unsealed.flatMap((generation) => Object.values(generation.tables)))
      }
      await this.tables.sweep(used)
    })
  }
}

export function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 2))
}
