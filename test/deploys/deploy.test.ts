/**
 * The life of a deploy in the running server: built beside the old version, put in place at one moment, kept warm,
 * rolled back, ended. What is expected is counted here from what was sent.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, money, type Row, ShopServer, shopView } from '../support/shop-server.ts'

let shop: ShopServer
beforeEach(() => {
  shop = new ShopServer()
})
afterEach(() => shop.dispose())

const totals = shopView('totals', 'SELECT count(*) AS n FROM sales')
const perUser = shopView('per_user', 'SELECT "user", count(*) AS n FROM sales GROUP BY "user"')
const doubled = shopView('per_user', 'SELECT "user", count(*) * 2 AS n FROM sales GROUP BY "user"')
const spent = shopView('spent', 'SELECT sum(amount) AS total FROM sales')

function counts(factor = 1, from = 0): Row[] {
  const users = new Map<string, number>()
  for (const { user, cut } of shop.sent) if (cut > from) users.set(user, (users.get(user) ?? 0) + factor)
  return [...users].map(([user, n]) => ({ user, n }))
}

function sorted(rows: readonly Row[]): string[] {
  return rows.map((row) => JSON.stringify(row)).sort()
}

async function check(view: string, expected: readonly Row[], after?: number): Promise<void> {
  const rows = await shop.rows(view, after === undefined ? {} : { after })
  assert.deepEqual(sorted(rows), sorted(expected))
}

test('an empty folder gets every view at once; later the file changes nothing until somebody deploys', async () => {
  await shop.open(shop.project({ views: [totals, perUser] }))
  const cut = await shop.send(300)
  await check('per_user', counts(), cut)
  await shop.close()

  await shop.open(shop.project({ views: [doubled, spent] }))
  await check('per_user', counts(), cut)
  await check('totals', [{ n: 300 }])
  await eventually(async () => (await shop.status())['differs'] !== null)
  assert.deepEqual((await shop.status())['differs'], { streams: [], views: ['per_user', 'spent', 'totals'] })

  const info = await shop.deploy(shop.project({ views: [doubled, spent] }))
  assert.equal(info.state, 'live')
  await check('per_user', counts(2), cut)
  const cents = shop.sent.reduce((sum, sale) => sum + sale.cents, 0)
  await check('spent', [{ total: money(cents) }], cut)
  await assert.rejects(shop.rows('totals'), { code: 'VIEW_UNKNOWN' })
  await eventually(async () => (await shop.status())['differs'] === null)
  const again = await shop.deploy(shop.project({ views: [doubled, spent] }))
  assert.equal(again.plan.empty, true)
  assert.equal(again.state, 'live')

  // Whoever deploys brings the newest file; after a rollback it is the file that differs.
  await shop.deploy(shop.project({ views: [perUser, spent] }))
  // Long enough for a wrong word to be there; it is looked at in the background.
  await sleep(300)
  assert.equal((await shop.status())['differs'], null)
  await shop.server.deploys.rollback({ reason: 'wrong', author: { who: 'tester' } })
  await eventually(async () => (await shop.status())['differs'] !== null)
  assert.deepEqual((await shop.status())['differs'], { streams: [], views: ['per_user'] })
})

test('a deploy is rolled back at once, to versions that went on counting', async () => {
  await shop.open(shop.project({ views: [totals, perUser] }))
  await shop.send(200)
  await shop.server.flush()
  const info = await shop.deploy(shop.project({ views: [doubled, spent] }))
  assert.deepEqual(
    info.views.map(({ view, change, state }) => [view, change, state]),
    [
      ['per_user', 'changed', 'live'],
      ['spent', 'new', 'live'],
      ['totals', 'removed', 'removed'],
    ],
  )
  const cut = await shop.send(100)
  await check('per_user', counts(2), cut)
  const began = performance.now()
  const back = await shop.server.deploys.rollback({ reason: 'wrong', author: { who: 'tester' } })
  const tookMs = performance.now() - began
  assert.ok(tookMs < 1_000, `the rollback took ${tookMs} ms`)
  assert.deepEqual([back.state, back.reason], ['rolled_back', 'wrong'])
  await check('per_user', counts(), cut)
  await check('totals', [{ n: 300 }], cut)
  await assert.rejects(shop.rows('spent'), { code: 'VIEW_UNKNOWN' })
  await assert.rejects(shop.server.deploys.rollback({ reason: 'again', author: { who: 'tester' } }), {
    code: 'ROLLBACK_IMPOSSIBLE',
  })
  // The way forward is short: the version is warm, so nothing is folded.
  const forward = await shop.deploy(shop.project({ views: [doubled, spent] }))
  assert.deepEqual([forward.state, forward.outcome?.events ?? 0], ['live', 0])
  const estimates = forward.plan.views.flatMap(({ estimate }) => (estimate === undefined ? [] : [estimate]))
  assert.deepEqual(
    estimates.map(({ events, reusedEvents }) => [events, reusedEvents]),
    [
      [0, 300],
      [0, 300],
    ],
  )
  const last = await shop.send(10)
  await check('per_user', counts(2), last)
})

test('one view of several is rolled back by name', async () => {
  await shop.open(shop.project({ views: [totals, perUser] }))
  await shop.send(200)
  const twice = shopView('totals', 'SELECT count(*) * 2 AS n FROM sales')
  await shop.deploy(shop.project({ views: [twice, doubled] }))
  await check('totals', [{ n: 400 }])
  const author = { who: 'tester' }
  const info = await shop.server.deploys.rollback({ views: ['totals'], reason: 'wrong', author })
  assert.equal(info.state, 'live')
  await check('totals', [{ n: 200 }])
  await check('per_user', counts(2))
  await assert.rejects(shop.server.deploys.rollback({ views: ['nothing'], reason: 'x', author }), {
    code: 'ROLLBACK_IMPOSSIBLE',
  })
  const rest = await shop.server.deploys.rollback({ reason: 'all', author })
  assert.equal(rest.state, 'rolled_back')
  await check('per_user', counts())
})

test('old versions end when their time is over', async () => {
  await shop.open(shop.project({ views: [perUser] }))
  await shop.send(50)
  const old = await shop.version('per_user')
  await shop.deploy(shop.project({ views: [doubled] }), { warmMs: 1 })
  const ended = async () => {
    const [row] = await shop.sql(`SELECT state FROM refold.versions WHERE version = '${old}'`)
    return row?.['state'] === 'retired'
  }
  await eventually(ended)
  await check('per_user', counts(2))
  await assert.rejects(shop.server.deploys.rollback({ reason: 'late', author: { who: 'tester' } }), {
    code: 'ROLLBACK_IMPOSSIBLE',
  })
})

test('a version that only ticks for comparison never answers, but may be read by its number', async () => {
  await shop.open(shop.project({ views: [perUser] }))
  await shop.send(50)
  const info = await shop.deploy(shop.project({ views: [doubled, spent] }), { shadow: true })
  assert.equal(info.state, 'shadow')
  await assert.rejects(shop.rows('spent'), { code: 'VIEW_BUILDING', message: /does not answer yet/ })
  assert.deepEqual(
    shop.server.core.views().map(({ name, state }) => [name, state]),
    [
      ['per_user', 'live'],
      ['spent', 'building'],
    ],
  )
  const cut = await shop.send(50)
  await check('per_user', counts(), cut)
  const version = info.views[0]?.to ?? ''
  await eventually(async () => {
    const rows = await shop.rows('per_user', { version })
    return JSON.stringify(sorted(rows)) === JSON.stringify(sorted(counts(2)))
  })
  // The next deploy takes it over.
  const next = await shop.deploy(shop.project({ views: [doubled, spent] }))
  assert.deepEqual([next.state, next.outcome?.events ?? 0], ['live', 0])
  assert.equal(shop.server.deploys.show(info.id).state, 'cancelled')
  await check('per_user', counts(2), cut)
})

test('a history may begin at a cut; what came before is no part of the version', async () => {
  await shop.open(shop.project({ views: [perUser] }))
  const cut = await shop.send(50)
  await shop.send(50)
  await shop.server.flush()
  await shop.deploy(shop.project({ views: [doubled] }), { from: { kind: 'cut', cut } })
  const last = await shop.send(20)
  await check('per_user', counts(2, cut), last)
  await shop.server.flush()
  await shop.close()
  await shop.open(shop.project({ views: [doubled] }))
  await check('per_user', counts(2, cut), last)
})

test('a version that fails on an event is not put in place, and the deploy says why', async () => {
  await shop.open(shop.project({ views: [perUser] }))
  await shop.send(50)
  const broken = shopView('per_user', 'SELECT sum(CAST("user" AS INTEGER)) AS s FROM sales')
  const stalled = await shop.deploy(shop.project({ views: [broken] }))
  assert.deepEqual([stalled.state, stalled.error?.code], ['failed', 'DEPLOY_STALLED'])
  await shop.server.flush()
  const failed = await shop.deploy(shop.project({ views: [broken] }))
  assert.equal(failed.state, 'failed')
  assert.match(failed.error?.message ?? '', /u\d+/)
  const cut = await shop.send(5)
  await check('per_user', counts(), cut)
})

test('one deploy at a time; a second is refused with the name of the first', async () => {
  await shop.open(shop.project({ views: [perUser] }))
  await shop.send(50)
  await shop.server.flush()
  const { deploys } = shop.server
  const first = await deploys.deploy(
    shop.project({ views: [doubled] }),
    { shadow: false, from: { kind: 'zero' }, budget: {}, warmMs: 1e6, autoRollback: { checks: true } },
    { who: 'ada' },
  )
  deploys.pause(first.id, { who: 'ada' })
  await assert.rejects(shop.deploy(shop.project({ views: [totals] })), {
    code: 'DEPLOY_OPEN',
    message: new RegExp(`deploy ${first.id} by ada`),
  })
  assert.equal(deploys.show(first.id).state, 'paused')
  deploys.resume(first.id, { who: 'ada' })
  assert.equal((await deploys.settled(first.id)).state, 'live')
  await check('per_user', counts(2))
})

test('a cancelled deploy leaves its slices for the next; nothing is folded twice', async () => {
  await shop.open(shop.project({ views: [perUser] }))
  await shop.send(500)
  await shop.server.flush()
  const built = await shop.deploy(shop.project({ views: [doubled] }), { shadow: true })
  assert.equal(built.outcome?.events, 500)
  const { deploys } = shop.server
  await deploys.cancel(built.id, 'enough', { who: 'tester' })
  assert.equal(deploys.show(built.id).state, 'cancelled')
  await shop.send(100)
  await shop.server.flush()
  const again = await shop.deploy(shop.project({ views: [doubled] }))
  assert.deepEqual([again.state, again.outcome?.events], ['live', 100])
  await check('per_user', counts(2))
})
