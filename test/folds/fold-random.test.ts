/**
 * A fold in TypeScript through a random life: commits of random sizes, seals, moves to the lake, kills of the engine,
 * restarts of the server, deploys of changed code. At every step its rows are those of a plain loop over what was sent,
 * and those of a view in SQL that says the same. REFOLD_SEED repeats a run.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { CLICKS, FoldServer } from '../support/fold-server.ts'
import { seededRandom } from '../support/seeded-random.ts'

const SEED = Number(process.env['REFOLD_SEED'] ?? Math.floor(Math.random() * 1e9))
const STEPS = 24

function folds(change: string): string {
  return `import { fold } from 'refold'
import { z } from 'zod'
import { clicks } from './clicks.ts'
export const totals = fold('totals', {
  from: clicks, key: 'user', row: z.object({ n: z.int(), cents: z.int(), first: z.string(), last: z.string() }),
  init: () => ({ n: 0, cents: 0, first: '', last: '' }), // ${change}
  step(state, event) {
    if (event.page === '/bad') throw new Error('bad')
    state.n++
    state.cents += Math.round(Number(event.amount) * 100)
    state.first ||= event.page
    state.last = event.page
    return state
  },
  finish: (state) => state,
})
`
}

const CONFIG = `import { project, view } from 'refold'
import { clicks } from './clicks.ts'
import { totals } from './folds.ts'
const plain = view('plain', { sql: \`SELECT "user", count(*) AS n, CAST(sum(amount) * 100 AS INTEGER) AS cents FROM clicks WHERE page <> '/bad' GROUP BY "user"\` })
export default project({ streams: [clicks], views: [totals, plain] })
`

let shop: FoldServer
beforeEach(() => {
  shop = new FoldServer()
  shop.write({ 'clicks.ts': CLICKS, 'folds.ts': folds('as it began'), 'refold.config.ts': CONFIG })
})
afterEach(() => shop.dispose())

function expected(): unknown[] {
  const users = new Map<string, { n: number; cents: number; first: string; last: string }>()
  for (const { user, page, amount } of shop.sent) {
    if (page === '/bad') continue
    const { n = 0, cents = 0, first = page } = users.get(user) ?? {}
    users.set(user, { n: n + 1, cents: cents + Math.round(Number(amount) * 100), first, last: page })
  }
  return [...users].sort(([a], [b]) => (a < b ? -1 : 1)).map(([user, row]) => ({ user, ...row }))
}

test(`rows are those of a plain loop whatever happens (REFOLD_SEED=${SEED})`, async () => {
  const random = seededRandom(SEED)
  const below = (count: number) => Math.floor(random() * count)
  const keys = 3 + below(20)
  let second = 0
  await shop.open()
  for (let step = 0; step < STEPS; step++) {
    const clicks = Array.from({ length: 1 + below(step % 5 === 0 ? 400 : 12) }, () => ({
      user: `u${String(below(keys)).padStart(2, '0')}`,
      page: below(40) === 0 ? '/bad' : `/p${below(9)}\u001e,"${below(3)}`,
      second: second++,
      amount: `${below(50)}.${below(9)}`,
    }))
    const cut = await shop.send(clicks)
    const what = below(9)
    if (what === 0) await shop.flush()
    if (what === 1) process.kill(shop.server.enginePid() ?? assert.fail('an engine runs'), 'SIGKILL')
    if (what === 2) {
      await shop.close()
      await shop.open()
    }
    if (what === 3) {
      shop.write({ 'folds.ts': folds(`changed at ${step}`) })
      const deploy = await shop.deploy(await shop.load())
      assert.equal(deploy.state, 'live', JSON.stringify(deploy))
    }
    assert.deepEqual(await shop.rows('totals', cut), expected(), `after step ${step} (${what})`)
    const counted = (expected() as { user: string; n: number; cents: number }[]).map(
      ({ user, n, cents }) => ({ user, n, cents }),
    )
    assert.deepEqual(await shop.rows('plain', cut), counted, `the same in SQL, step ${step}`)
  }
  const dead = await shop.sql('SELECT DISTINCT commit, "index" FROM refold.skipped')
  assert.equal(dead.length, shop.sent.filter(({ page }) => page === '/bad').length)
})
