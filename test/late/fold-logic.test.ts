/**
 * A fold in TypeScript that holds late events back: through ticks, seals, batches, restarts, reads of the past and `why`,
 * against a fold by hand over what was sent. Which clicks are late is worked out here, commit by commit.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { CLICKS, FoldServer } from '../support/fold-server.ts'

const FOLDS = `import { fold, lambda } from 'refold'
import { z } from 'zod'
import { clicks } from './clicks.ts'
interface State { n: number; last: number }
const join = (a: State, b: State): State => ({ n: a.n + b.n, last: Math.max(a.last, b.last) })
export const seen = fold('seen', {
  from: clicks, key: ['user'], row: z.object({ n: z.int(), last: z.int() }),
  init: (): State => ({ n: 0, last: 0 }),
  step: (state, event) => join(state, { n: 1, last: Date.parse(event.at) / 1000 }),
  merge: join,
  finish: (state) => state,
  run: lambda({ every: '10h' }), late: 'hold',
})
`
const CONFIG = `import { project } from 'refold'
import { clicks } from './clicks.ts'
import { seen } from './folds.ts'
export default project({ streams: [clicks], views: [seen] })
`
const LATENESS = 60

let shop: FoldServer
beforeEach(() => {
  shop = new FoldServer()
  shop.write({
    'clicks.ts': CLICKS.replace("time: 'at'", `time: 'at', lateness: '${LATENESS}s'`),
    'folds.ts': FOLDS,
    'refold.config.ts': CONFIG,
  })
})
afterEach(() => shop.dispose())

function click(user: string, second: number) {
  return { user, page: '/', second, amount: '1' }
}

/** The rows at a cut, of a view whose last batch ended at another. */
function expected(cut: number, batch: number): unknown[] {
  let watermark = Number.NEGATIVE_INFINITY
  const groups = new Map<string, { n: number; last: number }>()
  for (const commit of [...new Set(shop.sent.map((one) => one.cut))].filter((one) => one <= cut)) {
    const own = shop.sent.filter((one) => one.cut === commit)
    for (const { second } of own) watermark = Math.max(watermark, second - LATENESS)
    for (const { user, second } of own) {
      if (second < watermark && commit > batch) continue
      const { n, last } = groups.get(user) ?? { n: 0, last: 0 }
      const at = Date.UTC(2024, 4, 1) / 1000 + second
      groups.set(user, { n: n + 1, last: Math.max(last, at) })
    }
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([user, row]) => ({ user, ...row }))
}

async function rows(cut: number): Promise<unknown[]> {
  const found = await shop.rows('seen', cut)
  return found.toSorted((a, b) => (String(a['user']) < String(b['user']) ? -1 : 1))
}

test('ticks leave late events out, batches take them, and the past and why say so', async () => {
  await shop.open()
  await shop.send([click('a', 100), click('b', 10), click('a', 130)])
  let cut = await shop.send([click('a', 300), click('b', 250), click('c', 200)])
  assert.deepEqual(await rows(cut), expected(cut, 0))
  await shop.flush()
  cut = await shop.send([click('c', 299), click('a', 5), click('d', 310)])
  assert.deepEqual(await rows(cut), expected(cut, 0))
  const before = cut
  const batch = await shop.server.core.batches.run('seen', { wait: true })
  assert.equal(batch.state, 'published', batch.reason ?? '')
  assert.deepEqual(await rows(cut), expected(cut, cut))
  cut = await shop.send([click('b', 1), click('b', 400)])
  assert.deepEqual(await rows(cut), expected(cut, before))
  await shop.close()
  await shop.open()
  assert.deepEqual(await rows(cut), expected(cut, before))
  const read = { view: 'seen', where: {}, order: [], limit: 100 }
  for (const [at, late] of [
    [2, 0],
    [before, before],
    [cut, before],
  ] as const) {
    const { json } = await shop.server.core.readView(read, { moment: { kind: 'cut', cut: at } })
    const found = (JSON.parse(json) as { user: string }[]).toSorted((x, y) => (x.user < y.user ? -1 : 1))
    assert.deepEqual(found, expected(at, late), `at cut ${at}`)
  }
  const why = await shop.server.core.compare.why({
    ...{ view: 'seen', key: {}, limit: 10 },
    from: { kind: 'cut', cut: 2 },
    to: { kind: 'cut', cut },
  })
  const n = why.totals.find(({ column }) => column === 'n')
  const total = (list: unknown[]) => (list as { n: number }[]).reduce((sum, one) => sum + one.n, 0)
  const [first, taken] = [total(expected(2, 0)), total(expected(before, before)) - total(expected(before, 0))]
  assert.deepEqual(
    [n?.first, n?.late, n?.logic, n?.last],
    [String(first), String(taken), '0', String(total(expected(cut, before)))],
  )
})
