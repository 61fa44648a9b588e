/**
 * For tests of the lake and of backups: the whole server in this process over one stream of sales, with its engines,
 * and beside it plain DuckDB over the events that were sent, which says what views must be. State: both, and what
 * was sent.
 */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ProjectDef, ViewDef } from '../../src/define/types.ts'
import type { LogEvent, PreparedEvent } from '../../src/log/types.ts'
import type { FieldType, StreamDef } from '../../src/model/schema.ts'
import { openServer, type RunningServer, type ServerOptions } from '../../src/server/open-server.ts'
import { cellsOf, Oracle, sorted } from './oracle.ts'

export interface Sale {
  readonly id: string
  readonly user: string
  readonly amount: string
  readonly at: string
}

const views = {
  per_user: `SELECT "user", count(*) AS n, sum(amount) AS total, count(DISTINCT id) AS ids FROM sales GROUP BY "user"`,
  totals: 'SELECT count(*) AS n, sum(amount) AS total, min("at") AS first FROM sales',
} as const

export function salesView(name: string, sql: string): ViewDef {
  return { name, sql, sqlPlace: { file: 'a', line: 1, column: 1 }, run: { kind: 'kappa' }, onError: 'stall' }
}

export class SalesServer {
  readonly folder = mkdtempSync(join(tmpdir(), 'refold-sales-'))
  readonly sent: Sale[] = []
  /** By cut: how many events there are up to it. */
  readonly sentAt = new Map<number, number>([[0, 0]])
  server: RunningServer | undefined

  get dataDir(): string {
    return join(this.folder, 'data')
  }

  get core(): RunningServer['core'] {
    if (this.server === undefined) throw new Error('the server is open')
    return this.server.core
  }

  project(change: Partial<ProjectDef> = {}, stream: Partial<StreamDef> = {}): ProjectDef {
    const field = (name: string, type: FieldType) => ({ name, type, optional: false, nullable: false })
    const fields = [
      field('id', { kind: 'string' }),
      field('user', { kind: 'string' }),
      field('amount', { kind: 'decimal', precision: 18, scale: 2 }),
      field('at', { kind: 'timestamp' }),
    ]
    const sales: StreamDef = {
      ...{ name: 'sales', schema: { kind: 'object', fields }, id: 'id', key: 'user', time: 'at' },
      ...{ partitions: 2, dedupe: { timeMs: 3_600_000, count: 1_000_000 }, latenessMs: 0 },
      ...stream,
    }
    return {
      ...{ name: 'shop', root: this.folder, file: join(this.folder, 'refold.config.ts') },
      dataDir: this.dataDir,
      streams: [sales],
      views: Object.entries(views).map(([name, sql]) => salesView(name, sql)),
      checks: [],
      server: { host: '127.0.0.1', port: 0 },
      engine: { memoryBytes: 512 << 20, threads: 2, statementTimeoutMs: 30_000, heavyStatements: 2 },
      seal: { rows: 1e9, bytes: 1e12, ageMs: 1e9 },
      limits: {
        ...{ eventBytes: 1 << 20, requestBytes: 1 << 25, expandedBytes: 1 << 28, depth: 64 },
        ...{ requestEvents: 100_000, queueBytes: 64 << 20 },
      },
      ...change,
    }
  }

  async open(project: ProjectDef = this.project(), options: ServerOptions = {}): Promise<void> {
    this.server = await openServer(project, { http: false, ...options })
  }

  async close(): Promise<void> {
    await this.server?.close()
    this.server = undefined
  }

  async dispose(): Promise<void> {
    await this.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** Sends new sales in one request; answers its cut. */
  async send(count: number): Promise<number> {
    const sales = Array.from({ length: count }, (_, index): Sale => {
      const n = this.sent.length + index
      const at = new Date(Date.UTC(2024, 0, 1) + n * 1000).toISOString()
      return { id: `s${n}`, user: `u${n % 13}`, amount: ((n * 37) % 1000).toFixed(2), at }
    })
    const { cut, accepted } = await this.resend(sales)
    assert.equal(accepted, count)
    this.sent.push(...sales)
    this.sentAt.set(cut, this.sent.length)
    return cut
  }

  async resend(sales: readonly Sale[]): Promise<{ cut: number; accepted: number; duplicates: number }> {
    const events = sales.map((sale, index): PreparedEvent => {
      const timeUs = Date.parse(sale.at) * 1000
      return {
        ...{ stream: 'sales', partition: index % 2, json: JSON.stringify(sale) },
        ...{ timeUs, id: sale.id, index },
      }
    })
    return await this.core.append({ stream: 'sales', events, deadLetters: [], bytes: 100 * sales.length })
  }

  async logged(request: Partial<Parameters<RunningServer['core']['events']>[0]> = {}): Promise<LogEvent[]> {
    const events: LogEvent[] = []
    for await (const event of this.core.events({ stream: 'sales', follow: false, ...request }))
      events.push(event)
    return events
  }

  async status<T>(): Promise<T> {
    return (await this.core.status()) as T
  }

  /** Both views at the cut, or the newest, against plain DuckDB over the events up to there. */
  async check(after?: number): Promise<void> {
    for (const view of ['per_user', 'totals'] as const) {
      const answer = await this.core.readView(
        { view, where: {}, order: [], limit: 1000 },
        after === undefined ? {} : { after },
      )
      const rows = JSON.parse(answer.json) as Record<string, unknown>[]
      const cells = sorted(rows.map((row) => cellsOf(row, answer.columns)))
      assert.deepEqual(cells, await expectedRows(view, this.sent.slice(0, this.sentAt.get(answer.cut))), view)
    }
  }
}

/** What a view is over these events, by its own SQL in plain DuckDB. */
export async function expectedRows(view: keyof typeof views, sales: readonly Sale[]) {
  const oracle = await Oracle.create(
    'sales',
    'id VARCHAR, "user" VARCHAR, amount DECIMAL(18,2), "at" TIMESTAMP',
  )
  try {
    await oracle.insert(sales.map(({ user, at, ...sale }) => ({ ...sale, '"user"': user, '"at"': at })))
    return sorted(await oracle.rows(views[view]))
  } finally {
    oracle.close()
  }
}

/** Waits for a state that background work reaches by itself. */
export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(10)
}
