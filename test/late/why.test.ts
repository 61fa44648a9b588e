/**
 * `why` over a view that holds late events back, against counts made by hand: a difference across a batch is told as
 * late events, what came in time as new ones, and what is still held not at all. And reports of before a batch are given
 * again as they were, although the batch ends at their cut.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { WhyReport } from '../../src/deploy/types.ts'
import { momentOf } from '../../src/serve/moment.ts'
import { HOUR_MS, LateShop, type Visit } from '../support/late-shop.ts'

const START_MS = Date.UTC(2024, 4, 1, 12)
let shop: LateShop

beforeEach(async () => {
  shop = new LateShop()
  await shop.open()
})
afterEach(() => shop.dispose())

let next = 0
function visit(hours: number, person = 'ann'): Visit {
  return { id: `w${next++}`, person, amount: '95.50', ts: new Date(START_MS + hours * HOUR_MS).toISOString() }
}

/** The moment of an answer, after which nothing else is of the same millisecond. */
async function report(view: string): Promise<string> {
  const { meta } = await shop.read(view, { after: shop.sent.at(-1)?.cut ?? 0 })
  await sleep(5)
  return meta.at ?? ''
}

function reported(at: string) {
  const moment = momentOf({ as_of: undefined, as_reported_at: at }, () => assert.fail(at))
  return { moment: moment! }
}

function parts({ rowCount, totals, lateEvents, newEvents, lateCuts }: WhyReport) {
  const n = totals.find(({ column }) => column === 'n')
  return {
    ...{ lateEvents, newEvents, lateCuts, rows: rowCount.late },
    n: [n?.first, n?.late, n?.arrived, n?.logic, n?.last],
  }
}

test('a difference across a batch is late events, and not new ones', async () => {
  await shop.send([visit(0), visit(-0.5, 'bea')])
  await shop.send([visit(3), visit(-10), visit(-40)])
  const first = await report('active_held')
  await shop.send([visit(4), visit(-11)])
  await shop.server.flush()
  const unbatched = await report('active_held')
  assert.equal(await shop.batch('active_held'), 3)
  const batched = await report('active_held')
  await shop.send([visit(5), visit(-12)])
  const last = await report('active_held')
  const why = async (from: string, to: string) =>
    parts(
      await shop.server.core.compare.why({
        ...{ view: 'active_held', key: {}, limit: 10 },
        from: reported(from).moment,
        to: reported(to).moment,
      }),
    )
  assert.deepEqual(await why(unbatched, batched), {
    ...{ lateEvents: 3, newEvents: 0, lateCuts: { from: 0, to: 3 }, rows: '1' },
    n: ['4', '3', '0', '0', '7'],
  })
  assert.deepEqual(await why(first, last), {
    ...{ lateEvents: 3, newEvents: 2, lateCuts: { from: 0, to: 3 }, rows: '1' },
    n: ['3', '3', '2', '0', '8'],
  })
  assert.deepEqual(await why(first, unbatched), {
    ...{ lateEvents: 0, newEvents: 1, lateCuts: { from: 0, to: 0 }, rows: '0' },
    n: ['3', '0', '1', '0', '4'],
  })
  // Each report is what it was, by the batch of its time.
  for (const [at, cut, batch] of [
    [first, 2, 0],
    [unbatched, 3, 0],
    [batched, 3, 3],
    [last, 4, 3],
  ] as const) {
    const again = await shop.read('active_held', reported(at))
    assert.deepEqual(again.cells, await shop.expected('active_held', cut, batch), `as reported at ${at}`)
  }
})
