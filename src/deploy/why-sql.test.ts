/**
 * The parts of a difference by the statements alone, over four tables in a plain DuckDB. Random histories: the parts
 * must add up to the last digit, in every row and in the totals, as the test adds them itself with whole numbers.
 */

import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { after, before, test } from 'node:test'
import type { DuckDBConnection } from '@duckdb/node-api'
import fc from 'fast-check'
import { type DuckDB, openDuckDB, runCancellable } from '../engine/duckdb.ts'
import { rowTexts } from '../engine/rows-json.ts'
import type { Column, ViewPlan } from '../plan/plan.ts'
import { pairingOf } from './compare-columns.ts'
import type { WhyParts } from './types.ts'
import { whyParts } from './why-report.ts'
import { type WhyQuestion, whyStatements } from './why-sql.ts'

let db: DuckDB
let connection: DuckDBConnection

before(async () => {
  db = await openDuckDB({ memoryBytes: 256 << 20, threads: 1, tempDir: tmpdir() })
  connection = await db.connect()
})
after(() => {
  connection.closeSync()
  db.close()
})

async function rows(sql: string): Promise<string> {
  return `[${rowTexts(await runCancellable(connection, sql)).join(',')}]`
}

function planOf(columns: readonly Column[], keys: readonly string[]): ViewPlan {
  const keyColumns = Object.fromEntries(keys.map((name, index) => [name, `k${index}`]))
  return {
    ...{ format: 1, view: 'v', sql: '', streams: ['s'], columns, inexact: [] },
    stages: [
      {
        ...{ kind: 'group', name: 'group', source: { kind: 'stream', stream: 's', fields: [] } },
        keys: keys.map((_, index) => ({ name: `k${index}`, type: 'VARCHAR' })),
        parts: [{ kind: 'main', name: 'main', foldSql: '', aggregates: [] }],
      },
    ],
    finish: { sql: '', ordered: false, limited: false, keyColumns },
  }
}

type Table = readonly (readonly (string | null)[])[]

async function why(
  older: readonly Column[],
  newer: readonly Column[],
  tables: readonly [Table, Table, Table, Table],
  more: Partial<Pick<WhyQuestion, 'key' | 'limit'>> & { readonly keys?: readonly string[] } = {},
) {
  const { keys = ['who'], key = {}, limit = 100 } = more
  for (const [step, table] of tables.entries()) {
    const columns = step === 3 ? newer : older
    const list = columns.map(({ name, type }) => `"${name}" ${type}`).join(', ')
    await rows(`CREATE OR REPLACE TABLE step${step} (${list})`)
    for (const row of table) {
      await rows(
        `INSERT INTO step${step} VALUES (${row.map((cell) => (cell === null ? 'NULL' : `'${cell}'`)).join(', ')})`,
      )
    }
  }
  const [old, now] = [planOf(older, keys), planOf(newer, keys)]
  const question: WhyQuestion = { old, new: now, pairing: pairingOf(old, now), key, limit }
  const answers: string[] = []
  for (const { sql } of whyStatements(question)) answers.push(await rows(sql))
  return whyParts(question, answers)
}

/** Digits after the point in these tests never exceed 30. */
function units(text: string | null): bigint {
  if (text === null) return 0n
  const [mantissa = '', exponent = '0'] = text.toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.')
  const magnitude = BigInt(`${whole}${fraction}`) * 10n ** BigInt(330 - fraction.length + Number(exponent))
  return mantissa.startsWith('-') ? -magnitude : magnitude
}

function addsUp({ first, late, arrived, logic, last }: WhyParts): boolean {
  return units(first) + units(late) + units(arrived) + units(logic) === units(last)
}

const columns: readonly Column[] = [
  { name: 'who', type: 'VARCHAR' },
  { name: 'n', type: 'HUGEINT' },
  { name: 'money', type: 'DECIMAL(18,2)' },
  { name: 'weight', type: 'DOUBLE' },
  { name: 'note', type: 'VARCHAR' },
]

const cells = {
  n: fc.option(fc.bigInt({ min: -(10n ** 37n), max: 10n ** 37n }).map(String)),
  money: fc.option(
    fc
      .integer()
      .map(
        (cents) =>
          `${cents < 0 ? '-' : ''}${Math.trunc(Math.abs(cents) / 100)}.${String(Math.abs(cents) % 100).padStart(2, '0')}`,
      ),
  ),
  weight: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e300, max: 1e300 }).map(String)),
  note: fc.option(fc.constantFrom('a', 'b')),
}
const table = fc
  .uniqueArray(fc.option(fc.constantFrom('ann', 'bob', 'eve', 'zoe'), { freq: 6 }), { maxLength: 5 })
  .chain((keys) =>
    fc.tuple(
      ...keys.map((key) => fc.record(cells).map((row) => [key, row.n, row.money, row.weight, row.note])),
    ),
  ) as fc.Arbitrary<Table>

