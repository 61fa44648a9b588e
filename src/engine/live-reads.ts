/**
 * Reads of a live engine: views, lookups that gather, SQL, deltas. Each takes the read sets of the moment and holds
 * them; ticks go on. Heavy statements are admitted a few at a time, so that ticks and lookups keep their share.
 */

import type { DuckDBConnection } from '@duckdb/node-api'
import type { CommitSeq } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import { systemClock } from '../std/clock.ts'
import { Semaphore } from '../std/semaphore.ts'
import { captureView } from './capture.ts'
import type { ConnectionPool } from './connection-pool.ts'
import { viewDelta } from './delta.ts'
import type { LayerName, LogSources, SqlRead } from './engine.ts'
import type { EngineFunctions } from './functions/engine-functions.ts'
import { type Layers, layerQuery, layersOf, layerTables } from './layers.ts'
import type { LiveCalls } from './live-protocol.ts'
import { type LiveState, pause } from './live-state.ts'
import { type LiveView, viewKey } from './live-view.ts'
import { LookupGather } from './lookup-gather.ts'
import { soleStage, viewQuery } from './merged-relation.ts'
import type { ReadSet } from './read-set.ts'
import { readSql, type SqlView } from './read-sql.ts'
import { readRows, readView } from './read-view.ts'

const VIEW_READS = 4

export class LiveReads {
  readonly #state: LiveState
  readonly #connections: ConnectionPool
  readonly #useFunctions: EngineFunctions['use']
  readonly #gather = new LookupGather()
  readonly #viewReads = new Semaphore(VIEW_READS)
  readonly #heavyReads: Semaphore

  constructor(state: LiveState, connections: ConnectionPool, useFunctions: EngineFunctions['use']) {
    this.#state = state
    this.#useFunctions = useFunctions
    this.#connections = connections
    this.#heavyReads = new Semaphore(state.settings.heavyStatements)
  }

  async read(request: LiveCalls['read']['args'], signal: AbortSignal): Promise<LiveCalls['read']['result']> {
    while (true) {
      const view = this.#state.serves(request.view, request.version)
      try {
        return await this.#readFrom(view, request, signal)
      } catch (error) {
        if (!(error instanceof VersionGone)) throw error
      }
    }
  }

