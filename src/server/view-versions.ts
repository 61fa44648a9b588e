/**
 * The life of versions: what the project asks for against what the catalog has. State: the builds under way.
 *
 * A changed view gets a new version beside the old one: its history is folded in bulk into slices, each part published
 * as it comes (so a build goes on where it stopped, whatever stopped it), then the engine ticks it up to the common
 * cut, then one catalog transaction moves the pointer and one message moves the engine's. The old version answers
 * until then and is retired after it. A view whose pointer stands on the version asked for needs nothing.
 */

import { rmSync } from 'node:fs'
import { lakeManifest } from '../catalog/lake.ts'
import { recordSkipped } from '../catalog/skipped.ts'
import { dropSlices } from '../catalog/slices.ts'
import {
  addVersion,
  failVersion,
  moveServing,
  type NewVersion,
  readVersion,
  retireVersion,
  sealedCut,
  serving,
  versions,
} from '../catalog/versions.ts'
import type { LogSources } from '../engine/engine.ts'
import type { CommitRange, CommitSeq, VersionId } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import { foldRanges } from '../run/kappa.ts'
import type { ServerContext } from './context.ts'
import { engineViewOf } from './engine-spec.ts'
import { publishStagedSlices } from './publish-slices.ts'

/** A history of at most this many bytes is folded by ticks; more is worth a worker. */
const BULK_BYTES = 64 << 20
const RETRY_MS = 5_000

export interface BuildState {
  readonly view: string
  readonly version: VersionId
  readonly from: CommitSeq
  readonly to: CommitSeq
  readonly done: CommitSeq
}

interface Build {
  state: BuildState
  readonly stop: AbortController
  done: Promise<void>
}

export class ViewVersions {
  readonly #context: ServerContext
  /** By view: at most one build of each. */
  readonly #builds = new Map<string, Build>()

  constructor(context: ServerContext) {
    this.#context = context
  }

