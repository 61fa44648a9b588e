/**
 * Changing a view with two definitions: its batch SQL, a rule or a reference file make another version, which is built
 * by a first batch, compared and cut over to; old versions keep the files that they were made with. Followers are told
 * what a batch changed. Damage and trimmed history never give wrong rows.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type { Row } from '../support/shop-server.ts'
import { asTexts, BATCH_SQL, TwoShop } from '../support/two-shop.ts'

let shop: TwoShop
beforeEach(() => {
  shop = new TwoShop()
})
afterEach(() => shop.dispose())

test('a changed batch SQL is another version, built by its first batch and proved against the old one', async () => {
  await shop.open(shop.project())
  await shop.send(40)
  await shop.login('u1', 'u2')
  await shop.published('customers')
  await shop.send(6)
  const before = await shop.version('customers')
  const changed = BATCH_SQL.replace('0.9)', '0.5)')
  const project = shop.project({ views: [shop.twoView({ sql: changed })] })
  const plan = await shop.server.deploys.plan(project)
  assert.deepEqual(
    plan.views.map(({ view, change, reasons }) => [view, change, reasons.map(({ what }) => what)]),
    [['customers', 'changed', ['sql']]],
  )
  const deploy = await shop.deploy(project, { accept: 'the median is wanted' })
  assert.equal(deploy.state, 'live', JSON.stringify(deploy))
  const after = await shop.version('customers')
  assert.notEqual(after, before)
  assert.ok(deploy.comparedAt !== undefined, 'the proof compares both versions')
  await shop.send(3)
  const { rows, batch, cut } = await shop.answer()
  assert.ok(batch > 0, 'the build is a batch')
  const layers = await shop.answer('batch')
  const sales = shop.sent.filter((sale) => sale.user === 'u5' && sale.cut <= layers.batch)
  const sorted = sales.map(({ cents }) => cents).sort((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  const median = ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 200
  const own = layers.rows.find((row) => row['user'] === 'u5')
  assert.ok(Math.abs(Number(own?.['p90']) - median) < 1e-9, `${own?.['p90']} is the median ${median}`)
  assert.equal(rows.length, 13)
  assert.ok(cut >= shop.cut)
})

test('another rule or another reference file is another version; the old one keeps its file', async () => {
  await shop.open(shop.project())
  await shop.send(20)
  await shop.published('customers')
  const first = await shop.version('customers')
  const oldWeights = shop.weights
  shop.weights = { u1: 7, u3: 4 }
  const moved = await shop.deploy(shop.project(), { accept: 'new weights' })
  assert.equal(moved.state, 'live', JSON.stringify(moved))
  assert.notEqual(await shop.version('customers'), first)
  await shop.checkLayers()
  const plan = await shop.server.deploys.plan(shop.project())
  assert.equal(plan.empty, true)
  const rolled = await shop.server.deploys.rollback({ reason: 'back', author: { who: 'tester' } })
  assert.equal(rolled.state, 'rolled_back')
  assert.equal(await shop.version('customers'), first)
  shop.weights = oldWeights
  await shop.send(4)
  await shop.checkLayers()
  await shop.published('customers')
  await shop.checkLayers()
})

test('followers are told what each batch changed, and their rows stay those of the view', async () => {
  await shop.open(shop.project())
  await shop.send(10)
  await shop.answer()
  const held = new Map<string, Row>()
  const causes: string[] = []
  const stop = new AbortController()
  let at = 0
  const following = (async () => {
    for await (const delta of shop.server.core.changes('customers', { follow: true, signal: stop.signal })) {
      if (delta.cause !== undefined) causes.push(delta.cause.kind)
      for (const change of JSON.parse(delta.json) as { op: string; old?: Row; new?: Row }[]) {
        if (change.old !== undefined) held.delete(String(change.old['user']))
        if (change.new !== undefined) held.set(String(change.new['user']), change.new)
      }
      at = delta.to
    }
  })()
  for (let round = 0; round < 3; round++) {
    await shop.login('u1', 'u2')
    await shop.send(8)
    await shop.answer()
    await shop.published('customers')
    const cut = await shop.send(2)
    while (at < cut) await new Promise((resolve) => setTimeout(resolve, 10))
    const { rows } = await shop.answer()
    assert.deepEqual(asTexts([...held.values()]), asTexts(rows), `round ${round}`)
  }
  stop.abort()
  await following
  assert.ok(causes.length >= 3 && causes.every((kind) => kind === 'batch'), causes.join(', '))
})
