/**
 * The server's side of the live engine: starts the child process and turns calls into messages. It holds the calls
 * that wait for an answer and nothing else; when the child ends, for whatever reason, every waiting call fails with
 * ENGINE_UNAVAILABLE and the listener of `onExit` starts another engine from the catalog.
 */

import { type ChildProcess, fork } from 'node:child_process'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ErrorBody, fromErrorBody, RefoldError } from '../model/errors.ts'
import { must, unreachable } from '../std/assert.ts'
import type { EngineProgress, LiveEngine } from './engine.ts'
import type { FromEngine, LiveCalls, LiveMethod, ToEngine } from './live-protocol.ts'
import { Outbox } from './outbox.ts'

/** libuv's pool runs DuckDB's calls: with its default of 4, people's SQL would make ticks queue. */
const UV_THREADS = 24
const STOP_GRACE_MS = 2_000

/** Starts an engine process. It does nothing until `start` is called. */
export function startLiveEngine(): LiveEngine {
  const entry = new URL(`./live-child${extname(import.meta.url)}`, import.meta.url)
  const child = fork(fileURLToPath(entry), [], {
    serialization: 'advanced',
    execArgv: ['--disable-warning=ExperimentalWarning'],
    // Dates in logic mean the same on every machine.
    env: { ...process.env, UV_THREADPOOL_SIZE: String(UV_THREADS), TZ: 'UTC' },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  return new LiveEngineClient(child)
}

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

class LiveEngineClient implements LiveEngine {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, Waiting>()
  readonly #progressListeners: ((progress: EngineProgress) => void)[] = []
  readonly #exitListeners: ((reason: string) => void)[] = []
  readonly #outbox: Outbox<ToEngine>
  #nextId = 1
  #ended: string | undefined

  constructor(child: ChildProcess) {
    this.#child = child
    // A channel that closed under us is reported by the exit event; a failed send needs no second report.
    this.#outbox = new Outbox((messages) => {
      if (child.connected) child.send([...messages], () => {})
    })
    child.on('message', (messages) => {
      for (const message of messages as readonly FromEngine[]) this.#receive(message)
    })
    child.on('error', (error) => this.#end(error.message))
    child.on('exit', (code, signal) => this.#end(signal === null ? `exit code ${code}` : `signal ${signal}`))
  }

  get pid(): number {
    return must(this.#child.pid, 'the engine process was started')
  }

  start: LiveEngine['start'] = (spec) => this.#call('start', spec)
  advance: LiveEngine['advance'] = (log) => this.#send({ kind: 'advance', log })
  setSources: LiveEngine['setSources'] = (sources) => this.#call('setSources', sources)
  seal: LiveEngine['seal'] = (views, stagingDir) => this.#call('seal', { views, stagingDir })
  published: LiveEngine['published'] = (view, version, sealed, slices, as) =>
    this.#call('published', { view, version, sealed, slices, ...(as === undefined ? {} : { as }) })
  addVersion: LiveEngine['addVersion'] = (view) => this.#call('addVersion', view)
  removeVersion: LiveEngine['removeVersion'] = (view, version) =>
    this.#call('removeVersion', { view, version })
  setServing: LiveEngine['setServing'] = (serving) => this.#call('setServing', serving)
  skip: LiveEngine['skip'] = (view, version, position) => this.#call('skip', { view, version, position })
  read: LiveEngine['read'] = (request, signal) => this.#call('read', request, signal)
  sql: LiveEngine['sql'] = (request, signal) => this.#call('sql', request, signal)
  capture: LiveEngine['capture'] = (views, stagingDir, signal) =>
    this.#call('capture', { views, stagingDir }, signal)
  delta: LiveEngine['delta'] = (view, from, to, version, repaired) =>
    this.#call('delta', {
      view,
      from,
      ...(to === undefined ? {} : { to }),
      ...(version === undefined ? {} : { version }),
      ...(repaired === undefined ? {} : { repaired }),
    })

  onProgress(listener: (progress: EngineProgress) => void): void {
    this.#progressListeners.push(listener)
  }

  onExit(listener: (reason: string) => void): void {
    if (this.#ended === undefined) this.#exitListeners.push(listener)
    else listener(this.#ended)
  }

  stop(): Promise<void> {
    if (this.#ended !== undefined) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_GRACE_MS)
      this.onExit(() => {
        clearTimeout(timer)
        resolve()
      })
      this.#send({ kind: 'stop' })
    })
  }

  #call<M extends LiveMethod>(
    method: M,
    args: LiveCalls[M]['args'],
    signal?: AbortSignal,
  ): Promise<LiveCalls[M]['result']> {
    if (this.#ended !== undefined) return Promise.reject(unavailable(this.#ended))
    const id = this.#nextId++
    return new Promise<LiveCalls[M]['result']>((resolve, reject) => {
      const cancel = () => this.#send({ kind: 'cancel', id })
      this.#waiting.set(id, {
        resolve(value) {
          signal?.removeEventListener('abort', cancel)
          resolve(value as LiveCalls[M]['result'])
        },
        reject(error) {
          signal?.removeEventListener('abort', cancel)
          reject(error)
        },
      })
      this.#send({ kind: 'call', id, method, args })
      if (signal?.aborted) cancel()
      else signal?.addEventListener('abort', cancel, { once: true })
    })
  }

  #send(message: ToEngine): void {
    if (this.#ended === undefined) this.#outbox.send(message)
  }

  #receive(message: FromEngine): void {
    switch (message.kind) {
      case 'answer':
        this.#take(message.id)?.resolve(message.value)
        return
      case 'failure':
        this.#take(message.id)?.reject(fromErrorBody(message.error as ErrorBody))
        return
      case 'progress':
        for (const listener of this.#progressListeners) listener(message.progress)
        return
      default:
        unreachable(message)
    }
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    return waiting
  }

  #end(reason: string): void {
    if (this.#ended !== undefined) return
    this.#ended = reason
    for (const waiting of this.#waiting.values()) waiting.reject(unavailable(reason))
    this.#waiting.clear()
    for (const listener of this.#exitListeners) listener(reason)
  }
}

function unavailable(reason: string): RefoldError {
  return new RefoldError('ENGINE_UNAVAILABLE', `the engine ended (${reason}) before it answered`)
}
