/**
 * Hybrid: kappa whose replays begin at the nearest valid snapshot. How many events a replay folds is what its deploy
 * says; rows are compared with a count made here by hand.
 */

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { DatabaseSync } from '../../src/std/sqlite.ts'
import { eventually, ShopServer, shopView } from '../support/shop-server.ts'

let shop: ShopServer
beforeEach(() => {
  shop = new ShopServer()
})
afterEach(() => shop.dispose())

const run = { kind: 'hybrid', snapshotEveryMs: 150, keep: 2 } as const
const counts = shopView('per_user', 'SELECT "user", count(*) AS n FROM sales GROUP BY "user"', { run })
const doubled = shopView('per_user', 'SELECT "user", count(*) * 2 AS n FROM sales GROUP BY "user"', { run })

function project(view: typeof counts) {
  // Old versions and what merges took the place of go at once.
  return shop.project({ views: [view], history: { quickMs: 1, fineMs: 1_000 } })
}

const options = { historyCheckMs: 100 }

function rowsOf<T>(sql: string): readonly T[] {
  const catalog = new DatabaseSync(join(shop.folder, 'data', 'catalog.sqlite'))
  const rows = catalog.prepare(sql).all() as unknown as readonly T[]
  catalog.close()
  return rows
}

interface Taken {
  readonly version: string
  readonly cut: number
  readonly engine: string
  readonly paths: string
}

const snapshots = () => rowsOf<Taken>('SELECT * FROM snapshots ORDER BY made_ms, cut')

/** Sends sales, and waits for a snapshot that has them. */
async function snapshotOf(count: number): Promise<number> {
  const cut = await shop.send(count)
  await eventually(() => snapshots().at(-1)?.cut === cut)
  return cut
}

async function isRight(factor: number, cut: number): Promise<void> {
  const users = new Map<string, number>()
  for (const { user } of shop.sent) users.set(user, (users.get(user) ?? 0) + factor)
  const rows = await shop.rows('per_user', { after: cut })
  assert.deepEqual(new Map(rows.map(({ user, n }) => [String(user), Number(n)])), users)
}

/** Puts another version in place, and waits until the slices of the one before are gone, but for its snapshots. */
async function replaced(): Promise<void> {
  await shop.server.flush()
  const old = await shop.version('per_user')
  const info = await shop.deploy(project(doubled), { warmMs: 1 })
  assert.equal(info.state, 'live', info.reason)
  const named = () =>
    snapshots()
      .filter(({ version }) => version === old)
      .flatMap(({ paths }) => JSON.parse(paths) as string[])
  await eventually(() => {
    const left = rowsOf<{ path: string }>(`SELECT path FROM slices WHERE version = '${old}'`)
    const state = rowsOf<{ state: string }>(`SELECT state FROM versions WHERE version = '${old}'`)[0]?.state
    return state === 'retired' && left.length > 0 && left.every(({ path }) => named().includes(path))
  })
}

test('a replay begins at the nearest snapshot of the same version; so many are kept; older cuts still answer', async () => {
  await shop.open(project(counts), options)
  const cuts: number[] = []
  for (let round = 0; round < 4; round++) cuts.push(await snapshotOf(50))
  assert.deepEqual(
    snapshots().map(({ cut }) => cut),
    cuts.slice(-2),
  )
  await shop.send(30)
  const version = await shop.version('per_user')
  await replaced()
  await isRight(2, await shop.send(10))
  await shop.server.flush()
  const from = Math.max(
    ...snapshots()
      .filter((own) => own.version === version)
      .map(({ cut }) => cut),
  )
  assert.ok(from >= (cuts.at(-1) ?? 0))
  const back = await shop.deploy(project(counts), { warmMs: 1 })
  assert.equal(back.state, 'live', back.reason)
  assert.equal(back.outcome?.events, shop.sent.filter(({ cut }) => cut > from).length)
  await isRight(1, await shop.send(10))
  for (const [index, cut] of cuts.entries()) {
    const read = { view: 'per_user', where: {}, order: [], limit: 100 }
    const answer = await shop.server.core.readView(read, { moment: { kind: 'cut', cut } })
    const rows = JSON.parse(answer.json) as { n: number }[]
    assert.equal(
      rows.reduce((sum, { n }) => sum + n, 0),
      50 * (index + 1),
    )
  }
})

for (const fault of ['a damaged slice', 'another engine'] as const) {
  test(`with ${fault} the newest snapshot is not valid: a replay begins at the one before`, async () => {
    await shop.open(project(counts), options)
    const first = await snapshotOf(50)
    await snapshotOf(50)
    await replaced()
    const [older, newest] = snapshots()
    assert.equal(older?.cut, first)
    if (fault === 'another engine') {
      rowsOf(`UPDATE snapshots SET engine = 'duckdb of old' WHERE cut = ${newest?.cut}`)
    } else {
      const before = JSON.parse(older?.paths ?? '[]') as string[]
      const own = (JSON.parse(newest?.paths ?? '[]') as string[]).filter((path) => !before.includes(path))
      writeFileSync(join(shop.folder, 'data', own[0] ?? ''), 'damaged')
    }
    await shop.server.flush()
    const back = await shop.deploy(project(counts), { warmMs: 1 })
    assert.equal(back.state, 'live', back.reason)
    assert.equal(back.outcome?.events, 50)
    await isRight(1, await shop.send(10))
  })
}
