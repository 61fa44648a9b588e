/**
 * The late ledger against a list that is made by hand: which events were late, by how much, what became of each, and
 * to which rows they belong; before and after batches, from the hot log and from the lake, page by page.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type { LateEvent, LateRequest } from '../../src/serve/core-late.ts'
import { HOUR_MS, LATENESS_MS, LateShop, type Visit } from '../support/late-shop.ts'

const START_MS = Date.UTC(2024, 4, 1, 12)
let shop: LateShop

beforeEach(async () => {
  shop = new LateShop()
  await shop.open()
})
afterEach(() => shop.dispose())

let next = 0
/** A visit so many hours before the start, or after it. */
function visit(hours: number, person = 'ann', amount = '95.50'): Visit {
  return { id: `x${next++}`, person, amount, ts: new Date(START_MS + hours * HOUR_MS).toISOString() }
}

/** By the time at which the view has folded all that was sent. */
async function late(view: string, more: Partial<LateRequest> = {}) {
  await shop.read(view, { after: shop.sent.at(-1)?.cut ?? 0 })
  return await shop.server.core.late.list({ view, all: false, limit: 100, ...more })
}

function short({ commit, index, state, batch, lateMs, rows }: LateEvent) {
  return [`${commit}.${index}`, state, batch?.cut ?? null, lateMs, rows]
}

const day = (text: string) => [{ day: text }]

test('held events are listed until a batch takes them, and then told as taken', async () => {
  assert.equal(await shop.send([visit(0), visit(-0.5), visit(-1)]), 1)
  // Late by the watermark that its own commit stores: 3 h before the newest of the commit, with 1 h lateness.
  assert.equal(await shop.send([visit(2), visit(-1, 'bea', '10.00')]), 2)
  assert.equal(await shop.send([visit(-20), visit(1.5), visit(1)]), 3)
  const before = [
    ['2.1', 'held', null, 2 * HOUR_MS, day('2024-05-01')],
    ['3.0', 'held', null, 21 * HOUR_MS, day('2024-04-30')],
  ]
  for (const place of ['hot', 'lake']) {
    if (place === 'lake') await shop.server.flush()
    const found = await late('active_held')
    assert.deepEqual(found.events.map(short), before, place)
    const { held, total, lateCut, cut } = found
    assert.deepEqual(
      { held, total, lateCut, cut, late: found.late },
      { held: 2, total: 2, lateCut: 0, cut: 3, late: 'hold' },
    )
  }
  // What corrected rows at once; `large` takes only one of the two.
  assert.deepEqual(
    (await late('active')).events.map(short),
    before.map(([at, , ...rest]) => [at, 'corrected', ...rest]),
  )
  assert.deepEqual(
    (await late('large')).events.map(({ rows }) => rows?.length),
    [0, 1],
  )

  assert.equal(await shop.batch('active_held'), 3)
  assert.equal((await late('active_held')).total, 0)
  assert.equal(await shop.send([visit(-30), visit(3)]), 4)
  const all = await late('active_held', { all: true })
  assert.deepEqual(all.events.map(short), [
    ...before.map(([at, , , ...rest]) => [at, 'batch', 3, ...rest]),
    ['4.0', 'held', null, 32 * HOUR_MS, day('2024-04-30')],
  ])
  assert.equal(all.held, 1)
  const [first] = all.events
  assert.equal(first?.watermark, '2024-05-01T13:00:00.000000Z')
  assert.equal(first?.at, '2024-05-01T11:00:00.000000Z')
  assert.equal((JSON.parse(first?.json ?? '{}') as Visit).person, 'bea')
  assert.deepEqual(
    (await late('active_held', { all: true, since: { kind: 'cut', cut: 2 } })).events.map(short),
    all.events.map(short).slice(1),
  )

  const table = await shop.server.core.sql(
    {
      sql: `SELECT view, state, from_cut, to_cut, events FROM refold.late WHERE view LIKE 'active%' ORDER BY ALL`,
      limit: 100,
    },
    {},
  )
  assert.deepEqual(JSON.parse(table.json), [
    { view: 'active', state: 'corrected', from_cut: 0, to_cut: 4, events: 3 },
    { view: 'active_held', state: 'batch', from_cut: 0, to_cut: 3, events: 2 },
    { view: 'active_held', state: 'held', from_cut: 3, to_cut: 4, events: 1 },
  ])
})

test('pages join without a gap, and a time stands for what was accepted from then on', async () => {
  const sent: string[] = []
  await shop.send([visit(100)])
  for (let commit = 0; commit < 5; commit++) {
    await shop.send([visit(-commit), visit(100), visit(-2 * commit)])
    sent.push(`${commit + 2}.0`, `${commit + 2}.2`)
  }
  await shop.server.flush()
  await shop.send([visit(-9)])
  sent.push('7.0')
  const found: string[] = []
  let after: LateRequest['after']
  do {
    const page = await late('totals_held', { limit: 3, ...(after === undefined ? {} : { after }) })
    assert.equal(page.total, sent.length)
    found.push(...page.events.map(({ commit, index }) => `${commit}.${index}`))
    after = page.next
  } while (after !== undefined)
  assert.deepEqual(found, sent)
  const [whole] = (await late('totals_held')).events.slice(-1)
  const recent = await late('totals_held', { since: { kind: 'time', timeMs: whole!.timeMs } })
  assert.ok(recent.events.some(({ commit }) => commit === 7))
  assert.ok(recent.events.every(({ timeMs }) => timeMs >= whole!.timeMs))
  assert.ok(LATENESS_MS > 0)
})

test('a view that is not there is told by its nearest name', async () => {
  await assert.rejects(shop.server.core.late.list({ view: 'activ', all: false, limit: 1 }), {
    code: 'VIEW_UNKNOWN',
    hint: 'Did you mean "active"?',
  })
})
