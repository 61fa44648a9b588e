/** What a plan's explanation says: the queries that run, the state per key, what is exact, what things cost. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { type DuckDbSyntax, openSqlSyntax } from '../src/engine/sql-syntax.ts'
import type { StreamDef } from '../src/model/schema.ts'
import { type Explanation, explainPlan } from '../src/plan/explain.ts'
import { planView } from '../src/plan/plan-view.ts'

const stream: StreamDef = JSON.parse(
  readFileSync(path.join(import.meta.dirname, 'cases', 'streams', 'events.json'), 'utf8'),
)

let syntax: DuckDbSyntax

before(async () => {
  syntax = await openSqlSyntax()
})

after(() => syntax.close())

async function explain(sql: string): Promise<Explanation> {
  const planned = await planView({ name: 'v', sql, place: {}, streams: [stream], syntax })
  assert.ok(planned.ok)
  return explainPlan(planned.plan)
}

test('a grouped view: parts, fields, lookup columns', async () => {
  const explanation = await explain(
    'SELECT user_id, count(*) AS c, count(DISTINCT kind) AS kinds FROM events WHERE ok GROUP BY user_id',
  )
  const [stage] = explanation.stages
  assert.deepEqual(stage!.fields, ['user_id', 'kind', 'ok'])
  assert.deepEqual(
    stage!.parts.map(({ name, rowPer }) => [name, rowPer]),
    [
      ['main', 'group'],
      ['d0', 'group and distinct value'],
    ],
  )
  assert.match(stage!.parts[0]!.foldSql, /GROUP BY 1$/)
  assert.match(stage!.parts[0]!.mergeSql, /sum\("a0"\)/)
  assert.deepEqual(
    stage!.parts.map(({ bytesPerRow }) => bytesPerRow),
    [24 + 8 + 8, 24 + 24 + 8],
  )
  assert.deepEqual(explanation.finish.lookupColumns, ['user_id'])
  assert.deepEqual(explanation.exact, ['user_id', 'c', 'kinds'])
  assert.match(explanation.cost.lookup, /user_id/)
})

test('a sum of DOUBLE is told to be approximate, also through a SELECT above', async () => {
  const explanation = await explain(
    'SELECT kind, s * 2 AS twice FROM (SELECT kind, sum(x) AS s FROM events GROUP BY kind)',
  )
  assert.deepEqual(explanation.exact, ['kind'])
  assert.deepEqual(
    explanation.approximate.map(({ column }) => column),
    ['twice'],
  )
})

test('an order of groups costs a sort, and a limit leaves no lookups', async () => {
  const explanation = await explain(
    'SELECT kind, count(*) AS c FROM events GROUP BY kind ORDER BY c DESC LIMIT 3',
  )
  assert.match(explanation.cost.read, /sort/)
  assert.deepEqual(explanation.finish.lookupColumns, [])
})

test('rows are kept one per event', async () => {
  const explanation = await explain('SELECT event_id FROM events WHERE ok')
  assert.equal(explanation.stages[0]!.parts[0]!.rowPer, 'event that passes the filter')
})
