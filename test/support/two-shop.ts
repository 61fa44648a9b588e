/**
 * For tests: a server with a view of two definitions, over two streams and a reference file, and plain DuckDB over what
 * was sent as the oracle. State: the folder, the server of the moment, and every event that was sent with its cut.
 */

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import type { BatchDef, ProjectDef, ViewDef } from '../../src/define/types.ts'
import type { StreamDef } from '../../src/model/schema.ts'
import { byHand, LambdaShop, lambdaRun } from './lambda-shop.ts'
import { money, type Row, shopView } from './shop-server.ts'

export const BATCH_SQL = `
WITH steps AS (
  SELECT "user", id, amount, amount - lag(amount, 1, amount) OVER (PARTITION BY "user" ORDER BY "at", id) AS step
  FROM sales
),
visits AS (SELECT "user", count(*) AS visits FROM logins GROUP BY "user")
SELECT s."user", count(*) AS n, sum(s.amount) AS total,
       CAST(quantile_cont(CAST(s.amount AS DOUBLE), 0.9) AS DOUBLE) AS p90,
       max(s.step) AS best_step, max(s.amount) AS biggest,
       CAST(sum(s.amount * coalesce(c.weight, 1)) AS DECIMAL(38, 2)) AS score,
       any_value(coalesce(v.visits, 0) ORDER BY s.id) AS visits
FROM steps AS s
LEFT JOIN visits AS v ON v."user" = s."user"
LEFT JOIN read_csv('ref/users.csv', header = true, columns = {'user': 'VARCHAR', 'weight': 'INTEGER'}) AS c ON c."user" = s."user"
GROUP BY s."user"`

export const SPEED_SQL = `
SELECT "user", count(*) AS n, sum(amount) AS total, max(CAST(amount AS DOUBLE)) AS p90,
       max(CAST(0 AS DECIMAL(18, 2))) AS best_step, max(amount) AS biggest,
       CAST(sum(amount) AS DECIMAL(38, 2)) AS score, max(CAST(NULL AS BIGINT)) AS visits
FROM sales GROUP BY "user"`

/** By column: how both values become one, as a reader would write it by hand. */
const merged: Readonly<Record<string, string>> = {
  n: 'b.n + s.n',
  total: 'b.total + s.total',
  p90: 's.p90',
  best_step: 'greatest(b.best_step, s.best_step)',
  biggest: 'greatest(b.biggest, s.biggest)',
  score: 'b.score + s.score',
  visits: 'b.visits',
}

const place = { file: 'two.sql', line: 1, column: 1 }

export interface Login {
  readonly user: string
  readonly cut: number
}

export class TwoShop extends LambdaShop {
  readonly logins: Login[] = []
  /** User → weight, as the reference file has it. */
  weights: Readonly<Record<string, number>> = { u1: 2, u2: 3, u40: 5 }

  writeReference(): string {
    mkdirSync(join(this.folder, 'ref'), { recursive: true })
    const text = ['user,weight', ...Object.entries(this.weights).map((pair) => pair.join(','))].join('\n')
    writeFileSync(join(this.folder, 'ref/users.csv'), `${text}\n`)
    return createHash('sha256').update(`${text}\n`).digest('hex')
  }

  twoView(change: Partial<BatchDef> = {}, more: Partial<ViewDef> = {}): ViewDef {
    const batch: BatchDef = {
      sql: BATCH_SQL,
      sqlPlace: place,
      key: ['user'],
      keyPlace: place,
      merge: {
        n: { kind: 'add' },
        total: { kind: 'add' },
        p90: { kind: 'replace' },
        best_step: { kind: 'max' },
        biggest: { kind: 'max' },
        score: { kind: 'sql', sql: 'batch.score + speed.score', place },
        visits: { kind: 'replace' },
      },
      mergePlace: place,
      approximate: ['p90', 'best_step', 'visits'],
      approximatePlace: place,
      files: { 'ref/users.csv': this.writeReference() },
      ...change,
    }
    return shopView('customers', SPEED_SQL, { run: lambdaRun(byHand), batch, ...more })
  }

  override project(change: Partial<ProjectDef> = {}): ProjectDef {
    const project = super.project({ views: [this.twoView()], ...change })
    const fields = [{ name: 'user', type: { kind: 'string' }, optional: false, nullable: false }] as const
    const logins: StreamDef = {
      name: 'logins',
      schema: { kind: 'object', fields },
      partitions: 1,
      dedupe: { timeMs: 0, count: 0 },
      latenessMs: 0,
    }
    return change.streams === undefined ? { ...project, streams: [...project.streams, logins] } : project
  }

