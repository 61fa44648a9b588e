/**
 * Two versions compared by the statements alone, in a plain DuckDB in which each version is its own SQL over the same
 * table of events. All expected numbers are counted by hand from the events written here.
 */

import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { after, before, test } from 'node:test'
import type { DuckDBConnection } from '@duckdb/node-api'
import { type DuckDB, openDuckDB, runCancellable } from '../engine/duckdb.ts'
import { rowTexts } from '../engine/rows-json.ts'
import { type DuckDbSyntax, openSqlSyntax } from '../engine/sql-syntax.ts'
import type { FieldType, StreamDef } from '../model/schema.ts'
import type { ViewPlan } from '../plan/plan.ts'
import { planView } from '../plan/plan-view.ts'
import { pairingOf } from './compare-columns.ts'
import { ruleSql } from './compare-rules.ts'
import { type CompareQuestion, compareStatements } from './compare-sql.ts'
import { compareSummary } from './compare-summary.ts'
import type { CompareSummary } from './types.ts'

const field = (name: string, type: FieldType) => ({ name, type, optional: true, nullable: false })
const sales: StreamDef = {
  ...{ name: 'sales', partitions: 1, dedupe: { timeMs: 0, count: 0 }, latenessMs: 0 },
  schema: {
    kind: 'object',
    fields: [
      field('country', { kind: 'string' }),
      field('cents', { kind: 'integer', bits: 32 }),
      field('weight', { kind: 'double' }),
    ],
  },
}

let syntax: DuckDbSyntax
let db: DuckDB
let connection: DuckDBConnection

before(async () => {
  syntax = await openSqlSyntax()
  db = await openDuckDB({ memoryBytes: 256 << 20, threads: 1, tempDir: tmpdir() })
  connection = await db.connect()
})
after(() => {
  connection.closeSync()
  db.close()
  syntax.close()
})

async function rows(sql: string): Promise<string> {
  return `[${rowTexts(await runCancellable(connection, sql)).join(',')}]`
}

async function planOf(sql: string): Promise<ViewPlan> {
  const place = { line: 1, column: 1 }
  const planned = await planView({ name: 'v', sql, place, streams: [sales], syntax })
  assert.ok(planned.ok, planned.ok ? '' : planned.mistakes.map(({ message }) => message).join('\n'))
  return planned.plan
}

type Sale = readonly [country: string | null, cents: number | null, weight?: number | null]

interface Scenario {
  readonly old: string
  readonly new: string
  readonly sales: readonly Sale[]
  /** Sales that only the old, or only the new version has. */
  readonly oldOnly?: readonly Sale[]
  readonly newOnly?: readonly Sale[]
  readonly rules?: readonly { readonly name: string; readonly when: string }[]
  /** SQL that changes what a version serves, against what it folds again. */
  readonly damage?: readonly string[]
  readonly sampleRows?: number
}

async function compare(scenario: Scenario): Promise<CompareSummary> {
  const [older, newer] = [await planOf(scenario.old), await planOf(scenario.new)]
  const { sales: both, oldOnly = [], newOnly = [], damage } = scenario
  const make = async (table: string, sql: string, events: readonly Sale[]) => {
    await rows('CREATE OR REPLACE TABLE sales (country VARCHAR, cents INTEGER, weight DOUBLE)')
    for (const [country, cents, weight = null] of events) {
      const name = country === null ? 'NULL' : `'${country}'`
      await rows(`INSERT INTO sales VALUES (${name}, ${cents}, ${weight})`)
    }
    await rows(`CREATE OR REPLACE TABLE ${table} AS ${sql}`)
  }
  for (const suffix of ['rows', 'again']) {
    await make(`old_${suffix}`, scenario.old, [...both, ...oldOnly])
    await make(`new_${suffix}`, scenario.new, [...both, ...newOnly])
  }
  await make('old_same', scenario.old, both)
  await make('new_same', scenario.new, both)
  for (const sql of damage ?? []) await rows(sql)
  const pairing = pairingOf(older, newer)
  const of = (side: 'old' | 'new', plan: ViewPlan) =>
    pairing.kind === 'rows' ? pairing.columns.map((column) => column[side]) : plan.columns
  const columns = { old: of('old', older), new: of('new', newer) }
  const rules = await Promise.all((scenario.rules ?? []).map((rule) => ruleSql(rule, columns, syntax)))
  const question: CompareQuestion = {
    ...{ pairing, old: older, new: newer, rules, folded: damage !== undefined },
    ...{ events: { old: 'old_same', new: 'new_same' }, sampleRows: scenario.sampleRows ?? 10 },
  }
  const answers: string[] = []
  for (const { sql, limit } of compareStatements(question)) {
    answers.push(await rows(/^(SELECT|WITH)/.test(sql) ? `SELECT * FROM (${sql}) LIMIT ${limit + 1}` : sql))
  }
  return compareSummary({ view: 'v', from: 'a', to: 'b', cut: 7 }, question, answers)
}

