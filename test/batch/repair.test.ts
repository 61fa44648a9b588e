/**
 * A batch repairs: a partial row that is wrong in memory, and a slice whose rows are wrong although its checksum is
 * right, are gone after the next batch, and followers of the view are told the difference. Counted here by hand.
 */

import assert from 'node:assert/strict'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { crc32 } from 'node:zlib'
import { DuckDBInstance } from '@duckdb/node-api'
import type { EngineSpec, LiveEngine } from '../../src/engine/engine.ts'
import { startLiveEngine } from '../../src/engine/live-engine.ts'
import type { ViewDelta } from '../../src/serve/core.ts'
import { DatabaseSync } from '../../src/std/sqlite.ts'
import { byHand, LambdaShop, lambdaViews } from '../support/lambda-shop.ts'
import { eventually, type Row } from '../support/shop-server.ts'

let shop: LambdaShop
beforeEach(() => {
  shop = new LambdaShop()
})
afterEach(() => shop.dispose())

/** An engine of the real kind that leaves out an event of `per_user`, so that a partial row in memory is wrong. */
function forgetting(commit: number, index: number): () => LiveEngine {
  const change = (spec: EngineSpec): EngineSpec => ({
    ...spec,
    views: spec.views.map((view) =>
      view.view === 'per_user' ? { ...view, skipped: [{ commit, index }] } : view,
    ),
  })
  return () => {
    const engine = startLiveEngine()
    const { start } = engine
    engine.start = (spec) => start(change(spec))
    return engine
  }
}

async function events(): Promise<number> {
  const rows = await shop.rows('per_user', { after: shop.cut })
  return rows.reduce((sum, { n }) => sum + Number(n), 0)
}

test('a partial row that is wrong in memory is right after the next batch, and stays right', async () => {
  await shop.open(shop.project({ views: lambdaViews(byHand) }), { startEngine: forgetting(2, 4) })
  await shop.send(20)
  await shop.published('per_user')
  await shop.send(20)
  await shop.send(20)
  assert.equal(await events(), 59)
  const { divergence } = await shop.published('per_user')
  assert.equal(await events(), 60)
  assert.ok(divergence === null || divergence === 1)
  await shop.check()
  await shop.send(20)
  await shop.server.flush()
  await shop.check()
  // What was sealed since the swap is read from its slice now.
  await shop.close()
  await shop.open(shop.project({ views: lambdaViews(byHand) }))
  await shop.check()
})

test('a partial row that is wrong and sealed after T is folded again too', async () => {
  await shop.open(shop.project({ views: lambdaViews(byHand) }), { startEngine: forgetting(2, 4) })
  await shop.send(20)
  await shop.check()
  await shop.send(20)
  await shop.server.flush()
  await shop.send(20)
  assert.equal(await events(), 59)
  await shop.published('per_user')
  await shop.check()
})

/** Rewrites the newest slice of a view, and puts its checksum right, as if the fold had given these rows. */
async function rewrite(view: string, select: string): Promise<void> {
  const dataDir = join(shop.folder, 'data')
  const catalog = new DatabaseSync(join(dataDir, 'catalog.sqlite'))
  const row = catalog
    .prepare(
      `SELECT path FROM slices WHERE view = ? AND part IN ('main', 'rows') AND superseded_ms IS NULL
       ORDER BY to_cut DESC LIMIT 1`,
    )
    .get(view)
  const path = join(dataDir, String(row?.path))
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(`CREATE TABLE slice AS SELECT * FROM read_parquet('${path}')`)
  await connection.run(`COPY (${select}) TO '${path}' (FORMAT parquet)`)
  connection.closeSync()
  instance.closeSync()
  catalog
    .prepare('UPDATE slices SET bytes = ?, checksum = ? WHERE path = ?')
    .run(statSync(path).size, crc32(readFileSync(path)), String(row?.path))
  catalog.close()
}

for (const layer of ['batch', 'speed'] as const) {
  test(`slices of the ${layer} layer with wrong rows are right after the next batch, and after a restart`, async () => {
    const views = lambdaViews(byHand)
    await shop.open(shop.project({ views }))
    await shop.send(30)
    if (layer === 'batch') for (const view of ['per_user', 'large', 'whole']) await shop.published(view)
    await shop.server.flush()
    await shop.close()
    await rewrite('per_user', `SELECT * REPLACE (a0 + 7 AS a0) FROM slice WHERE k0 <> 'u3'`)
    await rewrite('large', 'SELECT * FROM slice LIMIT 5')
    await rewrite('whole', 'SELECT * REPLACE (a0 * 2 AS a0) FROM slice')
    await shop.open(shop.project({ views }))
    await shop.send(10)
    assert.notEqual(await events(), 40)
    assert.equal((await shop.rows('large', { after: shop.cut })).length < 20, true)
    for (const view of ['per_user', 'large', 'whole']) await shop.published(view)
    await shop.check()
    // Nor is what is right now made of what was wrong before.
    await shop.checkPast(1)
    await shop.close()
    await shop.open(shop.project({ views }))
    await shop.send(1)
    await shop.check()
  })
}

/** Follows a view and applies what it is told to rows that it holds. */
async function follow(view: string, deltas: ViewDelta[], rows: Map<string, Row>, signal: AbortSignal) {
  for await (const delta of shop.server.core.changes(view, { follow: true, signal })) {
    for (const { old, new: next } of JSON.parse(delta.json) as { old?: Row; new?: Row }[]) {
      const key = String((old ?? next)?.['user'])
      if (old !== undefined) assert.deepEqual(rows.get(key), old, 'the old row is held')
      if (next === undefined) rows.delete(key)
      else rows.set(key, next)
    }
    deltas.push(delta)
  }
}

test('followers notice nothing of a batch, unless it repairs: then they are told the difference with its cause', async () => {
  await shop.open(shop.project({ views: lambdaViews(byHand) }), { startEngine: forgetting(3, 4) })
  await shop.send(20)
  const deltas: ViewDelta[] = []
  const rows = new Map<string, Row>()
  const stop = new AbortController()
  const following = follow('per_user', deltas, rows, stop.signal)
  await shop.send(20)
  await eventually(() => deltas.at(-1)?.to === shop.cut)
  const before = deltas.length
  await shop.published('per_user')
  await shop.send(20)
  await eventually(() => deltas.at(-1)?.to === shop.cut)
  assert.deepEqual(
    deltas.slice(before).map(({ cause }) => cause),
    [undefined],
  )
  const held = () => [...rows.values()].reduce((sum, { n }) => sum + Number(n), 0)
  assert.equal(held(), 59)
  const repair = await shop.published('per_user')
  assert.equal(repair.divergence, 1)
  await eventually(() => held() === 60)
  const told = deltas.filter(({ cause }) => cause !== undefined)
  assert.deepEqual(
    told.map(({ cause, count }) => [cause, count]),
    [[{ kind: 'batch', batch: repair.id }, 1]],
  )
  await shop.send(20)
  await eventually(() => held() === 80)
  stop.abort()
  await following
  assert.equal(deltas.filter(({ cause }) => cause !== undefined).length, 1)
  await shop.check()
})
