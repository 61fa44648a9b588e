/**
 * Compare while a version is being proved: the pair that is meant when none is named, and a version whose history
 * begins later, whose rows differ by events and not by logic. Counted by hand from what the shop sent.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type { CompareSummary } from '../../src/deploy/types.ts'
import { ShopServer, shopView } from '../support/shop-server.ts'

let shop: ShopServer
beforeEach(() => {
  shop = new ShopServer()
})
afterEach(() => shop.dispose())

const perUser = shopView('per_user', 'SELECT "user", count(*) AS n FROM sales GROUP BY "user"')
const same = shopView('per_user', 'SELECT "user", count(*) + 0 AS n FROM sales GROUP BY "user"')
const bots = shopView(
  'per_user',
  `SELECT "user", count(*) AS n FROM sales WHERE "user" <> 'u9' GROUP BY "user"`,
)

function compare(
  more: { readonly from?: string; readonly to?: string; readonly folded?: boolean } = {},
): Promise<CompareSummary> {
  return shop.server.core.compare.versions({ view: 'per_user', folded: true, sampleRows: 20, ...more })
}

test('a version that begins later differs by events; the pair is the one that is being deployed', async () => {
  await shop.open(shop.project({ views: [perUser] }))
  const before = await shop.send(100)
  await shop.send(5)
  const old = await shop.version('per_user')
  await assert.rejects(compare(), { code: 'VERSION_UNKNOWN' })
  const deploy = await shop.deploy(shop.project({ views: [same] }), {
    shadow: true,
    from: { kind: 'cut', cut: before },
  })
  assert.equal(deploy.state, 'shadow')
  const summary = await compare()
  assert.deepEqual([summary.from, summary.to], [old, deploy.views[0]?.to])
  // Thirteen users; the five later sales are of u9 to u12 and u0.
  assert.deepEqual([summary.changed, summary.added, summary.removed, summary.equal], [5, 0, 8, 0])
  assert.deepEqual(summary.causes, { unexplained: 0, expected: 0, events: 13, logic: 0 })
  assert.deepEqual(deploy.views[0]?.compare?.causes, summary.causes, 'the deploy keeps what it found')
  const turned = await compare({ from: summary.to.slice(0, 12), to: old })
  assert.deepEqual([turned.added, turned.causes.events], [8, 13])
  assert.equal(await shop.version('per_user'), old)
})

test('new logic among missing events is told apart; after the cutover the pair is warm and live', async () => {
  await shop.open(shop.project({ views: [perUser] }))
  const before = await shop.send(9)
  await shop.send(13)
  const old = await shop.version('per_user')
  const deploy = await shop.deploy(shop.project({ views: [bots] }), { from: { kind: 'cut', cut: before } })
  assert.equal(deploy.state, 'live')
  const summary = await compare()
  assert.deepEqual([summary.from, summary.to], [old, await shop.version('per_user')])
  // u0 to u8 have a sale before, which the new version has not; u9 is left out by its logic; u10 to u12 are equal.
  assert.deepEqual([summary.changed, summary.removed, summary.equal], [9, 1, 3])
  assert.deepEqual(summary.causes, { unexplained: 0, expected: 0, events: 9, logic: 1 })
})

test('the first event with which the versions differ is named, within its commit too', async () => {
  const doubled = shopView(
    'per_user',
    `SELECT "user", count(*) AS n, sum(CASE WHEN amount > 5 THEN amount * 2 ELSE amount END) AS total FROM sales GROUP BY "user"`,
  )
  const plain = shopView(
    'per_user',
    'SELECT "user", count(*) AS n, sum(amount) AS total FROM sales GROUP BY "user"',
  )
  await shop.open(shop.project({ views: [plain] }))
  await shop.send(5)
  await shop.send(40)
  await shop.server.flush()
  await shop.send(30)
  await shop.deploy(shop.project({ views: [doubled] }), { shadow: true })
  const summary = await shop.server.core.compare.versions({
    ...{ view: 'per_user', folded: false, sampleRows: 20, firstEvents: 20 },
  })
  const wanted = new Map<string, string>()
  for (const { user, id, cents } of shop.sent) if (cents > 500 && !wanted.has(user)) wanted.set(user, id)
  assert.ok(wanted.size > 5)
  const found = summary.sample.map(({ new: now, first }) => [
    (now as { user: string }).user,
    (first!.event as { id: string }).id,
  ])
  assert.deepEqual(found.sort(), [...wanted].sort())
})

test('versions that say the same never differ, however fast events come: both stand at one cut', async () => {
  await shop.open(shop.project({ views: [perUser] }))
  await shop.send(50)
  await shop.deploy(shop.project({ views: [same] }), { shadow: true })
  let sending = true
  const flow = (async () => {
    while (sending) await shop.send(7)
  })()
  try {
    const cuts = new Set<number>()
    while (cuts.size < 8) {
      const { equal, oldRows, newRows, cut } = await compare()
      assert.deepEqual([equal, newRows], [oldRows, oldRows], `at cut ${cut}`)
      cuts.add(cut)
    }
  } finally {
    sending = false
    await flow
  }
})

test('where the log no longer holds the events of both, what cannot be told is said', async () => {
  await shop.open(shop.project({ views: [perUser] }))
  const before = await shop.send(100)
  await shop.server.flush()
  const after = await shop.send(5)
  await shop.deploy(shop.project({ views: [same] }), { shadow: true, from: { kind: 'cut', cut: before } })
  await shop.server.flush()
  assert.equal((await compare({ folded: false })).causes.events, 13)
  const trim = { stream: 'sales', to: { cut: after }, promote: true, reason: 'test' }
  assert.equal((await shop.server.core.lake.trim(trim)).cut, after)
  await shop.send(1)
  const summary = await compare({ folded: false })
  assert.deepEqual([summary.causes.events, summary.causes.logic], [0, 13])
  assert.match(summary.notes?.[0] ?? '', /count as new logic.*were trimmed/)
})
