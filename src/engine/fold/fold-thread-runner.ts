/**
 * The other side of a fold's thread: starts it, sends calls, and ends it when a function takes longer than its limit or
 * more memory than its own. State: the thread, and the calls that wait for an answer. After a death the next call
 * starts another thread, which knows nothing of what the one before it held.
 *
 * Time is what the thread itself used of a processor, so a busy machine, or a process that was stopped for a while, is
 * no fault of the function.
 */

import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { RefoldError } from '../../model/errors.ts'
import { must } from '../../std/assert.ts'
import { PROGRESS_BYTES, progressReader, type Watched } from './fold-progress.ts'
import type { FoldCalls, FoldMethod, FoldThreadData, FromFold, ToFold } from './fold-protocol.ts'

/** Why a thread ended, and what it was doing. */
export class FoldThreadDied extends Error {
  override readonly name = 'FoldThreadDied'
  readonly reason: 'time' | 'memory' | 'crash'
  readonly at: Watched

  constructor(reason: FoldThreadDied['reason'], at: Watched, message: string) {
    super(message)
    this.reason = reason
    this.at = at
  }
}

export interface FoldThreadStart extends Omit<FoldThreadData, 'progress'> {
  readonly view: string
  readonly stepMs: number
}

interface Waiting {
  resolve(result: unknown): void
  reject(error: Error): void
}

/** Loading compiles the project's files and what they import. */
const LOAD_MS = 30_000
const LOOK_MS_MIN = 5
/** A function that waits takes no processor time, and is ended all the same. */
const WALL_FACTOR = 20
const WALL_MS_MIN = 2_000
const MIB = 1 << 20
/** Beside the fold's own memory: Refold's modules and the batch. */
const OWN_MIB = 96
const YOUNG_MIB = 96

export class FoldThread {
  readonly #start: FoldThreadStart
  #thread: Worker | undefined
  #ready: Promise<void> | undefined
  readonly #waiting = new Map<number, Waiting>()
  #nextId = 1
  #watched: (() => Watched) | undefined
  #timer: NodeJS.Timeout | undefined
  #before: { readonly calls: number; readonly sinceMs: number; cpu: NodeJS.CpuUsage | undefined } | undefined

  constructor(start: FoldThreadStart) {
    this.#start = start
  }

  /** Rejects with FoldThreadDied when the thread ends over it, with a RefoldError when the code cannot be used. */
  async call<M extends FoldMethod>(method: M, args: FoldCalls[M]['args']): Promise<FoldCalls[M]['result']> {
    await this.#opened()
    const thread = must(this.#thread, 'the thread runs')
    const id = this.#nextId++
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#waiting.set(id, { resolve, reject })
    // A process goes on for what it waits for, and not for a thread that is idle.
    thread.ref()
    const message: ToFold = { id, method, args }
    thread.postMessage(message)
    return (await promise) as FoldCalls[M]['result']
  }

  async stop(): Promise<void> {
    const thread = this.#thread
    this.#forget()
    await thread?.terminate()
  }

  #opened(): Promise<void> {
    this.#ready ??= this.#open()
    return this.#ready
  }

  async #open(): Promise<void> {
    // The thread's own copy of the environment does not decide the time zone.
    process.env['TZ'] = 'UTC'
    const { view: _view, stepMs: _stepMs, ...data } = this.#start
    const progress = new SharedArrayBuffer(PROGRESS_BYTES)
    const workerData: FoldThreadData = { ...data, progress }
    const thread = new Worker(new URL(`./fold-thread${extname(import.meta.url)}`, import.meta.url), {
      workerData,
      execArgv: ['--disable-warning=ExperimentalWarning'],
      resourceLimits: {
        maxOldGenerationSizeMb: Math.ceil(data.memoryBytes / MIB) + OWN_MIB,
        // Events live for one call: with more room for them, fewer are moved before they die.
        maxYoungGenerationSizeMb: YOUNG_MIB,
      },
    })
    this.#thread = thread
    this.#watched = progressReader(progress)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.set(0, { resolve: () => resolve(), reject })
    thread.on('message', (message: FromFold) => this.#receive(message))
    thread.on('error', (error) => {
      const memory = (error as NodeJS.ErrnoException).code === 'ERR_WORKER_OUT_OF_MEMORY'
      this.#die(thread, memory ? 'memory' : 'crash', error.message)
    })
    thread.on('exit', () => this.#die(thread, 'crash', 'its thread ended'))
    this.#timer = setInterval(() => void this.#look(thread), Math.max(LOOK_MS_MIN, this.#start.stepMs / 4))
    this.#timer.unref()
    await promise
  }

  #receive(message: FromFold): void {
    if (message.kind === 'ready') {
      this.#answer(0)?.resolve(null)
    } else if (message.kind === 'unusable') {
      const error = this.#unusable(message.message, message.stack)
      this.#answer(0)?.reject(error)
      void this.stop()
    } else if (message.kind === 'answer') this.#answer(message.id)?.resolve(message.result)
    else {
      const error = new Error(message.message)
      if (message.stack !== undefined) error.stack = message.stack
      this.#answer(message.id)?.reject(error)
    }
  }

  #answer(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (this.#waiting.size === 0) this.#thread?.unref()
    return waiting
  }

  #unusable(message: string, stack: string | undefined): RefoldError {
    const text = `the code of view "${this.#start.view}" cannot be used: ${message}`
    return new RefoldError('LOGIC_FAILED', text, stack === undefined ? {} : { details: { stack } })
  }

  /** Ends the thread when the call that it is in goes on for too long. */
  async #look(thread: Worker): Promise<void> {
    if (thread !== this.#thread || this.#watched === undefined || this.#waiting.size === 0) return
    const now = performance.now()
    const at = this.#watched()
    if (at.phase === 'idle') {
      this.#before = undefined
      return
    }
    if (this.#before?.calls !== at.calls) {
      const begun = { calls: at.calls, sinceMs: now, cpu: undefined as NodeJS.CpuUsage | undefined }
      this.#before = begun
      begun.cpu = await thread.cpuUsage().catch(() => undefined)
      return
    }
    const limitMs = at.phase === 'load' ? LOAD_MS : this.#start.stepMs
    const wallMs = now - this.#before.sinceMs
    if (wallMs < limitMs || this.#before.cpu === undefined) return
    const begun = this.#before
    const used = await thread.cpuUsage(begun.cpu).catch(() => undefined)
    if (thread !== this.#thread || this.#watched?.().calls !== begun.calls) return
    const cpuMs = used === undefined ? 0 : (used.user + used.system) / 1000
    if (cpuMs < limitMs && wallMs < Math.max(WALL_MS_MIN, limitMs * WALL_FACTOR)) return
    this.#die(thread, 'time', `it took longer than ${limitMs} ms`)
  }

  #die(thread: Worker, reason: FoldThreadDied['reason'], message: string): void {
    if (thread !== this.#thread) return
    const at = must(this.#watched, 'a thread is watched')()
    const waiting = [...this.#waiting.values()]
    this.#forget()
    void thread.terminate()
    const error =
      at.phase === 'load' || at.phase === 'init'
        ? this.#unusable(`${at.phase === 'init' ? '`init`' : 'loading it'}: ${message}`, undefined)
        : new FoldThreadDied(reason, at, message)
    for (const { reject } of waiting) reject(error)
  }

  #forget(): void {
    clearInterval(this.#timer)
    this.#thread = undefined
    this.#ready = undefined
    this.#before = undefined
    this.#waiting.clear()
  }
}
