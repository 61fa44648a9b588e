/**
 * Whoever follows a view through cutovers and rollbacks, and comes back after going away: applying every line in order
 * gives the rows of the view at every cut, counted here by hand. Rows that changed because of a version say so.
 * REFOLD_SEED repeats a run.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ViewDelta } from '../../src/serve/core.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { eventually, type Row, ShopServer, shopView } from '../support/shop-server.ts'

const SEED = Number(process.env.REFOLD_SEED ?? randomBytes(4).readUInt32LE())
const STEPS = 25

let shop: ShopServer
beforeEach(() => {
  shop = new ShopServer()
})
afterEach(() => shop.dispose())

/** The view by factor; the third has another column, the fourth leaves users out. */
const views = [
  shopView('v', 'SELECT "user", count(*) AS n FROM sales GROUP BY "user"'),
  shopView('v', 'SELECT "user", count(*) * 2 AS n FROM sales GROUP BY "user"'),
  shopView('v', 'SELECT "user", count(*) * 3 AS n, count(*) AS plain FROM sales GROUP BY "user"'),
  shopView('v', `SELECT "user", count(*) * 4 AS n FROM sales WHERE "user" <> 'u3' GROUP BY "user"`),
]

function expected(kind: number, cut: number): readonly string[] {
  const users = new Map<string, number>()
  for (const sale of shop.sent) if (sale.cut <= cut) users.set(sale.user, (users.get(sale.user) ?? 0) + 1)
  return [...users]
    .filter(([user]) => kind !== 3 || user !== 'u3')
    .map(([user, count]) => {
      const row: Row = { user, n: count * (kind + 1), ...(kind === 2 ? { plain: count } : {}) }
      return JSON.stringify(row)
    })
    .sort()
}

/** What a reader holds who applies every line. */
class Reader {
  readonly rows = new Map<string, string>()
  readonly deltas: ViewDelta[] = []
  cut = 0
  version: string | undefined
  #stop = new AbortController()
  #following: Promise<void> = Promise.resolve()

  follow(): void {
    this.#stop = new AbortController()
    const { signal } = this.#stop
    const from =
      this.cut === 0
        ? {}
        : { from: this.cut, ...(this.version === undefined ? {} : { version: this.version }) }
    this.#following = (async () => {
      for await (const delta of shop.server.core.changes('v', { follow: true, signal, ...from }))
        this.#apply(delta)
    })()
    this.#following.catch(() => {})
  }

  async leave(): Promise<void> {
    this.#stop.abort()
    await this.#following
  }

  #apply(delta: ViewDelta): void {
    assert.equal(delta.from, this.cut, 'deltas join')
    const changes = JSON.parse(delta.json) as { op: string; old?: Row; new?: Row }[]
    assert.equal(changes.length, delta.count)
    for (const { old, new: next } of changes) {
      if (old !== undefined)
        assert.equal(this.rows.get(String(old['user'])), JSON.stringify(old), 'the old row is held')
      if (next === undefined) this.rows.delete(String(old?.['user']))
      else this.rows.set(String(next['user']), JSON.stringify(next))
    }
    if (delta.cause !== undefined) {
      assert.ok(delta.cause.kind === 'version')
      assert.deepEqual([delta.cause.kind, delta.cause.from], ['version', this.version])
    }
    this.cut = delta.to
    this.version = delta.version
    this.deltas.push(delta)
  }

  /** Whether it has all that was sent; a commit that changes no row moves no cut. */
  holds(kind: number): boolean {
    const last = shop.sent.at(-1)?.cut ?? 0
    return JSON.stringify([...this.rows.values()].sort()) === JSON.stringify(expected(kind, last))
  }
}

