/**
 * Law 3 for deploys: at every named point of a deploy's life the data folder is kept as a kill -9 would leave it, and a
 * server is started on it. The deploy goes on to its end by itself, views equal a count made here by hand, and no
 * range that was published before is folded again.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { deployCrashPoints, type ServerCrashPoint } from '../../src/server/crash-point.ts'
import { eventually, type Row, ShopServer, shopView } from '../support/shop-server.ts'

let shop: ShopServer
beforeEach(() => {
  shop = new ShopServer()
})
afterEach(() => shop.dispose())

const perUser = shopView('per_user', 'SELECT "user", count(*) AS n FROM sales GROUP BY "user"')
const doubled = shopView('per_user', 'SELECT "user", count(*) * 2 AS n FROM sales GROUP BY "user"')
const totals = shopView('totals', 'SELECT count(*) AS n FROM sales')
const twice = shopView('totals', 'SELECT count(*) * 2 AS n FROM sales')

const points: readonly ServerCrashPoint[] = [...deployCrashPoints, 'build.folded', 'build.published']

test('a deploy that is killed at any point goes on where it was', async () => {
  const copies = new Map<ServerCrashPoint, string>()
  let armed = false
  const crash = (point: ServerCrashPoint) => {
    if (armed && points.includes(point) && !copies.has(point))
      copies.set(point, shop.copyOfData(`crash-${point}`))
  }
  await shop.open(shop.project({ views: [perUser, totals] }), { crash })
  await shop.send(400)
  await shop.server.flush()
  await shop.send(100)
  armed = true
  const info = await shop.deploy(shop.project({ views: [doubled, twice] }), { warmMs: 1_000 })
  assert.equal(info.state, 'live')
  // Old versions end when their time is over; the next deploy is rolled back before.
  await eventually(() => copies.has('warm.ended'))
  await shop.deploy(shop.project({ views: [perUser, totals] }))
  await shop.server.deploys.rollback({ reason: 'a test', author: { who: 'tester' } })
  await shop.close()
  assert.deepEqual([...copies.keys()].sort(), [...points].sort())

  for (const [point, dataDir] of copies) {
    await shop.open(shop.project({ dataDir, views: [perUser, totals] }))
    const { deploys } = shop.server
    const last = deploys.list().at(-1)
    assert.ok(last !== undefined, point)
    const ended = await deploys.settled(last.id)
    const rolledBack = point === 'rollback.moved'
    assert.equal(ended.state, rolledBack ? 'rolled_back' : 'live', `${point}: ${ended.reason}`)
    const cut = await shop.send(13)
    await checkViews(2, cut, point)
    // Each event is folded once for each view, over both servers; what was published when the crash came is not
    // folded again, and was not counted yet.
    const folded = point === 'build.published' ? 500 : 1000
    if (!rolledBack) assert.equal(ended.outcome?.events, folded, point)
    if (!rolledBack && point !== 'warm.ended') {
      await deploys.rollback({ reason: point, author: { who: 'tester' } })
      await checkViews(1, cut, point)
    }
    shop.sent.splice(500)
    await shop.close()
  }
})

async function checkViews(factor: number, cut: number, point: string): Promise<void> {
  const users = new Map<string, number>()
  for (const { user } of shop.sent) users.set(user, (users.get(user) ?? 0) + factor)
  const rows = [...users].map(([user, n]): Row => ({ user, n }))
  const text = (all: readonly Row[]) => all.map((row) => JSON.stringify(row)).sort()
  assert.deepEqual(text(await shop.rows('per_user', { after: cut })), text(rows), point)
  assert.deepEqual(await shop.rows('totals', { after: cut }), [{ n: shop.sent.length * factor }], point)
}