const byCountry = 'SELECT country, count(*) AS n, sum(cents) AS cents FROM sales GROUP BY country'
const some: readonly Sale[] = [
  ['NL', 100],
  ['NL', 50],
  ['JP', 1000],
  ['US', 7],
  [null, 1],
]

function counts(summary: CompareSummary) {
  const { oldRows, newRows, equal, changed, added, removed } = summary
  return { oldRows, newRows, equal, changed, added, removed }
}

const noCauses = { unexplained: 0, expected: 0, events: 0, logic: 0 }

test('the same logic over the same events differs in nothing', async () => {
  const summary = await compare({ old: byCountry, new: `${byCountry} ORDER BY n`, sales: some, damage: [] })
  assert.equal(summary.pairing, 'key')
  assert.deepEqual(summary.key, ['country'])
  assert.deepEqual(counts(summary), { oldRows: 4, newRows: 4, equal: 4, changed: 0, added: 0, removed: 0 })
  assert.deepEqual(summary.causes, noCauses)
  assert.deepEqual(summary.damaged, { old: 0, new: 0 })
  assert.deepEqual(summary.sample, [])
  assert.deepEqual(summary.columns, [
    { column: 'n', changed: 0 },
    { column: 'cents', changed: 0 },
  ])
})

test('one row for each cause, a row of key NULL among them', async () => {
  const summary = await compare({
    old: byCountry,
    // New logic: US counts double. A correction that was expected: JP in another currency.
    new: `SELECT country, count(*) AS n, sum(CASE country WHEN 'JP' THEN cents // 100 WHEN 'US' THEN cents * 2
            ELSE cents END) AS cents FROM sales GROUP BY country`,
    sales: some,
    // The new version has a sale that the old one leaves out, and the old one a country that the new one has not.
    newOnly: [['NL', 5]],
    oldOnly: [['BR', 9]],
    rules: [{ name: 'yen', when: `new.country = 'JP' AND new.cents < old.cents` }],
    damage: [`UPDATE new_rows SET n = 3 WHERE country IS NULL`],
  })
  assert.deepEqual(counts(summary), { oldRows: 5, newRows: 4, equal: 0, changed: 4, added: 0, removed: 1 })
  assert.deepEqual(summary.causes, { unexplained: 1, expected: 1, events: 2, logic: 1 })
  assert.deepEqual(summary.expectations, [{ rule: 'yen', rows: 1 }])
  assert.deepEqual(summary.damaged, { old: 0, new: 1 })
  const byCause = summary.sample.map(({ cause, kind, old, new: now }) => [cause, kind, old, now])
  assert.deepEqual(byCause, [
    ['unexplained', 'changed', { country: null, n: 1, cents: 1 }, { country: null, n: 3, cents: 1 }],
    ['logic', 'changed', { country: 'US', n: 1, cents: 7 }, { country: 'US', n: 1, cents: 14 }],
    ['events', 'changed', { country: 'NL', n: 2, cents: 150 }, { country: 'NL', n: 3, cents: 155 }],
    ['events', 'removed', { country: 'BR', n: 1, cents: 9 }, undefined],
    ['expected', 'changed', { country: 'JP', n: 1, cents: 1000 }, { country: 'JP', n: 1, cents: 10 }],
  ])
  // n: NL +1, null +2. cents: NL +5, US +7, JP -990.
  assert.deepEqual(summary.columns, [
    {
      column: 'n',
      changed: 2,
      difference: { min: '1', p05: '1', median: '1', p95: '2', max: '2', sum: '3' },
    },
    {
      column: 'cents',
      changed: 3,
      difference: { min: '-990', p05: '-990', median: '5', p95: '7', max: '7', sum: '-978' },
    },
  ])
})

