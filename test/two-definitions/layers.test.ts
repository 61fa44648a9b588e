/**
 * Views with two definitions on a real server: each layer equals its own SQL run by plain DuckDB over its own range of
 * events, and the view is both merged by hand, through batches, seals, restarts and lookups.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { asTexts, TwoShop } from '../support/two-shop.ts'

let shop: TwoShop
beforeEach(() => {
  shop = new TwoShop()
})
afterEach(() => shop.dispose())

test('each layer is its own SQL over its own range, through batches, seals and a restart', async () => {
  await shop.open(shop.project())
  await shop.send(30)
  await shop.checkLayers()
  await shop.published('customers')
  await shop.checkLayers()
  for (let round = 0; round < 3; round++) {
    await shop.login('u1', 'u2', 'u1', 'u77')
    await shop.send(17)
    await shop.checkLayers()
    await shop.server.flush()
    await shop.send(9)
    await shop.checkLayers()
    if (round !== 1) await shop.published('customers')
    await shop.checkLayers()
  }
  await shop.close()
  await shop.open(shop.project())
  await shop.checkLayers()
  await shop.send(5)
  await shop.published('customers')
  await shop.checkLayers()
})

test('a lookup reads the wanted rows of both layers', async () => {
  await shop.open(shop.project())
  await shop.send(40)
  await shop.published('customers')
  await shop.send(7)
  const { rows } = await shop.answer()
  for (const user of ['u0', 'u3', 'u12', 'nobody']) {
    const read = { view: 'customers', where: { user }, order: [], limit: 10 }
    const answer = await shop.server.core.readView(read, { after: shop.cut })
    const own = rows.filter((row) => row['user'] === user)
    assert.deepEqual(asTexts(JSON.parse(answer.json)), asTexts(own), user)
  }
})