  async #readFrom(
    view: LiveView,
    request: LiveCalls['read']['args'],
    signal: AbortSignal,
  ): Promise<LiveCalls['read']['result']> {
    if (request.layer !== undefined) return await this.#readLayer(view, request, request.layer, signal)
    const key = LookupGather.keyOf(view.spec.plan, request)
    if (key !== undefined && Object.keys(request.where).length > 0) {
      const queue = viewKey(view.spec.view, view.spec.version)
      const answer = await this.#gather.read(queue, key, request, (read) =>
        this.#connections.use((connection) => this.#held(view, (readSet) => read(readSet, connection))),
      )
      return { ...answer.rows, ...this.#state.stamp([answer.readSet]) }
    }
    return this.#viewReads.run(
      () =>
        this.#connections.use((connection) =>
          this.#held(view, async (readSet) => ({
            ...(await readView(connection, readSet, request, signal)),
            ...this.#state.stamp([readSet]),
          })),
        ),
      signal,
    )
  }

  #readLayer(
    view: LiveView,
    request: LiveCalls['read']['args'],
    layer: LayerName,
    signal: AbortSignal,
  ): Promise<LiveCalls['read']['result']> {
    return this.#viewReads.run(() => {
      if (!this.#isThere(view)) throw new VersionGone()
      const layers = layersOf(view)
      const { batch } = layers
      return this.#state.tables.pinned([layerTables(layers)], () =>
        this.#connections.use(async (connection) => ({
          ...(await readRows(connection, view.spec.plan, layerQuery(layers, layer), request, signal)),
          ...this.#state.stamp([layers.readSet]),
          ...(batch === undefined ? {} : { batches: { [view.spec.view]: batch } }),
        })),
      )
    }, signal)
  }

  async sql(request: LiveCalls['sql']['args'], signal: AbortSignal): Promise<LiveCalls['sql']['result']> {
    const deadlineMs = systemClock.monotonicMs() + request.timeoutMs
    return this.#heavyReads.run(
      () =>
        this.#connections.use((connection) =>
          this.#state.withSources(async (sources) => {
            while (true) {
              const read = (readSets: readonly ReadSet[]) =>
                this.#sqlOver(connection, sources, readSets, request, signal)
              const { answer, torn } = await this.#state.withServing(deadlineMs, read)
              if (torn.length === 0) return answer
              await this.#settled(torn, deadlineMs)
            }
          }),
        ),
      signal,
    )
  }

  /** Also says which views it read both by name and by layer while those stood at different batches. */
  async #sqlOver(
    connection: DuckDBConnection,
    sources: LogSources,
    readSets: readonly ReadSet[],
    request: LiveCalls['sql']['args'],
    signal: AbortSignal,
  ): Promise<{ readonly answer: LiveCalls['sql']['result']; readonly torn: readonly ReadSet[] }> {
    const { streams, settings, tables } = this.#state
    const { cut } = this.#state.stamp(readSets, sources.log.durable)
    // Taken in the same step as the read sets.
    const layers = layerPattern.test(request.sql)
      ? readSets.map(({ view, version }) => layersOf(this.#state.live(view, version)))
      : []
    const whole = readSets.map(
      (readSet): SqlView => ({
        name: readSet.view,
        columns: readSet.plan.columns,
        rows: () => viewQuery(readSet),
      }),
    )
    const held = [...whole, ...layers.flatMap(layerViews)]
    const { views: others, errors: refused } = refusedViews(request.refused, held)
    const views = [...held, ...others]
    const { scratchDir } = settings
    const useFunctions = this.#useFunctions
    const context = { streams, sources, views, cut, scratchDir, refused, useFunctions }
    const { rows, views: named } = await tables.pinned(layers.map(layerTables), () =>
      readSql(connection, context, request, signal),
    )
    const read = readSets.filter(({ view }) => named.has(view) || namesLayer(named, view))
    const byLayer = layers.filter(({ readSet }) => namesLayer(named, readSet.view))
    const torn = byLayer.filter(({ readSet, batch }) => named.has(readSet.view) && batch !== readSet.batch)
    const stamp = this.#state.stamp(read, cut)
    const batches = { ...stamp.batches, ...layerCuts(byLayer) }
    const answer = { ...rows, ...stamp, ...(Object.keys(batches).length === 0 ? {} : { batches }) }
    return { answer, torn: torn.map(({ readSet }) => readSet) }
  }

  /** Waits until the images of these views are made of the slices that were published last. */
  async #settled(views: readonly ReadSet[], deadlineMs: number): Promise<void> {
    const isSwapping = () =>
      views.some(({ view, version }) => {
        const live = this.#state.views.get(viewKey(view, version))
        return live !== undefined && live.slicesBatch !== live.readSet.batch
      })
    while (isSwapping()) {
      if (systemClock.monotonicMs() > deadlineMs) {
        throw new RefoldError('CUT_NOT_REACHED', 'a batch is being taken over by the engine')
      }
      await pause()
    }
  }

  /** One view after the other, each from the read set that it had when all of them stood at one cut. */
  async capture(
    { views, stagingDir }: LiveCalls['capture']['args'],
    signal: AbortSignal,
  ): Promise<LiveCalls['capture']['result']> {
    const deadlineMs = systemClock.monotonicMs() + this.#state.settings.statementTimeoutMs
    return await this.#state.withServing(deadlineMs, async (readSets) => {
      const wanted = readSets.filter(({ view }) => views.includes(view))
      const tails = wanted.map(({ view, version }) => this.#state.live(view, version).unsealed.slice())
      const sealed = wanted.map(({ view, version }) => this.#state.live(view, version).sealed)
      const whole = wanted.map((readSet, index) => ({ ...readSet, generations: tails[index] ?? [] }))
      return await this.#state.tables.pinned(whole, async () => {
        const captured = []
        for (const [index, readSet] of wanted.entries()) {
          const take = () =>
            this.#connections.use((connection) =>
              captureView(connection, readSet, tails[index] ?? [], sealed[index] ?? 0, stagingDir, signal),
            )
          const { lateCut = 0 } = this.#state.live(readSet.view, readSet.version).spec
          const one = await this.#heavyReads.run(take, signal)
          const isLayered = readSet.plan.batch !== undefined
          captured.push(isLayered ? one : { ...one, batch: Math.max(one.batch ?? 0, lateCut) })
        }
        return captured
      })
    })
  }

  async delta(
    request: LiveCalls['delta']['args'],
    signal: AbortSignal,
  ): Promise<LiveCalls['delta']['result']> {
    const view = this.#state.serves(request.view, request.version)
    view.deltaAskedMs = systemClock.monotonicMs()
    const { statementTimeoutMs } = this.#state.settings
    // Whoever followed the engine before this one may be ahead of it for a moment.
    const deadlineMs = view.deltaAskedMs + statementTimeoutMs
    while (view.readSet.cut < request.from && systemClock.monotonicMs() < deadlineMs) await pause()
    return this.#viewReads.run(
      () =>
        this.#connections.use((connection) => {
          if (!this.#isThere(view)) throw tooOld(request.view, request.from)
          const told = this.#repairFor(view, request)
          if (told !== undefined) return told
          const { before, target } = deltaEnds(view, request)
          const repaired = target === view.repair?.before ? request.repaired : view.repaired
          return this.#state.tables.pinned([before, target], async () => ({
            ...(await viewDelta(connection, before, target, statementTimeoutMs)),
            ...(repaired === undefined ? {} : { repaired }),
            ...(target === view.repair?.before ? { more: true as const } : {}),
            ...this.#state.stamp([target]),
          }))
        }),
      signal,
    )
  }

  /** The difference that a batch made, for a reader who has all that came before it and not this. */
  #repairFor(
    view: LiveView,
    { from, repaired }: LiveCalls['delta']['args'],
  ): Promise<LiveCalls['delta']['result']> | undefined {
    const { repair } = view
    if (repair === undefined || repair.batch === repaired || repair.before.cut !== from) return undefined
    const { batch, before } = repair
    return repair.delta().then((changes) => ({
      ...changes,
      repaired: batch,
      cause: { kind: 'batch', batch },
      ...this.#state.stamp([{ ...view.readSet, cut: before.cut }]),
    }))
  }

  /** Takes and holds the read set of the moment in one step: in between, its tables could go. */
  #held<T>(view: LiveView, read: (readSet: ReadSet) => Promise<T>): Promise<T> {
    if (!this.#isThere(view)) return Promise.reject(new VersionGone())
    const { readSet } = view
    return this.#state.tables.pinned([readSet], () => read(readSet))
  }

  /** A version may be removed while its readers wait for their turn. */
  #isThere(view: LiveView): boolean {
    return this.#state.views.get(viewKey(view.spec.view, view.spec.version)) === view
  }
}

