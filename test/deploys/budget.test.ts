/**
 * A replay with a budget, in the running server: it is held, says so, can be paused, also over a restart, and ends with
 * the same rows. Only lower bounds of time are looked at.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BuildProgress, DeployInfo } from '../../src/deploy/types.ts'
import { deployOptions, eventually, ShopServer, shopView } from '../support/shop-server.ts'

const EVENTS = 300_000

let shop: ShopServer
beforeEach(async () => {
  shop = new ShopServer()
  await shop.open(shop.project({ views: [totals] }))
  for (let sent = 0; sent < EVENTS; sent += 50_000) await shop.send(50_000)
  await shop.server.flush()
})
afterEach(() => shop.dispose())

const totals = shopView('totals', 'SELECT count(*) AS n FROM sales')
const twice = shopView('totals', 'SELECT count(*) * 2 AS n FROM sales')
const author = { who: 'tester' }

async function begin(budget: Parameters<typeof deployOptions>[0]): Promise<number> {
  const { deploys } = shop.server
  const info = await deploys.deploy(shop.project({ views: [twice] }), deployOptions(budget), author)
  return info.id
}

/** What the deploy showed until it was over. */
async function watched(id: number): Promise<readonly DeployInfo[]> {
  const seen: DeployInfo[] = []
  for await (const info of shop.server.deploys.watch(id, new AbortController().signal)) seen.push(info)
  return seen
}

function progressOf(infos: readonly DeployInfo[]): readonly BuildProgress[] {
  return infos.flatMap(({ views }) =>
    views.flatMap(({ progress }) => (progress === undefined ? [] : [progress])),
  )
}

test('events a second are kept to: it takes its time, in ranges, and says what holds it', async () => {
  const perSecond = 150_000
  const began = performance.now()
  const seen = await watched(await begin({ budget: { eventsPerSecond: perSecond } }))
  const seconds = (performance.now() - began) / 1000
  assert.equal(seen.at(-1)?.state, 'live')
  // The last range is paid for after it was folded, and nothing has to follow it.
  assert.ok(seconds > 0.3, `it took ${seconds} s`)
  const progress = progressOf(seen)
  assert.ok(progress.some(({ held }) => held === 'budget'))
  assert.deepEqual(
    progress.map(({ done }) => done),
    progress.map(({ done }) => done).toSorted((a, b) => a - b),
  )
  assert.deepEqual([progress.at(-1)?.done, progress.at(-1)?.total], [EVENTS, EVENTS])
  assert.equal(seen.at(-1)?.outcome?.events, EVENTS)
  assert.deepEqual(await shop.rows('totals'), [{ n: EVENTS * 2 }])
})

test('it stands still while a live view is behind, and goes on after', async () => {
  const id = await begin({ budget: { lagMs: 1, eventsPerSecond: 400_000 } })
  // The live engine is gone for a moment, so that live views fall behind what is sent.
  let held = false
  const sender = (async () => {
    while (!held) {
      const pid = shop.server.enginePid()
      if (pid !== undefined) process.kill(pid, 'SIGKILL')
      await shop.send(10)
      await sleep(20)
      const { views, state } = shop.server.deploys.show(id)
      held = views.some(({ progress }) => progress?.held === 'lag') || state === 'live'
    }
  })()
  await sender
  const info = await shop.server.deploys.settled(id)
  assert.equal(info.state, 'live')
  const after = shop.sent.at(-1)?.cut ?? 0
  assert.deepEqual(await shop.rows('totals', { after }), [{ n: shop.sent.length * 2 }])
})

test('paused, it stays so over a restart, and goes on when told to', async () => {
  const id = await begin({ budget: { cpuShare: 0.5 } })
  const { deploys } = shop.server
  assert.equal(deploys.pause(id, author).state, 'paused')
  await eventually(() => {
    const progress = deploys.show(id).views[0]?.progress
    return progress === undefined || progress.held === 'paused'
  })
  await sleep(300)
  assert.equal(deploys.show(id).state, 'paused')
  await shop.close()
  await shop.open(shop.project({ views: [totals] }))
  await sleep(100)
  const again = shop.server.deploys
  assert.equal(again.show(id).state, 'paused')
  assert.deepEqual(await shop.rows('totals'), [{ n: EVENTS }])
  again.resume(id, author)
  const info = await again.settled(id)
  assert.deepEqual([info.state, info.outcome?.events], ['live', EVENTS])
  assert.deepEqual(await shop.rows('totals'), [{ n: EVENTS * 2 }])
})
