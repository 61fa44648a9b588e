/**
 * The live engine itself, inside its process: views that tick, images, reads. State: the live views by version, which
 * version serves, the manifests of log and lake, and the tables. The engine folds only durable cuts.
 *
 * Why reads need no locks: a read takes the read set of the moment, immutable, and holds its tables. Everything that
 * changes tables or read sets runs in `#between`, one at a time, between two ticks.
 */

import { mkdirSync, rmSync } from 'node:fs'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { LogManifest } from '../log/types.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import type { StreamDef } from '../model/schema.ts'
import { must } from '../std/assert.ts'
import { systemClock } from '../std/clock.ts'
import { sumFile } from '../std/file-sum.ts'
import { Semaphore } from '../std/semaphore.ts'
import { Serial } from '../std/serial.ts'
import { ConnectionPool } from './connection-pool.ts'
import { viewDelta } from './delta.ts'
import { type DuckDB, openDuckDB, run } from './duckdb.ts'
import type {
  EngineProgress,
  EngineSpec,
  EngineView,
  EventPosition,
  LogSources,
  ReadStamp,
  SliceInfo,
} from './engine.ts'
import { foldTick } from './fold-tick.ts'
import { imageFromSlices, nextImage } from './image.ts'
import type { LiveCalls } from './live-protocol.ts'
import {
  createGeneration,
  freezeGeneration,
  type LiveView,
  newLiveView,
  tailRows,
  viewKey,
} from './live-view.ts'
import { LookupGather } from './lookup-gather.ts'
import { soleStage } from './merged-relation.ts'
import { type ReadSet, tablesOf } from './read-set.ts'
import { readSql } from './read-sql.ts'
import { readView } from './read-view.ts'
import { sealView } from './seal.ts'
import { TableStore } from './table-store.ts'
import { TickSources } from './tick-source.ts'

/** A tick that reads more than this may use all threads; smaller ones leave them to reads. */
const BULK_BYTES = 4 << 20
/** How long after a delta the tables for the next one are kept. */
const DELTA_KEEP_MS = 30_000
const VIEW_READS = 4

type Listener = (progress: EngineProgress) => void

export class LiveCore {
  readonly #spec: EngineSpec
  readonly #db: DuckDB
  readonly #tickConnection: DuckDBConnection
  readonly #imageConnection: DuckDBConnection
  readonly #reads: ConnectionPool
  readonly #tables: TableStore
  readonly #tickSources: TickSources
  readonly #streams: ReadonlyMap<string, StreamDef>
  readonly #views = new Map<string, LiveView>()
  readonly #between = new Serial()
  readonly #images = new Serial()
  readonly #gather = new LookupGather()
  readonly #viewReads = new Semaphore(VIEW_READS)
  readonly #heavyReads: Semaphore
  readonly #onProgress: Listener
  readonly #imagePolicy: ImagePolicy
  #serving: Readonly<Record<string, VersionId>>
  #sources: LogSources
  /** Reads over streams use files that the manifests name; they hold the manifests while they run. */
  #sourceReads = new Map<LogSources, number>()
  /** More may wait than the running loop has seen. */
  #wanted = false
  #pumping = false
  #stopped = false
  #ticks = 0
  #threads = 1
  #imageQueued = new Set<LiveView>()

  private constructor(
    spec: EngineSpec,
    db: DuckDB,
    connections: readonly DuckDBConnection[],
    onProgress: Listener,
    imagePolicy: ImagePolicy,
  ) {
    this.#spec = spec
    this.#db = db
    this.#tickConnection = must(connections[0], 'a connection for ticks')
    this.#imageConnection = must(connections[1], 'a connection for images')
    this.#reads = new ConnectionPool(() => db.connect())
    const ddl = must(connections[2], 'a connection for tables')
    this.#tables = new TableStore((sql) => run(ddl, sql))
    this.#tickSources = new TickSources(spec.settings.scratchDir)
    this.#streams = new Map(spec.streams.map((stream) => [stream.name, stream]))
    this.#heavyReads = new Semaphore(spec.settings.heavyStatements)
    this.#serving = spec.serving
    this.#sources = spec.sources
    this.#onProgress = onProgress
    this.#imagePolicy = imagePolicy
  }

