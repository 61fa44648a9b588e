/**
 * Checks as the gate of a deploy, on a whole server: a red one stops the cutover, an accepted one is no alarm later, one
 * that turns red while the old version is warm takes the deploy back. Counts are made from what was sent.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type { CheckDef, CheckRule, ProjectDef, ViewDef } from '../../src/define/types.ts'
import { eventually, ShopServer, shopView } from '../support/shop-server.ts'

const counts = shopView('per_user', 'SELECT "user", count(*) AS n FROM sales GROUP BY "user"')
/** Counts the sales of some users once too often. */
const wrong = shopView(
  'per_user',
  `SELECT "user", count(*) + CASE WHEN "user" IN ('u1', 'u2') THEN 1 ELSE 0 END AS n FROM sales GROUP BY "user"`,
)

let shop: ShopServer

beforeEach(() => {
  shop = new ShopServer()
})
afterEach(() => shop.dispose())

function check(name: string, rule: object, more: Partial<CheckDef> = {}): CheckDef {
  const place = { file: 'refold.config.ts', line: 1, column: 1 }
  const placed = ('sql' in rule ? { sqlPlace: place, ...rule } : rule) as CheckRule
  return { name, place, rule: placed, cutover: true, timeoutMs: 30_000, ...more }
}

/** What views count must be what the log has. */
const total = check('total', {
  kind: 'nothing',
  sql: 'SELECT v.n AS counted, s.n AS sent FROM (SELECT sum(n) AS n FROM per_user) v, (SELECT count(*) AS n FROM sales) s WHERE v.n <> s.n',
})

function project(view: ViewDef, ...checks: readonly CheckDef[]): ProjectDef {
  return shop.project({ views: [view], checks })
}

async function deployed(...checks: readonly CheckDef[]): Promise<void> {
  await shop.open(project(counts, ...checks))
  await shop.rows('per_user', { after: await shop.send(100) })
}

function sumOf(rows: readonly Readonly<Record<string, unknown>>[]): number {
  return rows.reduce((sum, { n }) => sum + Number(n), 0)
}

async function colours(): Promise<unknown> {
  return await shop.sql(
    `SELECT details ->> 'check' AS c, details ->> 'to' AS t, (details ->> 'live')::BOOLEAN AS live
     FROM refold.audit WHERE what = 'check changed colour' ORDER BY time`,
  )
}

test('a check that the new version breaks stops the cutover, at the cut of the compare', async () => {
  await deployed(total)
  const info = await shop.deploy(project(wrong, total))
  assert.equal(info.state, 'refused')
  assert.match(info.reason ?? '', /check "total" is red at cut 1: 1 row breaks it/)
  const [result] = info.checks
  assert.deepEqual(
    [result?.verdict, result?.cut, result?.deploy, result?.rows],
    ['red', info.comparedAt, info.id, [{ counted: 102, sent: 100 }]],
  )
  assert.equal(sumOf(await shop.rows('per_user')), 100, 'the old version goes on')
  assert.deepEqual(await colours(), [{ c: 'total', t: 'red', live: false }])
  assert.equal(shop.server.core.checks.list()[0]?.last, null, 'nothing was said of what answers')
})

test('a limit on changed rows counts what differs', async () => {
  const limit = (name: string, rows: number) =>
    check(name, { kind: 'changed', view: 'per_user', limit: { rows } })
  await deployed()
  const info = await shop.deploy(project(wrong, limit('two', 2), limit('one', 1)))
  assert.deepEqual(
    info.checks.map(({ name, verdict, text }) => [name, verdict, text]),
    [
      ['two', 'green', '2 rows of view "per_user" (15.4 %) differ; at most 2 may'],
      ['one', 'red', '2 rows of view "per_user" (15.4 %) differ; at most 1 may'],
    ],
  )
  assert.equal(info.checks[1]?.rows.length, 2)
  assert.equal(info.state, 'refused')
})

test('rows that a rule expects to change are not counted', async () => {
  const limit = check('none', { kind: 'changed', view: 'per_user', limit: { share: 0 } })
  await deployed()
  const expect = [{ name: 'one more', when: 'new.n = old.n + 1', place: wrong.sqlPlace }]
  const info = await shop.deploy(project({ ...wrong, expect }, limit))
  assert.deepEqual(
    [info.state, info.checks[0]?.text],
    ['live', '0 rows of view "per_user" (0 %) differ, beside 2 that a rule expects; at most 0 % may'],
  )
})

test('a red gate that was accepted is no alarm afterwards', async () => {
  const often = { ...total, everyMs: 1_000 }
  await deployed(often)
  const info = await shop.deploy(project(wrong, often), { accept: 'it is so' })
  assert.equal(info.state, 'live')
  const last = () => shop.server.core.checks.list()[0]?.last
  const gateMs = info.checks[0]?.timeMs ?? 0
  await eventually(() => (last()?.timeMs ?? 0) > gateMs)
  assert.equal(last()?.verdict, 'red')
  assert.equal(sumOf(await shop.rows('per_user')), 102, 'it still answers')
  assert.deepEqual(await colours(), [{ c: 'total', t: 'red', live: false }])
})

test('a scheduled check that turns red takes the deploy back', async () => {
  // The new version is right until u7 buys: at the gate nobody can know.
  const later = shopView(
    'per_user',
    `SELECT "user", count(*) + count(*) FILTER (amount >= 2 AND "user" = 'u7' AND id > 's2') AS n FROM sales GROUP BY "user"`,
  )
  const often = { ...total, everyMs: 1_000 }
  await shop.open(project(counts, often))
  await shop.rows('per_user', { after: await shop.send(5) })
  const before = await shop.version('per_user')
  const info = await shop.deploy(project(later, often))
  assert.equal(info.state, 'live')
  assert.notEqual(await shop.version('per_user'), before)
  await shop.send(100)
  await eventually(async () => (await shop.version('per_user')) === before)
  const [found] = shop.server.deploys.list().slice(-1)
  assert.equal(found?.state, 'rolled_back')
  assert.match(found?.reason ?? '', /check "total" turned red/)
  await eventually(() => shop.server.core.checks.list()[0]?.last?.verdict === 'green')
})

test('checks run over a version that does not answer', async () => {
  await deployed(total)
  const info = await shop.deploy(project(wrong, total), { shadow: true })
  const to = info.views[0]?.to ?? ''
  const [live] = await shop.server.core.checks.run({ names: ['total'] })
  const [shadow] = await shop.server.core.checks.run({
    names: ['total'],
    versions: { per_user: to.slice(0, 12) },
  })
  assert.deepEqual([live?.verdict, shadow?.verdict], ['green', 'red'])
  assert.equal(shop.server.core.checks.list()[0]?.last?.verdict, 'green', 'only what answers counts')
})

test('a deploy in which only checks changed takes them over', async () => {
  await deployed(total)
  const next = project(counts, total, check('more', { kind: 'rows', view: 'per_user', min: 1 }))
  const { checks, views, empty } = await shop.server.core.plan(next)
  assert.deepEqual([checks, views, empty], [[{ check: 'more', change: 'new' }], [], false])
  await shop.deploy(next)
  assert.equal((await shop.server.core.plan(next)).empty, true)
  assert.deepEqual(
    shop.server.core.checks.list().map(({ name }) => name),
    ['total', 'more'],
  )
})
