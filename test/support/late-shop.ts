/**
 * For tests of late events: the whole server in this process over a stream of visits that come up to days late, with
 * its engines, and beside it plain DuckDB over what was sent. Which visits are late is worked out here by hand: a running
 * maximum of event times, less the lateness, commit by commit. State: both.
 */

import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ProjectDef, ViewDef } from '../../src/define/types.ts'
import type { PreparedEvent } from '../../src/log/types.ts'
import type { FieldType, StreamDef } from '../../src/model/schema.ts'
import type { AnswerMeta } from '../../src/serve/core.ts'
import { openServer, type RunningServer, type ServerOptions } from '../../src/server/open-server.ts'
import { type Cell, cellsOf, Oracle, sorted } from './oracle.ts'

export const HOUR_MS = 3_600_000
export const LATENESS_MS = HOUR_MS

export interface Visit {
  readonly id: string
  readonly person: string
  readonly amount: string
  readonly ts: string
}

interface Sent extends Visit {
  readonly cut: number
  readonly late: boolean
}

/** One view of each kind of stage and part; what each is called, each is as hold and as correct. */
export const lateViews: Readonly<Record<string, string>> = {
  totals: 'SELECT count(*) AS n, sum(amount) AS total, min(ts) AS first FROM visits',
  active: `SELECT CAST(date_trunc('day', ts) AS DATE) AS day, count(DISTINCT person) AS people, count(*) AS n FROM visits GROUP BY 1`,
  large: 'SELECT id, person, amount FROM visits WHERE amount > 90',
}

export class LateShop {
  readonly folder = mkdtempSync(join(tmpdir(), 'refold-late-'))
  readonly sent: Sent[] = []
  #oracle: Oracle | undefined
  #server: RunningServer | undefined
  #watermarkMs = Number.NEGATIVE_INFINITY
  #data = 0