test('a damaged row is never expected, and counts where old and new agree by chance', async () => {
  const summary = await compare({
    ...{ old: byCountry, new: byCountry, sales: some },
    rules: [{ name: 'anything', when: 'true' }],
    damage: [
      `UPDATE new_rows SET cents = 8 WHERE country = 'US'`,
      `DELETE FROM old_rows WHERE country = 'JP'`,
      `DELETE FROM new_rows WHERE country = 'JP'`,
    ],
  })
  assert.deepEqual(counts(summary), { oldRows: 3, newRows: 3, equal: 2, changed: 1, added: 0, removed: 0 })
  assert.deepEqual(summary.causes, { ...noCauses, unexplained: 1 })
  assert.deepEqual(summary.damaged, { old: 1, new: 2 })
  assert.deepEqual(summary.expectations, [{ rule: 'anything', rows: 0 }])
})

test('the first rule that takes a row counts; one that fails on a row takes none; columns may be gone', async () => {
  const summary = await compare({
    old: 'SELECT country, sum(cents) AS cents, min(cents) AS least FROM sales GROUP BY country',
    new: 'SELECT country, sum(cents) + 1 AS cents, max(cents) AS most FROM sales GROUP BY country',
    sales: some,
    rules: [
      { name: 'fails', when: 'CAST(new.country AS INTEGER) > 0' },
      { name: 'netherlands', when: `new.country = 'NL' AND old.least = 50 AND new.most = 100` },
      { name: 'gone', when: `old.most IS NULL AND new.country IN ('JP', 'NL')` },
    ],
  })
  assert.deepEqual(summary.causes, { ...noCauses, expected: 2, logic: 2 })
  assert.deepEqual(summary.expectations, [
    { rule: 'fails', rows: 0 },
    { rule: 'netherlands', rows: 1 },
    { rule: 'gone', rows: 1, missing: ['old.most'] },
  ])
  assert.deepEqual(summary.shape, [
    { column: 'least', change: 'removed', old: 'INTEGER' },
    { column: 'most', change: 'added', new: 'INTEGER' },
  ])
})

test('numbers of other types are the same numbers, and their differences are exact', async () => {
  const summary = await compare({
    old: `SELECT country, sum(cents) AS a, sum(cents) AS b, min(cents) AS c, sum(cents * 1.0) AS d FROM sales GROUP BY country`,
    new: `SELECT country, sum(CAST(cents AS DECIMAL(9,2))) AS a, sum(cents + 0.25) AS b,
            CAST(min(cents) AS DOUBLE) AS c, CAST(min(cents) AS VARCHAR) AS d FROM sales GROUP BY country`,
    sales: [
      ['NL', 100],
      ['JP', 3],
      ['JP', -3],
    ],
  })
  assert.deepEqual(
    summary.shape.map(({ column, change }) => [column, change]),
    ['a', 'b', 'c', 'd'].map((column) => [column, 'retyped']),
  )
  const [a, b, c, d] = summary.columns
  assert.deepEqual(
    [a, c],
    [
      { column: 'a', changed: 0 },
      { column: 'c', changed: 0 },
    ],
  )
  assert.deepEqual(b, {
    column: 'b',
    changed: 2,
    difference: { min: '0.25', p05: '0.25', median: '0.25', p95: '0.50', max: '0.50', sum: '0.75' },
  })
  assert.deepEqual(d, { column: 'd', changed: 2 }, 'a number and a text are compared as texts')
})

test('sums beyond 64 bits are exact', async () => {
  const big = '12345678901234567890123456789'
  const summary = await compare({
    old: `SELECT country, max(cents) * ${big} AS big FROM sales GROUP BY country`,
    new: `SELECT country, max(cents) * ${big} + 1 AS big FROM sales GROUP BY country`,
    sales: some,
  })
  assert.equal(summary.columns[0]?.difference?.sum, '4')
  const [first] = summary.sample
  // Equal sizes come in the order of the columns.
  assert.deepEqual(first?.old, { country: 'JP', big: `${big}000` })
})

test('inexact columns differ beyond the tolerance alone', async () => {
  const base = 'SELECT country, sum(weight) AS weight FROM sales GROUP BY country'
  const events: readonly Sale[] = [
    ['NL', 1, 0.1],
    ['NL', 1, 0.2],
    ['JP', 1, 1e300],
    ['US', 1, null],
  ]
  const near = { old: base, new: base.replace('sum(weight)', 'sum(weight) * (1 + 1e-12)'), sales: events }
  assert.equal((await compare(near)).changed, 0)
  const far = { ...near, new: base.replace('sum(weight)', 'sum(weight) * (1 + 1e-8)') }
  assert.equal((await compare(far)).changed, 2)
  const exact = { old: base.replace('sum', 'max'), new: base.replace('sum(weight)', 'max(weight) + 1e-13') }
  assert.equal((await compare({ ...near, ...exact })).changed, 1, 'max of DOUBLE is exact')
})

