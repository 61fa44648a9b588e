/**
 * A bulk fold of a view with an exact distinct gives the same slices whether its parts are folded in one pass, where
 * values repeat, or one by one, where they do not: counted by hand from the events.
 */

import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { commitsOf, ordersStream } from '../../test/support/orders-view.ts'
import { writeLogFixture } from '../../test/support/written-log.ts'
import { planView } from '../plan/plan-view.ts'
import { openDuckDB, queryRows } from './duckdb.ts'
import { runInWorker } from './run-in-worker.ts'
import { openSqlSyntax } from './sql-syntax.ts'

const folder = mkdtempSync(join(tmpdir(), 'refold-job-fold-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const sql = `SELECT who, count(*) AS n, count(DISTINCT amount) FILTER (WHERE amount <> '3') AS amounts FROM orders GROUP BY who`

for (const [name, values] of [
  ['repeat', 10],
  ['do not repeat', 1_000_000],
] as const) {
  test(`distinct values that ${name}`, async () => {
    const base = join(folder, String(values))
    mkdirSync(join(base, 'log'), { recursive: true })
    const orders = Array.from({ length: 20 }, (_, commit) =>
      Array.from({ length: 100 }, (_, index) => ({
        who: `who-${index % 5}`,
        amount: String((commit * 100 + index) % values),
      })),
    )
    const log = await writeLogFixture(join(base, 'log'), commitsOf(orders), 8)
    const syntax = await openSqlSyntax()
    const planned = await planView({ name: 'v', sql, place: {}, streams: [ordersStream], syntax })
    syntax.close()
    assert.ok(planned.ok)
    const view = { view: 'v', version: 'v1', plan: planned.plan, slices: [], sealed: 0, skipped: [] }
    const result = await runInWorker(
      {
        kind: 'fold',
        view: { ...view, onError: 'stall' },
        streams: [ordersStream],
        sources: { log, lake: { through: 0, files: [] } },
        range: { from: 0, to: 20 },
        stagingDir: join(base, 'staging'),
      },
      { memoryBytes: 500e6, threads: 2, tempDir: join(base, 'temp') },
      () => {},
    )
    assert.ok(result.kind === 'fold')
    const all = orders.flat()
    const groups = new Map<string, number>()
    const pairs = new Map<string, number>()
    for (const { who, amount } of all) {
      groups.set(who, (groups.get(who) ?? 0) + 1)
      const pair = `${who} ${amount}`
      if (amount !== '3') pairs.set(pair, (pairs.get(pair) ?? 0) + 1)
    }
    const database = await openDuckDB({ memoryBytes: 500e6, threads: 1, tempDir: join(base, 'read') })
    const connection = await database.connect()
    const rows = (part: string) => {
      const slice = result.slices.find((one) => one.part === part)
      return queryRows(connection, `SELECT * FROM read_parquet('${slice?.path}')`)
    }
    const main = new Map((await rows('main')).map((row) => [String(row['k0']), Number(row['a0'])]))
    const distinct = new Map((await rows('d0')).map((row) => [`${row['k0']} ${row['v']}`, Number(row['n'])]))
    connection.closeSync()
    database.close()
    assert.deepEqual(main, new Map([...groups].sort()))
    assert.deepEqual(new Map([...distinct].sort()), new Map([...pairs].sort()))
    assert.equal(result.slices.find(({ part }) => part === 'main')?.events, all.length)
  })
}
