/**
 * For the laws under deploys: the whole server as a process that can be killed at any moment and at named crash points,
 * and its HTTP surface. State: the process of the moment, and the crash points that were ever passed or died at.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { ProjectDef } from '../../src/define/types.ts'
import type { Command, CrashingSpec } from './crashing-server.ts'

const MAIN = fileURLToPath(new URL('./crashing-server.ts', import.meta.url))

/** The process that was asked ended before it answered. */
export class ServerGone extends Error {}

/** An answer that is no success. */
export class Refused extends Error {
  readonly status: number
  readonly code: string

  constructor(what: string, status: number, text: string) {
    super(`${what}: ${status} ${text}`)
    this.status = status
    this.code = (JSON.parse(text) as { error?: { code?: string } }).error?.code ?? ''
  }
}

export class LawServer {
  readonly folder = mkdtempSync(join(tmpdir(), 'refold-laws-'))
  readonly passed = new Set<string>()
  readonly diedAt = new Set<string>()
  /** Counts the processes. */
  epoch = 0
  #process: { readonly child: ChildProcess; readonly url: string; readonly ended: Promise<void> } | undefined
  #talk = ''

  get alive(): boolean {
    return this.#process !== undefined
  }

  get dataDir(): string {
    return join(this.folder, 'data')
  }

  /** What the process said lately. */
  get talk(): string {
    return this.#talk
  }

  /** Starts until a process stays up; one may be killed at a crash point of its start. */
  async start(
    project: ProjectDef,
    options: CrashingSpec['options'] = {},
    armed: readonly string[] = [],
  ): Promise<void> {
    const path = join(this.folder, 'spec.json')
    writeFileSync(path, JSON.stringify({ project, options, armed } satisfies CrashingSpec))
    const child = spawn(process.execPath, [MAIN, path], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    child.stdout?.on('data', (chunk: Buffer) => this.#note(chunk.toString()))
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#talk = (this.#talk + chunk.toString()).slice(-30_000)
    })
    // When all that it said was read.
    const ended = new Promise<void>((resolve) => {
      child.once('close', () => {
        if (this.#process?.child === child) this.#process = undefined
        resolve()
      })
    })
    const said = new Promise<string>((resolve) => {
      child.on('message', (message: { url?: string }) => {
        if (typeof message === 'object' && message.url !== undefined) resolve(message.url)
      })
    })
    const url = await Promise.race([said, ended.then(() => undefined)])
    if (url === undefined) throw new ServerGone(`the server ended at its start:\n${this.#talk}`)
    this.#process = { child, url, ended }
    this.epoch++
  }

  async kill(signal: 'SIGKILL' | 'close' = 'SIGKILL'): Promise<void> {
    if (signal === 'close') this.#tell({ close: true })
    else this.#process?.child.kill('SIGKILL')
    await this.#process?.ended
  }

  arm(points: readonly string[]): void {
    this.#tell({ arm: points })
  }

  /** Seals every tail and moves the log to the lake. */
  async flush(): Promise<void> {
    const child = this.#process?.child
    const flushed = new Promise<void>((resolve) => {
      const hear = (message: unknown) => {
        if (message !== 'flushed') return
        child?.off('message', hear)
        resolve()
      }
      child?.on('message', hear)
    })
    this.#tell({ flush: true })
    await this.orGone(flushed)
  }

  async get<T>(path: string): Promise<T> {
    return JSON.parse(await this.text(path)) as T
  }

  async post<T>(path: string, body: unknown, type = 'application/json'): Promise<T> {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const headers = { 'content-type': type }
    return JSON.parse(await this.text(path, { method: 'POST', headers, body: text })) as T
  }

  /** Throws Refused, or ServerGone where the process ended. */
  async text(path: string, init: RequestInit = {}): Promise<string> {
    const { url, ended } = this.#now()
    let status: number
    let text: string
    try {
      const answer = await fetch(url + path, init)
      status = answer.status
      text = await answer.text()
    } catch (error) {
      throw await reasonOf(error, ended)
    }
    if (status >= 300) throw new Refused(`${init.method ?? 'GET'} ${path}`, status, text)
    return text
  }

  /** The lines of an answer as they come, until the signal aborts. */
  async *lines<T>(path: string, signal: AbortSignal): AsyncGenerator<T> {
    const { url, ended } = this.#now()
    let rest = ''
    try {
      const answer = await fetch(url + path, { signal })
      if (answer.status >= 300) throw new Refused(path, answer.status, await answer.text())
      const decoder = new TextDecoder()
      for await (const chunk of answer.body ?? []) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) if (line.trim() !== '') yield JSON.parse(line) as T
      }
    } catch (error) {
      if (signal.aborted) return
      throw error instanceof Refused ? error : await reasonOf(error, ended)
    }
  }

  /** The promise, or ServerGone when the process ends before. */
  async orGone<T>(work: Promise<T>): Promise<T> {
    const gone = this.#now().ended.then(() => {
      throw new ServerGone('the process ended')
    })
    return await Promise.race([work, gone])
  }

  async dispose(): Promise<void> {
    await this.kill()
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }

  #tell(command: Command): void {
    const child = this.#process?.child
    if (child?.connected === true) child.send(command, () => {})
  }

  #now(): { readonly url: string; readonly ended: Promise<void> } {
    if (this.#process === undefined) throw new ServerGone('no process runs')
    return this.#process
  }

  #note(text: string): void {
    for (const line of text.split('\n')) {
      const point = line.replace('killed ', '').trim()
      if (point === '') continue
      this.passed.add(point)
      if (line.startsWith('killed ')) this.diedAt.add(point)
    }
  }
}

/** A connection that broke says that the process is about to be gone; one that is not broke without a reason. */
async function reasonOf(error: unknown, ended: Promise<void>): Promise<unknown> {
  const isGone = await Promise.race([ended.then(() => true), sleep(5_000, false, { ref: false })])
  return isGone ? new ServerGone('the process ended') : error
}
