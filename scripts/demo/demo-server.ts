/**
 * The server of the demo: the real command as a child process, and what the demo asks of it from outside. State: the
 * process, replaced after a kill.
 */

import {
  commandOf,
  descendantsOf,
  freePort,
  killRefold,
  type RefoldProcess,
  startRefold,
  stopRefold,
  untilReady,
} from '../refold-process.ts'

export interface ViewAnswer {
  readonly cut: number
  readonly lagMs: number
  readonly rows: readonly Readonly<Record<string, unknown>>[]
}

export interface SliceCounts {
  /** Generations sealed since the data folder began. */
  readonly sealed: number
  readonly compactions: number
  /** Slices that are published now. */
  readonly now: number
}

export class DemoServer {
  readonly #project: string
  readonly #data: string
  #port = 0
  #process: RefoldProcess | undefined

  constructor(project: string, data: string) {
    this.#project = project
    this.#data = data
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  output(): string {
    return this.#process?.output() ?? ''
  }

  async start(): Promise<void> {
    if (this.#port === 0) this.#port = await freePort()
    this.#process = startRefold(this.#project, this.#port, this.#data)
    await untilReady(this.#process)
  }

  async stop(): Promise<void> {
    if (this.#process !== undefined) await stopRefold(this.#process)
  }

  async kill(): Promise<void> {
    if (this.#process !== undefined) await killRefold(this.#process)
  }

  async get(pathAndQuery: string): Promise<string> {
    const response = await fetch(`${this.url}${pathAndQuery}`)
    const body = await response.text()
    if (!response.ok) throw new Error(`GET ${pathAndQuery}: ${response.status} ${body.slice(0, 400)}`)
    return body
  }

  async post(path: string, content: unknown): Promise<string> {
    const response = await fetch(`${this.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(content),
    })
    const body = await response.text()
    if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${body.slice(0, 400)}`)
    return body
  }

  /** Kills the live engine; the server keeps running and starts another. */
  killEngine(): void {
    const engine = descendantsOf(this.#process?.child.pid ?? 0).find((pid) =>
      commandOf(pid).includes('live-child'),
    )
    if (engine === undefined) throw new Error('no engine process was found below the server')
    process.kill(engine, 'SIGKILL')
  }

  async slices(): Promise<SliceCounts> {
    const [row] = await this.#sql(`SELECT
      (SELECT count(*) FROM refold.cuts WHERE what = 'seal') AS sealed,
      (SELECT count(*) FROM refold.cuts WHERE what = 'compact') AS compactions,
      (SELECT count(*) FROM refold.slices) AS now`)
    return {
      sealed: Number(row?.['sealed']),
      compactions: Number(row?.['compactions']),
      now: Number(row?.['now']),
    }
  }

  /** The cut that each view's slices reach: what came after it is folded again when an engine starts. */
  async sealedCuts(): Promise<readonly number[]> {
    const rows = await this.#sql('SELECT sealed_cut FROM refold.views')
    return rows.map((row) => Number(row['sealed_cut']))
  }

  async #sql(sql: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return (JSON.parse(await this.post('/v1/sql', { sql })) as ViewAnswer).rows
  }

  /** A view's answer for the picture; undefined while the server is away. */
  async look(pathAndQuery: string): Promise<ViewAnswer | undefined> {
    const body = await this.get(pathAndQuery).catch(() => undefined)
    return body === undefined ? undefined : (JSON.parse(body) as ViewAnswer)
  }
}
