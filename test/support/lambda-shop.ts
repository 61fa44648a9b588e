/**
 * For tests: the shop's server with views that run as lambda, and plain DuckDB over what was sent as the oracle. State:
 * that of the shop.
 */

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { DuckDBInstance } from '@duckdb/node-api'
import type { BatchScheduleDef, LambdaDef, ViewDef } from '../../src/define/types.ts'
import type { BatchInfo } from '../../src/serve/core-batches.ts'
import { eventually, money, type Row, ShopServer, shopView } from './shop-server.ts'

const perUser = `SELECT "user", count(*) AS n, sum(amount) AS total, count(DISTINCT amount) AS prices FROM sales GROUP BY "user"`
const large = 'SELECT id, "user", amount FROM sales WHERE amount > 5'
const whole = 'SELECT count(*) AS n, sum(amount) AS total FROM sales'

/** By view: what it is. */
export const lambdaSql: Readonly<Record<string, string>> = { per_user: perUser, large, whole }

export function lambdaRun(schedule: BatchScheduleDef, more: Partial<LambdaDef> = {}): LambdaDef {
  return {
    ...{ kind: 'lambda', schedule, incremental: false, whenSpeedFails: 'stale', maxDivergence: 0 },
    ...more,
  }
}

/** A view with groups, one of rows and one of a single row, all run as lambda. */
export function lambdaViews(schedule: BatchScheduleDef, more: Partial<LambdaDef> = {}): readonly ViewDef[] {
  const run = lambdaRun(schedule, more)
  return Object.entries(lambdaSql).map(([name, sql]) => shopView(name, sql, { run }))
}

/** Nothing is due by itself for as long as a test runs. */
export const byHand: BatchScheduleDef = { kind: 'every', everyMs: 86_400_000 }

interface RunningLayer {
  readonly running: { readonly worker: number | null } | null
}

export class LambdaShop extends ShopServer {
  /** Of the last commit. */
  get cut(): number {
    return this.sent.at(-1)?.cut ?? 0
  }

  batch(view: string): Promise<BatchInfo> {
    return this.server.core.batches.run(view, { wait: true })
  }

  /** Runs one batch and sees that it was published. */
  async published(view: string): Promise<BatchInfo> {
    const batch = await this.batch(view)
    assert.deepEqual([batch.state, batch.reason], ['published', null])
    return batch
  }

  /** Waits for the process that folds a view's batch, and gives its id; undefined when it is over. */
  async worker(view: string, batch: Promise<BatchInfo>): Promise<number | undefined> {
    let isOver = false
    void batch.finally(() => {
      isOver = true
    })
    while (!isOver) {
      const { views } = (await this.server.core.status()) as unknown as {
        readonly views: readonly { readonly name: string; readonly batch?: RunningLayer }[]
      }
      const pid = views.find(({ name }) => name === view)?.batch?.running?.worker
      if (typeof pid === 'number') return pid
      await sleep(1)
    }
    return undefined
  }

  /** Waits for a published batch that reaches a cut. */
  async batchAfter(view: string, cut: number): Promise<void> {
    await eventually(() =>
      this.server.core.batches
        .list(view, 100_000)
        .some((batch) => batch.state === 'published' && (batch.cut ?? 0) >= cut),
    )
  }

  /** Every view equals its SQL over the events up to the cut of its answer. */
  async check(views: readonly string[] = Object.keys(lambdaSql)): Promise<void> {
    const after = this.cut
    for (const view of views) {
      const answer = await this.server.core.readView(
        { view, where: {}, order: [], limit: 100_000 },
        { after },
      )
      assert.deepEqual(
        sorted(JSON.parse(answer.json) as Row[]),
        sorted(await this.expected(view, answer.cut)),
        `view ${view} at cut ${answer.cut}`,
      )
    }
  }

  /** Of every view with a batch: a slice ends at T, none lies across it, and what the batch made is as it made it. */
  async bordersAtT(): Promise<void> {
    const rows = await this.sql(
      `SELECT s.view, b.cut, count(*) FILTER (s.to_cut = b.cut) AS ends,
         count(*) FILTER (s.from_cut < b.cut AND s.to_cut > b.cut) AS across
       FROM (SELECT view, max(cut) AS cut FROM refold.batches WHERE state = 'published' GROUP BY view) AS b
       JOIN refold.slices AS s ON s.view = b.view AND s.superseded_at IS NULL GROUP BY ALL`,
    )
    assert.ok(rows.length > 0)
    for (const { view, ends, across } of rows) {
      assert.ok(Number(ends) > 0, `a slice of view ${view} ends at T`)
      assert.equal(Number(across), 0, `slices of view ${view} that lie across T`)
    }
  }

  /** Every view as of an earlier cut equals its SQL over the events up to there. */
  async checkPast(cut: number): Promise<void> {
    for (const view of Object.keys(lambdaSql)) {
      const read = { view, where: {}, order: [], limit: 100_000 }
      const { json } = await this.server.core.readView(read, { moment: { kind: 'cut', cut } })
      assert.deepEqual(
        sorted(JSON.parse(json) as Row[]),
        sorted(await this.expected(view, cut)),
        `view ${view} as of cut ${cut}`,
      )
    }
  }

  /** The view's SQL over the events that were sent up to a cut. */
  async expected(view: string, cut: number): Promise<Row[]> {
    const instance = await DuckDBInstance.create(':memory:')
    const connection = await instance.connect()
    try {
      await connection.run('CREATE TABLE sales (id VARCHAR, "user" VARCHAR, amount DECIMAL(18, 2))')
      const rows = this.sent
        .filter((sale) => sale.cut <= cut)
        .map(({ id, user, cents }) => `('${id}', '${user}', ${money(cents)})`)
      if (rows.length > 0) await connection.run(`INSERT INTO sales VALUES ${rows.join(', ')}`)
      const result = await connection.runAndReadAll(lambdaSql[view] ?? '')
      return JSON.parse(JSON.stringify(result.getRowObjectsJson())) as Row[]
    } finally {
      connection.closeSync()
      instance.closeSync()
    }
  }
}

/** Numbers as texts, rows in a fixed order. */
export function sorted(rows: readonly Row[]): readonly string[] {
  return rows
    .map((row) =>
      JSON.stringify(
        Object.entries(row)
          .map(([name, value]) => [name, value === null ? null : String(value)])
          .sort(),
      ),
    )
    .sort()
}
