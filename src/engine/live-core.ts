/**
 * The live engine inside its process: loads slices, ticks, takes what the server publishes. State: the tick loop;
 * views, sources and tables are in `LiveState`. The engine folds only cuts that the server says are durable.
 *
 * Why reads need no locks: a read takes the read set of the moment, immutable, and holds its tables. Everything that
 * changes tables or read sets runs in `between`, one at a time, between two ticks.
 */

import { mkdirSync, rmSync } from 'node:fs'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { LogManifest } from '../log/types.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import { systemClock } from '../std/clock.ts'
import { sumFile } from '../std/file-sum.ts'
import { ConnectionPool } from './connection-pool.ts'
import { type DuckDB, openDuckDB, run } from './duckdb.ts'
import type {
  EngineProgress,
  EngineSpec,
  EngineView,
  EventPosition,
  LogSources,
  ReadStamp,
  SealedGeneration,
  SliceInfo,
} from './engine.ts'
import { foldTick, heldStream } from './fold-tick.ts'
import { EngineFunctions } from './functions/engine-functions.ts'
import { imagePolicy, LiveImages } from './live-images.ts'
import type { LiveCalls } from './live-protocol.ts'
import { LiveReads } from './live-reads.ts'
import { LiveState, pause } from './live-state.ts'
import { goesOn, type LiveView, tailRows, viewKey, withBatch } from './live-view.ts'
import { soleStage } from './merged-relation.ts'
import { TableStore } from './table-store.ts'
import { type TickSource, TickSources } from './tick-source.ts'

/** A tick that reads more than this may use all threads; smaller ones leave them to reads. */
const BULK_BYTES = 16 << 20
const DISK_FULL_RETRY_MS = 500
/** A tick of a version that catches up reads about this much, so that the next tick of those that answer is soon. */
const CATCH_UP_BYTES = 4 << 20
/** A cutover waits this long for the new versions to stand where the old ones do. */
const SERVING_WAIT_MS = 10_000

type Listener = (progress: EngineProgress) => void

export class LiveCore {
  readonly reads: LiveReads
  readonly #state: LiveState
  readonly #images: LiveImages
  readonly #db: DuckDB
  readonly #functions: EngineFunctions
  readonly #connection: DuckDBConnection
  readonly #tickSources: TickSources
  readonly #onProgress: Listener
  readonly #followed: readonly CommitSeq[]
  /** More may wait than the running loop has seen. */
  #wanted = false
  #pumping = false
  #stopped = false
  #ticks = 0
  #cancelLater: (() => void) | undefined
  #threads = 1
  /** Cut up to which views are folded one by one. */
  #carefulTo: CommitSeq
  /** Whether versions that do not answer had the last turn while others were waiting too. */
  #othersHadTurn = false

  private constructor(
    spec: EngineSpec,
    db: DuckDB,
    connection: DuckDBConnection,
    state: LiveState,
    images: LiveImages,
    onProgress: Listener,
  ) {
    this.#followed = spec.followed
    this.#carefulTo = spec.careful === true ? spec.sources.log.durable : 0
    this.#db = db
    this.#connection = connection
    this.#state = state
    this.#images = images
    this.#onProgress = onProgress
    this.#tickSources = new TickSources(state.settings.scratchDir)
    const functions = new EngineFunctions(() => db.connect(), spec.settings.code)
    this.#functions = functions
    this.reads = new LiveReads(state, new ConnectionPool(() => db.connect()), (wanted) =>
      functions.use(wanted),
    )
  }

