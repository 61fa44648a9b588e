/** Merging lake files that plain DuckDB wrote: types that were widened in between, and inputs that do not check. */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import type { LakeFile } from '../lake/types.ts'
import { sumFile } from '../std/file-sum.ts'
import { runInWorker } from './run-in-worker.ts'

const folder = mkdtempSync(join(tmpdir(), 'refold-lake-merge-'))
let plain: DuckDBConnection
before(async () => {
  plain = await (await DuckDBInstance.create(':memory:')).connect()
})
after(() => {
  plain.closeSync()
  rmSync(folder, { recursive: true, force: true })
})

/** Ten events in the commits (from, from + 10], of one partition. */
async function lakeFile(from: number, value: string, fields = ['v']): Promise<LakeFile> {
  const path = join(folder, `${from}.parquet`)
  const rows =
    `SELECT ${value} AS v, 0 AS _partition, (${from} + i)::BIGINT AS _offset, (${from} + i + 1)::BIGINT AS _commit, ` +
    `0 AS _index, make_timestamp_ms(1000 * (${from} + i)) AS _ingested_at FROM range(10) t(i)`
  await plain.run(`COPY (${rows}) TO '${path}' (FORMAT parquet)`)
  return {
    ...{ stream: 's', from, to: from + 10, path, rows: 10, fields, ...(await sumFile(path)) },
    offsets: [{ from, to: from + 10 }],
    times: { ingested: [1000 * from, 1000 * (from + 9)] },
  }
}

function merge(inputs: readonly LakeFile[]) {
  const settings = { memoryBytes: 256 << 20, threads: 1, tempDir: join(folder, 'temp') }
  return runInWorker({ kind: 'lake-merge', inputs, stagingDir: join(folder, 'staging') }, settings, () => {})
}

async function rowsOf(paths: readonly string[]): Promise<string> {
  const list = paths.map((path) => `'${path}'`).join(', ')
  const sql = `SELECT * FROM read_parquet([${list}], union_by_name = true) ORDER BY _commit`
  return JSON.stringify((await plain.runAndReadAll(sql)).getRowsJson())
}

test('a type that was widened is the wider one in all rows, and nothing is lost of either', async () => {
  const narrow = await lakeFile(0, 'i::INTEGER')
  for (const value of ['(i + 5000000000)::BIGINT', '(i + 0.25)::DECIMAL(30,2)']) {
    const wide = await lakeFile(10, value)
    const result = await merge([narrow, wide])
    assert.ok(result.kind === 'lake-merge')
    const { path, checksum, bytes, ...said } = result.file
    assert.equal(await rowsOf([path]), await rowsOf([narrow.path, wide.path]))
    assert.deepEqual({ checksum, bytes }, await sumFile(path))
    assert.deepEqual(said, {
      ...{ stream: 's', from: 0, to: 20, rows: 20, fields: ['v'], offsets: [{ from: 0, to: 20 }] },
      times: { ingested: [0, 19_000] },
    })
  }
})

test('an input that does not check, or has other columns, is not merged', async () => {
  const first = await lakeFile(0, 'i')
  const second = await lakeFile(10, 'i')
  await assert.rejects(merge([first, { ...second, fields: ['w'] }]), /same columns/)
  writeFileSync(second.path, 'damaged')
  await assert.rejects(merge([first, second]), { code: 'JOB_FAILED', message: /10\.parquet.*checksum/ })
})
