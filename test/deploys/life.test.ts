/**
 * What a deploy does around its views: streams that are new or wider, settings that make no new version, a lag that takes
 * it back, many versions that would stay warm, a project that is taken over at once. Counts are made from what was sent.
 */

import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { SHADOWS_MAX } from '../../src/server/deploys/deploys.ts'
import { WARM_MAX } from '../../src/server/deploys/warm-versions.ts'
import { eventually, ShopServer, shopView } from '../support/shop-server.ts'

let shop: ShopServer
beforeEach(() => {
  shop = new ShopServer()
})
afterEach(() => shop.dispose())

const totals = shopView('totals', 'SELECT count(*) AS n FROM sales')
const times = (factor: number) => shopView('totals', `SELECT count(*) * ${factor} AS n FROM sales`)

test('a new stream with its view, and a wider schema, come with the deploy; a stream that goes comes back by a rollback', async () => {
  const before = shop.project({ views: [totals] })
  await shop.open(before)
  await shop.send(10)
  const [sales] = before.streams
  assert.ok(sales !== undefined)
  const note = { name: 'note', type: { kind: 'string' }, optional: true, nullable: false } as const
  const wider = { ...sales, schema: { ...sales.schema, fields: [...sales.schema.fields, note] } }
  const visits = { ...sales, name: 'visits' }
  const visited = shopView('visited', 'SELECT count(*) AS n FROM visits')
  const noted = shopView('noted', 'SELECT count(note) AS n, count(*) AS all_of_them FROM sales')
  const after = shop.project({ streams: [wider, visits], views: [totals, visited, noted] })
  assert.equal((await shop.deploy(after)).state, 'live')
  const cut = await shop.send(5)
  assert.deepEqual(await shop.rows('noted', { after: cut }), [{ n: 0, all_of_them: 15 }])
  assert.deepEqual(await shop.rows('visited'), [{ n: 0 }])
  assert.ok(shop.server.core.stream('visits') !== undefined)

  const without = shop.project({ streams: [wider], views: [totals, noted] })
  assert.equal((await shop.deploy(without)).state, 'live')
  assert.equal(shop.server.core.stream('visits'), undefined)
  await assert.rejects(shop.rows('visited'), { code: 'VIEW_UNKNOWN' })
  await shop.close()
  // The file on the server is older than what is deployed: streams stay.
  await shop.open(before)
  assert.deepEqual(await shop.rows('noted', { after: cut }), [{ n: 0, all_of_them: 15 }])
  await shop.server.deploys.rollback({ reason: 'needed', author: { who: 'tester' } })
  assert.deepEqual(await shop.rows('visited', { after: cut }), [{ n: 0 }])
  assert.ok(shop.server.core.stream('visits') !== undefined)
})

test('a setting that makes no new version is taken over, and the second plan is empty', async () => {
  const strict = shopView('strict', 'SELECT sum(CAST("user" AS INTEGER)) AS s, count(*) AS n FROM sales')
  await shop.open(shop.project({ views: [totals, strict] }))
  await shop.send(3)
  await eventually(async () => {
    const { views } = (await shop.status()) as unknown as { views: { name: string; state: string }[] }
    return views.some(({ name, state }) => name === 'strict' && state === 'stalled')
  })
  const version = await shop.version('totals')
  const skipping = shop.project({ views: [totals, { ...strict, onError: 'skip' }] })
  const info = await shop.deploy(skipping)
  assert.deepEqual([info.state, info.views.length, info.plan.views[0]?.change], ['live', 0, 'changed'])
  await eventually(async () => JSON.stringify(await shop.rows('strict')) === '[{"s":null,"n":0}]')
  assert.equal((await shop.deploy(skipping)).plan.empty, true)
  assert.equal(await shop.version('totals'), version)
})

test('a rollback also ends the deploys after it that changed nothing; the token is on no record', async () => {
  const before = shop.project({ views: [totals], server: { host: '127.0.0.1', port: 0, token: 'geheim' } })
  await shop.open(before)
  const after = { ...before, views: [times(2)] }
  const { id } = await shop.deploy(after)
  const empty = await shop.deploy(after)
  await shop.server.deploys.rollback({ reason: 'back', author: { who: 'tester' } })
  const states = shop.server.deploys.list().map((info) => [info.id, info.state])
  assert.deepEqual(states.slice(1), [
    [id, 'rolled_back'],
    [empty.id, 'rolled_back'],
  ])
  const again = await shop.deploy(before)
  assert.equal(again.plan.empty, true)
  await shop.close()
  const catalog = ['catalog.sqlite', 'catalog.sqlite-wal'].map((name) => join(shop.folder, 'data', name))
  for (const file of catalog) if (existsSync(file)) assert.ok(!readFileSync(file).includes('geheim'))
})

