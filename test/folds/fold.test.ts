/**
 * Folds in TypeScript in the whole server: what they answer is worked out here from the clicks that were sent, in plain
 * JavaScript that shares nothing with the engine.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { CLICKS, FoldServer, timeOf } from '../support/fold-server.ts'
import { rewriteSlice, slicesOf } from '../support/planted-slice.ts'

const CONFIG = `import { project } from 'refold'
import { clicks } from './clicks.ts'
import { sessions } from './sessions.ts'
export default project({ streams: [clicks], views: [sessions] })
`

/** Sessions end after 30 s without a click. */
const SESSIONS = `import { fold } from 'refold'
import { z } from 'zod'
import { clicks } from './clicks.ts'
const GAP_MS = 30_000
interface State { sessions: number; last: number; pages: string[]; spent: string; big: number | string }
export const sessions = fold('sessions', {
  from: clicks,
  key: 'user',
  row: z.object({ sessions: z.int(), last: z.iso.datetime(), pages: z.array(z.string()), spent: z.string(), big: z.string() }),
  init: (): State => ({ sessions: 0, last: 0, pages: [], spent: '', big: 0 }),
  step(state, event, { commit, index }) {
    const at = Date.parse(event.at)
    if (at - state.last > GAP_MS) state.sessions++
    state.last = at
    state.pages = [...state.pages, event.page].slice(-3)
    state.spent = event.amount + '@' + commit + '.' + index
    state.big = event.big
    return state
  },
  finish: (state) => ({ ...state, last: new Date(state.last).toISOString(), big: String(state.big) }),
})
`

let shop: FoldServer
beforeEach(() => {
  shop = new FoldServer()
  shop.write({ 'clicks.ts': CLICKS, 'sessions.ts': SESSIONS, 'refold.config.ts': CONFIG })
})
afterEach(() => shop.dispose())

/** By hand, from what was sent. */
function expected(): unknown[] {
  const users = new Map<
    string,
    { sessions: number; last: number; pages: string[]; spent: string; big: string }
  >()
  for (const { user, second, page, amount, cut, index } of shop.sent) {
    const before = users.get(user)
    const isNew = before === undefined || second - before.last > 30
    users.set(user, {
      sessions: (before?.sessions ?? 0) + (isNew ? 1 : 0),
      last: second,
      pages: [...(before?.pages ?? []), page].slice(-3),
      spent: `${amount}@${cut}.${index}`,
      big: String(9_007_199_254_740_000n + BigInt(second)),
    })
  }
  return [...users]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([user, row]) => ({ user, ...row, last: timeOf(row.last) }))
}

function someClicks(count: number, from: number) {
  return Array.from({ length: count }, (_, at) => {
    const id = from + at
    return {
      user: `u${(id * 7) % 11}`,
      page: `/p${id % 5}`,
      second: id * 4 + (id % 3) * 10,
      amount: `${id % 9}.5`,
    }
  })
}

test('a fold answers for its keys at every cut, after a restart and after seals', async () => {
  await shop.open()
  let cut = await shop.send(someClicks(20, 0))
  assert.deepEqual(await shop.rows('sessions', cut), expected())
  cut = await shop.send(someClicks(37, 20))
  assert.deepEqual(await shop.rows('sessions', cut), expected())
  await shop.flush()
  cut = await shop.send(someClicks(5, 57))
  assert.deepEqual(await shop.rows('sessions', cut), expected())
  assert.deepEqual(
    await shop.rows('sessions', cut, { user: 'u3' }),
    expected().filter((row) => (row as { user: string }).user === 'u3'),
  )
  await shop.flush()
  await shop.send(someClicks(3, 62))
  const reports = await shop.server.core.verify.run({})
  const found = reports.map(({ error, findings, groups }) => [error, findings, groups])
  assert.deepEqual(found, [[undefined, [], 11]])
  await shop.close()
  await shop.open()
  cut = await shop.send(someClicks(9, 65))
  assert.deepEqual(await shop.rows('sessions', cut), expected())
})

/** What was expected at an earlier cut. */
function expectedAt(cut: number): unknown[] {
  const all = shop.sent.splice(0)
  shop.sent.push(...all.filter((click) => click.cut <= cut))
  const rows = expected()
  shop.sent.splice(0, shop.sent.length, ...all)
  return rows
}

