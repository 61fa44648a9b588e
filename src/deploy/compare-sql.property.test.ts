/**
 * The compare's counts over random tables, against plain counting in JavaScript: by key and as bags of whole rows, with
 * NULL keys, damage, other events and a rule, all at random.
 */

import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { after, before, test } from 'node:test'
import type { DuckDBConnection } from '@duckdb/node-api'
import fc from 'fast-check'
import { type DuckDB, openDuckDB, runCancellable } from '../engine/duckdb.ts'
import { rowTexts } from '../engine/rows-json.ts'
import type { ViewPlan } from '../plan/plan.ts'
import { pairingOf } from './compare-columns.ts'
import { type CompareQuestion, compareStatements } from './compare-sql.ts'
import { compareSummary } from './compare-summary.ts'
import type { CompareSummary, DifferenceCause } from './types.ts'

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

type Row = readonly [who: string | null, n: number | null, note: string | null]
type Table = readonly Row[]
const relations = ['old_rows', 'new_rows', 'old_same', 'new_same', 'old_again', 'new_again'] as const
type Tables = Readonly<Record<(typeof relations)[number], Table>>

function planOf(isKeyed: boolean): ViewPlan {
  const source = { kind: 'stream', stream: 's', fields: [] } as const
  return {
    ...{ format: 1, view: 'v', sql: '', streams: ['s'], inexact: [] },
    columns: [
      { name: 'who', type: 'VARCHAR' },
      { name: 'n', type: 'BIGINT' },
      { name: 'note', type: 'VARCHAR' },
    ],
    stages: isKeyed
      ? [
          {
            ...{ kind: 'group', name: 'group', source, keys: [{ name: 'k0', type: 'VARCHAR' }] },
            parts: [{ kind: 'main', name: 'main', foldSql: '', aggregates: [] }],
          },
        ]
      : [{ kind: 'rows', name: 'rows', source, foldSql: '', columns: [] }],
    finish: { sql: '', ordered: false, limited: false, keyColumns: isKeyed ? { who: 'k0' } : {} },
  }
}

async function compare(tables: Tables, isKeyed: boolean): Promise<CompareSummary> {
  for (const name of relations) {
    await rows(`CREATE OR REPLACE TABLE ${name} (who VARCHAR, n BIGINT, note VARCHAR)`)
    for (const [who, n, note] of tables[name]) {
      const text = (value: string | null) => (value === null ? 'NULL' : `'${value}'`)
      await rows(`INSERT INTO ${name} VALUES (${text(who)}, ${n}, ${text(note)})`)
    }
  }
  const plan = planOf(isKeyed)
  const question: CompareQuestion = {
    ...{ pairing: pairingOf(plan, plan), old: plan, new: plan, folded: true, sampleRows: 1000 },
    events: { old: 'old_same', new: 'new_same' },
    rules: [{ name: 'grew', sql: '(new.n > coalesce(old.n, 0))', missing: [] }],
  }
  const answers: string[] = []
  for (const { sql } of compareStatements(question)) answers.push(await rows(sql))
  return compareSummary({ view: 'v', from: 'a', to: 'b', cut: 1 }, question, answers)
}

const cells = fc.tuple(fc.option(fc.nat(2)), fc.option(fc.constantFrom('x', 'y')))
const keys = fc.option(fc.constantFrom('ann', 'bob', 'eve'), { freq: 3 })
const keyed: fc.Arbitrary<Table> = fc
  .uniqueArray(keys)
  .chain((chosen) => fc.tuple(...chosen.map((who) => cells.map(([n, note]): Row => [who, n, note]))))
const bag: fc.Arbitrary<Table> = fc.array(
  fc.tuple(keys, cells).map(([who, [n, note]]): Row => [who, n, note]),
  { maxLength: 8 },
)
/** Mostly the rows of the served table, so that not everything is damaged. */
const tablesOf = (table: fc.Arbitrary<Table>): fc.Arbitrary<Tables> =>
  fc
    .tuple(table, table, table, table, table, table, fc.nat(3), fc.nat(3))
    .map(([a, b, c, d, e, f, g, h]) => ({
      ...{ old_rows: a, new_rows: b, old_same: c, new_same: d },
      ...{ old_again: g === 0 ? e : a, new_again: h === 0 ? f : b },
    }))

const settings = {
  numRuns: Number(process.env['REFOLD_RUNS'] ?? 60),
  seed: Number(process.env['REFOLD_SEED'] ?? Date.now() % 1_000_000),
}

