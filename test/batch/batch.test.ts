/**
 * Batches of a view that runs as lambda, with the real server: what is served equals the view's SQL run by plain DuckDB
 * over the events that were sent, at T and after it.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { LambdaShop, lambdaViews } from '../support/lambda-shop.ts'

let shop: LambdaShop
beforeEach(() => {
  shop = new LambdaShop()
})
afterEach(() => shop.dispose())

test('batches run by themselves, T moves on, and every answer equals the SQL over the events', async () => {
  await shop.open(shop.project({ views: lambdaViews({ kind: 'every', everyMs: 300 }) }))
  for (let round = 0; round < 8; round++) {
    await shop.send(20)
    await shop.check()
    if (round % 4 === 3) await shop.batchAfter('per_user', shop.cut)
  }
  const list = shop.server.core.batches.list('per_user', 100_000)
  const published = list.filter(({ state }) => state === 'published')
  assert.ok(published.length >= 2)
  assert.deepEqual(
    list.filter(({ state }) => state === 'failed').map(({ reason }) => reason),
    [],
  )
  await shop.check()
  await shop.close()
  await shop.open(shop.project({ views: lambdaViews({ kind: 'every', everyMs: 300 }) }))
  await shop.check()
})