  /** Opens DuckDB and loads the views' slices; those with a slice that does not check are left out and named. */
  static async start(
    spec: EngineSpec,
    onProgress: Listener,
    imagePolicy = IMAGE_POLICY,
  ): Promise<{ core: LiveCore; badSlices: SliceInfo[] }> {
    rmSync(spec.settings.scratchDir, { recursive: true, force: true })
    mkdirSync(spec.settings.scratchDir, { recursive: true })
    const { memoryBytes, threads, scratchDir } = spec.settings
    const db = await openDuckDB({ memoryBytes, threads, tempDir: scratchDir })
    const connections = [await db.connect(), await db.connect(), await db.connect()]
    const core = new LiveCore(spec, db, connections, onProgress, imagePolicy)
    const badSlices: SliceInfo[] = []
    for (const view of spec.views) {
      const bad = await slicesThatDoNotCheck(view.slices)
      badSlices.push(...bad)
      if (bad.length === 0) await core.#load(view)
    }
    await run(core.#tickConnection, 'SET threads = 1')
    core.#report(0, 0)
    core.#pump()
    return { core, badSlices }
  }

  advance(log: LogManifest): void {
    this.#sources = { ...this.#sources, log }
    this.#pump()
  }

  async setSources(sources: LogSources): Promise<void> {
    const old = [...this.#sourceReads.keys()]
    // The durable cut may have moved on since the server wrote the message.
    const log = sources.log.durable >= this.#sources.log.durable ? sources.log : this.#sources.log
    await this.#between.run(async () => {
      this.#sources = { lake: sources.lake, log: sources.log.durable >= log.durable ? sources.log : log }
    })
    while (old.some((held) => held !== this.#sources && this.#sourceReads.has(held))) await pause()
    this.#pump()
  }

  async seal(request: LiveCalls['seal']['args']): Promise<LiveCalls['seal']['result']> {
    const views = request.views.map(({ view, version }) => this.#live(view, version))
    await this.#between.run(async () => {
      for (const view of views) await freezeGeneration(this.#tables, view)
    })
    const sealed = await this.#images.run(async () => {
      const results = []
      for (const view of views) results.push(await sealView(this.#imageConnection, view, request.stagingDir))
      return results
    })
    return sealed.filter((generation) => generation !== undefined)
  }

  async published(request: LiveCalls['published']['args']): Promise<undefined> {
    const view = this.#live(request.view, request.version)
    const old = view.readSet
    await this.#between.run(async () => {
      const rows = soleStage(view.spec.plan).kind === 'rows'
      view.sealed = request.sealed
      view.slices = request.slices
      view.unsealed = view.unsealed.filter(
        (generation) => generation.to === undefined || generation.to > request.sealed,
      )
      if (rows) {
        const generations = view.readSet.generations.filter((generation) =>
          view.unsealed.includes(generation),
        )
        view.previous = view.readSet
        view.readSet = { ...view.readSet, slices: request.slices, generations }
      }
    })
    if (view.readSet.image !== undefined && view.readSet.image.cut < request.sealed) this.#queueImage(view)
    // The server deletes replaced slices after this answer: wait for the reads that still use them.
    if (old.slices.length > 0) {
      while (
        this.#tables.held().some((held) => held.view === request.view && held.slices !== view.readSet.slices)
      )
        await pause()
    }
    await this.#sweep()
  }