test('states of the past, before and after seals', async () => {
  await shop.open()
  const first = await shop.send(someClicks(30, 0))
  await shop.flush()
  const second = await shop.send(someClicks(30, 30))
  const third = await shop.send(someClicks(30, 60))
  for (const cut of [first, second, third]) {
    const read = { view: 'sessions', where: {}, order: [], limit: 1000 }
    const answer = await shop.server.core.readView(read, { moment: { kind: 'cut', cut } })
    assert.deepEqual(JSON.parse(answer.json), expectedAt(cut), `at cut ${cut}`)
  }
})

test('changed code is a new version: history is folded in bulk by it, compared and served; the old one stays', async () => {
  await shop.open()
  await shop.send(someClicks(50, 0))
  await shop.flush()
  const cut = await shop.send(someClicks(20, 50))
  const old = await shop.rows('sessions', cut)
  const before = await shop.version('sessions')
  shop.write({ 'sessions.ts': SESSIONS.replace('slice(-3)', 'slice(-2)') })
  const deploy = await shop.deploy(await shop.load())
  assert.equal(deploy.state, 'live', JSON.stringify(deploy))
  const rows = await shop.rows('sessions')
  const cutTwo = (row: unknown) => ({
    ...(row as object),
    pages: (row as { pages: string[] }).pages.slice(-2),
  })
  assert.deepEqual(rows, expected().map(cutTwo))
  const next = await shop.send(someClicks(10, 70))
  assert.deepEqual(await shop.rows('sessions', next), expected().map(cutTwo))
  assert.deepEqual(old, expectedAt(cut))
  await shop.server.deploys.rollback({ reason: 'test', author: { who: 'tester' } })
  assert.equal(await shop.version('sessions'), before)
  assert.deepEqual(await shop.rows('sessions'), expected())
})

test('with several rows for a key, lookups and changes have each of them', async () => {
  shop.write({
    'sessions.ts': `import { fold } from 'refold'
import { z } from 'zod'
import { clicks } from './clicks.ts'
export const sessions = fold('sessions', {
  from: clicks, key: 'user', several: true, row: z.object({ page: z.string(), n: z.int() }),
  init: () => ({}) as Record<string, number>,
  step: (pages, { page }) => ({ ...pages, [page]: (pages[page] ?? 0) + 1 }),
  finish: (pages) => Object.entries(pages).map(([page, n]) => ({ page, n })),
})
`,
  })
  await shop.open()
  const before = await shop.send(someClicks(40, 0))
  const cut = await shop.send(someClicks(3, 40))
  const counts = new Map<string, number>()
  for (const { user, page } of shop.sent)
    counts.set(`${user} ${page}`, (counts.get(`${user} ${page}`) ?? 0) + 1)
  const wanted = [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, n]) => ({ user: key.split(' ')[0], page: key.split(' ')[1], n }))
  const sorted = (rows: readonly unknown[]) => rows.map((row) => JSON.stringify(row)).sort()
  assert.deepEqual(sorted(await shop.rows('sessions', cut)), sorted(wanted))
  const one = wanted.filter(({ user }) => user === 'u3')
  assert.deepEqual(sorted(await shop.rows('sessions', cut, { user: 'u3' })), sorted(one))
  const delta = await shop.sql(`SELECT count(*) AS n FROM sessions`)
  assert.deepEqual(delta, [{ n: wanted.length }])
  assert.ok(before < cut)
})

test('verify finds a state that the log does not give, and names the slice', async () => {
  await shop.open()
  for (let round = 0; round < 3; round++) {
    await shop.send(someClicks(15, round * 15))
    await shop.flush()
  }
  await shop.send(someClicks(5, 45))
  await shop.close()
  const data = `${shop.folder}/data`
  const slices = slicesOf(data, 'sessions')
  const [, , last] = slices
  assert.ok(last !== undefined && slices.length === 3, JSON.stringify(slices))
  const planted = `list_transform(rows, lambda r: struct_update(r, sessions := r.sessions + 7))`
  await rewriteSlice(
    data,
    last,
    `SELECT * REPLACE (CASE WHEN k0 = 'u4' THEN ${planted} ELSE rows END AS rows) FROM slice`,
  )
  await shop.open()
  const [report] = await shop.server.core.verify.run({})
  assert.equal(report?.error, undefined)
  const places = report?.findings.map((finding) => JSON.stringify(finding)).join() ?? ''
  assert.match(places, new RegExp(`"from":${last.from},"to":${last.to}`))
  assert.match(places, /u4/)
  assert.equal(report?.found, 1)
})