/** SQL that may name a layer; where it does not, layers are not even looked at. */
const layerPattern = /\b(batch|speed)"?\s*\./i

function layerViews(layers: Layers): readonly SqlView[] {
  const { view, plan } = layers.readSet
  return (['batch', 'speed'] as const).map((layer) => ({
    name: `${layer}.${view}`,
    columns: plan.columns,
    rows: () => layerQuery(layers, layer),
  }))
}

function namesLayer(named: ReadonlySet<string>, view: string): boolean {
  return named.has(`batch.${view}`) || named.has(`speed.${view}`)
}

function layerCuts(layers: readonly Layers[]): Readonly<Record<string, CommitSeq>> {
  const known = layers.flatMap(({ readSet, batch }) =>
    batch === undefined ? [] : [[readSet.view, batch] as const],
  )
  return Object.fromEntries(known)
}

/** Views that do not answer, so that SQL which names one is told why; the engine may hold them all the same. */
function refusedViews(refused: SqlRead['refused'] = {}, held: readonly SqlView[]) {
  const names = new Set(held.map(({ name }) => name))
  const views = Object.entries(refused)
    .filter(([name]) => !names.has(name))
    .map(([name, { columns }]): SqlView => ({ name, columns, rows: () => unreachableRows(name) }))
  const errors = Object.fromEntries(Object.entries(refused).map(([name, { error }]) => [name, error]))
  return { views, errors }
}

function unreachableRows(name: string): never {
  throw new Error(`view "${name}" was refused before it is read`)
}

/** Nobody outside sees it: the read begins again with the version that answers now. */
class VersionGone extends Error {
  override readonly name = 'VersionGone'
}

/** Between which read sets a reader's delta lies: of one who has not heard of a repair no further than up to that. */
function deltaEnds(
  view: LiveView,
  { from, to: asked, repaired }: LiveCalls['delta']['args'],
): { readonly before: ReadSet; readonly target: ReadSet } {
  const after = view.readSet
  const { repair } = view
  if (repair !== undefined && repair.batch !== repaired && from > 0 && from < repair.before.cut) {
    return { before: readSetAt(view, from, [repair.before]), target: repair.before }
  }
  const to = Math.min(asked ?? after.cut, after.cut)
  const before = from === 0 ? { ...after, cut: 0 } : readSetAt(view, from)
  const target = to === after.cut ? after : readSetAt(view, to)
  // Of two definitions, ticks say what changed in the speed layer alone.
  if (before.batchLayer !== target.batchLayer) throw tooOld(view.spec.view, from)
  return { before, target }
}

/** The read set as it was at an earlier cut, as far as its tables are still there. */
function readSetAt(
  view: LiveView,
  cut: CommitSeq,
  readSets: readonly (ReadSet | undefined)[] = [view.readSet, view.previous],
): ReadSet {
  const known = view.tickCuts.includes(cut) ? readSets : []
  for (const readSet of known) {
    if (readSet === undefined || cut > readSet.cut) continue
    const base =
      soleStage(readSet.plan).kind === 'rows'
        ? (readSet.rowsAfter ?? readSet.generations[0]?.from ?? 0)
        : (readSet.image?.cut ?? 0)
    if (base <= cut) return { ...readSet, cut }
  }
  throw tooOld(view.spec.view, cut)
}

function tooOld(view: string, cut: CommitSeq): RefoldError {
  return new RefoldError('DELTA_TOO_OLD', `the changes of view "${view}" since cut ${cut} are no longer kept`)
}
