/**
 * A fold in TypeScript with `merge`: partial rows are folds of their ranges alone, so it may run as lambda. What it
 * answers is worked out here from what was sent.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { CLICKS, FoldServer } from '../support/fold-server.ts'

const FOLDS = `import { fold } from 'refold'
import { z } from 'zod'
import { clicks } from './clicks.ts'
/** Visits, told apart by a gap of 30 s, of which two at the border of ranges may be one. */
interface State { first: number; last: number; visits: number; longest: number }
export const visits = fold('visits', {
  from: clicks, key: ['user', 'page'],
  row: z.object({ visits: z.int(), seconds: z.int() }),
  init: (): State => ({ first: 0, last: 0, visits: 0, longest: 0 }),
  step(state, event) {
    const at = Date.parse(event.at) / 1000
    return join(state, { first: at, last: at, visits: 1, longest: 0 })
  },
  merge: join,
  finish: ({ first, last, visits }) => ({ visits, seconds: last - first }),
})
function join(earlier: State, later: State): State {
  if (earlier.visits === 0) return { longest: 0, visits: later.visits, last: later.last, first: later.first }
  if (later.visits === 0) return earlier
  const same = later.first - earlier.last <= 30
  return { first: earlier.first, last: later.last, visits: earlier.visits + later.visits - (same ? 1 : 0), longest: 0 }
}
`

function config(run: string): string {
  return `import { kappa, lambda, project } from 'refold'
import { clicks } from './clicks.ts'
import { visits } from './folds.ts'
export default project({ streams: [clicks], views: [{ ...visits, run: ${run} }] })
`
}

let shop: FoldServer
beforeEach(() => {
  shop = new FoldServer()
  shop.write({ 'clicks.ts': CLICKS, 'folds.ts': FOLDS, 'refold.config.ts': config('kappa()') })
})
afterEach(() => shop.dispose())

let second = 0
function some(count: number) {
  return Array.from({ length: count }, (_, at) => {
    second += [1, 12, 31, 50][(second + at) % 4] ?? 1
    return {
      user: `u${(second * 7) % 5}`,
      page: '/',
      second: second - (second % 2 === 0 ? 40 : 0),
      amount: '1',
    }
  })
}

function expected(): unknown[] {
  const groups = new Map<
    string,
    { user: string; page: string; visits: number; first: number; last: number }
  >()
  for (const { user, page, second: at } of shop.sent) {
    const group = groups.get(`${user} ${page}`) ?? {
      user,
      page,
      visits: 0,
      first: at,
      last: Number.NEGATIVE_INFINITY,
    }
    const visits = group.visits + (at - group.last > 30 ? 1 : 0)
    groups.set(`${user} ${page}`, { ...group, visits, last: at })
  }
  return [...groups.values()]
    .sort((a, b) => (`${a.user} ${a.page}` < `${b.user} ${b.page}` ? -1 : 1))
    .map(({ user, page, visits, first, last }) => ({ user, page, visits, seconds: last - first }))
}

function rows(cut?: number): Promise<unknown[]> {
  return shop.rows('visits', cut)
}

test('partial rows of ticks, slices and images merge by the function, at every cut', async () => {
  await shop.open()
  for (const count of [5, 40, 3]) {
    const cut = await shop.send([...some(count), ...shop.sent.slice(0, 4)])
    assert.deepEqual(await rows(cut), expected())
  }
  await shop.flush()
  let cut = await shop.send(shop.sent.slice(0, 30))
  assert.deepEqual(await rows(cut), expected())
  await shop.flush()
  assert.deepEqual(await rows(), expected())
  const reports = await shop.server.core.verify.run({})
  assert.deepEqual(
    reports.map(({ error, findings }) => [error, findings]),
    [[undefined, []]],
  )
  await shop.close()
  await shop.open()
  cut = await shop.send(shop.sent.slice(10, 50))
  assert.deepEqual(await rows(cut), expected())
})

test('it moves to lambda by a deploy and gives the same, batch after batch', async () => {
  await shop.open()
  await shop.send(some(30))
  shop.write({ 'refold.config.ts': config('lambda({ afterEvents: 20 })') })
  const deploy = await shop.deploy(await shop.load())
  assert.equal(deploy.state, 'live', JSON.stringify(deploy))
  for (let round = 0; round < 4; round++) {
    const cut = await shop.send([...some(15), ...shop.sent.slice(0, 10)])
    assert.deepEqual(await rows(cut), expected())
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.deepEqual(await rows(), expected())
  }
  const batches = await shop.sql(`SELECT * FROM refold.batches`)
  assert.ok(batches.length > 0, 'batches were published')
  const found = await shop.sql('SELECT * FROM refold.divergence WHERE rows > 0').catch(() => [])
  assert.deepEqual(found, [])
})