function causeOf(isHurt: boolean, grew: boolean, agree: boolean): DifferenceCause {
  if (isHurt) return 'unexplained'
  return grew ? 'expected' : agree ? 'events' : 'logic'
}

test('by key: kinds, causes, damage, columns and sums', async () => {
  await fc.assert(
    fc.asyncProperty(tablesOf(keyed), async (tables) => {
      const summary = await compare(tables, true)
      const find = (name: keyof Tables, who: string | null) => tables[name].find((row) => row[0] === who)
      const equalAt = (a: keyof Tables, b: keyof Tables, who: string | null) =>
        JSON.stringify(find(a, who)) === JSON.stringify(find(b, who))
      const every = [...new Set(relations.flatMap((name) => tables[name].map(([who]) => who)))]
      const shown = every.filter(
        (who) => find('old_rows', who) !== undefined || find('new_rows', who) !== undefined,
      )
      const differing = shown.filter((who) => !equalAt('old_rows', 'new_rows', who))
      const kinds = { changed: 0, added: 0, removed: 0 }
      const causes = { unexplained: 0, expected: 0, events: 0, logic: 0 }
      const sums = { n: 0, count: 0, notes: 0 }
      for (const who of differing) {
        const [old, now] = [find('old_rows', who), find('new_rows', who)]
        kinds[old === undefined ? 'added' : now === undefined ? 'removed' : 'changed']++
        const isHurt = !equalAt('old_rows', 'old_again', who) || !equalAt('new_rows', 'new_again', who)
        const grew = now !== undefined && now[1] !== null && now[1] > (old?.[1] ?? 0)
        causes[causeOf(isHurt, grew, equalAt('old_same', 'new_same', who))]++
        if (old === undefined || now === undefined) continue
        if (old[1] !== now[1]) sums.count++
        if (old[1] !== null && now[1] !== null) sums.n += now[1] - old[1]
        if (old[2] !== now[2]) sums.notes++
      }
      assert.deepEqual({ changed: summary.changed, added: summary.added, removed: summary.removed }, kinds)
      assert.equal(summary.equal, shown.length - differing.length)
      assert.deepEqual(summary.causes, causes)
      const hurt = (side: 'old' | 'new') =>
        every.filter((who) => !equalAt(`${side}_rows`, `${side}_again`, who)).length
      assert.deepEqual(summary.damaged, { old: hurt('old'), new: hurt('new') })
      assert.deepEqual([summary.columns[0]?.changed, summary.columns[1]?.changed], [sums.count, sums.notes])
      assert.equal(Number(summary.columns[0]?.difference?.sum ?? 0), sums.n)
      assert.equal(summary.sample.length, differing.length)
    }),
    settings,
  )
})

test('as bags: multiplicities, causes and damage', async () => {
  await fc.assert(
    fc.asyncProperty(tablesOf(bag), async (tables) => {
      const summary = await compare(tables, false)
      const times = (name: keyof Tables, row: string) =>
        tables[name].filter((one) => JSON.stringify(one) === row).length
      const every = [...new Set(relations.flatMap((name) => tables[name].map((row) => JSON.stringify(row))))]
      const wanted = { added: 0, removed: 0, damaged: { old: 0, new: 0 } }
      const causes = { unexplained: 0, expected: 0, events: 0, logic: 0 }
      for (const row of every) {
        const more = times('new_rows', row) - times('old_rows', row)
        const [hurtOld, hurtNew] = (['old', 'new'] as const).map((side) =>
          Math.abs(times(`${side}_rows`, row) - times(`${side}_again`, row)),
        ) as [number, number]
        wanted.damaged.old += hurtOld
        wanted.damaged.new += hurtNew
        if (more === 0) continue
        wanted[more > 0 ? 'added' : 'removed'] += Math.abs(more)
        const n = (JSON.parse(row) as Row)[1]
        const agree = times('old_same', row) === times('new_same', row)
        causes[causeOf(hurtOld + hurtNew > 0, more > 0 && n !== null && n > 0, agree)] += Math.abs(more)
      }
      assert.deepEqual([summary.added, summary.removed], [wanted.added, wanted.removed])
      assert.equal(summary.equal, tables.old_rows.length - wanted.removed)
      assert.deepEqual(summary.causes, causes)
      assert.deepEqual(summary.damaged, wanted.damaged)
    }),
    settings,
  )
})
