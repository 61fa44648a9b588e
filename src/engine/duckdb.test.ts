/** DuckDB as it is opened: settings pinned, values exact, statements that end when they should, failures told apart. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { isRefoldError } from '../../test/support/is-refold-error.ts'
import { type DuckDB, openDuckDB, queryRows, queryValue, run, runCancellable } from './duckdb.ts'

let folder = ''
let database: DuckDB

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'refold-duckdb-'))
  database = await openDuckDB({ memoryBytes: 200e6, threads: 1, tempDir: join(folder, 'spill') })
})

after(async () => {
  database.close()
  await rm(folder, { recursive: true, force: true })
})

const endless = 'SELECT count(*) FROM range(1000000000) a, range(1000000000) b WHERE a.range + b.range = -1'

test('what could change a result is pinned on every connection', async () => {
  for (const connection of [await database.connect(), await database.connect()]) {
    const rows = await queryRows(
      connection,
      `SELECT name, value FROM duckdb_settings() WHERE name IN ('TimeZone', 'Calendar', 'default_collation',
         'default_null_order', 'default_order', 'integer_division', 'autoinstall_known_extensions',
         'autoload_known_extensions') ORDER BY name`,
    )
    assert.deepEqual(Object.fromEntries(rows.map((row) => [row['name'], row['value']])), {
      ...{ Calendar: 'gregorian', TimeZone: 'UTC', default_collation: '', default_null_order: 'NULLS_LAST' },
      ...{ default_order: 'ASC', integer_division: 'false' },
      ...{ autoinstall_known_extensions: 'false', autoload_known_extensions: 'false' },
    })
    connection.closeSync()
  }
})

test('values come as JavaScript without losing anything', async () => {
  const connection = await database.connect()
  const [row] = await queryRows(
    connection,
    `SELECT 9223372036854775807 AS i, 0.1::DECIMAL(38,10) AS d, 1.5::DOUBLE AS f, TIMESTAMP '2024-01-01 00:00:00.000001' AS t,
       [1, NULL] AS l, {'a': 1::BIGINT} AS s, MAP {'k': 'v'} AS m, NULL AS n, true AS b`,
  )
  assert.deepEqual(row, {
    ...{ i: 9223372036854775807n, d: '0.1000000000', f: 1.5, t: '2024-01-01 00:00:00.000001' },
    ...{ l: [1, null], s: { a: 1n }, m: [{ key: 'k', value: 'v' }], n: null, b: true },
  })
  connection.closeSync()
})

test('a statement ends when its time is up, and the connection goes on', async () => {
  const connection = await database.connect()
  await assert.rejects(runCancellable(connection, endless, { timeoutMs: 30 }), isRefoldError('QUERY_TIMEOUT'))
  assert.equal(await queryValue(connection, 'SELECT 1'), 1)
  connection.closeSync()
})

test('a statement ends when its signal aborts, before or while it runs', async () => {
  const connection = await database.connect()
  const controller = new AbortController()
  const running = runCancellable(connection, endless, { signal: controller.signal })
  controller.abort()
  await assert.rejects(running, isRefoldError('QUERY_CANCELLED'))
  const late = runCancellable(connection, 'SELECT 1', { signal: controller.signal })
  await assert.rejects(late, isRefoldError('QUERY_CANCELLED'))
  assert.equal(await queryValue(connection, 'SELECT 1'), 1)
  connection.closeSync()
})

test('failures are told apart', async () => {
  const connection = await database.connect()
  await assert.rejects(
    run(connection, `SELECT 'x'::INTEGER`),
    isRefoldError('QUERY_FAILED', /^Conversion Error/),
  )
  const tooMuch = `SELECT list(range::VARCHAR || repeat('x', 100)) FROM range(10000000)`
  await assert.rejects(run(connection, tooMuch), isRefoldError('ENGINE_MEMORY'))
  connection.closeSync()
})

test('in a jail no file outside of its folders is opened', async () => {
  const inside = join(folder, 'inside')
  const jailed = await openDuckDB({
    ...{ memoryBytes: 200e6, threads: 1, tempDir: join(folder, 'jail-spill'), jail: [inside] },
  })
  const connection = await jailed.connect()
  const outside = join(folder, 'outside.csv')
  await writeFile(outside, 'a\n1\n')
  await assert.rejects(
    run(connection, `FROM read_csv('${outside}')`),
    isRefoldError('QUERY_FAILED', /Permission/),
  )
  connection.closeSync()
  jailed.close()
})
