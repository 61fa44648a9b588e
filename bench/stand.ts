/**
 * A stand: one project in a fresh folder, the real server that runs it, and the account of everything that
 * generators sent to it, so that its views can be compared with plain DuckDB at the end. State: the server process
 * (replaced after a kill), the accounts, and the next free event id.
 */

import { type ChildProcess, fork } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { type Agreement, compareView } from '../scripts/agreement.ts'
import {
  freePort,
  killRefold,
  type RefoldProcess,
  startRefold,
  stopRefold,
  type Usage,
  untilReady,
  usageOf,
} from '../scripts/refold-process.ts'
import { root } from '../scripts/steps.ts'
import { readWholeView } from '../scripts/view-rows.ts'
import type { GeneratorReport, Order, Reply, SentAccount, Target } from './generator-protocol.ts'
import { requestBody, stampIds, templateCount, userNumber, type Workload } from './workload.ts'

export interface StandOptions {
  readonly name: string
  readonly views: Readonly<Record<string, string>>
  /** View → its `run`, as it is written in the project's file; left out: kappa. */
  readonly runs?: Readonly<Record<string, string>>
  /** Ids that the dedupe window holds. */
  readonly dedupeCount: number
  /** When the tail is sealed; the default when left out. */
  readonly seal?: { readonly rows?: number; readonly bytes?: string; readonly age?: string }
}

/** The view that throughput, latency and lookups are measured on. */
export const userStats = `SELECT user_id, count(*) AS total_events, sum(revenue) AS total_revenue
FROM events GROUP BY user_id`

type OrderWithoutTarget = {
  [K in Order['kind']]: Omit<Extract<Order, { kind: K }>, 'target' | 'firstId'>
}[Order['kind']]

export class Stand {
  readonly folder: string
  #options: StandOptions
  readonly #accounts: SentAccount[] = []
  readonly #generators = new Set<ChildProcess>()
  #server: RefoldProcess
  #nextId = 1