test(`lines add up to the view at every cut, through cutovers and rollbacks (seed ${SEED})`, async () => {
  const random = seededRandom(SEED)
  const pick = (count: number) => Math.floor(random() * count)
  await shop.open(shop.project({ views: [views[0]!] }))
  const kindOf = new Map([[await shop.version('v'), 0]])
  await shop.send(40)
  const readers = [new Reader(), new Reader()]
  const away = new Set<Reader>()
  for (const reader of readers) reader.follow()
  let kind = 0
  let before: number | undefined
  for (let step = 0; step < STEPS; step++) {
    const what = pick(6)
    if (what <= 1) await shop.send(1 + pick(20))
    else if (what === 2) {
      const next = pick(views.length)
      const info = await shop.deploy(shop.project({ views: [views[next]!] }))
      assert.equal(info.state, 'live')
      if (next !== kind) before = kind
      kind = next
      kindOf.set(await shop.version('v'), kind)
    } else if (what === 3 && before !== undefined) {
      await shop.server.deploys.rollback({ reason: 'a test', author: { who: 'tester' } })
      kind = before
      before = undefined
    } else if (what === 4) {
      const reader = readers[1]!
      if (away.delete(reader)) reader.follow()
      else {
        await reader.leave()
        away.add(reader)
      }
    } else if (pick(2) === 0) await shop.server.flush()
    else await sleep(20)
    const reader = readers[0]!
    await eventually(() => reader.holds(kind))
  }
  for (const reader of away) reader.follow()
  await eventually(() => readers.every((reader) => reader.holds(kind)))
  for (const reader of readers) await reader.leave()

  // Every prefix of the lines is the view as one of its versions had it at that cut.
  for (const reader of readers) {
    const rows = new Map<string, string>()
    for (const delta of reader.deltas) {
      for (const { old, new: next } of JSON.parse(delta.json) as { old?: Row; new?: Row }[]) {
        if (next === undefined) rows.delete(String(old?.['user']))
        else rows.set(String(next['user']), JSON.stringify(next))
      }
      const held = kindOf.get(delta.version)
      assert.ok(held !== undefined)
      assert.deepEqual([...rows.values()].sort(), expected(held, delta.to), `at cut ${delta.to}`)
    }
  }
})

test('who comes back at a cut where the version changed has to say which one it holds', async () => {
  await shop.open(shop.project({ views: [views[0]!] }))
  const cut = await shop.send(30)
  const reader = new Reader()
  reader.follow()
  await eventually(() => reader.cut === cut)
  await reader.leave()
  const old = await shop.version('v')
  await shop.deploy(shop.project({ views: [views[1]!] }))
  const come = async (more: { version?: string }) => {
    const lines: ViewDelta[] = []
    for await (const delta of shop.server.core.changes('v', { from: cut, follow: false, ...more }))
      lines.push(delta)
    return lines
  }
  await assert.rejects(come({}), { code: 'DELTA_TOO_OLD' })
  await assert.rejects(come({ version: 'ffff' }), { code: 'VERSION_UNKNOWN' })
  const [crossing] = await come({ version: old })
  const now = await shop.version('v')
  assert.deepEqual(crossing?.cause, { kind: 'version', from: old, to: now })
  assert.equal(crossing?.count, 13)
  assert.deepEqual(
    (await come({ version: now })).map(({ count }) => count),
    [0],
  )
  // Later the cut alone says it.
  await shop.send(5)
  const later = await shop.send(5)
  await eventually(async () => (await shop.rows('v', { after: later })).length > 0)
  const from = later - 1
  const lines: ViewDelta[] = []
  for await (const delta of shop.server.core.changes('v', { from, follow: false })) lines.push(delta)
  assert.deepEqual([lines.length, lines[0]?.cause, lines[0]?.to], [1, undefined, later])
})

test('a row that is there before the first event goes with it', async () => {
  await shop.open(shop.project({ views: [shopView('v', 'SELECT count(*) AS n FROM sales')] }))
  const lines: unknown[] = []
  const stop = new AbortController()
  const following = (async () => {
    for await (const { json } of shop.server.core.changes('v', { follow: true, signal: stop.signal }))
      for (const { old, new: next } of JSON.parse(json) as { old?: Row; new?: Row }[])
        lines.push([old?.['n'] ?? null, next?.['n'] ?? null])
  })()
  await eventually(() => lines.length === 1)
  await shop.send(5)
  await eventually(() => lines.length === 3)
  await shop.send(2)
  await eventually(() => lines.length === 5)
  stop.abort()
  await following
  const numbers = [
    [null, 0],
    [0, null],
    [null, 5],
    [5, null],
    [null, 7],
  ]
  assert.deepEqual(lines, numbers)
})
