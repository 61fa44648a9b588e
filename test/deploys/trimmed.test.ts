/**
 * Deploys over a stream whose oldest events were trimmed: a build from the beginning is refused, one from where the
 * log begins counts what is left, and the version before goes on from its base. Expected rows are counted here.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ShopServer, shopView } from '../support/shop-server.ts'

let shop: ShopServer
beforeEach(() => {
  shop = new ShopServer()
})
afterEach(() => shop.dispose())

const old = shopView('per_user', 'SELECT "user", count(*) AS n FROM sales GROUP BY "user"')
const next = shopView('per_user', 'SELECT "user", count(id) AS n FROM sales GROUP BY "user"')

function counted(after: number): unknown[] {
  const counts = new Map<string, number>()
  for (const { user, cut } of shop.sent) if (cut > after) counts.set(user, (counts.get(user) ?? 0) + 1)
  return [...counts].map(([user, n]) => ({ user, n })).sort((a, b) => (a.user < b.user ? -1 : 1))
}

async function rows(options: { after?: number } = {}): Promise<unknown[]> {
  const found = (await shop.rows('per_user', options)) as { user: string }[]
  return [...found].sort((a, b) => (a.user < b.user ? -1 : 1))
}

test('from the beginning refused, from where the log begins counted, and back', async () => {
  await shop.open(shop.project({ views: [old] }))
  await shop.send(100)
  await shop.server.flush()
  await shop.send(100)
  await shop.server.flush()
  const trim = (cut: number) =>
    shop.server.core.lake.trim({ stream: 'sales', to: { cut }, promote: true, reason: 'test' })
  assert.equal((await trim(1)).cut, 1)
  const project = shop.project({ views: [next] })
  const plan = await shop.server.core.plan(JSON.parse(JSON.stringify(project)))
  assert.deepEqual(plan.views[0]?.trimmed, { cut: 1, events: 100 })
  await assert.rejects(shop.deploy(project), { code: 'HISTORY_TRIMMED', hint: /--from trimmed/ })
  assert.deepEqual(await rows(), counted(0))
  const live = await shop.deploy(project, { from: { kind: 'trimmed' }, accept: 'it begins later' })
  assert.equal(live.state, 'live', live.reason)
  let cut = await shop.send(50)
  assert.deepEqual(await rows({ after: cut }), counted(1))
  await shop.server.flush()
  // The version that is warm needs the events as well, and gets its base.
  assert.equal((await trim(2)).needs.length, 2)
  await shop.close()
  await shop.open(shop.project({ views: [next] }))
  assert.deepEqual(await rows(), counted(1))
  await shop.server.deploys.rollback({ reason: 'test', author: { who: 'tester' } })
  cut = await shop.send(20)
  assert.deepEqual(await rows({ after: cut }), counted(0))
})

test('a version of before whose state is a base is deployed again from there', async () => {
  await shop.open(shop.project({ views: [old] }))
  await shop.send(100)
  await shop.server.flush()
  const first = await shop.deploy(shop.project({ views: [next] }), { warmMs: 0 })
  assert.equal(first.state, 'live', first.reason)
  await shop.send(50)
  await shop.server.flush()
  const states = () => shop.sql('SELECT state FROM refold.versions ORDER BY created_at, state')
  while (!(await states()).some(({ state }) => state === 'retired')) await sleep(20)
  const trim = await shop.server.core.lake.trim({ stream: 'sales', to: { cut: 2 }, promote: true })
  assert.deepEqual(trim.needs.map(({ state }) => state).sort(), ['live', 'retired'])
  const project = shop.project({ views: [old] })
  const plan = await shop.server.core.plan(JSON.parse(JSON.stringify(project)))
  assert.equal(plan.views[0]?.trimmed, undefined)
  const again = await shop.deploy(project)
  assert.equal(again.state, 'live', again.reason)
  assert.equal(await shop.version('per_user'), plan.views[0]?.to)
  const cut = await shop.send(20)
  assert.deepEqual(await rows({ after: cut }), counted(0))
})
