/**
 * The gate before a cutover: a red check stops a deploy, a reason passes it on the record, a mended version passes by
 * itself; compare and checks speak of one cut. What is expected is counted here from what was sent.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type { CheckDef } from '../../src/define/types.ts'
import { ShopServer, shopView } from '../support/shop-server.ts'

let shop: ShopServer
beforeEach(() => {
  shop = new ShopServer()
})
afterEach(() => shop.dispose())

const perUser = shopView('per_user', 'SELECT "user", count(*) AS n FROM sales GROUP BY "user"')
/** Forgets one user. */
const planted = shopView(
  'per_user',
  `SELECT "user", count(*) AS n FROM sales WHERE "user" <> 'u7' GROUP BY "user"`,
)
const mended = shopView('per_user', 'SELECT "user", count(id) AS n FROM sales GROUP BY "user"')
const totals = shopView('totals', 'SELECT count(*) AS n FROM sales')
const place = { file: 'refold.config.ts', line: 1, column: 1 }
const sql = 'SELECT * FROM totals WHERE n <> (SELECT sum(n) FROM per_user)'
const sums: CheckDef = {
  name: 'per_user adds up',
  place,
  rule: { kind: 'nothing', sql, sqlPlace: place },
  cutover: true,
  timeoutMs: 30_000,
}

test('a planted fault is stopped at the gate; the mended version passes', async () => {
  const checks = [sums]
  await shop.open(shop.project({ views: [perUser, totals], checks }))
  const cut = await shop.send(130)
  await shop.server.flush()
  const refused = await shop.deploy(shop.project({ views: [planted, totals], checks }))
  assert.equal(refused.state, 'refused')
  assert.match(refused.reason ?? '', /per_user adds up/)
  // The first sale of u7 is the eighth event of the first commit.
  const first = refused.views[0]?.compare?.sample[0]?.first
  assert.deepEqual([first?.commit, first?.index], [1, 7])
  assert.match(
    refused.reason ?? '',
    /; view "per_user" first differs with event 3 of partition 1 of stream "sales" \(1\.7\)$/,
  )
  assert.deepEqual(
    refused.checks.map(({ verdict, cut: at }) => [verdict, at]),
    [['red', refused.comparedAt]],
  )
  const [compared] = refused.views
  assert.deepEqual(
    [compared?.compare?.removed, compared?.compare?.equal, compared?.compare?.cut],
    [1, 12, cut],
  )
  assert.equal((await shop.rows('per_user')).length, 13)
  const { deploys } = shop.server
  await assert.rejects(shop.deploy(shop.project({ views: [mended, totals], checks })), {
    code: 'DEPLOY_OPEN',
  })
  await deploys.cancel(refused.id, 'mended', { who: 'tester' })
  const passed = await shop.deploy(shop.project({ views: [mended, totals], checks }))
  assert.equal(passed.state, 'live')
  assert.deepEqual([passed.views[0]?.compare?.equal, passed.checks[0]?.verdict], [13, 'green'])
})

test('a rollback ends a deploy that waits at its gate: it was planned against what answers no longer', async () => {
  const checks = [sums]
  await shop.open(shop.project({ views: [perUser, totals], checks }))
  await shop.send(130)
  await shop.deploy(shop.project({ views: [mended, totals], checks }))
  const refused = await shop.deploy(shop.project({ views: [planted, totals], checks }))
  assert.equal(refused.state, 'refused')
  const { deploys } = shop.server
  await deploys.rollback({ reason: 'meanwhile', author: { who: 'tester' } })
  assert.equal(deploys.show(refused.id).state, 'cancelled')
  assert.match(deploys.show(refused.id).reason ?? '', /meanwhile/)
})

test('a red gate is passed with a reason, before or after it is seen, and both are on record', async () => {
  const checks = [sums]
  await shop.open(shop.project({ views: [perUser, totals], checks }))
  await shop.send(130)
  const before = await shop.deploy(shop.project({ views: [planted, totals], checks }), {
    accept: 'u7 is a test',
  })
  assert.deepEqual([before.state, before.accepted], ['live', 'u7 is a test'])
  assert.equal((await shop.rows('per_user')).length, 12)
  await shop.server.deploys.rollback({ reason: 'again', author: { who: 'tester' } })

  const refused = await shop.deploy(shop.project({ views: [planted, totals], checks }))
  assert.equal(refused.state, 'refused')
  await shop.close()
  await shop.open(shop.project({ views: [perUser, totals], checks }))
  const { deploys } = shop.server
  assert.equal(deploys.show(refused.id).state, 'refused')
  deploys.accept(refused.id, 'seen and fine', { who: 'eve' })
  const after = await deploys.settled(refused.id)
  assert.deepEqual([after.state, after.accepted], ['live', 'seen and fine'])
  const audit = await shop.sql(
    `SELECT what, details ->> 'who' AS who, details ->> 'reason' AS reason FROM refold.audit WHERE what LIKE 'gate%'`,
  )
  assert.deepEqual(
    audit.map(({ what }) => what),
    ['gate passed', 'gate refused', 'gate accepted'],
  )
  assert.deepEqual(audit.at(-1), { what: 'gate accepted', who: 'eve', reason: 'seen and fine' })
})

test('hours that are off by one are stopped at the gate with their first event; put right, they pass', async () => {
  const byHour = (shift: string) =>
    shopView(
      'by_hour',
      `SELECT date_trunc('hour', "at"${shift}) AS hour, "user", count(*) AS n FROM sales GROUP BY 1, 2`,
    )
  // Every sale is of 10 o'clock.
  const atTen = "SELECT * FROM by_hour WHERE hour <> TIMESTAMP '2024-05-01 10:00:00'"
  const checks: readonly CheckDef[] = [
    { ...sums, name: 'at ten', rule: { kind: 'nothing', sql: atTen, sqlPlace: place } },
  ]
  await shop.open(shop.project({ views: [byHour('')], checks }))
  await shop.send(20)
  await shop.server.flush()
  await shop.send(6)
  const wrong = `CASE WHEN amount > 7 THEN INTERVAL 1 HOUR ELSE INTERVAL 0 HOUR END`
  const refused = await shop.deploy(shop.project({ views: [byHour(` + ${wrong}`)], checks }))
  assert.equal(refused.state, 'refused')
  const touched = shop.sent.filter(({ cents }) => cents > 700)
  const named = refused.views[0]?.compare?.sample.flatMap(({ first }) => first ?? [])
  assert.ok(touched.length > 0 && named !== undefined && named.length > 0)
  for (const { event } of named) assert.ok(touched.some(({ id }) => id === (event as { id: string }).id))
  // Twenty sales of one commit on two partitions: the first that is touched is the 20th.
  const [first] = touched
  assert.deepEqual([first?.id, first?.cut], ['s19', 1])
  assert.match(refused.reason ?? '', /first differs with event 9 of partition 1 of stream "sales" \(1\.19\)$/)
  await shop.server.deploys.cancel(refused.id, 'mended', { who: 'tester' })
  const right = await shop.deploy(shop.project({ views: [byHour(` + 0 * ${wrong}`)], checks }))
  assert.equal(right.state, 'live', right.reason)
})
