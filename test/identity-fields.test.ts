/**
 * Law of identity, for versions that are narrowed to the fields that a view reads: wherever a schema with another
 * field gives a view the same version, its plan is the very same, and its SQL has the same rows over both tables in plain
 * DuckDB. The SQL and the names are those that could mislead: aliases that a new field takes the place of, stars, columns by pattern,
 * rows as values.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { versionId } from '../src/define/identity.ts'
import { openSqlSyntax } from '../src/engine/sql-syntax.ts'
import type { Field, FieldType } from '../src/model/schema.ts'
import { planView } from '../src/plan/plan-view.ts'
import type { SqlSyntax } from '../src/plan/sql-syntax.ts'
import { identityInput } from '../src/server/plan-views.ts'
import { ScratchDuckDb } from './support/scratch-duckdb.ts'

const statements = [
  'SELECT who, sum(n) AS total FROM orders GROUP BY who',
  'SELECT count(*) AS c FROM orders',
  'SELECT upper(who) AS x, count(*) AS c FROM orders WHERE x IS NOT NULL GROUP BY 1',
  'SELECT n + 1 AS x, x * 2 AS y FROM orders',
  'SELECT n + 1 AS "X", who FROM orders ORDER BY x, who',
  'SELECT who AS x, count(*) AS c FROM orders GROUP BY x',
  'SELECT who AS x, sum(n) AS y FROM orders GROUP BY ALL HAVING y > 1',
  'SELECT * FROM orders',
  'SELECT * EXCLUDE (n) FROM orders',
  'SELECT * REPLACE (n + 1 AS n) FROM orders',
  "SELECT COLUMNS('^[nx]') FROM orders",
  'SELECT o.* FROM orders o',
  'SELECT orders FROM orders',
  'SELECT o FROM orders AS o',
  'SELECT who FROM (SELECT * FROM orders) AS y WHERE n > 1',
  'SELECT x FROM (SELECT who AS x, * FROM orders)',
  'WITH x AS (SELECT who, n FROM orders) SELECT who, max(n) AS y FROM x GROUP BY who',
  'SELECT DISTINCT who FROM orders',
  'SELECT who, n FROM orders ORDER BY n, who LIMIT 2',
  'SELECT inner_.a AS x FROM orders',
  'SELECT inner_ FROM orders',
]
const added = ['x', 'X', 'y', 'o', 'orders', 'nn', 'whose', 'a', 'total', 'c']

const text: FieldType = { kind: 'string' }
const base: readonly Field[] = [
  field('who', text),
  field('n', { kind: 'integer', bits: 64 }),
  field('inner_', { kind: 'object', fields: [field('a', text)] }),
]

function field(name: string, type: FieldType, more: Partial<Field> = {}): Field {
  return { name, type, optional: false, nullable: false, ...more }
}

async function plannedAs(
  syntax: SqlSyntax,
  sql: string,
  fields: readonly Field[],
): Promise<{ readonly version: string; readonly plan: object } | undefined> {
  const dedupe = { timeMs: 0, count: 0 }
  const schema = { kind: 'object', fields } as const
  const streams = [{ name: 'orders', schema, partitions: 1, dedupe, latenessMs: 0 }]
  const planned = await planView({ name: 'v', sql, place: { line: 1, column: 1 }, streams, syntax })
  if (!planned.ok) return undefined
  const { stages, finish, columns } = planned.plan
  return { version: versionId(identityInput(planned, streams)), plan: { stages, finish, columns } }
}

test('views with one version have the same rows', async () => {
  const duck = await ScratchDuckDb.open()
  const syntax = await openSqlSyntax()
  const counts = { same: 0, other: 0 }
  const base3 = `SELECT who, n, inner_ FROM (VALUES ('ann', 1::BIGINT, {'a': 'p'}), ('bob', 2, {'a': 'q'}), ('ann', 5, {'a': 'r'})) t(who, n, inner_)`
  const answer = async (sql: string, columns: string) => {
    await duck.run(`CREATE OR REPLACE TABLE orders AS SELECT ${columns} FROM (${base3})`)
    const { columns: shape, rows } = await duck.query(sql)
    return { shape, rows: rows.map((row) => JSON.stringify(row)).sort() }
  }
  for (const sql of statements) {
    const before = await plannedAs(syntax, sql, base)
    if (before === undefined) continue
    for (const name of added) {
      for (const at of [0, base.length]) {
        const more = field(name, { kind: 'integer', bits: 64 }, { optional: true })
        const after = await plannedAs(syntax, sql, base.toSpliced(at, 0, more))
        if (after?.version === before.version) {
          counts.same++
          assert.deepEqual(after.plan, before.plan)
          const columns = at === 0 ? `n * 7 AS "${name}", *` : `*, n * 7 AS "${name}"`
          assert.deepEqual(await answer(sql, columns), await answer(sql, '*'), `${sql} with ${name}`)
        } else counts.other++
      }
    }
  }
  duck.close()
  syntax.close()
  assert.ok(counts.same > 50 && counts.other > 20, JSON.stringify(counts))
})
