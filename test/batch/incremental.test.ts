/**
 * Incremental batches give the same rows as complete ones, and fold only ranges whose lake files are not those that
 * the batch before read.
 */

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { DatabaseSync } from '../../src/std/sqlite.ts'
import { byHand, LambdaShop, lambdaRun, lambdaSql, sorted } from '../support/lambda-shop.ts'
import { eventually, shopView } from '../support/shop-server.ts'

let shop: LambdaShop
beforeEach(() => {
  shop = new LambdaShop()
})
afterEach(() => shop.dispose())

const sql = lambdaSql['per_user'] ?? ''

/** The same SQL twice, once incremental and once complete. */
function views() {
  return [
    shopView('per_user', sql, { run: lambdaRun(byHand, { incremental: true }) }),
    // Another text, so that it is another version.
    shopView('complete', `${sql} HAVING count(*) > 0`, { run: lambdaRun(byHand) }),
  ]
}

interface SliceRange {
  readonly path: string
  readonly from: number
  readonly to: number
}

function layer(): readonly SliceRange[] {
  const catalog = new DatabaseSync(join(shop.folder, 'data', 'catalog.sqlite'), { readOnly: true })
  const rows = catalog
    .prepare(
      `SELECT path, from_cut, to_cut FROM slices WHERE view = 'per_user' AND part = 'main' AND superseded_ms IS NULL
       ORDER BY from_cut`,
    )
    .all()
  catalog.close()
  return rows.map((row) => ({ path: String(row.path), from: Number(row.from_cut), to: Number(row.to_cut) }))
}

async function bothAreRight(): Promise<void> {
  await shop.check(['per_user'])
  const rows = await shop.rows('complete', { after: shop.cut })
  assert.deepEqual(sorted(rows), sorted(await shop.rows('per_user', { after: shop.cut })))
}

test('only ranges whose files changed are folded again, and the rows are those of a complete batch', async () => {
  await shop.open(shop.project({ views: views() }))
  const events: number[] = []
  for (let round = 0; round < 4; round++) {
    await shop.send(30)
    events.push((await shop.published('per_user')).events ?? 0)
    assert.equal((await shop.published('complete')).events, 30 * (round + 1))
    await bothAreRight()
  }
  assert.deepEqual(events, [30, 30, 30, 30])
  const before = layer()
  assert.deepEqual(
    before.map(({ from, to }) => [from, to]),
    [
      [0, 1],
      [1, 2],
      [2, 3],
      [3, 4],
    ],
  )
  // A slice that does not check is folded again, though its files are the same.
  const second = before[1] as SliceRange
  writeFileSync(join(shop.folder, 'data', second.path), 'damaged')
  assert.equal((await shop.published('per_user')).events, 30)
  assert.deepEqual(
    layer().map(({ path }, index) => path === before[index]?.path),
    [true, false, true, true],
  )
  await bothAreRight()
  await shop.close()
  await shop.open(shop.project({ views: views() }))
  await shop.send(5)
  assert.equal((await shop.published('per_user')).events, 5)
  await bothAreRight()
})

test('many small ranges are put together', async () => {
  await shop.open(shop.project({ views: views() }))
  for (let round = 0; round < 8; round++) {
    await shop.send(10)
    await shop.published('per_user')
  }
  await bothAreRight()
  assert.ok(layer().length <= 6, `${layer().length} ranges`)
})

test('merged lake files are other files: their ranges are folded again', async () => {
  await shop.open(shop.project({ views: views() }), { retentionCheckMs: 50, lakeMerge: { filesMin: 4 } })
  for (let round = 0; round < 3; round++) {
    await shop.send(30)
    await shop.published('per_user')
  }
  const files = () => (async () => ((await shop.status())['lake'] as unknown as { files: number }).files)()
  for (let round = 0; round < 12; round++) {
    await shop.send(3)
    await shop.server.flush()
  }
  await eventually(async () => (await files()) < 8)
  const { events } = await shop.published('per_user')
  assert.ok((events ?? 0) > 36, `${events} events`)
  await bothAreRight()
})
