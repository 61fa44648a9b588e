/**
 * Views with two definitions on a real server: each layer equals its own SQL run by plain DuckDB over its own range of
 * events, and the view is both merged by hand, through batches, seals, restarts and lookups.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { lambdaRun } from '../support/lambda-shop.ts'
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

test('no reader sees a gap or an overlap while batches are published under live input', async () => {
  const run = lambdaRun({ kind: 'every', everyMs: 150 })
  await shop.open(shop.project({ views: [shop.twoView({}, { run })] }))
  await shop.send(10)
  let reads = 0
  let done = false
  const cuts = new Set<number>()
  const reading = (async () => {
    while (!done) {
      const { cut, batch, rows } = await shop.answer()
      const counted = rows.reduce((sum, row) => sum + Number(row['n']), 0)
      // An answer may come before the word that its last commit was taken.
      while (shop.cut < cut) await new Promise((resolve) => setTimeout(resolve, 1))
      const sent = shop.sent.filter((sale) => sale.cut <= cut).length
      assert.equal(counted, sent, `cut ${cut}, T ${batch}`)
      cuts.add(batch)
      reads++
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })()
  for (let round = 0; round < 40 || cuts.size < 3; round++) {
    const ended = shop.server.core.batches.list('customers', 100)
    assert.deepEqual(
      ended.filter(({ state }) => state === 'failed'),
      [],
    )
    await shop.send(7)
    if (round % 9 === 4) await shop.server.flush()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  done = true
  await reading
  assert.ok(reads > 20)
  await shop.checkLayers()
})
