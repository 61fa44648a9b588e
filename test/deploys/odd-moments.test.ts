/**
 * Deploys at odd moments: what was reported by a version that is deployed again with less of history, a rollback while
 * the next deploy is built, a version that is warm and damaged, one whose slices are gone. Counted by hand.
 */

import assert from 'node:assert/strict'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { eventually, type Row, ShopServer, shopView } from '../support/shop-server.ts'

let shop: ShopServer
beforeEach(() => {
  shop = new ShopServer()
})
afterEach(() => shop.dispose())

const totals = shopView('totals', 'SELECT count(*) AS n FROM sales')
const twice = shopView('totals', 'SELECT count(*) * 2 AS n FROM sales')
const thrice = shopView('totals', 'SELECT count(*) * 3 AS n FROM sales')
const users = shopView('users', 'SELECT count(DISTINCT "user") AS n FROM sales')
const usersTwice = shopView('users', 'SELECT count(DISTINCT "user") * 2 AS n FROM sales')
const author = { who: 'tester' }

/** The newest answer of `totals` and its moment. */
async function report(after: number): Promise<{ readonly n: unknown; readonly us: number }> {
  const { core } = shop.server
  const answer = await core.readView({ view: 'totals', where: {}, order: [], limit: 1 }, { after })
  const at = answer.at ?? ''
  const us = Date.parse(`${at.slice(0, 23)}Z`) * 1000 + Number(at.slice(23, 26) || 0)
  return { n: (JSON.parse(answer.json) as Row[])[0]?.['n'], us }
}

async function reportedAt(us: number): Promise<unknown> {
  const moment = { kind: 'reported', us } as const
  const { core } = shop.server
  const answer = await core.readView({ view: 'totals', where: {}, order: [], limit: 1 }, { moment })
  return (JSON.parse(answer.json) as Row[])[0]?.['n']
}

test('the same logic over less of history is another version, and what either reported stays', async () => {
  await shop.open(shop.project({ views: [totals] }))
  const cut = await shop.send(40)
  const whole = await report(cut)
  const from = { kind: 'cut', cut } as const
  await shop.deploy(shop.project({ views: [twice] }), { warmMs: 0 })
  await shop.deploy(shop.project({ views: [totals] }), { warmMs: 0, from })
  const less = await report(await shop.send(7))
  // The project says nothing of where a history begins, so it is carried out already.
  const same = await shop.deploy(shop.project({ views: [totals] }))
  assert.deepEqual(same.views, [])
  await shop.deploy(shop.project({ views: [twice] }), { warmMs: 0 })
  await shop.deploy(shop.project({ views: [totals] }), { warmMs: 0 })
  const all = await report(cut)
  assert.deepEqual([whole.n, less.n, all.n], [40, 7, 47])
  assert.deepEqual([await reportedAt(whole.us), await reportedAt(less.us)], [40, 7])
  assert.equal(await reportedAt(all.us), 47)
})

test('a rollback ends a deploy that is open: it was planned against what answers no longer', async () => {
  await shop.open(shop.project({ views: [totals, users] }))
  await shop.send(26)
  await shop.server.flush()
  await shop.deploy(shop.project({ views: [twice, usersTwice] }))
  const { deploys } = shop.server
  // The next one keeps `users` as it is now, and changes only the other.
  const options = {
    shadow: false,
    from: { kind: 'zero' },
    budget: {},
    warmMs: 1e6,
    autoRollback: { checks: true },
  } as const
  const next = await deploys.deploy(shop.project({ views: [thrice, usersTwice] }), options, author)
  deploys.pause(next.id, author)
  await deploys.rollback({ reason: 'wrong', author })
  assert.deepEqual(await shop.rows('users'), [{ n: 13 }])

  const ended = await deploys.settled(next.id)
  const rows = [...(await shop.rows('totals')), ...(await shop.rows('users'))]
  assert.equal(ended.state, 'cancelled')
  assert.deepEqual(rows, [{ n: 26 }, { n: 13 }])
  const again = await shop.deploy(shop.project({ views: [thrice, usersTwice] }))
  assert.equal(again.state, 'live')
  const after = [...(await shop.rows('totals')), ...(await shop.rows('users'))]
  assert.deepEqual(after, [{ n: 78 }, { n: 26 }])
})

test('a rollback to a version whose slice is damaged, and the server starts between', async () => {
  await shop.open(shop.project({ views: [totals] }))
  await shop.send(26)
  await shop.server.flush()
  await shop.deploy(shop.project({ views: [twice] }))
  await shop.server.flush()
  const old = shop.server.deploys.list().at(-1)?.views[0]?.from ?? ''
  await shop.close()
  const folder = join(shop.folder, 'data', 'slices', 'totals')
  const name = readdirSync(folder).find((file) => file.includes(old.slice(0, 12)))
  assert.ok(name !== undefined)
  const bytes = readFileSync(join(folder, name))
  bytes.writeUInt8(bytes.readUInt8(40) ^ 1, 40)
  writeFileSync(join(folder, name), bytes)
  await shop.open(shop.project({ views: [twice] }))
  await shop.server.deploys.rollback({ reason: 'wrong', author })
  const cut = await shop.send(4)
  assert.deepEqual(await shop.rows('totals', { after: cut }), [{ n: 30 }])
  assert.equal(await shop.version('totals'), old)
})

