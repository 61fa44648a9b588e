/** The seam to DuckDB's parser: what is printed reads back as the same, places are characters, nothing is reachable. */

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type DuckDbSyntax, openSqlSyntax } from './sql-syntax.ts'

let syntax: DuckDbSyntax

before(async () => {
  syntax = await openSqlSyntax()
})

after(() => syntax.close())

async function printed(sql: string): Promise<string> {
  const parsed = await syntax.parse(sql)
  assert.ok(parsed.ok)
  return syntax.print(parsed.statements[0]!)
}

test('what is printed has the types of what was parsed', async () => {
  const expressions = [
    '1e3',
    '1e400',
    '-1e-320',
    '0.1',
    '1.0',
    '123456789012345678901234567890',
    'true',
    'NULL',
    "'it''s'",
  ]
  const sql = `SELECT ${expressions.map((text, index) => `${text} AS x${index}`).join(', ')}`
  assert.deepEqual(await syntax.describe(await printed(sql), {}), await syntax.describe(sql, {}))
})

test('texts that differ in layout print the same, and printing is a fixed point', async () => {
  const once = await printed('select  A, count( * ) from t -- here\n where x::int in (1,2) group by all')
  assert.equal(
    once,
    await printed('SELECT A, count(*) FROM t WHERE CAST(x AS INTEGER) IN (1, 2) GROUP BY ALL'),
  )
  assert.equal(await printed(once), once)
})

test('places are counted in characters, whatever stands before', async () => {
  const sql = "SELECT 'é🙂', wrong"
  const parsed = await syntax.parse(sql)
  assert.ok(parsed.ok)
  const locations = [...JSON.stringify(parsed.statements).matchAll(/"query_location":(\d+)/g)].map((match) =>
    Number(match[1]),
  )
  assert.ok(locations.includes(sql.indexOf('wrong')))
  const failed = await syntax.parse("SELECT 'é🙂' FORM x y")
  assert.ok(!failed.ok)
  assert.equal(failed.position, "SELECT 'é🙂' FORM ".length)
})

test('only SELECT is parsed', async () => {
  for (const sql of ['DROP TABLE x', "COPY x TO 'y'", 'SET threads = 1', "ATTACH 'x'"]) {
    const parsed = await syntax.parse(sql)
    assert.ok(!parsed.ok)
  }
})

test('relations of one description are gone in the next, also after an error', async () => {
  const column = { name: 'a', type: 'INTEGER' }
  assert.deepEqual(await syntax.describe('SELECT a FROM one', { one: [column] }), [column])
  await assert.rejects(syntax.describe('SELECT b FROM two', { two: [column] }), /b/)
  await assert.rejects(syntax.describe('SELECT a FROM one', {}), /one/)
  await assert.rejects(syntax.describe('SELECT a FROM two', {}), /two/)
})

test('descriptions at the same time do not meet', async () => {
  const types = await Promise.all(
    ['INTEGER', 'VARCHAR', 'DOUBLE'].map((type) =>
      syntax.describe('SELECT a FROM t', { t: [{ name: 'a', type }] }),
    ),
  )
  assert.deepEqual(
    types.map(([column]) => column!.type),
    ['INTEGER', 'VARCHAR', 'DOUBLE'],
  )
})

test('no file is within reach', async () => {
  await assert.rejects(syntax.describe("SELECT * FROM read_text('/etc/hostname')", {}))
  await assert.rejects(syntax.describe("SELECT * FROM '/etc/hostname'", {}))
})
