/** What a staged Parquet file says of itself, and that none is handed out unsynced. */

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { crc32 } from 'node:zlib'
import { isRefoldError } from '../../test/support/is-refold-error.ts'
import { sumFile } from '../std/file-sum.ts'
import { type Files, realFiles } from '../std/files.ts'
import { type DuckDB, openDuckDB, queryRows } from './duckdb.ts'
import { copyToParquet } from './staging.ts'

let folder = ''
let database: DuckDB

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'refold-staging-'))
  database = await openDuckDB({ memoryBytes: 500e6, threads: 2, tempDir: join(folder, 'spill') })
})

after(async () => {
  database.close()
  await rm(folder, { recursive: true, force: true })
})

test('a staged file says what it holds, in bytes that add up', async () => {
  const connection = await database.connect()
  const path = join(folder, `it's.parquet`)
  const sql = 'SELECT range AS k, range::DECIMAL(38,0) AS v FROM range(300000) ORDER BY k DESC'
  const staged = await copyToParquet(connection, sql, path)
  const content = await readFile(path)
  assert.deepEqual(staged, { rows: 300_000, bytes: content.byteLength, checksum: crc32(content) })
  assert.deepEqual(await sumFile(path), { bytes: staged.bytes, checksum: staged.checksum })
  const quoted = `'${path.replaceAll("'", "''")}'`
  const [row] = await queryRows(
    connection,
    `SELECT count(*) AS n, any_value(typeof(v)) AS t, bool_and(k = 299999 - file_row_number) AS ordered
     FROM read_parquet(${quoted}, file_row_number = true)`,
  )
  assert.deepEqual(row, { n: 300_000n, t: 'DECIMAL(38,0)', ordered: true })
  connection.closeSync()
})

test('an empty result is a file too', async () => {
  const connection = await database.connect()
  const path = join(folder, 'empty.parquet')
  const staged = await copyToParquet(connection, 'SELECT 1 AS a WHERE false', path)
  assert.equal(staged.rows, 0)
  assert.equal(staged.bytes, (await stat(path)).size)
  connection.closeSync()
})

test('a file that could not be synced is never handed out', async () => {
  const connection = await database.connect()
  const failing: Files = {
    ...realFiles,
    open: async (path, mode) => ({
      ...(await realFiles.open(path, mode)),
      datasync: () => Promise.reject(Object.assign(new Error('sync failed'), { code: 'EIO' })),
    }),
  }
  const copied = copyToParquet(connection, 'SELECT 1 AS a', join(folder, 'sync.parquet'), { files: failing })
  await assert.rejects(copied, { code: 'EIO' })
  connection.closeSync()
})

test('a failing SELECT is the query’s failure', async () => {
  const connection = await database.connect()
  const copied = copyToParquet(connection, `SELECT 'x'::INTEGER AS a`, join(folder, 'bad.parquet'))
  await assert.rejects(copied, isRefoldError('QUERY_FAILED', /Conversion/))
  connection.closeSync()
})
