/**
 * Whoever is told that a deploy is live, or that it is rolled back, and reads then, reads what it put in place: also
 * when the engine hears of it late. The engine is the real one behind a wire that is slow with this one message.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LiveEngine } from '../../src/engine/engine.ts'
import { startLiveEngine } from '../../src/engine/live-engine.ts'
import { deployOptions, ShopServer, shopView } from '../support/shop-server.ts'

const SLOW_MS = 400

const once = shopView('per_user', 'SELECT "user", count(*) AS n FROM sales GROUP BY "user"')
const doubled = shopView('per_user', 'SELECT "user", count(*) * 2 AS n FROM sales GROUP BY "user"')
const totals = shopView('totals', 'SELECT count(*) AS n FROM sales')

let shop: ShopServer
beforeEach(() => {
  shop = new ShopServer()
})
afterEach(() => shop.dispose())

function slowEngine(): LiveEngine {
  const engine = startLiveEngine()
  return new Proxy(engine, {
    get(target, name) {
      if (name === 'setServing') {
        return async (serving: Readonly<Record<string, string>>) => {
          await sleep(SLOW_MS)
          return await target.setServing(serving)
        }
      }
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value
    },
  })
}

async function largest(): Promise<unknown> {
  const [row] = await shop.sql('SELECT max(n) AS n FROM per_user')
  const byView = (await shop.rows('per_user')).map(({ n }) => Number(n))
  assert.equal(Math.max(...byView), Number(row?.['n']))
  return Number(row?.['n'])
}

test('a read after the word of a cutover or rollback is of the new version', async () => {
  await shop.open(shop.project({ views: [once] }), { startEngine: slowEngine })
  await shop.rows('per_user', { after: await shop.send(13 * 4) })
  assert.equal(await largest(), 4)

  const { deploys } = shop.server
  const project = shop.project({ views: [doubled, totals] })
  const { id } = await deploys.deploy(project, deployOptions(), { who: 'tester' })
  for await (const info of deploys.watch(id, new AbortController().signal)) {
    if (info.state !== 'live') continue
    assert.equal(await largest(), 8)
    assert.deepEqual(await shop.rows('totals'), [{ n: 52 }])
  }

  const going = deploys.rollback({ reason: 'too much', author: { who: 'tester' } })
  // The catalog has it at once, the engine later; whoever sees the pointers move reads by them.
  while ((await shop.status())['deploy']?.['state'] === 'live') await sleep(1)
  assert.equal(await largest(), 4)
  await going
  assert.equal(await largest(), 4)
})