test('parts add up exactly in every row, and exact totals are the sums of the rows', async () => {
  const seed = Number(process.env['REFOLD_SEED'] ?? Date.now() % 1_000_000)
  await fc.assert(
    fc.asyncProperty(table, table, table, table, fc.boolean(), async (a, b, c, d, retyped) => {
      const newer = retyped
        ? columns.map((column) => (column.name === 'money' ? { ...column, type: 'DECIMAL(38,4)' } : column))
        : columns
      const report = await why(columns, newer, [a, b, c, d])
      assert.equal(report.key[0], 'who')
      const keys = new Set([...a, ...b, ...c, ...d].map(([key]) => key))
      const changed = [...keys].filter((key) => {
        const texts = [a, b, c, d].map((one) => JSON.stringify(one.find((row) => row[0] === key)?.map(same)))
        return texts.some((text) => text !== texts[0])
      })
      assert.deepEqual(report.rows.map((row) => row.key['who']).sort(), changed.sort())
      for (const row of report.rows) {
        for (const column of row.columns) assert.ok(addsUp(column), JSON.stringify(column))
        const before = a.find((one) => one[0] === row.key['who'])
        const after = d.find((one) => one[0] === row.key['who'])
        const money = row.columns.find(({ column }) => column === 'money')!
        assert.equal(units(money.first), units(before?.[2] ?? null))
        assert.equal(units(money.last), units(after?.[2] ?? null))
      }
      for (const total of report.totals) {
        assert.ok(addsUp(total), JSON.stringify(total))
        if (total.column === 'weight') continue
        const at = total.column === 'n' ? 1 : 2
        const sum = (one: Table) => one.reduce((all, row) => all + units(row[at] ?? null), 0n)
        assert.equal(units(total.first), sum(a))
        assert.equal(units(total.late), sum(b) - sum(a))
        assert.equal(units(total.arrived), sum(c) - sum(b))
        assert.equal(units(total.logic), sum(d) - sum(c))
      }
      assert.ok(addsUp(report.rowCount))
      assert.equal(report.rowCount.last, String(d.length))
    }),
    { numRuns: Number(process.env['REFOLD_RUNS'] ?? 25), seed },
  )
})

/** -0 and 0 are one value. */
function same(cell: string | null): string | null {
  return cell === '-0' || cell === '-0.00' ? cell.slice(1) : cell
}

test('columns that came, went or are no numbers are listed with the step that changed them', async () => {
  const older: readonly Column[] = [columns[0]!, columns[1]!, { name: 'first', type: 'DATE' }]
  const newer: readonly Column[] = [columns[0]!, columns[2]!, { name: 'first', type: 'DATE' }]
  const report = await why(older, newer, [
    [['ann', '1', '2024-01-02']],
    [['ann', '2', '2024-01-01']],
    [
      ['ann', '2', '2024-01-01'],
      ['bob', '5', '2024-02-01'],
    ],
    [['ann', '7.50', '2024-01-05']],
  ])
  const [one, two] = report.rows.toSorted((a, b) => (String(a.key['who']) < String(b.key['who']) ? -1 : 1))
  assert.deepEqual(one, {
    key: { who: 'ann' },
    columns: [
      { column: 'money', first: null, late: '0', arrived: '0', logic: '7.50', last: '7.50' },
      { column: 'n', first: '1', late: '1', arrived: '0', logic: '-2', last: null },
    ],
    values: [{ column: 'first', first: '2024-01-02', last: '2024-01-05', changed: ['late', 'logic'] }],
  })
  assert.deepEqual(two?.columns[1], {
    column: 'n',
    first: null,
    late: '0',
    arrived: '5',
    logic: '-5',
    last: null,
  })
  assert.deepEqual(two?.values, [{ column: 'first', first: null, last: null, changed: ['arrived', 'logic'] }])
  assert.deepEqual(report.rowCount, { first: '1', late: '0', arrived: '1', logic: '-1', last: '1' })
})

test('a key chooses rows and their totals; the largest changes come first', async () => {
  const grow = (by: number): Table => [
    ['ann', `${1 * by}`, '0', '0', 'x'],
    ['bob', `${100 * by}`, '0', '0', 'x'],
    [null, `${10 * by}`, '0', '0', 'x'],
  ]
  const tables = [grow(1), grow(1), grow(3), grow(3)] as const
  const all = await why(columns, columns, tables, { limit: 2 })
  assert.deepEqual(
    all.rows.map((row) => row.key['who']),
    ['bob', null],
  )
  assert.equal(all.truncated, true)
  const one = await why(columns, columns, tables, { key: { who: null } })
  assert.deepEqual(one.rows.length, 1)
  assert.deepEqual(one.totals[0], {
    column: 'n',
    first: '10',
    late: '0',
    arrived: '20',
    logic: '0',
    last: '30',
  })
})

test('a view without numbers lists what changed', async () => {
  const list = [columns[0]!, columns[4]!]
  const report = await why(list, list, [[['ann', 'a']], [['ann', 'a']], [['ann', 'b']], [['ann', 'b']]])
  assert.deepEqual(report.rows, [
    {
      key: { who: 'ann' },
      columns: [],
      values: [{ column: 'note', first: 'a', last: 'b', changed: ['arrived'] }],
    },
  ])
  assert.deepEqual(report.totals, [])
})

test('a view without groups has one row', async () => {
  const list = columns.slice(1, 3)
  const tables = [[['1', '1.00']], [['1', '1.00']], [['4', '1.25']], [['4', '1.25']]] as const
  const report = await why(list, list, tables, { keys: [] })
  assert.deepEqual(report.rows, [
    {
      key: {},
      columns: [
        { column: 'n', first: '1', late: '0', arrived: '3', logic: '0', last: '4' },
        { column: 'money', first: '1.00', late: '0', arrived: '0.25', logic: '0', last: '1.25' },
      ],
      values: [],
    },
  ])
})
