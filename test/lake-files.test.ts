/**
 * The files of the lake: merged ones hold what the small ones held, by plain DuckDB; whatever is missing, damaged, extra
 * or wrong is named by `refold lake check`.
 */

import assert from 'node:assert/strict'
import { cpSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, test } from 'node:test'
import { DuckDBInstance } from '@duckdb/node-api'
import { runCommand } from '../src/cli/cli-fixture.ts'
import type { FieldType, StreamDef } from '../src/model/schema.ts'
import { lakeCrashPoints, type ServerCrashPoint } from '../src/server/crash-point.ts'
import { eventually, SalesServer } from './support/sales-server.ts'

let shop: SalesServer
beforeEach(() => {
  shop = new SalesServer()
})
afterEach(() => shop.dispose())

const folder = () => join(shop.dataDir, 'lake', 'sales')
const names = () => readdirSync(folder()).sort()

async function rounds(count: number, events = 20): Promise<void> {
  for (let round = 0; round < count; round++) {
    await shop.send(events)
    await shop.server?.flush()
  }
}

/** Every column of every row of these files, as DuckDB's texts, in the order of the log. */
async function content(paths: readonly string[], columns = '*'): Promise<string> {
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  const list = paths.map((path) => `'${path}'`).join(', ')
  const reader = await connection.runAndReadAll(
    `SELECT ${columns} FROM read_parquet([${list}], union_by_name = true) ORDER BY _commit, _index`,
  )
  connection.closeSync()
  return JSON.stringify([reader.columnNames(), reader.columnTypes().map(String), reader.getRowsJson()])
}

/** (commit, index) of each row, as the rows lie in the file. */
async function inFileOrder(path: string): Promise<(readonly [number, number])[]> {
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  const sql = `SELECT _commit, _index FROM read_parquet('${path}', file_row_number = true) ORDER BY file_row_number`
  const rows = (await connection.runAndReadAll(sql)).getRowsJson()
  connection.closeSync()
  return rows.map(([commit, index]) => [Number(commit), Number(index)] as const)
}

test('merged files hold exactly what the small ones held, and readers go on', async () => {
  await shop.open(shop.project(), { retentionCheckMs: 1e9 })
  await rounds(12)
  await shop.close()
  const before = await content(names().map((name) => join(folder(), name)))
  await shop.open(shop.project(), { retentionCheckMs: 10 })
  await eventually(() => names().length === 1)
  const merged = join(folder(), names()[0]!)
  assert.equal(await content([merged]), before)
  const positions = await inFileOrder(merged)
  assert.deepEqual(
    positions,
    [...positions].sort(([a, b], [c, d]) => a - c || b - d),
  )
  assert.equal(positions.length, shop.sent.length)
  await shop.check(await shop.send(20))
  assert.deepEqual((await shop.core.lake.check()).faults, [])
  const ids = (await shop.logged()).map(({ json }) => JSON.parse(json).id)
  assert.deepEqual(
    ids,
    shop.sent.map(({ id }) => id),
  )
  const offsets = await shop.logged({
    from: { kind: 'offset', partition: 1, offset: 15 },
    partition: 1,
    limit: 3,
  })
  assert.deepEqual(
    offsets.map(({ offset }) => offset),
    [15, 16, 17],
  )
  // Slices deleted: everything is folded again, from the merged file.
  await shop.close()
  rmSync(join(shop.dataDir, 'slices'), { recursive: true })
  await shop.open()
  await eventually(async () => {
    try {
      await shop.check()
      return true
    } catch (error) {
      if ((error as { code?: string }).code !== 'VIEW_BUILDING') throw error
      return false
    }
  })
})

test('files before and after a new field are merged apart, and text of events is kept', async () => {
  const json: FieldType = { kind: 'json' }
  const fields = (shop.project().streams[0] as StreamDef).schema.fields
  const more = [...fields, { name: 'more', type: json, optional: true, nullable: true }]
  const wide = { schema: { kind: 'object' as const, fields: more } }
  await shop.open(shop.project(), { retentionCheckMs: 1e9 })
  await rounds(4)
  await shop.close()
  await shop.open(shop.project({}, wide), { retentionCheckMs: 1e9 })
  await rounds(4)
  await shop.close()
  const both = names().map((name) => join(folder(), name))
  const before = await content(both)
  await shop.open(shop.project({}, wide), { retentionCheckMs: 10, lakeMerge: { filesMin: 2 } })
  await eventually(() => names().length === 2)
  assert.equal(await content(names().map((name) => join(folder(), name))), before)
  await shop.check()
})

