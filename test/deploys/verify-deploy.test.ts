/** `verify` around a deploy, against the real server: another logic and a later beginning are no damage. */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { ShopServer, shopView } from '../support/shop-server.ts'

let shop: ShopServer
beforeEach(() => {
  shop = new ShopServer()
})
afterEach(() => shop.dispose())

test('a version that begins later, and the one before it after a rollback, are what the log gives', async () => {
  const count = shopView('per_user', 'SELECT "user", count(*) AS n FROM sales GROUP BY "user"')
  const total = shopView(
    'per_user',
    'SELECT "user", count(*) AS n, sum(amount) AS total FROM sales GROUP BY "user"',
  )
  await shop.open(shop.project({ views: [count] }))
  const before = await shop.send(40)
  await shop.server.flush()
  await shop.send(30)
  const deploy = await shop.deploy(shop.project({ views: [total] }), { from: { kind: 'cut', cut: before } })
  assert.equal(deploy.state, 'live')
  const verify = async (from: number) => {
    const cut = await shop.send(5)
    await shop.rows('per_user', { after: cut })
    const [report] = await shop.server.core.verify.run({ views: ['per_user'] })
    assert.deepEqual([report?.error, report?.findings, report?.groups], [undefined, [], 13])
    assert.deepEqual([report?.version, report?.from], [await shop.version('per_user'), from])
  }
  await verify(before)
  await shop.server.flush()
  await verify(before)
  await shop.server.deploys.rollback({ reason: 'test', author: { who: 'tester' } })
  await verify(0)
})