test('a version that is over and most of whose slices are gone is deployed again', async () => {
  await shop.open(shop.project({ views: [totals] }))
  for (let round = 0; round < 3; round++) {
    await shop.send(10)
    await shop.server.flush()
  }
  const old = await shop.version('totals')
  await shop.deploy(shop.project({ views: [twice] }), { warmMs: 0 })
  const folder = join(shop.folder, 'data', 'slices', 'totals')
  const names = readdirSync(folder).filter((file) => file.includes(old.slice(0, 12)))
  assert.ok(names.length >= 3)
  for (const name of names.slice(1)) rmSync(join(folder, name))
  const again = await shop.deploy(shop.project({ views: [totals] }))
  assert.equal(again.state, 'live', again.reason)
  const cut = await shop.send(4)
  assert.deepEqual(await shop.rows('totals', { after: cut }), [{ n: 34 }])
  assert.equal(await shop.version('totals'), old)
})

test('a stream that goes and comes again has its events, and its view', async () => {
  const [sales] = shop.project().streams
  const others = { ...sales!, name: 'others' }
  const view = shopView('others_n', 'SELECT count(*) AS n FROM others')
  const both = shop.project({ streams: [sales!, others], views: [totals, view] })
  const one = shop.project({ streams: [sales!], views: [totals] })
  await shop.open(both)
  await shop.send(5)
  const append = async (id: string) => {
    const json = JSON.stringify({ id, user: 'u', amount: '1.00', at: '2024-05-01T10:00:00Z' })
    const event = { stream: 'others', partition: 0, json, timeUs: 1, id, index: 0 }
    return (await shop.server.core.append({ stream: 'others', events: [event], deadLetters: [], bytes: 100 }))
      .cut
  }
  await append('a')
  await shop.deploy(one, { warmMs: 0 })
  await assert.rejects(shop.rows('others_n'), { code: 'VIEW_UNKNOWN' })
  await shop.server.flush()
  await shop.close()
  await shop.open(one)
  await shop.deploy(both)
  assert.deepEqual(await shop.rows('others_n', { after: await append('b') }), [{ n: 2 }])
  await shop.close()
  await shop.open(both)
  assert.deepEqual(await shop.rows('others_n'), [{ n: 2 }])
})

test('views that go and come again, rolled back both ways, are counted to the event', async () => {
  await shop.open(shop.project({ views: [totals, users] }))
  await shop.send(20)
  await shop.deploy(shop.project({ views: [totals] }))
  await shop.send(6)
  await shop.server.deploys.rollback({ reason: 'needed', author })
  assert.deepEqual(await shop.rows('users', { after: await shop.send(1) }), [{ n: 13 }])
  await shop.deploy(shop.project({ views: [totals] }), { warmMs: 1 })
  await eventually(async () => {
    const rows = await shop.sql(`SELECT count(*) AS n FROM refold.versions WHERE state = 'retired'`)
    return Number(rows[0]?.['n']) >= 1
  })
  const back = await shop.deploy(shop.project({ views: [totals, users] }))
  assert.equal(back.state, 'live')
  const all = [...(await shop.rows('totals')), ...(await shop.rows('users'))]
  assert.deepEqual(all, [{ n: 27 }, { n: 13 }])
})

test('two deploys at once: one is carried out, and a rollback and a cancel come through at any state', async () => {
  await shop.open(shop.project({ views: [totals] }))
  await shop.send(30)
  await shop.server.flush()
  const both = await Promise.allSettled([
    shop.deploy(shop.project({ views: [twice] })),
    shop.deploy(shop.project({ views: [thrice] })),
  ])
  assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  const rejected = both.find(({ status }) => status === 'rejected')
  assert.equal((rejected as PromiseRejectedResult).reason.code, 'DEPLOY_OPEN')
  const { deploys } = shop.server
  const states = new Set<string>()
  const order: readonly string[] = ['planned', 'building', 'catching_up', 'comparing', 'live']
  for (let wait = 0; wait < 12; wait++) {
    const options = {
      shadow: false,
      from: { kind: 'zero' },
      budget: {},
      warmMs: 0,
      autoRollback: { checks: true },
    } as const
    const view = shopView('totals', `SELECT count(*) + ${wait} AS n FROM sales`)
    const { id } = await deploys.deploy(shop.project({ views: [view] }), options, author)
    // By states and not by the clock: on a loaded machine a deploy stays long in one of them.
    const wanted = order[wait % order.length] ?? 'live'
    await eventually(() => order.indexOf(deploys.show(id).state) >= order.indexOf(wanted))
    states.add(deploys.show(id).state)
    try {
      await deploys.cancel(id, 'enough', author)
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'DEPLOY_STATE')
    }
    const ended = await deploys.settled(id)
    assert.ok(['cancelled', 'live'].includes(ended.state), ended.state)
    if (ended.state === 'live') assert.deepEqual(await shop.rows('totals'), [{ n: 30 + wait }])
  }
  assert.ok(states.size > 1, `states: ${[...states].join(' ')}`)
})
