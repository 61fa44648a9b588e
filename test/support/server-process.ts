/**
 * The real server as a child process, in a project folder of its own, for tests that kill it. State: the process of
 * the moment; the folder outlives it.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

export class ServerProcess {
  readonly folder: string
  readonly url: string
  #child: ChildProcess | undefined
  #errors = ''

  private constructor(folder: string, url: string) {
    this.folder = folder
    this.url = url
  }

  /** `config` is the project file's text, in which PORT stands for the port; `files` are written beside it. */
  static async create(config: string, files: Readonly<Record<string, string>> = {}): Promise<ServerProcess> {
    const folder = await mkdtemp(join(tmpdir(), 'refold-server-'))
    const port = await freePort()
    await writeFile(join(folder, 'refold.config.ts'), config.replaceAll('PORT', String(port)))
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true })
      await writeFile(join(folder, name), text)
    }
    return new ServerProcess(folder, `http://127.0.0.1:${port}`)
  }

  /** Starts the server, by another Node than this one if need be, and waits until it answers a real query. */
  async start(node = process.execPath): Promise<void> {
    this.#errors = ''
    const child = spawn(node, [MAIN, 'start'], {
      cwd: this.folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#errors = (this.#errors + chunk.toString()).slice(-20_000)
    })
    this.#child = child
    while (!(await this.ready())) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`the server ended at its start:\n${this.#errors}`)
      await sleep(20)
    }
  }

  async ready(): Promise<boolean> {
    try {
      const answer = await fetch(`${this.url}/readyz`)
      await answer.arrayBuffer()
      return answer.status === 200
    } catch {
      return false
    }
  }

  /** What the server wrote to stderr lately, for a failure's report. */
  get errors(): string {
    return this.#errors
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    await ended
  }

  async post(stream: string, lines: readonly string[]): Promise<{ status: number; body: PostAnswer }> {
    const answer = await fetch(`${this.url}/v1/streams/${stream}/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: lines.join('\n'),
    })
    return { status: answer.status, body: (await answer.json()) as PostAnswer }
  }

  async get<T>(path: string): Promise<T> {
    const answer = await fetch(this.url + path)
    const text = await answer.text()
    if (answer.status !== 200) throw new Error(`GET ${path}: ${answer.status} ${text}`)
    return JSON.parse(text) as T
  }

  /** Every line of an NDJSON answer, parsed. */
  async lines<T>(path: string): Promise<T[]> {
    const answer = await fetch(this.url + path)
    const text = await answer.text()
    if (answer.status !== 200) throw new Error(`GET ${path}: ${answer.status} ${text}`)
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as T)
  }

  async dispose(): Promise<void> {
    await this.kill()
    // Engines notice a moment later that their server is gone.
    await rm(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
  }
}

export interface PostAnswer {
  readonly accepted: number
  readonly duplicates: number
  readonly rejected: readonly { readonly index: number; readonly code: string }[]
  readonly cut: number
}

export interface ViewAnswer {
  readonly cut: number
  readonly rows: readonly Record<string, unknown>[]
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}
