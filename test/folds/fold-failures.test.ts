/**
 * Events that a fold in TypeScript cannot take: they are left out, one by one, with what was thrown and where, on every
 * path alike, and the others go on.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { CLICKS, FoldServer } from '../support/fold-server.ts'

function config(views: string): string {
  return `import { project } from 'refold'
import { clicks } from './clicks.ts'
import * as folds from './folds.ts'
export default project({ streams: [clicks], views: [${views}] })
`
}

const FOLDS = `import { fold } from 'refold'
import { z } from 'zod'
import { clicks } from './clicks.ts'
const row = z.object({ n: z.int(), pages: z.string() })
export const counts = fold('counts', {
  from: clicks, key: 'user', row,
  init: () => ({ n: 0, pages: [] as string[] }),
  step(state, event) {
    state.n++ // stays without trace where the next line throws
    state.pages.push(event.page)
    if (event.page === '/bad') throw new TypeError('no such page')
    if (event.page === '/loop') for (;;) state.n++
    if (event.page === '/none') return undefined as never
    if (event.page === '/date') return { ...state, pages: [new Date(0) as unknown as string] }
    return state
  },
  finish(state) {
    if (state.pages.at(-1) === '/unfinished') throw new Error('cannot finish')
    return { n: state.n, pages: state.pages.join(' ') }
  },
  limits: { step: '40ms', memory: '32MB' },
})
export const others = fold('others', {
  from: clicks, key: 'page', row: z.object({ n: z.int() }),
  init: () => 0,
  step(state, event) {
    const all: string[][] = []
    while (event.page === '/hog') all.push(new Array(100_000).fill('x' + all.length))
    return state + 1
  },
  finish: (n) => ({ n }),
  limits: { step: '20s', memory: '16MB' },
})
`

let shop: FoldServer
beforeEach(() => {
  shop = new FoldServer()
  shop.write({
    'clicks.ts': CLICKS,
    'folds.ts': FOLDS,
    'refold.config.ts': config('folds.counts, folds.others'),
  })
})
afterEach(() => shop.dispose())

const bad = ['/bad', '/loop', '/none', '/date', '/unfinished']

function click(user: string, page: string) {
  return { user, page, second: shop.sent.length, amount: '1.5' }
}

function expected(): unknown[] {
  const users = new Map<string, string[]>()
  for (const { user, page } of shop.sent) {
    if (!bad.includes(page)) users.set(user, [...(users.get(user) ?? []), page])
  }
  return [...users]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([user, pages]) => ({ user, n: pages.length, pages: pages.join(' ') }))
}

function expectedOthers(): unknown[] {
  const pages = new Map<string, number>()
  for (const { page } of shop.sent) if (page !== '/hog') pages.set(page, (pages.get(page) ?? 0) + 1)
  return [...pages].sort(([a], [b]) => (a < b ? -1 : 1)).map(([page, n]) => ({ page, n }))
}

test('an event on which a function fails, loops or takes all memory goes to the dead letters; all others are folded', async () => {
  await shop.open()
  let cut = await shop.send([click('a', '/1'), click('a', '/bad'), click('b', '/1'), click('a', '/2')])
  assert.deepEqual(await shop.rows('counts', cut), expected())
  cut = await shop.send([click('b', '/loop'), click('b', '/3'), click('c', '/loop'), click('c', '/4')])
  assert.deepEqual(await shop.rows('counts', cut), expected())
  cut = await shop.send([click('a', '/none'), click('d', '/5'), click('a', '/date'), click('e', '/bad')])
  assert.deepEqual(await shop.rows('counts', cut), expected())
  cut = await shop.send([click('a', '/6'), click('z', '/hog'), click('a', '/unfinished'), click('a', '/7')])
  assert.deepEqual(await shop.rows('others', cut), expectedOthers())
  cut = await shop.send([click('a', '/unfinished')])
  assert.deepEqual(
    (await shop.rows('counts', cut)).map((row) => [row['user'], row['n']]),
    (expected() as { user: string; n: number }[]).map((row) => [
      row.user,
      row.n + (row.user === 'a' ? 1 : 0),
    ]),
    'finish is asked at the end of a tick: the first of the two was passed over by /7',
  )
  const dead = await shop.sql(`SELECT * FROM refold.skipped ORDER BY commit, "index"`)
  const causes = dead.map((row) => [row['view'], row['code'], String(row['message']).slice(0, 60)])
  assert.deepEqual(causes, [
    ['counts', 'EVENT_STEP_FAILED', 'TypeError: no such page (folds.ts:11:38)'],
    ['counts', 'EVENT_STEP_LIMIT', '`step` takes longer than 40 ms'],
    ['counts', 'EVENT_STEP_LIMIT', '`step` takes longer than 40 ms'],
    ['counts', 'EVENT_STEP_FAILED', 'StateFault: the state is undefined, which JSON cannot say'],
    [
      'counts',
      'EVENT_STEP_FAILED',
      'StateFault: the state.pages holds a Date, which JSON would change'.slice(0, 60),
    ],
    ['counts', 'EVENT_STEP_FAILED', 'TypeError: no such page (folds.ts:11:38)'],
    ['others', 'EVENT_STEP_LIMIT', '`step` wants more than 16 MB'],
    ['counts', 'EVENT_STEP_FAILED', 'Error: cannot finish (folds.ts:18:53)'],
  ])
  assert.match(String(dead[0]?.['stack']), /at (Object\.)?step \(folds\.ts:11:38\)/)
})

test('bulk folds leave out what ticks left out, and find what no tick has seen; a view that stalls names the event', async () => {
  shop.write({ 'refold.config.ts': config('folds.others') })
  await shop.open()
  await shop.send([
    click('a', '/1'),
    click('a', '/bad'),
    click('b', '/loop'),
    click('a', '/2'),
    click('b', '/3'),
  ])
  await shop.flush()
  await shop.send([click('b', '/4'), click('b', '/date'), click('c', '/unfinished')])
  await shop.flush()
  shop.write({ 'refold.config.ts': config('folds.counts, folds.others') })
  const deploy = await shop.deploy(await shop.load())
  assert.equal(deploy.state, 'live', JSON.stringify(deploy))
  const cut = await shop.send([click('b', '/5')])
  assert.deepEqual(await shop.rows('counts', cut), expected())
  const dead = await shop.sql(`SELECT code FROM refold.skipped ORDER BY commit, "index"`)
  const codes = ['EVENT_STEP_FAILED', 'EVENT_STEP_LIMIT', 'EVENT_STEP_FAILED', 'EVENT_STEP_FAILED']
  assert.deepEqual(
    dead.map((row) => row['code']),
    codes,
  )
  await shop.close()
  await shop.open()
  assert.deepEqual(await shop.rows('counts'), expected())
  shop.write({
    'folds.ts': FOLDS.replace('limits: {', `onError: 'stall', limits: {`).replace(
      'n: state.n,',
      'n: state.n + 0,',
    ),
  })
  const stalled = await shop.deploy(await shop.load())
  assert.notEqual(stalled.state, 'live')
  assert.match(JSON.stringify(stalled), /no such page \(folds\.ts:11:38\)/)
})
