/**
 * Keeps a live engine running: starts it from the catalog, starts another when it ends, and hands it to callers. State:
 * the running engine and its epoch, the last progress it reported, the callers that wait, and up to which cut a
 * careful engine has to come before it is handed to them.
 *
 * Why a restart is safe: the engine is crash-only and publishes nothing. What it staged belongs to its epoch, and a
 * publication checks the epoch, so files of an engine that is gone are dropped. A start takes its spec and loads it
 * inside `exclusive`, the turn that publications also take: no slice list changes between the two.
 */

import type { EngineProgress, EngineSpec, LiveEngine, SliceInfo, ViewProgress } from '../engine/engine.ts'
import type { CommitSeq } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import type { Clock } from '../std/clock.ts'
import type { Logger } from '../std/logger.ts'

export interface SupervisorOptions {
  readonly clock: Clock
  readonly logger: Logger
  /** Starts a process that does nothing yet. */
  readonly startEngine: () => LiveEngine
  /** What the engine is to hold, as the catalog and the log have it now. */
  readonly spec: () => EngineSpec
  readonly exclusive: <T>(task: () => Promise<T>) => Promise<T>
  /** Slices that the engine found damaged; resolves once they were folded again or given up. */
  readonly onBadSlices: (slices: readonly SliceInfo[]) => void
  readonly onProgress: (progress: EngineProgress, epoch: number) => void
  /** The engine answers from here on. */
  readonly onStarted: (engine: LiveEngine) => void
  /** An engine ended that nobody had stopped; called before the next one is started. */
  readonly onDied?: (reason: string, careful: boolean) => void
  /** An engine has lived for long enough, or a careful one has caught up. */
  readonly onHealthy?: () => void
}

export interface RunningEngine {
  readonly engine: LiveEngine
  readonly epoch: number
  readonly startedMs: number
}

const BACKOFF_FIRST_MS = 50
const BACKOFF_LAST_MS = 5_000
/** An engine that ran this long was healthy: the next restart is quick again. */
const HEALTHY_MS = 20_000
/** So many in a row that lived no longer than this: engines die faster than they answer. */
const FAILING_DEATHS = 3
const FAILING_MS = 1_000
/** A careful engine that has not caught up by then answers all the same. */
const HOLD_MS = 30_000

interface Waiter {
  readonly settled: () => boolean
  readonly resolve: () => void
}

export class EngineSupervisor {
  readonly #options: SupervisorOptions
  readonly #waiters = new Set<Waiter>()
  #running: RunningEngine | undefined
  #starting: LiveEngine | undefined
  #progress: EngineProgress | undefined
  #epoch = 0
  /** Cut that the careful engine of the moment has to reach before anybody gets it. */
  #heldTo: CommitSeq | undefined
  #careful = false
  /** Where the log ended when the engine of the moment was started. */
  #startedAt: CommitSeq = 0
  /** The engine that we are stopping ourselves. */
  #stopping: LiveEngine | undefined
  #failures = 0
  /** Engines in a row that died about as soon as they answered, or before. */
  #shortLives = 0
  #restarts = 0
  #lastExit: string | undefined
  #closed = false

  constructor(options: SupervisorOptions) {
    this.#options = options
  }

  get running(): RunningEngine | undefined {
    return this.#running
  }

  get restarts(): number {
    return this.#restarts
  }

  get lastExit(): string | undefined {
    return this.#lastExit
  }

  /** Why no engine may answer soon: they die one after the other. Undefined while one answers. */
  get failing(): string | undefined {
    return this.#shortLives >= FAILING_DEATHS && this.#answering === undefined ? this.#lastExit : undefined
  }

  /** Whether the running engine has come to where the log ended when it was started. */
  get caughtUp(): boolean {
    return this.#running !== undefined && (this.#progress?.cut ?? -1) >= this.#startedAt
  }