  async addVersion(spec: EngineView): Promise<undefined> {
    const bad = await slicesThatDoNotCheck(spec.slices)
    if (bad.length > 0) {
      throw new RefoldError(
        'SLICE_CORRUPT',
        `slice "${must(bad[0], 'a bad slice').path}" of view "${spec.view}" does not check`,
      )
    }
    await this.#load(spec)
    const view = this.#live(spec.view, spec.version)
    this.#pump()
    while (!this.#stopped && view.stalled === undefined && view.readSet.cut < this.#commonCut(view))
      await pause()
  }

  async removeVersion(name: string, version: VersionId): Promise<undefined> {
    await this.#between.run(async () => {
      this.#views.delete(viewKey(name, version))
    })
    await this.#sweep()
  }

  async setServing(serving: Readonly<Record<string, VersionId>>): Promise<ReadStamp> {
    this.#serving = serving
    const views = Object.entries(serving).flatMap(
      ([view, version]) => this.#views.get(viewKey(view, version)) ?? [],
    )
    this.#report(0, 0)
    return this.#stamp(views.map((view) => view.readSet))
  }

  async skip(name: string, version: VersionId, position: EventPosition): Promise<undefined> {
    const view = this.#live(name, version)
    view.skipped.push(position)
    view.stalled = undefined
    view.retryAtMs = 0
    this.#pump()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#between.run(async () => {})
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
      while (!this.#stopped && (await this.#between.run(() => this.#tick()))) {
        // Reads and messages get their turn between two ticks.
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    this.#pumping = false
  }

  /** One tick of the views that are furthest behind, no further than where the next ones stand. */
  async #tick(): Promise<boolean> {
    const now = systemClock.monotonicMs()
    const behind = [...this.#views.values()].filter(
      (view) => view.readSet.cut < this.#sources.log.durable && view.retryAtMs <= now,
    )
    if (behind.length === 0) return false
    const from = Math.min(...behind.map((view) => view.readSet.cut))
    const group = behind.filter((view) => view.readSet.cut === from)
    const nextCut = Math.min(
      ...behind.filter((view) => view.readSet.cut > from).map((view) => view.readSet.cut),
    )
    const source = await this.#tickSources.open(
      this.#sources,
      from,
      Number.isFinite(nextCut) ? nextCut : undefined,
    )
    if (source === undefined) return false
    await this.#useThreads(source.bytes > BULK_BYTES ? this.#spec.settings.threads : 1)
    const context = {
      connection: this.#tickConnection,
      streams: this.#streams,
      nowMs: () => systemClock.monotonicMs(),
    }
    await foldTick(context, group, source)
    this.#ticks++
    this.#report(systemClock.monotonicMs() - now, source.through - from)
    for (const view of group) if (this.#wantsImage(view, systemClock.monotonicMs())) this.#queueImage(view)
    return true
  }

  async #useThreads(threads: number): Promise<void> {
    if (threads === this.#threads) return
    this.#threads = threads
    await run(this.#tickConnection, `SET threads = ${threads}`)
  }

  #report(tickMs: number, commits: number): void {
    const views = [...this.#views.values()]
    const skipped = views.flatMap((view) =>
      view.unreportedSkips
        .splice(0)
        .map((stall) => ({ view: view.spec.view, version: view.spec.version, stall })),
    )
    this.#onProgress({
      cut: this.#commonCut(),
      views: views.map((view) => ({
        view: view.spec.view,
        version: view.spec.version,
        cut: view.readSet.cut,
        ...(view.stalled === undefined ? {} : { stalled: view.stalled }),
        tailRows: tailRows(view),
        groups: view.readSet.image?.groups ?? 0,
      })),
      ticks: this.#ticks,
      tickMs,
      events: commits,
      skipped,
    })
  }
}

async function slicesThatDoNotCheck(slices: readonly SliceInfo[]): Promise<SliceInfo[]> {
  const bad: SliceInfo[] = []
  for (const slice of slices) {
    const sum = await sumFile(slice.path).catch(() => undefined)
    if (sum?.checksum !== slice.checksum) bad.push(slice)
  }
  return bad
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 2))
}
