/**
 * `verify` against the real server: faults are planted in the files of slices by plain DuckDB, or by an engine that is
 * told to leave an event out, and each is found and located; where nothing is planted, nothing is found, whatever the
 * history went through. What a planted event is worth is counted here by hand.
 */

import assert from 'node:assert/strict'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { crc32 } from 'node:zlib'
import { DuckDBInstance } from '@duckdb/node-api'
import type { LiveEngine } from '../src/engine/engine.ts'
import { startLiveEngine } from '../src/engine/live-engine.ts'
import type { VerifyFinding, VerifyReport } from '../src/govern/types.ts'
import { DatabaseSync } from '../src/std/sqlite.ts'
import { SalesServer, salesView } from './support/sales-server.ts'

let shop: SalesServer
beforeEach(() => {
  shop = new SalesServer()
})
afterEach(() => shop.dispose())

/** `per_user` alone, with a sum, a count and, in a part of its own, distinct values. */
function project(change: Parameters<SalesServer['project']>[0] = {}) {
  return shop.project(change)
}

async function verify(view: string, more: { sample?: number; cut?: number } = {}): Promise<VerifyReport> {
  const [report] = await shop.core.verify.run({ views: [view], ...more })
  assert.ok(report !== undefined)
  return report
}

/** The only finding. */
async function finding(view: string): Promise<VerifyFinding> {
  const report = await verify(view)
  assert.equal(report.error, undefined)
  assert.equal(report.findings.length, 1, JSON.stringify(report.findings, null, 2))
  assert.equal(report.found, 1)
  return report.findings[0] as VerifyFinding
}

async function allSound(): Promise<void> {
  for (const report of await shop.core.verify.run({})) {
    assert.deepEqual([report.view, report.error, report.findings], [report.view, undefined, []])
    assert.ok(report.groups > 0)
  }
}

interface SliceFile {
  readonly path: string
  readonly from: number
  readonly to: number
}

function slicesOf(view: string, part = 'main'): readonly SliceFile[] {
  const catalog = new DatabaseSync(join(shop.dataDir, 'catalog.sqlite'), { readOnly: true })
  const rows = catalog
    .prepare(
      'SELECT path, from_cut, to_cut FROM slices WHERE view = ? AND part = ? AND superseded_ms IS NULL ORDER BY from_cut',
    )
    .all(view, part)
  catalog.close()
  return rows.map((row) => ({
    path: String(row.path),
    from: Number(row.from_cut),
    to: Number(row.to_cut),
  }))
}

/** Rewrites a slice by plain DuckDB and puts its checksum right, as if the fold had given these rows. */
async function rewrite(slice: SliceFile, select: string): Promise<void> {
  const path = join(shop.dataDir, slice.path)
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(`CREATE TABLE slice AS SELECT * FROM read_parquet('${path}')`)
  await connection.run(`COPY (${select}) TO '${path}' (FORMAT parquet)`)
  connection.closeSync()
  instance.closeSync()
  const catalog = new DatabaseSync(join(shop.dataDir, 'catalog.sqlite'))
  catalog
    .prepare('UPDATE slices SET bytes = ?, checksum = ? WHERE path = ?')
    .run(statSync(path).size, crc32(readFileSync(path)), slice.path)
  catalog.close()
}

/** The hash of a position as it is stored; written out a second time, so that a change of it is noticed. */
function hashOf(commit: number, index: number): bigint {
  return (BigInt(commit) * 4_194_319n) ^ (BigInt(index) * 7_919n)
}

/** Numbers and times in the form in which the log keeps them. */
function asLogged(sale: SalesServer['sent'][number] | undefined) {
  return { ...sale, amount: String(Number(sale?.amount)), at: sale?.at.replace('.000Z', 'Z') }
}

/** Three slices of ten sales each, and a tail. */
async function threeSlices(): Promise<void> {
  await shop.open(project())
  for (let round = 0; round < 3; round++) {
    await shop.send(10)
    await shop.server?.flush()
  }
  await shop.send(5)
  await shop.check()
}

test('with nothing planted nothing is found, in slices, tail and lake', async () => {
  await threeSlices()
  await allSound()
  assert.equal((await verify('per_user')).groups, 13)
})

test('an event that a slice lacks is named, with slice, key and content', async () => {
  await threeSlices()
  await shop.close()
  const slice = slicesOf('per_user')[1] as SliceFile
  // Sale 14 is of user u1 and came as number 4 of the second commit.
  const sale = shop.sent[14]
  assert.deepEqual([sale?.user, sale?.amount], ['u1', '518.00'])
  await rewrite(
    slice,
    `SELECT * REPLACE (a0 - (k0 = 'u1')::INT AS a0, a1 - CASE k0 WHEN 'u1' THEN 518 ELSE 0 END AS a1,
       CASE k0 WHEN 'u1' THEN xor(positions, ${hashOf(2, 4)}) ELSE positions END AS positions) FROM slice
     WHERE a0 > 1 OR k0 <> 'u1'`,
  )
  await shop.open(project())
  await shop.server?.core.readView({ view: 'per_user', where: {}, order: [], limit: 1 }, { after: 4 })
  const found = await finding('per_user')
  assert.equal(found.kind, 'skipped')
  assert.deepEqual(found.place, { kind: 'slice', ...slice })
  assert.deepEqual(found.key, { user: 'u1' })
  assert.equal(found.events, -1)
  assert.deepEqual(found.positions, [
    { stream: 'sales', commit: 2, index: 4, partition: 0, offset: 7, event: asLogged(sale) },
  ])
  const right = shop.sent.filter(({ user }) => user === 'u1').length
  assert.equal((found.right as { n: number }).n, right)
  assert.equal((found.served as { n: number }).n, right - 1)
})
