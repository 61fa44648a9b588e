/**
 * The server's side of the past engine. State: the process, from the first request on, and the requests that wait for
 * an answer. When nothing was asked for a while the process is ended and gives its memory back; when it ends by
 * itself, the requests that wait fail with ENGINE_UNAVAILABLE (they may be sent again) and the next one starts another.
 */

import { type ChildProcess, fork } from 'node:child_process'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fromErrorBody, RefoldError } from '../model/errors.ts'
import { unreachable } from '../std/assert.ts'
import { type Clock, systemClock } from '../std/clock.ts'
import type { PastEngine } from './past.ts'
import type { FromPast, PastCalls, PastMethod, PastSettings, ToPast } from './past-protocol.ts'

const IDLE_MS = 5 * 60_000
const STOP_GRACE_MS = 2_000

export interface PastEngineOptions extends PastSettings {
  /** How long a process without requests is kept. */
  readonly idleMs?: number
  readonly clock?: Clock
  /** Told the process id of each process that is started. */
  readonly onStart?: (pid: number) => void
}

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** No process is started before the first request. */
export function createPastEngine(options: PastEngineOptions): PastEngine {
  const { idleMs = IDLE_MS, clock = systemClock } = options
  let running: PastProcess | undefined
  let cancelIdle = () => {}

  async function call<M extends PastMethod>(
    method: M,
    args: PastCalls[M]['args'],
    signal?: AbortSignal,
  ): Promise<PastCalls[M]['result']> {
    cancelIdle()
    if (running === undefined || running.ended) running = new PastProcess(options)
    const used = running
    try {
      return await used.call(method, args, signal)
    } finally {
      if (used === running && used.waits === 0) {
        cancelIdle()
        cancelIdle = clock.after(idleMs, () => void used.stop())
      }
    }
  }

  return {
    query: (request, signal) => call('query', request, signal),
    read: (request, signal) => call('read', request, signal),
    sql: (request, signal) => call('sql', request, signal),
    async stop() {
      cancelIdle()
      await running?.stop()
    },
  }
}

class PastProcess {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, Waiting>()
  readonly #gone: Promise<void>
  #nextId = 1
  ended = false

  constructor(options: PastEngineOptions) {
    const entry = new URL(`./past-child${extname(import.meta.url)}`, import.meta.url)
    const child = fork(fileURLToPath(entry), [], {
      // Dates in logic mean the same on every machine.
      env: { ...process.env, TZ: 'UTC' },
      serialization: 'advanced',
      execArgv: ['--disable-warning=ExperimentalWarning'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    this.#child = child
    child.on('spawn', () => {
      if (child.pid !== undefined) options.onStart?.(child.pid)
    })
    child.on('message', (message) => this.#receive(message as FromPast))
    this.#gone = new Promise((resolve) => {
      const end = (reason: string) => {
        this.#end(reason)
        resolve()
      }
      child.on('error', (error) => end(error.message))
      child.on('exit', (code, signal) => end(signal === null ? `exit code ${code}` : `signal ${signal}`))
    })
    const { memoryBytes, threads, scratchDir, code } = options
    const place = code === undefined ? {} : { code }
    this.#send({ kind: 'settings', settings: { memoryBytes, threads, scratchDir, ...place } })
  }

  get waits(): number {
    return this.#waiting.size
  }

  call<M extends PastMethod>(
    method: M,
    args: PastCalls[M]['args'],
    signal?: AbortSignal,
  ): Promise<PastCalls[M]['result']> {
    const id = this.#nextId++
    return new Promise<PastCalls[M]['result']>((resolve, reject) => {
      const cancel = () => this.#send({ kind: 'cancel', id })
      const settle = () => signal?.removeEventListener('abort', cancel)
      this.#waiting.set(id, {
        resolve(value) {
          settle()
          resolve(value as PastCalls[M]['result'])
        },
        reject(error) {
          settle()
          reject(error)
        },
      })
      this.#send({ kind: 'call', id, method, args })
      if (signal?.aborted) cancel()
      else signal?.addEventListener('abort', cancel, { once: true })
    })
  }

  async stop(): Promise<void> {
    if (this.ended) return
    this.#send({ kind: 'stop' })
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_GRACE_MS)
    await this.#gone
    clearTimeout(timer)
  }

  /** A channel that closed under us is reported by the exit event; a failed send needs no second report. */
  #send(message: ToPast): void {
    if (!this.ended && this.#child.connected) this.#child.send(message, () => {})
  }

  #receive(message: FromPast): void {
    const waiting = this.#waiting.get(message.id)
    this.#waiting.delete(message.id)
    switch (message.kind) {
      case 'answer':
        waiting?.resolve(message.value)
        return
      case 'failure':
        waiting?.reject(fromErrorBody(message.error))
        return
      default:
        unreachable(message)
    }
  }

  #end(reason: string): void {
    if (this.ended) return
    this.ended = true
    const error = new RefoldError(
      'ENGINE_UNAVAILABLE',
      `the past engine ended (${reason}) before it answered`,
    )
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#waiting.clear()
  }
}
