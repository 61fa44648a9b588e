/**
 * Runs the batches of views that run as lambda, when their schedules say so or somebody asks: one at a time for each
 * view. State: the batches under way, and which alarms were told.
 *
 * What is due is computed from the catalog each time, so a server that is started again goes on with the schedule. It
 * first says of every batch that was under way that it failed; such a batch is tried again soon.
 */

import {
  type BatchRow,
  batches,
  batchesAfter,
  beginBatch,
  failBatch,
  failRunningBatches,
  newestBatch,
  readBatch,
  skipBatch,
} from '../../catalog/batches.ts'
import { recordAudit } from '../../catalog/journal.ts'
import { runningSince, runOf, runs } from '../../catalog/runs.ts'
import { readVersion, serving } from '../../catalog/versions.ts'
import type { LambdaDef } from '../../define/types.ts'
import type { CommitSeq } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import { type BatchAlarm, batchDueMs, type LastBatch, missedBatches } from '../../run/lambda.ts'
import type { BatchInfo, CoreBatches } from '../../serve/core-batches.ts'
import { nearestName } from '../../std/nearest-name.ts'
import { batchInfo } from './batch-info.ts'
import { type BatchParts, type BatchStep, runBatch } from './batch-run.ts'
import type { CompareBatch } from './compare-batch.ts'
import { eventsSince, layerInfo } from './layer-state.ts'

/** What `refold status` says of a batch under way. */
export interface RunningBatch {
  readonly id: number
  readonly view: string
  readonly step: BatchStep
  /** T; 0 while it is not chosen. */
  readonly cut: CommitSeq
  readonly startedMs: number
  /** The process that folds. */
  readonly worker: number | undefined
}

interface Running {
  state: RunningBatch
  readonly done: Promise<void>
}

/** What somebody who waits for a batch has to say of it. */
interface BatchOrder {
  readonly compare: CompareBatch
  readonly signal: AbortSignal
  readonly failed: (error: unknown) => void
}

/** Alarms are looked at this often; they are told when they are raised and when they are over. */
const ALARMS_MS = 1_000

export class Batches implements CoreBatches {
  readonly #parts: BatchParts
  readonly #running = new Map<string, Running>()
  readonly #stop = new AbortController()
  #told = new Set<string>()
  #alarmsAtMs = 0

  constructor(parts: BatchParts) {
    this.#parts = parts
  }

  /** Before anything runs: the server before this one may have ended while batches ran. */
  recover(): void {
    const { catalog, logger } = this.#parts.context
    const failed = failRunningBatches(catalog, 'the server ended while it ran')
    if (failed > 0) logger.warn('batches were under way when the server ended', { batches: failed })
  }

  /** Called by a timer: begins what is due, and notes what a batch that overruns has missed. Never waits. */
  tick(): void {
    const { context } = this.#parts
    if (context.closing() || context.log.state().cut.commit === 0) return
    const pointers = serving(context.catalog)
    for (const [view, run] of Object.entries(runs(context.catalog))) {
      const version = pointers[view]
      if (run.kind !== 'lambda' || version === undefined) continue
      try {
        this.#look(view, version, run)
      } catch (error) {
        // Somebody else runs one, or the catalog cannot be written: it is looked at again.
        const reason = error instanceof Error ? error.message : String(error)
        context.logger.warn('a batch could not be begun', { view, reason })
      }
    }
    const nowMs = context.clock.monotonicMs()
    if (nowMs < this.#alarmsAtMs) return
    this.#alarmsAtMs = nowMs + ALARMS_MS
    try {
      this.#tellAlarms()
    } catch (error) {
      context.logger.warn('alarms could not be told', { reason: String(error) })
    }
  }

  #look(view: string, version: string, run: LambdaDef): void {
    const { catalog, clock } = this.#parts.context
    const running = this.#running.get(view)
    if (running !== undefined) this.#noteMissed(view, version, run, running.state)
    else if (
      newestBatch(catalog, view, ['running']) === undefined &&
      this.dueMs(view, version, run) <= clock.nowMs()
    )
      this.#begin(view, version)
  }