test('live views that stay behind take the deploy back', async () => {
  await shop.open(shop.project({ views: [totals] }))
  await shop.send(10)
  const limit = { checks: true, lagMs: 1 }
  const info = await shop.deploy(shop.project({ views: [times(2)] }), { autoRollback: limit })
  assert.equal(info.state, 'live')
  // An engine that is killed again and again never catches up.
  let running = true
  const killing = (async () => {
    while (running) {
      const pid = shop.server.enginePid()
      if (pid !== undefined) process.kill(pid, 'SIGSTOP')
      await shop.send(1)
      await sleep(50)
      if (shop.server.deploys.show(info.id).state === 'rolled_back' && pid !== undefined)
        process.kill(pid, 'SIGCONT')
    }
    const pid = shop.server.enginePid()
    if (pid !== undefined) process.kill(pid, 'SIGCONT')
  })()
  await eventually(() => shop.server.deploys.show(info.id).reason !== undefined || pointerMoved())
  running = false
  await killing
  const after = shop.sent.at(-1)?.cut ?? 0
  await eventually(() => shop.server.deploys.show(info.id).state === 'rolled_back')
  assert.match(shop.server.deploys.show(info.id).reason ?? '', /behind, over the limit of 1 ms/)
  assert.deepEqual(await shop.rows('totals', { after }), [{ n: shop.sent.length }])

  function pointerMoved(): boolean {
    return shop.server.deploys.show(info.id).state === 'rolled_back'
  }
})

test('no more versions stay warm than are stated; the newest do', async () => {
  await shop.open(shop.project({ views: [totals] }))
  await shop.send(10)
  for (let factor = 2; factor <= WARM_MAX + 3; factor++) {
    assert.equal((await shop.deploy(shop.project({ views: [times(factor)] }))).state, 'live')
  }
  const warm = await shop.sql(`SELECT count(*) AS n FROM refold.versions WHERE state = 'warm'`)
  assert.deepEqual(warm, [{ n: WARM_MAX }])
  await shop.server.deploys.rollback({ reason: 'one back', author: { who: 'tester' } })
  assert.deepEqual(await shop.rows('totals'), [{ n: 10 * (WARM_MAX + 2) }])
})

test('only so many deploys tick in the shadow', async () => {
  await shop.open(shop.project({ views: [totals] }))
  for (let factor = 2; factor < 2 + SHADOWS_MAX; factor++) {
    assert.equal(
      (await shop.deploy(shop.project({ views: [times(factor)] }), { shadow: true })).state,
      'shadow',
    )
  }
  const one = shop.project({ views: [times(99)] })
  await assert.rejects(shop.deploy(one, { shadow: true }), { code: 'DEPLOY_OPEN', hint: /cancel 2/ })
  assert.equal((await shop.deploy(one)).state, 'live')
})

test('a project that is taken over at once ends an open deploy, and what is warm stays', async () => {
  await shop.open(shop.project({ views: [totals] }), { views: 'adopt' })
  await shop.send(10)
  await shop.server.flush()
  await shop.deploy(shop.project({ views: [times(2)] }))
  const { deploys } = shop.server
  const open = await deploys.deploy(
    shop.project({ views: [times(3)] }),
    {
      shadow: false,
      from: { kind: 'zero' },
      budget: { cpuShare: 0.01 },
      warmMs: 1,
      autoRollback: { checks: true },
    },
    { who: 'tester' },
  )
  await shop.server.reload(shop.project({ views: [times(4)] }))
  assert.match(deploys.show(open.id).state, /cancelled|live/)
  assert.deepEqual(await shop.rows('totals'), [{ n: 40 }])
  const states = await shop.sql(`SELECT state FROM refold.versions ORDER BY state`)
  assert.ok(states.some(({ state }) => state === 'warm'))
})
