/** What makes another version of a view with two definitions, and what does not; and `refold dev`, which adopts it. */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type { BatchDef } from '../../src/define/types.ts'
import { planViews } from '../../src/server/plan-views.ts'
import { BATCH_SQL, TwoShop } from '../support/two-shop.ts'

let shop: TwoShop
beforeEach(() => {
  shop = new TwoShop()
})
afterEach(() => shop.dispose())

async function versionOf(change: Partial<BatchDef>): Promise<string> {
  const planned = await planViews(shop.project({ views: [shop.twoView(change)] }))
  assert.ok(planned.ok, JSON.stringify(planned))
  return planned.views[0]?.version ?? ''
}

test('every part of the second definition is a part of the version, layout and comments are not', async () => {
  const place = { file: 'two.sql', line: 1, column: 1 }
  const { batch } = shop.twoView()
  const merge = batch?.merge ?? {}
  const first = await versionOf({})
  assert.equal(await versionOf({ sql: `-- exact\n${BATCH_SQL.replaceAll('\n', '\n  ')}` }), first)
  assert.equal(await versionOf({ approximate: [...(batch?.approximate ?? [])].reverse() }), first)
  const others = [
    await versionOf({ sql: BATCH_SQL.replace('0.9)', '0.8)') }),
    await versionOf({ merge: { ...merge, biggest: { kind: 'replace' } } }),
    await versionOf({ merge: { ...merge, score: { kind: 'sql', sql: 'speed.score + batch.score', place } } }),
    await versionOf({ approximate: [] }),
  ]
  shop.weights = { u9: 9 }
  others.push(await versionOf({}))
  assert.equal(new Set([first, ...others]).size, others.length + 1)
})

test('an edit is adopted while it is developed: the changed view is built by its first batch', async () => {
  await shop.open(shop.project(), { views: 'adopt' })
  await shop.send(20)
  await shop.login('u1')
  await shop.answer()
  await shop.published('customers')
  await shop.send(5)
  shop.weights = { u1: 4, u6: 2 }
  await shop.server.reload(shop.project())
  await shop.checkLayers()
  await shop.send(5)
  await shop.published('customers')
  await shop.checkLayers()
})
