/**
 * Adopting a project: what it asks for against what the catalog has, taken over at once, as `refold dev` and tests do.
 * State: the builds under way. A deploy (`deploys/`) does the same in steps that are proved; both build versions alike.
 *
 * A changed view gets a new version beside the old one: its history is folded in bulk into slices, each part published
 * as it comes (so a build goes on where it stopped, whatever stopped it), then the engine ticks it up to the common
 * cut, then one catalog transaction moves the pointer and one message moves the engine's. The old version answers
 * until then and is retired after it. A view whose pointer stands on the version asked for needs nothing.
 */

import { runOf, runs } from '../catalog/runs.ts'
import {
  failVersion,
  moveServing,
  type NewVersion,
  readVersion,
  retireVersion,
  sealedCut,
  serving,
  versions,
} from '../catalog/versions.ts'
import { isSameData } from '../deploy/same-data.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import type { ServerContext } from './context.ts'
import { deleteSlices, foldHistory, recordVersion } from './deploys/build-version.ts'
import { engineViewOf } from './engine-spec.ts'
import { moveRuns, type RunMove, tellRuns, wantedRuns } from './run-moves.ts'

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
    for (const version of wanted) recordVersion(this.#context, version, 'building')
    this.#retireOthers(wanted, cut)
    // A crash between a cutover and the end of the old version leaves its slices.
    for (const { view, version, state } of versions(catalog)) {
      if (state === 'retired' || state === 'failed') deleteSlices(this.#context, view, version)
    }
    const pointers = serving(catalog)
    const fresh = wanted.filter(({ view }) => pointers[view] === undefined)
    if (cut === 0 && fresh.length > 0) {
      moveServing(catalog, Object.fromEntries(fresh.map(({ view, version }) => [view, version])), cut)
    }
    this.#moveRunsOf(wanted)
  }

  /**
   * With a running engine: retires what is no longer asked for and begins to build what is new. The promise resolves
   * when all is live or superseded by a later call, and rejects with the first failure that trying again cannot mend.
   */
  adopt(wanted: readonly NewVersion[]): Promise<void> {
    const { catalog } = this.#context
    const cut = this.#context.log.state().cut.commit
    for (const version of wanted) recordVersion(this.#context, version, 'building')
    const removed = this.#retireOthers(wanted, cut)
    const pointers = serving(catalog)
    const missing = wanted.filter(({ view, version }) => pointers[view] !== version)
    this.#moveRunsOf(wanted)
    return allSettled([
      ...removed.map(({ view, version }) => this.#forget(view, version)),
      ...missing.map((version) => this.#build(version)),
    ])
  }

  /** Stops all builds; what they published stays, and the next start goes on from there. */
  stop(): void {
    for (const { stop } of this.#builds.values()) stop.abort()
  }

  /** Views whose version stays run as asked from now on; another version does so once it answers. */
  #moveRunsOf(wanted: readonly NewVersion[]): void {
    const { catalog } = this.#context
    const pointers = serving(catalog)
    const moves = Object.entries(wantedRuns(wanted)).flatMap(([view, to]): readonly RunMove[] => {
      const version = wanted.find((one) => one.view === view)?.version
      const from = runOf(catalog, view)
      if (version === undefined || pointers[view] !== version || isSameData(from, to)) return []
      return [{ view, version, from, to }]
    })
    const gone = Object.entries(runs(catalog))
      .filter(([view]) => pointers[view] === undefined)
      .map(([view, from]): RunMove => ({ view, from, to: { kind: 'kappa' } }))
    moveRuns(catalog, [...moves, ...gone])
    tellRuns(this.#context, moves)
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
        state !== 'warm' &&
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
      await this.#context.publications.run(async () => deleteSlices(this.#context, view, version))
      return
    }
    if (error instanceof RefoldError && !error.retryable && error.code !== 'INTERNAL') {
      failVersion(catalog, view, version, reason)
      throw new RefoldError(error.code, `view "${view}" could not be folded: ${reason}`, { cause: error })
    }
    await supervisor.until(() => false, clock.monotonicMs() + RETRY_MS, signal)
  }

  #foldHistory({ view, version }: NewVersion, build: Build): Promise<void> {
    return foldHistory(this.#context, view, version, {
      signal: build.stop.signal,
      folded: ({ to }) => {
        build.state = { ...build.state, to: this.#context.log.state().cut.commit, done: to }
      },
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
      catalog.transaction('move-serving', () => {
        moveServing(catalog, { [view]: version }, cut)
        const run = { from: runOf(catalog, view), to: wanted.run ?? ({ kind: 'kappa' } as const) }
        moveRuns(catalog, [{ view, ...run }])
      })
      this.#context.crash('version.moved')
      await running.engine.setServing(serving(catalog)).catch(() => {})
      this.#context.noteReport()
      return true
    })
    if (!moved) {
      // Overtaken by a later project: nobody else knows that the engine holds this version.
      if (signal.aborted) await running.engine.removeVersion(view, version).catch(() => {})
      return signal.aborted
    }
    logger.info('view is live', { view, version: version.slice(0, 12) })
    if (before !== undefined && before !== version) await this.#forget(view, before)
    return true
  }

  async #forget(view: string, version: VersionId): Promise<void> {
    await letGo(this.#context, view, version)
    await this.#context.publications.run(async () => deleteSlices(this.#context, view, version))
    this.#context.crash('version.let-go')
  }
}

/** Takes a version that is over out of the engine; its slices stay. */
export async function letGo(context: ServerContext, view: string, version: VersionId): Promise<void> {
  const { supervisor } = context
  if (supervisor.viewProgress(view, version) === undefined) return
  await supervisor.running?.engine.removeVersion(view, version).catch(() => {})
}

/** Waits for all, then rejects with the first rejection. */
async function allSettled(promises: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(promises)).find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