  static async open(options: StandOptions): Promise<Stand> {
    const folder = path.join(root, '.refold', 'bench', `${options.name}-${process.pid}`)
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    const port = await freePort()
    writeFileSync(path.join(folder, 'refold.config.ts'), projectFile(options, port))
    const stand = new Stand(folder, options, startRefold(folder, port))
    await untilReady(stand.#server)
    return stand
  }

  private constructor(folder: string, options: StandOptions, server: RefoldProcess) {
    this.folder = folder
    this.#options = options
    this.#server = server
  }

  get server(): RefoldProcess {
    return this.#server
  }

  get target(): Target {
    return { port: this.#server.port, stream: 'events', view: Object.keys(this.#options.views)[0] ?? '' }
  }

  get lastCut(): number {
    return Math.max(0, ...this.#accounts.map((account) => account.lastCut))
  }

  /** How many acknowledged events one user has. */
  eventsOf(user: number): number {
    let events = 0
    for (const { workload, acknowledged } of this.#accounts) {
      for (let index = 0; index < workload.poolEvents; index += 1) {
        if (userNumber(workload, index) !== user) continue
        events += acknowledged[Math.floor(index / workload.eventsPerRequest)] ?? 0
      }
    }
    return events
  }

  /** Writes the project's file with other views; the server learns of it by a deploy. */
  setViews(views: StandOptions['views']): void {
    this.#options = { ...this.#options, views }
    writeFileSync(path.join(this.folder, 'refold.config.ts'), projectFile(this.#options, this.#server.port))
  }

  usage(): Usage {
    return usageOf(this.#server.child.pid ?? 0)
  }

  /** Has a generator process carry out an order. Ids of different orders never meet. */
  async order(order: OrderWithoutTarget, view = this.target.view): Promise<GeneratorReport> {
    const firstId = this.#nextId
    this.#nextId += 1_000_000_000
    const report = await this.#generate({ ...order, target: { ...this.target, view }, firstId } as Order)
    if (report.account !== undefined) this.#accounts.push(report.account)
    return report
  }

  /** Fills the dedupe window (and the views) before anything is measured. */
  async fill(workload: Workload, events: number): Promise<void> {
    await this.order({
      kind: 'flood',
      workload,
      connections: 16,
      lagEvents: 400_000,
      warmupEvents: 0,
      events,
    })
  }

  kill(): Promise<void> {
    return killRefold(this.#server)
  }

  /** Starts the server again after a kill; does not wait. */
  restart(): void {
    this.#server = startRefold(this.folder, this.#server.port)
  }

  async get(pathAndQuery: string): Promise<string> {
    const response = await fetch(`${this.#server.url}${pathAndQuery}`)
    const body = await response.text()
    if (!response.ok) throw new Error(`GET ${pathAndQuery}: ${response.status} ${body.slice(0, 300)}`)
    return body
  }

  async sql(sql: string): Promise<string> {
    const response = await fetch(`${this.#server.url}/v1/sql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ sql, timeout: 120_000 }),
    })
    return response.text()
  }

  /** Throws unless every view shows exactly what plain DuckDB makes of the events that were acknowledged. */
  async mustAgree(): Promise<void> {
    const instance = await DuckDBInstance.create(':memory:')
    const connection = await instance.connect()
    await connection.run(`CREATE TABLE sent (event_id VARCHAR, user_id VARCHAR, session_id VARCHAR, page VARCHAR,
      revenue DECIMAL(18,2), ts TIMESTAMP)`)
    for (const account of this.#accounts) await connection.run(this.#sentEvents(account))
    await connection.run('CREATE VIEW events AS FROM sent')
    for (const [name, sql] of Object.entries(this.#options.views)) {
      const answers = await readWholeView(this.#server.url, name, this.lastCut)
      const agreement = await compareView(
        connection,
        { name, sql },
        answers,
        path.join(this.folder, 'answer.json'),
      )
      if (!agreement.exact) throw new Error(describe(agreement))
    }
    connection.closeSync()
    instance.closeSync()
  }

  async close(): Promise<void> {
    for (const generator of this.#generators) generator.kill()
    await stopRefold(this.#server)
    rmSync(this.folder, { recursive: true, force: true })
  }

  #generate(order: Order): Promise<GeneratorReport> {
    const child = fork(path.join(root, 'bench/load-generator.ts'), { execArgv: [] })
    this.#generators.add(child)
    return new Promise((resolve, reject) => {
      child.once('message', (reply: Reply) => {
        if (reply.kind === 'report') resolve(reply.report)
        else reject(new Error(`generator: ${reply.message}\nserver: ${this.#server.output()}`))
      })
      child.once('exit', (code) => {
        this.#generators.delete(child)
        reject(new Error(`the generator ended with ${code}`))
      })
      child.send(order)
    })
  }

  /** Each event of the pool as often as its body was acknowledged. */
  #sentEvents(account: SentAccount): string {
    const { workload } = account
    const file = path.join(this.folder, 'sent.ndjson')
    const parts = Array.from({ length: templateCount(workload) }, (_, template) => {
      const body = requestBody(workload, template)
      stampIds(body, workload.eventsPerRequest, template * workload.eventsPerRequest)
      return body
    })
    writeFileSync(file, Buffer.concat(parts))
    const counts = path.join(this.folder, 'counts.json')
    writeFileSync(counts, JSON.stringify(account.acknowledged.map((n, template) => ({ template, n }))))
    return `INSERT INTO sent SELECT e.* EXCLUDE (n) FROM (
      SELECT pool.*, counts.n FROM read_json('${file}', format = 'newline_delimited',
        columns = {event_id: 'VARCHAR', user_id: 'VARCHAR', session_id: 'VARCHAR', page: 'VARCHAR',
          revenue: 'DECIMAL(18,2)', ts: 'TIMESTAMP'}) pool
      JOIN read_json('${counts}', columns = {template: 'BIGINT', n: 'BIGINT'}) counts
        ON counts.template = pool.event_id::BIGINT // ${workload.eventsPerRequest}
    ) e, LATERAL unnest(range(e.n))`
  }
}

function describe(agreement: Agreement): string {
  return `view "${agreement.view}" differs: ${agreement.surplus} rows too many, ${agreement.missing} missing of ${agreement.rows}\n${agreement.examples.join('\n')}`
}

function projectFile(options: StandOptions, port: number): string {
  const views = Object.entries(options.views).map(([name, sql]) => {
    const run = options.runs?.[name]
    return `view('${name}', { sql: \`${sql}\`${run === undefined ? '' : `, run: ${run}`} })`
  })
  return `import { decimal, lambda, project, stream, view } from 'refold'
import { z } from 'zod'

const events = stream('events', {
  schema: z.object({
    event_id: z.string(), user_id: z.string(), session_id: z.string(), page: z.string(),
    revenue: decimal(18, 2), ts: z.iso.datetime(),
  }),
  id: 'event_id', key: 'user_id', time: 'ts', partitions: 4,
  dedupe: { window: '24h', count: ${options.dedupeCount} },
})

export default project({
  streams: [events],
  views: [${views.join(',\n    ')}],
  server: { port: ${port} },
  ${options.seal === undefined ? '' : `seal: ${JSON.stringify(options.seal)},`}
})
`
}
