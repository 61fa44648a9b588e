/** Every type comes out exact, rows in order and from any row on; the expected lines are typed out by hand. */

import assert from 'node:assert/strict'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { DuckDBInstance } from '@duckdb/node-api'
import { type ReadParquetOptions, readParquetFile } from './read-parquet-file.ts'

const plain: ReadParquetOptions = {
  fromRow: 0,
  nullable: new Set(),
  asNumber: new Set(),
  asText: new Set(),
}

async function parquetOf(select: string, name = 'events.parquet'): Promise<string> {
  const path = join(await mkdtemp(join(tmpdir(), 'refold-parquet-')), name)
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(`COPY (${select}) TO '${path}' (FORMAT parquet)`)
  connection.closeSync()
  instance.closeSync()
  return path
}

async function linesOf(path: string, options: Partial<ReadParquetOptions> = {}): Promise<string[]> {
  const file = await readParquetFile(path, { ...plain, ...options })
  const lines: string[] = []
  for await (const some of file.lines) lines.push(...some)
  return lines
}

test('numbers keep every digit', async () => {
  const path = await parquetOf(`SELECT 9007199254740993::BIGINT AS big, 18446744073709551615::UBIGINT AS huge,
    12345678901234567890.12::DECIMAL(38,2) AS money, -0.5::DECIMAL(4,3) AS small, 0.1::DOUBLE AS d,
    1e300::DOUBLE AS far, 0.5::FLOAT AS f, true AS yes, 'nan'::DOUBLE AS nothing`)
  assert.deepEqual(await linesOf(path), [
    '{"big":9007199254740993,"huge":18446744073709551615,"money":"12345678901234567890.12","small":"-0.500","d":0.1,"far":1e+300,"f":0.5,"yes":true}',
  ])
})

test('times are UTC with microseconds, whatever their unit in the file', async () => {
  const path =
    await parquetOf(`SELECT TIMESTAMP '2026-03-02 06:31:30.000001' AS us, TIMESTAMP_MS '2026-03-02 06:31:30.5' AS ms,
    TIMESTAMPTZ '2026-03-02 06:31:30+02' AS tz, DATE '2026-03-02' AS day`)
  assert.deepEqual(await linesOf(path), [
    '{"us":"2026-03-02T06:31:30.000001Z","ms":"2026-03-02T06:31:30.500000Z","tz":"2026-03-02T04:31:30.000000Z","day":"2026-03-02"}',
  ])
})

test('texts are escaped and nested values stay nested', async () => {
  const path = await parquetOf(`SELECT 'say "hi"' || chr(10) || 'ünï' AS said, [1, NULL, 3] AS list,
    {'a': 1.50::DECIMAL(4,2), 'b': ['x', 'y'], 'c': NULL::INTEGER} AS nested, MAP {'k"1': 1, 'k2': 2} AS map, [{'q': 1}] AS rows`)
  assert.deepEqual(await linesOf(path), [
    '{"said":"say \\"hi\\"\\nünï","list":[1,null,3],"nested":{"a":"1.50","b":["x","y"]},"map":{"k\\"1":1,"k2":2},"rows":[{"q":1}]}',
  ])
})

test('the stream decides how NULL, decimals and identifiers are written', async () => {
  const path = await parquetOf(
    `SELECT NULL::INTEGER AS gone, NULL::INTEGER AS kept, 1.50::DECIMAL(4,2) AS price, 42 AS id`,
  )
  const lines = await linesOf(path, {
    nullable: new Set(['kept']),
    asNumber: new Set(['price']),
    asText: new Set(['id']),
  })
  assert.deepEqual(lines, ['{"kept":null,"price":1.50,"id":"42"}'])
})

test('rows come in order, over row groups, from any row on', async () => {
  const path = await parquetOf('SELECT i FROM range(300000) t(i)', 'odd [name]*.parquet')
  const file = await readParquetFile(path, { ...plain, fromRow: 123_456 })
  assert.equal(file.rows, 300_000)
  let expected = 123_456
  for await (const lines of file.lines) {
    for (const line of lines) {
      if (line !== `{"i":${expected}}`) assert.equal(line, `{"i":${expected}}`)
      expected += 1
    }
  }
  assert.equal(expected, 300_000)
})

test('a file that is no Parquet is refused with its name', async () => {
  const path = join(await mkdtemp(join(tmpdir(), 'refold-parquet-')), 'not.parquet')
  await writeFile(path, 'hello')
  await assert.rejects(readParquetFile(path, plain), { code: 'CLI_FILE_UNREADABLE', message: /not\.parquet/ })
})
