/**
 * Followers of views while batches are swapped in and tails are sealed: applying every line in order gives the view's
 * rows, no line comes without an event, and none has a cause.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type { ViewDelta } from '../../src/serve/core.ts'
import { byHand, LambdaShop, lambdaSql, lambdaViews, sorted } from '../support/lambda-shop.ts'
import { eventually, type Row } from '../support/shop-server.ts'

let shop: LambdaShop
beforeEach(() => {
  shop = new LambdaShop()
})
afterEach(() => shop.dispose())

const views = Object.keys(lambdaSql)

/** A bag of rows as texts, and the lines that made it. */
class Follower {
  readonly deltas: ViewDelta[] = []
  readonly #rows = new Map<string, number>()
  readonly view: string

  constructor(view: string) {
    this.view = view
  }

  async follow(signal: AbortSignal, from?: number): Promise<void> {
    const at = from === undefined ? {} : { from }
    for await (const delta of shop.server.core.changes(this.view, { ...at, follow: true, signal })) {
      for (const { old, new: next } of JSON.parse(delta.json) as { old?: Row; new?: Row }[]) {
        if (old !== undefined) this.#add(old, -1)
        if (next !== undefined) this.#add(next, 1)
      }
      this.deltas.push(delta)
    }
  }

  rows(): readonly string[] {
    return [...this.#rows].flatMap(([row, count]) => new Array<string>(count).fill(row)).sort()
  }

  get reached(): number {
    return this.deltas.at(-1)?.to ?? 0
  }

  #add(row: Row, count: number): void {
    const [text = ''] = sorted([row])
    const now = (this.#rows.get(text) ?? 0) + count
    assert.ok(now >= 0, `view ${this.view} has lost a row that it never had: ${text}`)
    if (now === 0) this.#rows.delete(text)
    else this.#rows.set(text, now)
  }
}

test('followers of groups, of rows and of one row hold the right rows through batches and seals', async () => {
  await shop.open(shop.project({ views: lambdaViews(byHand) }))
  await shop.send(30)
  await shop.published('large')
  const stop = new AbortController()
  const followers = views.map((view) => new Follower(view))
  const following = followers.map((follower) => follower.follow(stop.signal))
  const areThere = () =>
    eventually(() => followers.every(({ view, reached }) => view === 'large' || reached >= shop.cut))
  for (let round = 0; round < 2; round++) {
    await shop.send(15)
    if (round === 1) await shop.server.flush()
    await areThere()
    await shop.send(15)
    await Promise.all(views.map((view) => shop.published(view)))
    await shop.send(15)
    await areThere()
    const lines = followers.map(({ deltas }) => deltas.length)
    await Promise.all(views.map((view) => shop.published(view)))
    assert.deepEqual(
      followers.map(({ deltas }) => deltas.length),
      lines,
      'a batch by itself is no change',
    )
  }
  await shop.send(200)
  await eventually(() => followers.every(({ reached }) => reached >= shop.cut))
  for (const follower of followers) {
    assert.deepEqual(follower.rows(), sorted(await shop.expected(follower.view, shop.cut)), follower.view)
    assert.ok(follower.deltas.every(({ cause }) => cause === undefined))
  }
  stop.abort()
  await Promise.all(following)
})