  list(view: string, limit: number): readonly BatchInfo[] {
    this.#known(view)
    return batches(this.#parts.context.catalog, limit, view).map(batchInfo)
  }

  async run(
    view: string,
    { wait, signal }: { readonly wait: boolean; readonly signal?: AbortSignal },
  ): Promise<BatchInfo> {
    const { context } = this.#parts
    const version = this.#known(view)
    if (runOf(context.catalog, view).kind !== 'lambda') {
      throw new RefoldError('BATCH_NOT_LAMBDA', `view "${view}" does not run as lambda`)
    }
    const { id, done } = this.#begin(view, version)
    if (wait) await Promise.race([done, aborted(signal)])
    const row = readBatch(context.catalog, id)
    if (row === undefined) throw new Error(`batch ${id} vanished`)
    return batchInfo(row)
  }

  /**
   * A batch of a view that does not run as lambda yet, for the deploy that moves it there: `hold` compares it, and where
   * it throws, nothing is published. Rejects with why nothing was.
   */
  async first(view: string, hold: CompareBatch, signal: AbortSignal): Promise<void> {
    const before = this.#running.get(view)
    if (before !== undefined) await before.done
    let failure: unknown
    const { done } = this.#begin(view, this.#known(view), {
      signal,
      compare: async (context, request) => {
        await hold(context, request)
        return await this.#parts.compare(context, request)
      },
      failed: (error) => {
        failure = error
      },
    })
    await done
    if (failure !== undefined) throw failure
    signal.throwIfAborted()
  }

  running(): readonly RunningBatch[] {
    return [...this.#running.values()].map(({ state }) => state)
  }

  /** When the next batch of a view begins by itself, in ms since 1970. */
  dueMs(view: string, version: string, run: LambdaDef): number {
    const { context } = this.#parts
    const { catalog } = context
    const plan = run.schedule.kind === 'events' ? readVersion(catalog, view, version)?.plan : undefined
    const published = newestBatch(catalog, view, ['published'], version)
    return batchDueMs({
      schedule: run.schedule,
      sinceMs: runningSince(catalog, view),
      last: lastBatch(this.#parts, view, version, published),
      eventsSince: plan === undefined ? 0 : eventsSince(context, plan.streams, published),
    })
  }

  /** What is wrong with the batches of views that answer. */
  alarms(): readonly BatchAlarm[] {
    const { context } = this.#parts
    const pointers = serving(context.catalog)
    return Object.entries(runs(context.catalog)).flatMap(([view, run]) => {
      const version = pointers[view]
      if (run.kind !== 'lambda' || version === undefined) return []
      return layerInfo(context, view, version, run).alarms
    })
  }

  /** Resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#stop.abort(new RefoldError('SERVER_STOPPING', 'the server is stopping'))
    await Promise.allSettled([...this.#running.values()].map(({ done }) => done))
  }

  #begin(
    view: string,
    version: string,
    order?: BatchOrder,
  ): { readonly id: number; readonly done: Promise<void> } {
    const { context } = this.#parts
    const batch = beginBatch(context.catalog, view, version)
    const { id, startedMs } = batch
    const state: RunningBatch = { id, view, step: 'capturing', cut: 0, startedMs, worker: undefined }
    const done = this.#carryOut(batch, order).finally(() => this.#running.delete(view))
    this.#running.set(view, { state, done })
    return { id, done }
  }

  /** Never rejects: how it ended is in the catalog. */
  async #carryOut(batch: BatchRow, order?: BatchOrder): Promise<void> {
    const { context } = this.#parts
    const { catalog, logger, clock } = context
    const { id, view } = batch
    const begunMs = clock.monotonicMs()
    const note = (change: Partial<RunningBatch>) => {
      const running = this.#running.get(view)
      if (running?.state.id === id) running.state = { ...running.state, ...change }
    }
    try {
      // One step later, so that whoever began it knows of it first.
      await Promise.resolve()
      await runBatch(order === undefined ? this.#parts : { ...this.#parts, compare: order.compare }, batch, {
        signal: order === undefined ? this.#stop.signal : AbortSignal.any([this.#stop.signal, order.signal]),
        onStep: (step, cut) => note({ step, cut }),
        onWorker: (worker) => note({ worker }),
      })
      const ms = Math.round(clock.monotonicMs() - begunMs)
      const { cut = 0, events = 0 } = readBatch(catalog, id) ?? {}
      logger.info('batch published', { view, batch: id, cut, events, ms })
    } catch (error) {
      order?.failed(error)
      if (context.closing()) return
      const reason = error instanceof Error ? error.message : String(error)
      logger.error('batch failed', { view, batch: id, reason })
      try {
        failBatch(catalog, id, reason)
      } catch (unwritten) {
        logger.error('a failed batch could not be recorded', { view, reason: String(unwritten) })
      }
    }
  }

  #noteMissed(view: string, version: string, run: LambdaDef, { id, startedMs }: RunningBatch): void {
    const { catalog, clock, logger } = this.#parts.context
    const skipped = batchesAfter(catalog, view, id).filter(({ state }) => state === 'skipped')
    const afterMs = skipped.at(-1)?.startedMs ?? startedMs
    for (const dueMs of missedBatches(run.schedule, startedMs, afterMs, clock.nowMs())) {
      skipBatch(catalog, { view, version, dueMs, reason: `batch ${id} had not ended` })
      logger.warn('a batch was skipped: the one before has not ended', { view, running: id })
    }
  }

  #tellAlarms(): void {
    const { logger, catalog } = this.#parts.context
    const alarms = new Map(this.alarms().map((alarm) => [`${alarm.view}: ${alarm.kind}`, alarm]))
    for (const [key, { view, kind, message }] of alarms) {
      if (this.#told.has(key)) continue
      logger.error('alarm', { view, kind, message })
      recordAudit(catalog, 'alarm', { view, kind, message })
    }
    for (const key of this.#told) {
      if (alarms.has(key)) continue
      logger.info('alarm is over', { alarm: key })
      recordAudit(catalog, 'alarm is over', { alarm: key })
    }
    this.#told = new Set(alarms.keys())
  }

  #known(view: string): string {
    const pointers = serving(this.#parts.context.catalog)
    const version = pointers[view]
    if (version !== undefined) return version
    const near = nearestName(view, Object.keys(pointers))
    throw new RefoldError('VIEW_UNKNOWN', `there is no live view "${view}"`, {
      ...(near === undefined ? {} : { hint: `Did you mean "${near}"?` }),
    })
  }
}

function lastBatch(
  { context: { catalog } }: BatchParts,
  view: string,
  version: string,
  published: BatchRow | undefined,
): LastBatch | undefined {
  const last = newestBatch(catalog, view, ['running', 'published', 'failed'], version)
  if (last === undefined) return undefined
  const failed = batchesAfter(catalog, view, published?.id ?? 0).filter(
    (batch) => batch.state === 'failed' && batch.version === version,
  )
  return { startedMs: last.startedMs, endedMs: last.endedMs, failures: failed.length }
}

/** Resolves when the signal aborts. */
function aborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) resolve()
    signal?.addEventListener('abort', () => resolve(), { once: true })
  })
}