  builds(): readonly BuildState[] {
    return [...this.#builds.values()].map((build) => build.state)
  }

  /** Before the engine starts: with an empty log there is nothing to fold, so new views are live at once. */
  prepare(wanted: readonly NewVersion[]): void {
    const { catalog } = this.#context
    const cut = this.#context.log.state().cut.commit
    for (const version of wanted) this.#record(version)
    this.#retireOthers(wanted, cut)
    // A crash between a cutover and the end of the old version leaves its slices.
    for (const { view, version, state } of versions(catalog)) {
      if (state === 'retired' || state === 'failed') this.#deleteSlices(view, version)
    }
    const pointers = serving(catalog)
    const fresh = wanted.filter(({ view }) => pointers[view] === undefined)
    if (cut === 0 && fresh.length > 0) {
      moveServing(catalog, Object.fromEntries(fresh.map(({ view, version }) => [view, version])), cut)
    }
  }

  /**
   * With a running engine: retires what is no longer asked for and begins to build what is new. The promise resolves
   * when all is live or superseded by a later call, and rejects with the first failure that trying again cannot mend.
   */
  adopt(wanted: readonly NewVersion[]): Promise<void> {
    const { catalog } = this.#context
    const cut = this.#context.log.state().cut.commit
    for (const version of wanted) this.#record(version)
    const removed = this.#retireOthers(wanted, cut)
    const pointers = serving(catalog)
    const missing = wanted.filter(({ view, version }) => pointers[view] !== version)
    return allSettled([
      ...removed.map(({ view, version }) => this.#letGo(view, version)),
      ...missing.map((version) => this.#build(version)),
    ])
  }

  /** Stops all builds; what they published stays, and the next start goes on from there. */
  stop(): void {
    for (const { stop } of this.#builds.values()) stop.abort()
  }

  /** A plan that folds differently under the same version id makes the slices meaningless: they are dropped. */
  #record(wanted: NewVersion): void {
    const { catalog, logger } = this.#context
    const known = readVersion(catalog, wanted.view, wanted.version)
    const stale =
      known !== undefined && JSON.stringify(known.plan.stages) !== JSON.stringify(wanted.plan.stages)
    if (stale) {
      logger.info('plan of a view changed with this release; it is folded again', { view: wanted.view })
      this.#deleteSlices(wanted.view, wanted.version)
    }
    const unchanged =
      known !== undefined &&
      (known.state === 'live' || known.state === 'building') &&
      known.onError === wanted.onError &&
      JSON.stringify(known.plan) === JSON.stringify(wanted.plan)
    if (unchanged) return
    addVersion(catalog, wanted)
    this.#context.crash('version.recorded')
  }

  /** Ends versions that the project does not ask for, except those that answer until their successor is live. */
  #retireOthers(
    wanted: readonly NewVersion[],
    cut: CommitSeq,
  ): readonly { view: string; version: VersionId }[] {
    const { catalog } = this.#context
    const asked = new Map(wanted.map(({ view, version }) => [view, version]))
    const pointers = serving(catalog)
    const ended = versions(catalog).filter(
      ({ view, version, state }) =>
        state !== 'retired' &&
        asked.get(view) !== version &&
        !(asked.has(view) && pointers[view] === version),
    )
    for (const { view, version } of ended) {
      this.#builds.get(view)?.stop.abort()
      retireVersion(catalog, view, version, cut)
    }
    return ended
  }

  /** Joins the build of this version that is under way, or begins one. */
  #build(wanted: NewVersion): Promise<void> {
    const { view, version } = wanted
    const running = this.#builds.get(view)
    if (running?.state.version === version && !running.stop.signal.aborted) return running.done
    running?.stop.abort()
    const to = this.#context.log.state().cut.commit
    const done = sealedCut(this.#context.catalog, view, version) ?? 0
    const stop = new AbortController()
    const build: Build = { state: { view, version, from: 0, to, done }, stop, done: Promise.resolve() }
    this.#builds.set(view, build)
    build.done = this.#buildUntilLive(wanted, build).finally(() => {
      if (this.#builds.get(view) === build) this.#builds.delete(view)
    })
    return build.done
  }

  async #buildUntilLive(wanted: NewVersion, build: Build): Promise<void> {
    const { signal } = build.stop
    while (!signal.aborted && !this.#context.closing()) {
      try {
        await this.#foldHistory(wanted, build)
        this.#context.crash('version.folded')
        if (await this.#cutOver(wanted, signal)) return
      } catch (error) {
        if (signal.aborted || this.#context.closing()) return
        await this.#recover(wanted, error, signal)
      }
    }
  }

  /** Returns when it is time to try again; throws where that would not help. */
  async #recover(wanted: NewVersion, error: unknown, signal: AbortSignal): Promise<void> {
    const { catalog, logger, supervisor, clock } = this.#context
    const { view, version } = wanted
    const reason = error instanceof Error ? error.message : String(error)
    logger.warn('building a view failed', { view, version: version.slice(0, 12), reason })
    if (error instanceof RefoldError && error.code === 'SLICE_CORRUPT') {
      await this.#context.publications.run(async () => this.#deleteSlices(view, version))
      return
    }
    if (error instanceof RefoldError && !error.retryable && error.code !== 'INTERNAL') {
      failVersion(catalog, view, version, reason)
      throw new RefoldError(error.code, `view "${view}" could not be folded: ${reason}`, { cause: error })
    }
    await supervisor.until(() => false, clock.monotonicMs() + RETRY_MS, signal)
  }

  /** Folds in bulk until what is left is little enough for ticks. */
  async #foldHistory(wanted: NewVersion, build: Build): Promise<void> {
    const { catalog, history, pins } = this.#context
    const { view, version } = wanted
    for (;;) {
      const sealed = sealedCut(catalog, view, version) ?? 0
      const durable = this.#context.log.state().cut.commit
      const inLake = lakeManifest(catalog).through > sealed
      if (build.stop.signal.aborted || (!inLake && history.bytesAfter(sealed) < BULK_BYTES)) return
      await pins.with(async (sources) => {
        for (const range of foldRanges(sealed, durable, bordersOf(sources))) {
          build.state = { ...build.state, to: durable, done: range.from }
          await this.#foldRange(wanted, sources, range, build.stop.signal)
        }
      })
    }
  }