test('a view without groups is one row on each side', async () => {
  const summary = await compare({
    old: 'SELECT count(*) AS n, sum(cents) AS cents FROM sales',
    new: 'SELECT count(*) AS n, sum(cents) AS cents FROM sales WHERE cents > 1',
    sales: some,
  })
  assert.equal(summary.pairing, 'single')
  assert.deepEqual(counts(summary), { oldRows: 1, newRows: 1, equal: 0, changed: 1, added: 0, removed: 0 })
  assert.equal(summary.columns[1]?.difference?.sum, '-1')
})

test('without common keys rows are bags: multiplicities count', async () => {
  const summary = await compare({
    old: 'SELECT country, cents FROM sales',
    new: 'SELECT country, CASE WHEN cents > 5 THEN cents ELSE 0 END AS cents FROM sales',
    sales: [
      ['NL', 1],
      ['NL', 1],
      ['NL', 0],
      ['JP', 9],
      ['JP', 9],
    ],
    newOnly: [['JP', 9]],
    rules: [{ name: 'small', when: 'old.cents < 5' }],
    damage: [`INSERT INTO new_rows VALUES ('XX', 1)`],
  })
  assert.equal(summary.pairing, 'rows')
  // Old (NL,1)×2 is gone, (NL,0) comes twice more, (JP,9) once more, (XX,1) was made up.
  assert.deepEqual(counts(summary), { oldRows: 5, newRows: 7, equal: 3, changed: 0, added: 4, removed: 2 })
  assert.deepEqual(summary.causes, { unexplained: 1, expected: 2, events: 1, logic: 2 })
  assert.deepEqual(summary.damaged, { old: 0, new: 1 })
  assert.deepEqual(
    summary.sample.map(({ kind, cause, times = 1, old, new: now }) => [kind, cause, times, old ?? now]),
    [
      ['added', 'unexplained', 1, { country: 'XX', cents: 1 }],
      ['added', 'logic', 2, { country: 'NL', cents: 0 }],
      ['added', 'events', 1, { country: 'JP', cents: 9 }],
      ['removed', 'expected', 2, { country: 'NL', cents: 1 }],
    ],
  )
})

test('versions with nothing in common are all removed and all added', async () => {
  const summary = await compare({
    old: 'SELECT country FROM sales',
    new: 'SELECT cents FROM sales',
    sales: some,
  })
  assert.deepEqual(counts(summary), { oldRows: 5, newRows: 5, equal: 0, changed: 0, added: 5, removed: 5 })
})

test('the sample takes the largest, the smallest and the middle of each kind and cause', async () => {
  const many = Array.from({ length: 101 }, (_, index): Sale => [`c${String(index).padStart(3, '0')}`, index])
  const scenario: Scenario = {
    old: byCountry,
    new: byCountry.replace('sum(cents)', 'sum(cents) * 2'),
    sales: many,
    newOnly: [['new', 77]],
    sampleRows: 6,
  }
  const summary = await compare(scenario)
  // c000 stays 0. Of 100 changed rows: ranks 1, 51 (50.5 rounded) and 100 by the size of the difference.
  const shown = summary.sample.map(({ kind, new: now }) => [kind, (now as { country: string }).country])
  assert.deepEqual(shown, [
    ['changed', 'c100'],
    ['changed', 'c050'],
    ['changed', 'c001'],
    ['added', 'new'],
  ])
  assert.deepEqual((await compare(scenario)).sample, summary.sample)
  assert.ok((await compare({ ...scenario, sampleRows: 1 })).sample.length === 1)
})

test('columns may have any name', async () => {
  const names = `country AS "$k0", count(*) AS "old", sum(cents) AS "x0", max(cents) AS "a ""b", min(cents) AS k0, min(cents) AS n, min(cents) AS kind`
  const sql = `SELECT ${names} FROM sales GROUP BY country`
  const changed = sql.replace('sum(cents) AS', 'sum(cents) + 1 AS')
  const summary = await compare({
    ...{ old: sql, new: changed, sales: some, damage: [] },
    rules: [{ name: 'r', when: 'old."x0" = 7 AND new."a ""b" = 7 AND new."old" = 1' }],
  })
  assert.deepEqual(summary.causes, { ...noCauses, expected: 1, logic: 3 })
})
