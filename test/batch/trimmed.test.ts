/** Batches of views whose oldest events are gone from the log: they begin where the view's base ends. */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { byHand, LambdaShop, lambdaViews } from '../support/lambda-shop.ts'

let shop: LambdaShop
beforeEach(() => {
  shop = new LambdaShop()
})
afterEach(() => shop.dispose())

for (const incremental of [false, true]) {
  test(`after a trim ${incremental ? 'an incremental' : 'a complete'} batch keeps the base and folds the rest`, async () => {
    const views = lambdaViews(byHand, { incremental })
    await shop.open(shop.project({ views }))
    await shop.send(40)
    await shop.published('per_user')
    const cut = await shop.send(10)
    await shop.server.flush()
    await shop.published('per_user')
    await shop.send(20)
    await shop.server.flush()
    const trimmed = await shop.server.core.lake.trim({ stream: 'sales', to: { cut }, promote: true })
    assert.equal(trimmed.done, true)
    await shop.send(5)
    const { events } = await shop.published('per_user')
    const left = shop.sent.filter((sale) => sale.cut > trimmed.cut).length
    assert.ok(trimmed.cut > 0 && (events ?? 0) <= left)
    if (!incremental) assert.equal(events, left)
    for (const view of ['large', 'whole']) await shop.published(view)
    await shop.check()
    await shop.bordersAtT()
    await shop.close()
    await shop.open(shop.project({ views }))
    await shop.send(5)
    await shop.published('per_user')
    await shop.check()
  })
}