  /** Sends one login of each user as one commit. */
  async login(...users: readonly string[]): Promise<number> {
    const events = users.map((user, index) => ({
      ...{ stream: 'logins', partition: 0, json: JSON.stringify({ user }), index },
    }))
    const append = { stream: 'logins', events, deadLetters: [], bytes: 100 }
    const { cut } = await this.server.core.append(append)
    this.logins.push(...users.map((user) => ({ user, cut })))
    return cut
  }

  override get cut(): number {
    return Math.max(super.cut, this.logins.at(-1)?.cut ?? 0)
  }

  /** T, the cut and the rows of an answer. */
  async answer(
    layer?: 'batch' | 'speed',
  ): Promise<{ readonly batch: number; readonly cut: number; readonly rows: readonly Row[] }> {
    const read = { view: 'customers', where: {}, order: [], limit: 100_000 }
    const answer = await this.server.core.readView(layer === undefined ? read : { ...read, layer }, {
      after: this.cut,
    })
    const batch = answer.batches?.['customers']?.cut ?? 0
    return { batch, cut: answer.cut, rows: JSON.parse(answer.json) as Row[] }
  }

  /** Law 1, part by part: each layer is its own SQL over its own range, and the view is both merged by hand. */
  async checkLayers(): Promise<void> {
    const hasBatch = (await this.answer()).batch > 0
    for (const layer of hasBatch ? (['batch', 'speed', undefined] as const) : [undefined]) {
      const { batch, cut, rows } = await this.answer(layer)
      assert.ok(cut >= this.cut, 'the answer shows all that was sent')
      const expected = await this.expectedRows(layer, batch, cut)
      assert.deepEqual(asTexts(rows), asTexts(expected), `${layer ?? 'both'}, T ${batch}, cut ${cut}`)
    }
  }

  async expectedRows(layer: 'batch' | 'speed' | undefined, batch: number, cut: number): Promise<Row[]> {
    const instance = await DuckDBInstance.create(':memory:', { threads: '1' })
    const connection = await instance.connect()
    try {
      const fill = async (from: number, to: number) => {
        await connection.run(
          'CREATE OR REPLACE TABLE sales (id VARCHAR, "user" VARCHAR, amount DECIMAL(18, 2), "at" TIMESTAMP)',
        )
        await connection.run('CREATE OR REPLACE TABLE logins ("user" VARCHAR)')
        const within = <T extends { readonly cut: number }>(all: readonly T[]) =>
          all.filter((one) => one.cut > from && one.cut <= to)
        const sales = within(this.sent).map(
          ({ id, user, cents }) => `('${id}', '${user}', ${money(cents)}, '2024-05-01 10:00:00')`,
        )
        if (sales.length > 0) await connection.run(`INSERT INTO sales VALUES ${sales.join(', ')}`)
        const logins = within(this.logins).map(({ user }) => `('${user}')`)
        if (logins.length > 0) await connection.run(`INSERT INTO logins VALUES ${logins.join(', ')}`)
      }
      const weights = Object.entries(this.weights).map(([user, weight]) => `('${user}', ${weight})`)
      await connection.run(`CREATE TABLE weights AS FROM (VALUES ${weights.join(', ')}) AS w("user", weight)`)
      const reference = /read_csv\('ref\/users.csv'[^\n]*\}\)/
      assert.match(BATCH_SQL, reference)
      await fill(0, batch)
      // Before the first batch there is no layer; of grouped rows that is the same as one over nothing.
      await connection.run(`CREATE TABLE b AS ${BATCH_SQL.replace(reference, 'weights')}`)
      await fill(batch, cut)
      await connection.run(`CREATE TABLE s AS ${SPEED_SQL}`)
      const both = Object.entries(merged).map(
        ([name, sql]) =>
          `CASE WHEN s."user" IS NULL THEN b.${name} WHEN b."user" IS NULL THEN s.${name} ELSE ${sql} END AS ${name}`,
      )
      const sql =
        layer === 'batch'
          ? 'FROM b'
          : layer === 'speed'
            ? 'FROM s'
            : `SELECT coalesce(b."user", s."user") AS "user", ${both.join(', ')} FROM b FULL JOIN s ON b."user" = s."user"`
      return (await connection.runAndReadAll(sql)).getRowObjectsJson() as Row[]
    } finally {
      connection.closeSync()
      instance.closeSync()
    }
  }
}

/** Numbers as texts with a fixed number of digits, rows in a fixed order. */
export function asTexts(rows: readonly Row[]): readonly string[] {
  const text = (value: unknown) =>
    value === null ? null : /^-?\d+(\.\d+)?$/.test(String(value)) ? Number(value).toFixed(6) : String(value)
  return rows
    .map((row) =>
      JSON.stringify(
        Object.entries(row)
          .map(([name, value]) => [name, text(value)])
          .sort(),
      ),
    )
    .sort()
}