  get server(): RunningServer {
    assert.ok(this.#server !== undefined, 'the server runs')
    return this.#server
  }

  get dataDir(): string {
    return join(this.folder, `data${this.#data}`)
  }

  project(change: Partial<ProjectDef> = {}): ProjectDef {
    return {
      ...{ name: 'late', root: this.folder, file: join(this.folder, 'refold.config.ts') },
      dataDir: this.dataDir,
      streams: [visits()],
      views: Object.entries(lateViews).flatMap(([name, sql]) => [
        lateView(name, sql, {}),
        lateView(`${name}_held`, sql, { late: 'hold' }),
      ]),
      checks: [],
      server: { host: '127.0.0.1', port: 0 },
      engine: { memoryBytes: 512 << 20, threads: 2, statementTimeoutMs: 60_000, heavyStatements: 2 },
      seal: { rows: 1e9, bytes: 1e12, ageMs: 1e9 },
      limits: {
        ...{ eventBytes: 1 << 20, requestBytes: 1 << 25, expandedBytes: 1 << 28, depth: 64 },
        ...{ requestEvents: 100_000, queueBytes: 64 << 20 },
      },
      ...change,
    }
  }

  async open(project: ProjectDef = this.project(), options: ServerOptions = {}): Promise<void> {
    this.#server = await openServer(project, { http: false, ...options })
  }

  async close(): Promise<void> {
    await this.#server?.close()
    this.#server = undefined
  }

  /** Goes on with the data folder as a kill at this moment leaves it. */
  async killed(project = () => this.project()): Promise<void> {
    const left = this.dataDir
    this.#data++
    const filter = (path: string) => !/lock\.(sqlite|pid)|-shm$/.test(path)
    cpSync(left, this.dataDir, { recursive: true, filter })
    await this.close()
    await this.open(project())
  }

  async dispose(): Promise<void> {
    await this.close()
    this.#oracle?.close()
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
  }

  /** One commit; answers its cut. */
  async send(visits: readonly Visit[]): Promise<number> {
    const events = visits.map((visit, index): PreparedEvent => {
      const timeUs = Date.parse(visit.ts) * 1000
      return {
        ...{ stream: 'visits', partition: index % 2, json: JSON.stringify(visit) },
        ...{ timeUs, id: visit.id, index },
      }
    })
    const append = { stream: 'visits', events, deadLetters: [], bytes: 100 * visits.length }
    const { cut, accepted } = await this.server.core.append(append)
    assert.equal(accepted, visits.length)
    for (const { ts } of visits) this.#watermarkMs = Math.max(this.#watermarkMs, Date.parse(ts) - LATENESS_MS)
    const added = visits.map((visit) => ({ ...visit, cut, late: Date.parse(visit.ts) < this.#watermarkMs }))
    this.sent.push(...added)
    await (await this.#plain()).insert(added)
    return cut
  }

  /** T of a held view: the cut of its last batch. */
  batchCut(view: string): number {
    const batch = this.server.core.batches.list(view, 1000).find(({ state }) => state === 'published')
    return batch?.cut ?? 0
  }

  async batch(view: string): Promise<number> {
    const batch = await this.server.core.batches.run(view, { wait: true })
    assert.equal(batch.state, 'published', batch.reason ?? '')
    return batch.cut ?? 0
  }

  async read(view: string, options: Parameters<RunningServer['core']['readView']>[1] = {}) {
    const read = { view, where: {}, order: [], limit: 100_000 }
    const answer = await this.server.core.readView(read, options)
    const rows = JSON.parse(answer.json) as Record<string, unknown>[]
    return {
      cells: sorted(rows.map((row) => cellsOf(row, answer.columns))),
      cut: answer.cut,
      meta: answer as AnswerMeta,
    }
  }

  /** What a view is at a cut, by its own SQL in plain DuckDB; a held one stands on a batch. */
  async expected(view: string, cut: number, batch?: number): Promise<readonly Cell[][]> {
    const name = view.replace('_held', '')
    const late = view === name ? '' : ` AND (cut <= ${batch ?? 0} OR NOT late)`
    const sql = lateViews[name]!.replace(
      'FROM visits',
      `FROM (SELECT * FROM visits WHERE cut <= ${cut}${late}) AS visits`,
    )
    return sorted(await (await this.#plain()).rows(sql))
  }

  /** Every view at the newest cut, and every event accounted for. */
  async check(what: string): Promise<void> {
    const cut = this.sent.at(-1)?.cut ?? 0
    for (const name of Object.keys(lateViews).flatMap((view) => [view, `${view}_held`])) {
      const found = await this.read(name, { after: cut })
      const batch = this.batchCut(name)
      assert.deepEqual(found.cells, await this.expected(name, found.cut, batch), `${what}: ${name}`)
    }
    await this.checkAccount(what)
  }

  async checkAccount(what: string): Promise<void> {
    const status = (await this.server.core.status()) as {
      readonly conservation: readonly Readonly<Record<string, number | string | null>>[]
    }
    for (const { view, accepted, folded, held, skipped, pending } of status.conservation) {
      const isHeld = String(view).endsWith('_held')
      const waits = isHeld
        ? this.sent.filter(({ late, cut }) => late && cut > this.batchCut(String(view))).length
        : 0
      const account = { accepted, folded, held, skipped, pending }
      const all = this.sent.length
      assert.deepEqual(
        account,
        { accepted: all, folded: all - waits, held: waits, skipped: 0, pending: 0 },
        `${what}: ${view}`,
      )
    }
  }

  async #plain(): Promise<Oracle> {
    this.#oracle ??= await Oracle.create(
      'visits',
      'id VARCHAR, person VARCHAR, amount DECIMAL(18,2), ts TIMESTAMP, cut BIGINT, late BOOLEAN',
    )
    return this.#oracle
  }
}

export function lateView(name: string, sql: string, more: Partial<ViewDef>): ViewDef {
  return {
    ...{ name, sql, sqlPlace: { file: `${name}.sql`, line: 1, column: 1 }, onError: 'stall' },
    run: {
      kind: 'lambda',
      schedule: { kind: 'every', everyMs: 1e9 },
      ...{ incremental: false, whenSpeedFails: 'stale', maxDivergence: 0 },
    },
    ...more,
  }
}

export function visits(more: Partial<StreamDef> = {}): StreamDef {
  const field = (name: string, type: FieldType) => ({ name, type, optional: false, nullable: false })
  return {
    name: 'visits',
    schema: {
      kind: 'object',
      fields: [
        field('id', { kind: 'string' }),
        field('person', { kind: 'string' }),
        field('amount', { kind: 'decimal', precision: 18, scale: 2 }),
        field('ts', { kind: 'timestamp' }),
      ],
    },
    ...{ id: 'id', key: 'person', time: 'ts', partitions: 2, latenessMs: LATENESS_MS },
    dedupe: { timeMs: HOUR_MS, count: 1_000_000 },
    ...more,
  }
}

/** Random visits around a moment, some of them up to two days late. */
export function randomVisits(random: () => number, from: number, count: number, nowMs: number): Visit[] {
  return Array.from({ length: count }, (_, index) => {
    const late = random() < 0.3 ? random() * 48 * HOUR_MS : random() * 0.5 * HOUR_MS
    return {
      id: `v${from + index}`,
      person: `p${Math.floor(random() * 40)}`,
      amount: (Math.floor(random() * 10_000) / 100).toFixed(2),
      ts: new Date(Math.floor(nowMs - late)).toISOString(),
    }
  })
}

/** Waits for a state that background work reaches by itself. */
export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(10)
}