  /** Opens DuckDB and loads the views' slices; those with a slice that does not check are left out and named. */
  static async start(
    spec: EngineSpec,
    onProgress: Listener,
    policy = imagePolicy,
  ): Promise<{ core: LiveCore; badSlices: SliceInfo[] }> {
    const { memoryBytes, threads, scratchDir } = spec.settings
    rmSync(scratchDir, { recursive: true, force: true })
    mkdirSync(scratchDir, { recursive: true })
    const db = await openDuckDB({ memoryBytes, threads, tempDir: scratchDir })
    const tables = await db.connect()
    const state = new LiveState(spec, new TableStore((sql) => run(tables, sql)))
    const images = new LiveImages(state, await db.connect(), policy)
    const core = new LiveCore(spec, db, await db.connect(), state, images, onProgress)
    const badSlices: SliceInfo[] = []
    for (const view of spec.views) {
      const bad = await slicesThatDoNotCheck(view.slices)
      badSlices.push(...bad)
      await core.#functions.use(view.plan.functions)
      if (bad.length === 0) await images.load(view)
    }
    images.allLoaded()
    // Followers come back at once: images that are made meanwhile must not let go of the states they ask for.
    if (spec.followed.length > 0) {
      for (const view of state.views.values()) view.deltaAskedMs = systemClock.monotonicMs()
    }
    await run(core.#connection, `SET threads = ${core.#threads}`)
    core.#report(0, 0)
    core.#pump()
    return { core, badSlices }
  }

  advance(log: LogManifest): void {
    this.#state.advance(log)
    this.#pump()
  }

  async setSources(sources: LogSources): Promise<undefined> {
    await this.#state.setSources(sources)
    this.#pump()
  }

  seal({ views, stagingDir }: LiveCalls['seal']['args']): Promise<readonly SealedGeneration[]> {
    return this.#images.seal(
      views.map(({ view, version }) => this.#state.live(view, version)),
      stagingDir,
    )
  }

  async published(request: LiveCalls['published']['args']): Promise<undefined> {
    const view = this.#state.live(request.view, request.version)
    const isRows = soleStage(view.spec.plan).kind === 'rows'
    const { as = {}, sealed, slices } = publishedFor(view, request)
    const reload = as.reload === true
    await this.#state.between.run(async () => {
      if (reload) refuseWithinTick(view, sealed)
      view.sealed = sealed
      view.slices = slices
      view.slicesBatch = as.batch
      view.unsealed = view.unsealed.filter(
        (generation) => generation.to === undefined || generation.to > sealed,
      )
      if (isRows || reload) return
      view.readSet = withBatch(view.readSet, as.batch)
    })
    if (isRows || reload) await this.#images.reload(view, as)
    else if (view.readSet.image !== undefined && view.readSet.image.cut < sealed) this.#images.queue(view)
    // The server deletes replaced slices after this answer: wait for the reads that still use them.
    const usesOld = () =>
      this.#state.tables
        .held()
        .some((held) => held.view === request.view && held.slices !== view.readSet.slices)
    while (isRows && usesOld()) await pause()
    await this.#state.sweep()
  }

  async addVersion(spec: EngineView): Promise<undefined> {
    const bad = await slicesThatDoNotCheck(spec.slices)
    if (bad.length > 0) {
      throw new RefoldError(
        'SLICE_CORRUPT',
        `slice "${bad[0]?.path}" of view "${spec.view}" does not match its checksum`,
        { details: { paths: bad.map(({ path }) => path) } },
      )
    }
    await this.#functions.use(spec.plan.functions)
    await this.#images.load(spec)
    const view = this.#state.live(spec.view, spec.version)
    this.#pump()
    while (!this.#stopped && goesOn(view) && view.readSet.cut < this.#state.commonCut(view)) await pause()
    // Without a tick nobody would know that it is here.
    this.#report(0, 0)
  }

  async removeVersion(name: string, version: VersionId): Promise<undefined> {
    await this.#state.between.run(async () => {
      this.#state.views.delete(viewKey(name, version))
      this.#state.folds.keepOnly(this.#state.views)
    })
    this.#report(0, 0)
    await this.#state.sweep()
  }

  async setServing(serving: Readonly<Record<string, VersionId>>): Promise<ReadStamp> {
    const deadlineMs = systemClock.monotonicMs() + SERVING_WAIT_MS
    // Between two ticks, so that the versions that answer from now on stand where the others do: numbers do not go back.
    while (!(await this.#state.between.run(async () => this.#takeServing(serving, deadlineMs)))) await pause()
    this.#report(0, 0)
    const versions = Object.entries(serving)
    const views = versions.flatMap(([view, version]) => this.#state.views.get(viewKey(view, version)) ?? [])
    return this.#state.stamp(
      views.map((view) => view.readSet),
      this.#state.sources.log.durable,
    )
  }

  #takeServing(serving: Readonly<Record<string, VersionId>>, deadlineMs: number): boolean {
    const { views, serving: before } = this.#state
    const isBehind = Object.entries(serving).some(([name, version]) => {
      const now = views.get(viewKey(name, before[name] ?? ''))
      const next = views.get(viewKey(name, version))
      if (now === undefined || next === undefined || next === now) return false
      return next.stalled === undefined && now.stalled === undefined && next.readSet.cut < now.readSet.cut
    })
    if (isBehind && !this.#stopped && systemClock.monotonicMs() < deadlineMs) return false
    this.#state.serving = serving
    return true
  }

  async skip(name: string, version: VersionId, position: EventPosition): Promise<undefined> {
    const view = this.#state.live(name, version)
    view.skipped.push(position)
    view.stalled = undefined
    view.retryAtMs = 0
    this.#pump()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#state.between.run(async () => {})
    this.#tickSources.close()
    this.#db.close()
  }

  /** Ticks until every view that can go on stands at the durable cut. Never two at a time. */
  #pump(): void {
    this.#wanted = true
    if (this.#pumping) return
    this.#pumping = true
    void this.#tickAll().catch((error: unknown) => {
      // Not a view's fault: a file that cannot be read, a table that is gone. The server starts another engine.
      process.stderr.write(`refold engine: ${error instanceof Error ? error.stack : String(error)}\n`)
      process.exit(70)
    })
  }

  async #tickAll(): Promise<void> {
    while (this.#wanted && !this.#stopped) {
      this.#wanted = false
      while (!this.#stopped && (await this.#state.between.run(() => this.#tick()))) {
        // Reads and messages get their turn between two ticks.
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    this.#pumping = false
    this.#pumpLater()
  }

  /** A view that waits for what no event brings, such as memory or its code, is tried again without one. */
  #pumpLater(): void {
    const { sources, views } = this.#state
    const now = systemClock.monotonicMs()
    const waiting = [...views.values()].filter(
      ({ readSet, retryAtMs }) => retryAtMs > now && readSet.cut < sources.log.durable,
    )
    const nextMs = Math.min(...waiting.map((view) => view.retryAtMs))
    this.#cancelLater?.()
    this.#cancelLater = undefined
    if (this.#stopped || !Number.isFinite(nextMs)) return
    this.#cancelLater = systemClock.after(nextMs - now + 1, () => this.#pump())
  }

  /** One tick of the views whose turn it is, no further than where the next ones stand. */
  async #tick(): Promise<boolean> {
    const { sources, settings, streams, views } = this.#state
    const now = systemClock.monotonicMs()
    const behind = [...views.values()].filter(
      (view) =>
        view.readSet.cut < sources.log.durable && view.retryAtMs <= now && view.spec.paused === undefined,
    )
    if (behind.length === 0) return false
    const { group, catchesUp } = this.#turn(behind)
    const from = Math.min(...group.map((view) => view.readSet.cut))
    const limits = catchesUp ? [from + commitsWithin(sources, CATCH_UP_BYTES)] : []
    const ahead = [...behind.map((view) => view.readSet.cut), ...this.#followed, ...limits].filter(
      (cut) => cut > from,
    )
    const to = ahead.length === 0 ? undefined : Math.min(...ahead)
    const held = new Set(group.flatMap((view) => heldStream(view) ?? []))
    const source = await this.#open(sources, from, to, [...held])
    if (source === undefined) return false
    await this.#useThreads(source.bytes > BULK_BYTES ? settings.threads : 1)
    const { mark, folds } = this.#state
    const nowMs = () => systemClock.monotonicMs()
    const context = { connection: this.#connection, streams, mark, folds, nowMs }
    const careful = group.filter((view) => view.readSet.cut < this.#carefulTo)
    if (careful.length === 0) await foldTick(context, group, source)
    else for (const view of group) await foldTick(context, [view], source)
    this.#ticks++
    this.#report(systemClock.monotonicMs() - now, source.through - from)
    if (careful.length > 0) return true
    for (const view of group) if (this.#images.wants(view)) this.#images.queue(view)
    return true
  }

  /**
   * The views that are furthest behind; where versions that do not answer are behind those that do, both have their
   * turn: a version that catches up does not hold up what people read.
   */
  #turn(behind: readonly LiveView[]): { readonly group: readonly LiveView[]; readonly catchesUp: boolean } {
    const furthest = (views: readonly LiveView[]) => {
      const from = Math.min(...views.map((view) => view.readSet.cut))
      return views.filter((view) => view.readSet.cut === from)
    }
    const all = furthest(behind)
    const answering = behind.filter((view) => this.#state.isServing(view))
    if (answering.length === 0 || all.some((view) => answering.includes(view))) {
      return { group: all, catchesUp: false }
    }
    this.#othersHadTurn = !this.#othersHadTurn
    return { group: this.#othersHadTurn ? all : furthest(answering), catchesUp: this.#othersHadTurn }
  }

  /** A full disk keeps a tick from copying its events; reads go on, and the tick comes again. */
  async #open(
    sources: LogSources,
    from: CommitSeq,
    to: CommitSeq | undefined,
    timed: readonly string[],
  ): Promise<TickSource | undefined> {
    try {
      return await this.#tickSources.open(sources, from, to, timed)
    } catch (error) {
      if (!isDiskFull(error)) throw error
      systemClock.after(DISK_FULL_RETRY_MS, () => this.#pump())
      return undefined
    }
  }

  async #useThreads(threads: number): Promise<void> {
    if (threads === this.#threads) return
    this.#threads = threads
    await run(this.#connection, `SET threads = ${threads}`)
  }

  #report(tickMs: number, commits: number): void {
    const views = [...this.#state.views.values()]
    const skipped = views.flatMap((view) =>
      view.unreportedSkips
        .splice(0)
        .map((stall) => ({ view: view.spec.view, version: view.spec.version, stall })),
    )
    this.#onProgress({
      cut: this.#state.commonCut(),
      views: views.map((view) => ({
        view: view.spec.view,
        version: view.spec.version,
        cut: view.readSet.cut,
        ...(view.stalled === undefined ? {} : { stalled: view.stalled }),
        ...(view.spec.paused === undefined ? {} : { paused: view.spec.paused }),
        tailRows: tailRows(view),
        groups: view.readSet.image?.groups ?? 0,
      })),
      ticks: this.#ticks,
      tickMs,
      commits,
      skipped,
    })
  }
}

/** How many commits of the hot log make so many bytes, on average. */
function commitsWithin({ log }: LogSources, bytes: number): number {
  const total = log.segments.reduce((sum, segment) => sum + segment.bytes, 0)
  const commits = log.durable - (log.segments[0]?.base ?? log.durable)
  return total <= 0 ? 1 : Math.max(1, Math.floor((bytes * commits) / total))
}

/** A paused view takes its batch layer alone. */
function publishedFor(
  view: LiveView,
  request: LiveCalls['published']['args'],
): Pick<LiveCalls['published']['args'], 'sealed' | 'slices' | 'as'> {
  const batch = request.as?.batch
  if (view.spec.paused === undefined || batch === undefined) return request
  return { ...request, sealed: batch, slices: request.slices.filter(({ to }) => to <= batch) }
}

async function slicesThatDoNotCheck(slices: readonly SliceInfo[]): Promise<SliceInfo[]> {
  const bad: SliceInfo[] = []
  for (const slice of slices) {
    const sum = await sumFile(slice.path).catch(() => undefined)
    if (sum?.checksum !== slice.checksum) bad.push(slice)
  }
  return bad
}

/**
 * What came up to a cut can only be told from what came after it where a tick ended there. That of a batch is one by
 * the order of things: it was captured from this engine, or this engine was told to stop there.
 */
function refuseWithinTick(view: LiveView, cut: CommitSeq): void {
  const { tickCuts, readSet } = view
  if (cut >= readSet.cut || (tickCuts[0] ?? 0) > cut || tickCuts.includes(cut)) return
  throw new RefoldError(
    'INTERNAL',
    `view "${view.spec.view}" has ticked past cut ${cut} without ending there`,
  )
}

function isDiskFull(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code
  return code === 'ENOSPC' || code === 'EDQUOT'
}