test('a crash at any point of a merge leaves a lake that is whole', async () => {
  const copies = new Map<ServerCrashPoint, string>()
  const crash = (point: ServerCrashPoint) => {
    if (!(lakeCrashPoints as readonly string[]).includes(point) || copies.has(point)) return
    const copy = join(shop.folder, `copy-${copies.size}`)
    cpSync(shop.dataDir, copy, { recursive: true })
    copies.set(point, copy)
  }
  await shop.open(shop.project(), { retentionCheckMs: 10, crash, lakeMerge: { filesMin: 3 } })
  await rounds(3)
  await eventually(() => copies.size === 3)
  await shop.close()
  assert.deepEqual([...copies.keys()].sort(), ['lake.leftovers-deleted', 'lake.merge-renamed', 'lake.merged'])
  for (const [point, copy] of copies) {
    rmSync(shop.dataDir, { recursive: true, force: true })
    renameSync(copy, shop.dataDir)
    await shop.open(shop.project(), { retentionCheckMs: 1e9 })
    await shop.check()
    assert.deepEqual((await shop.core.lake.check()).faults, [], point)
    assert.equal((await shop.logged()).length, shop.sent.length)
    // Published under its last name, but not listed: it holds events, so it is kept.
    const kept = readdirSync(join(shop.dataDir, 'lost+found')).length
    assert.equal(kept, point === 'lake.merge-renamed' ? 1 : 0, point)
    await shop.close()
  }
})

test('check names what is missing, damaged, extra or wrong, and its exit code says so', async () => {
  await shop.open(shop.project(), { http: true, retentionCheckMs: 1e9 })
  await rounds(4)
  const url = shop.server?.http?.url ?? ''
  const check = () => runCommand(['lake', 'check', '--url', url])
  const good = await check()
  assert.deepEqual([good.code, good.out], [0, ''])
  assert.match(good.err, /4 files, 80 events, \d+ bytes: all is well/)
  const [one = '', two = '', three = ''] = names().map((name) => join(folder(), name))
  const bytes = readFileSync(one)
  bytes[60] = bytes[60]! ^ 1
  writeFileSync(one, bytes)
  rmSync(two)
  writeFileSync(join(folder(), 'stranger.parquet'), 'who?')
  const catalog = new DatabaseSync(join(shop.dataDir, 'catalog.sqlite'), { timeout: 5000 })
  const offsets = JSON.stringify([
    { from: 21, to: 30 },
    { from: 20, to: 30 },
  ])
  catalog
    .prepare('UPDATE lake_files SET offsets = ? WHERE path LIKE ?')
    .run(offsets, `%${three.split('/').at(-1)}`)
  catalog.prepare('UPDATE lake_files SET rows = 21 WHERE to_cut = 4').run()
  catalog.close()
  const bad = await check()
  assert.equal(bad.code, 7)
  const lines = bad.out.trim().split('\n')
  const has = (kind: string, ...words: string[]) =>
    assert.ok(
      lines.some((line) => line.startsWith(`${kind}: `) && words.every((word) => line.includes(word))),
      `${kind} ${words}\n${bad.out}`,
    )
  has('damaged', one)
  has('missing', two)
  has('extra', 'stranger.parquet')
  has('offsets', three, 'partition 0 begins at offset 21, not 20')
  has('rows', 'holds 20 events, not 21')
  const json = await runCommand(['lake', 'check', '--json', '--url', url])
  const { faults } = JSON.parse(json.out) as { faults: { kind: string; path?: string }[] }
  assert.deepEqual([...new Set(faults.map(({ kind }) => kind))].sort(), [
    'damaged',
    'extra',
    'missing',
    'offsets',
    'rows',
  ])
})

test('the hand-over to the hot log is checked', async () => {
  await shop.open()
  await rounds(3)
  await shop.send(10)
  const catalog = new DatabaseSync(join(shop.dataDir, 'catalog.sqlite'), { timeout: 5000 })
  catalog.prepare('DELETE FROM lake_files WHERE to_cut = 3').run()
  catalog.close()
  const { faults } = await shop.core.lake.check()
  assert.deepEqual(faults.map(({ kind }) => kind).sort(), ['extra', 'hand-over', 'hand-over'])
  assert.match(faults.at(-1)?.text ?? '', /the lake ends at offset 20, the hot log goes on at 30/)
})

test('lake trim by command: what it would do, why not, and what it did', async () => {
  await shop.open(shop.project(), { http: true })
  await rounds(3)
  const url = shop.server?.http?.url ?? ''
  const trim = (...args: string[]) => runCommand(['lake', 'trim', ...args, '--url', url])
  const dry = await trim('sales', '--to', '2', '--dry-run')
  assert.equal(dry.code, 0, dry.err)
  assert.match(dry.out, /per_user +[0-9a-f]{12} +live +slices/)
  assert.match(dry.err, /would trim 40 events in 2 files/)
  const refused = await trim('sales', '--to', '2')
  assert.equal(refused.code, 1)
  assert.match(refused.err, /TRIM_REFUSED/)
  const nothing = await trim('sales', '--before', '2020-01-01', '--promote')
  assert.match(nothing.err, /nothing to trim/)
  const done = await trim('sales', '--before', '2999-01-01', '--promote')
  assert.equal(done.code, 0, done.err)
  assert.match(done.err, /trimmed: 60 events in 3 files .*begins after cut 3/)
  for (const args of [['sales'], ['sales', '--to', '1', '--before', '2020-01-01'], []]) {
    assert.equal((await trim(...args)).code, 2)
  }
  assert.equal((await trim('sales', '--before', 'yesterday')).code, 1)
  const list = await runCommand(['lake', '--url', url])
  assert.match(list.out, /sales +3 +0 +0 +0/)
  assert.match(list.err, /stream "sales" begins after cut 3: 60 events, of .* and before were trimmed/)
  await shop.check(await shop.send(10))
})