  get #answering(): RunningEngine | undefined {
    return this.#heldTo === undefined ? this.#running : undefined
  }

  /** The last report of the running engine. */
  get progress(): EngineProgress | undefined {
    return this.#running === undefined ? undefined : this.#progress
  }

  viewProgress(view: string, version: string): ViewProgress | undefined {
    return this.progress?.views.find((entry) => entry.view === view && entry.version === version)
  }

  /** Starts the first engine; resolves once it answers. A failure is retried like any later one. */
  async start(): Promise<void> {
    await this.#start()
    if (this.#running === undefined && !this.#closed) await this.#wait(() => this.#running !== undefined)
  }

  /** Runs `call` on the engine; while there is none, or when it ends on the way, waits for the next until the deadline. */
  async use<T>(
    call: (engine: LiveEngine) => Promise<T>,
    deadlineMs: number,
    signal?: AbortSignal,
  ): Promise<T> {
    for (;;) {
      const running = this.#answering
      if (running !== undefined) {
        try {
          return await call(running.engine)
        } catch (error) {
          if (!isUnavailable(error) || this.#closed) throw error
        }
      }
      const next = () => this.#answering !== undefined && this.#answering !== running
      await this.#wait(next, deadlineMs, signal)
      if (this.#closed) throw new RefoldError('SERVER_STOPPING', 'the server is stopping')
      if (!next()) {
        throw new RefoldError('ENGINE_UNAVAILABLE', 'the engine did not answer within the time limit', {
          ...(this.#lastExit === undefined ? {} : { details: { lastExit: this.#lastExit } }),
        })
      }
    }
  }

  /** Resolves when `settled` is true (it is asked after every report and restart), or at the deadline. */
  async until(settled: () => boolean, deadlineMs?: number, signal?: AbortSignal): Promise<boolean> {
    if (settled()) return true
    await this.#wait(settled, deadlineMs, signal)
    return settled()
  }

  /** What somebody waits for in `until` may have come by another way than a report. */
  lookAgain(): void {
    this.#wake()
  }

  /** Ends the engine and starts one with the spec of now. */
  async restart(reason: string): Promise<void> {
    const running = this.#running
    if (running === undefined) return
    this.#failures = 0
    this.#options.logger.info('engine restarts', { reason })
    this.#stopping = running.engine
    await running.engine.stop()
    await this.#wait(() => this.#running !== undefined && this.#running !== running)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#wake()
    await Promise.all([this.#running?.engine.stop(), this.#starting?.stop()])
    this.#running = undefined
  }

  async #start(): Promise<void> {
    const { exclusive, logger, clock } = this.#options
    await exclusive(async () => {
      if (this.#closed) return
      const epoch = ++this.#epoch
      this.#progress = undefined
      const engine = this.#options.startEngine()
      this.#starting = engine
      let ended = false
      engine.onExit((reason) => {
        if (ended) return
        ended = true
        this.#ended(engine, reason)
      })
      engine.onProgress((progress) => {
        if (epoch === this.#epoch) this.#report(progress, epoch)
      })
      try {
        const begun = clock.monotonicMs()
        const spec = this.#options.spec()
        this.#careful = spec.careful === true
        this.#startedAt = spec.sources.log.durable
        this.#heldTo = this.#careful ? this.#startedAt : undefined
        const { badSlices } = await engine.start(spec)
        if (this.#closed || ended) return
        this.#starting = undefined
        const startedMs = clock.monotonicMs()
        this.#running = { engine, epoch, startedMs }
        this.#release()
        if (this.#heldTo !== undefined) clock.after(HOLD_MS, () => this.#release(epoch))
        logger.info('engine answers', { pid: engine.pid, epoch, ms: Math.round(clock.monotonicMs() - begun) })
        this.#options.onStarted(engine)
        if (badSlices.length > 0) this.#options.onBadSlices(badSlices)
        this.#wake()
      } catch (error) {
        if (!ended && !this.#closed) {
          logger.error('engine could not start', { reason: messageOf(error) })
          await engine.stop()
        }
      }
    })
  }

  #ended(engine: LiveEngine, reason: string): void {
    const { clock, logger } = this.#options
    const running = this.#running
    const livedMs = running?.engine === engine ? clock.monotonicMs() - running.startedMs : 0
    this.#shortLives = livedMs > FAILING_MS ? 0 : this.#shortLives + 1
    if (running?.engine === engine) {
      if (clock.monotonicMs() - running.startedMs > HEALTHY_MS) {
        this.#failures = 0
        this.#options.onHealthy?.()
      }
      this.#running = undefined
    }
    if (this.#starting === engine) this.#starting = undefined
    this.#lastExit = reason
    if (this.#closed) return
    if (this.#stopping !== engine) this.#options.onDied?.(reason, this.#careful)
    const delay =
      this.#failures === 0
        ? 0
        : Math.min(BACKOFF_LAST_MS, BACKOFF_FIRST_MS * 2 ** Math.min(20, this.#failures - 1))
    this.#failures++
    this.#restarts++
    logger.warn('engine ended', { reason, restartInMs: delay })
    clock.after(delay, () => {
      this.#start().catch((error: unknown) => logger.error('engine start', { reason: messageOf(error) }))
    })
  }

  #report(progress: EngineProgress, epoch: number): void {
    this.#progress = progress
    this.#options.onProgress(progress, epoch)
    this.#release()
    if (this.#waiters.size > 0) this.#wake()
  }

  /** Hands a careful engine to callers once it has caught up, or after a while. */
  #release(overdueEpoch?: number): void {
    if (this.#heldTo === undefined || this.#running === undefined) return
    if ((this.#progress?.cut ?? -1) < this.#heldTo && overdueEpoch !== this.#epoch) return
    this.#heldTo = undefined
    if (overdueEpoch === undefined) this.#options.onHealthy?.()
    this.#wake()
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) {
      if (!this.#closed && !waiter.settled()) continue
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
  }

  #wait(settled: () => boolean, deadlineMs?: number, signal?: AbortSignal): Promise<void> {
    if (this.#closed || settled()) return Promise.resolve()
    return new Promise((resolve) => {
      let cancelTimer = () => {}
      const waiter: Waiter = {
        settled,
        resolve: () => {
          cancelTimer()
          signal?.removeEventListener('abort', leave)
          this.#waiters.delete(waiter)
          resolve()
        },
      }
      const leave = () => waiter.resolve()
      this.#waiters.add(waiter)
      if (deadlineMs !== undefined) {
        const left = deadlineMs - this.#options.clock.monotonicMs()
        cancelTimer = this.#options.clock.after(Math.max(0, left), leave)
      }
      if (signal?.aborted) leave()
      else signal?.addEventListener('abort', leave, { once: true })
    })
  }
}

function isUnavailable(error: unknown): boolean {
  return error instanceof RefoldError && error.code === 'ENGINE_UNAVAILABLE'
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