  async #foldRange(
    wanted: NewVersion,
    sources: LogSources,
    range: CommitRange,
    signal: AbortSignal,
  ): Promise<void> {
    const { catalog, folder } = this.#context
    const row = readVersion(catalog, wanted.view, wanted.version)
    if (row === undefined || signal.aborted) return
    const job = {
      kind: 'fold',
      view: engineViewOf(catalog, row),
      streams: this.#context.streams(),
      sources,
      range,
      stagingDir: folder.staging,
    } as const
    const result = await this.#context.runJob(job, { signal })
    recordSkipped(
      catalog,
      result.skipped.map((position) => ({
        view: wanted.view,
        version: wanted.version,
        ...position,
        stream: row.plan.streams[0] ?? '',
        partition: 0,
        offset: 0,
        message: 'skipped by a bulk fold',
      })),
    )
    await publishStagedSlices(this.#context, {
      view: wanted.view,
      version: wanted.version,
      what: 'fold',
      staged: result.slices,
      replaced: [],
      sealed: range.to,
    })
  }

  /** Brings the version up to the common cut in the engine, then moves catalog and engine to it. */
  async #cutOver(wanted: NewVersion, signal: AbortSignal): Promise<boolean> {
    const { catalog, supervisor, publications, logger } = this.#context
    const { view, version } = wanted
    await supervisor.until(() => supervisor.running !== undefined, undefined, signal)
    const running = supervisor.running
    const row = readVersion(catalog, view, version)
    if (running === undefined || row === undefined || signal.aborted) return signal.aborted
    if (supervisor.viewProgress(view, version) === undefined) {
      await running.engine.addVersion(engineViewOf(catalog, row))
    }
    this.#context.crash('version.added')
    const before = serving(catalog)[view]
    const moved = await publications.run(async () => {
      // Another engine would not hold the version: everything is done again with that one.
      if (supervisor.running !== running || signal.aborted) return false
      const cut = supervisor.viewProgress(view, version)?.cut ?? supervisor.progress?.cut ?? row.sealed
      moveServing(catalog, { [view]: version }, cut)
      this.#context.crash('version.moved')
      await running.engine.setServing(serving(catalog)).catch(() => {})
      return true
    })
    if (!moved) {
      // Overtaken by a later project: nobody else knows that the engine holds this version.
      if (signal.aborted) await running.engine.removeVersion(view, version).catch(() => {})
      return signal.aborted
    }
    logger.info('view is live', { view, version: version.slice(0, 12) })
    if (before !== undefined && before !== version) await this.#letGo(view, before)
    return true
  }

  /** Takes a version that no longer answers out of the engine and deletes its slices. */
  async #letGo(view: string, version: VersionId): Promise<void> {
    const { supervisor } = this.#context
    if (supervisor.viewProgress(view, version) !== undefined) {
      await supervisor.running?.engine.removeVersion(view, version).catch(() => {})
    }
    await this.#context.publications.run(async () => this.#deleteSlices(view, version))
    this.#context.crash('version.let-go')
  }

  #deleteSlices(view: string, version: VersionId): void {
    for (const slice of dropSlices(this.#context.catalog, view, version)) rmSync(slice.path, { force: true })
  }
}

/** Where a long fold may be divided: ends of lake files and of segments. */
function bordersOf(sources: LogSources): readonly { readonly to: CommitSeq; readonly events: number }[] {
  const borders = new Map<CommitSeq, number>()
  for (const file of sources.lake.files) borders.set(file.to, (borders.get(file.to) ?? 0) + file.rows)
  for (const segment of sources.log.segments) {
    if (segment.last <= sources.lake.through) continue
    const events = Object.values(segment.events).reduce((sum, count) => sum + count, 0)
    borders.set(segment.last, (borders.get(segment.last) ?? 0) + events)
  }
  return [...borders].map(([to, events]) => ({ to, events })).sort((a, b) => a.to - b.to)
}

/** Waits for all, then rejects with the first rejection. */
async function allSettled(promises: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(promises)).find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
