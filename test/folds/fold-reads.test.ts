/**
 * A fold that says which fields it reads: its functions get these and the key's and no others, live and in bulk, and
 * the rows are those that a plain loop gives.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { CLICKS, FoldServer } from '../support/fold-server.ts'

const FOLDS = `import { fold } from 'refold'
import { z } from 'zod'
import { clicks } from './clicks.ts'
export const seen = fold('seen', {
  from: clicks, key: 'user', reads: ['amount', 'note'], row: z.object({ n: z.int(), cents: z.int(), fields: z.string() }),
  init: () => ({ n: 0, cents: 0, fields: '' }),
  step(state, event) {
    state.n++
    state.cents += Math.round(Number(event.amount) * 100)
    state.fields = Object.keys(event).sort().join(' ')
    return state
  },
  finish: (state) => state,
})
`

function config(view: string): string {
  return `import { project } from 'refold'
import { clicks } from './clicks.ts'
import { seen } from './folds.ts'
export default project({ streams: [clicks], views: [${view}] })
`
}

let shop: FoldServer
beforeEach(() => {
  shop = new FoldServer()
  shop.write({ 'clicks.ts': CLICKS, 'folds.ts': FOLDS, 'refold.config.ts': config('seen') })
})
afterEach(() => shop.dispose())

function expected(): unknown[] {
  const users = new Map<string, { n: number; cents: number }>()
  for (const { user, amount } of shop.sent) {
    const { n, cents } = users.get(user) ?? { n: 0, cents: 0 }
    users.set(user, { n: n + 1, cents: cents + Math.round(Number(amount) * 100) })
  }
  return [...users]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([user, { n, cents }]) => ({ user, n, cents, fields: 'amount user' }))
}

test('only the fields that the fold reads come to its functions, and a restart changes nothing', async () => {
  await shop.open()
  const clicks = Array.from({ length: 40 }, (_, i) => ({
    user: `u${i % 7}`,
    page: `/${i}`,
    second: i,
    amount: `${i}.25`,
  }))
  let cut = await shop.send(clicks)
  assert.deepEqual(await shop.rows('seen', cut), expected())
  await shop.server.flush()
  await shop.close()
  await shop.open()
  cut = await shop.send(clicks.slice(0, 9))
  assert.deepEqual(await shop.rows('seen', cut), expected())
})

test('a field that the stream does not have is refused with the nearest one', async () => {
  shop.write({ 'folds.ts': FOLDS.replace("'amount', 'note'", "'amuont'") })
  await assert.rejects(shop.open(), /"amuont" among `reads` is not a field of stream "clicks"/)
})
