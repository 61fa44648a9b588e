/**
 * What readers see while batches are published and swapped in: every answer is of one cut, equals what was sent up to
 * it, and none is older than one before. Counted here by hand.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { LambdaShop, lambdaViews } from '../support/lambda-shop.ts'
import { money } from '../support/shop-server.ts'

let shop: LambdaShop
beforeEach(() => {
  shop = new LambdaShop()
})
afterEach(() => shop.dispose())

const ROUNDS = 15

test('no reader sees a gap or an overlap while batches are swapped in', async () => {
  const views = lambdaViews({ kind: 'every', everyMs: 150 })
  await shop.open(shop.project({ views, seal: { rows: 1e9, bytes: 1e12, ageMs: 250 } }))
  await shop.send(50)
  let isOver = false
  let answers = 0
  const cents = () => {
    const totals = new Map<number, { n: number; cents: number }>()
    let n = 0
    let sum = 0
    for (const sale of shop.sent) {
      n++
      sum += sale.cents
      totals.set(sale.cut, { n, cents: sum })
    }
    return totals
  }
  const read = async (text: string) => {
    let last = 0
    while (!isOver) {
      const { json, cut } = await shop.server.core.sql({ sql: text, limit: 10 }, {})
      const [row] = JSON.parse(json) as { n: number; total: string }[]
      assert.ok(cut >= last, `cut ${cut} after ${last}`)
      last = cut
      const expected = cents().get(cut)
      // Its sender may not have been answered yet.
      if (expected === undefined) continue
      assert.deepEqual(
        [Number(row?.n), Number(row?.total)],
        [expected.n, Number(money(expected.cents))],
        `${text} at cut ${cut}`,
      )
      answers++
    }
  }
  const readers = [
    read('SELECT sum(n) AS n, sum(total) AS total FROM per_user'),
    read('SELECT n, total FROM whole'),
    read('SELECT p.n, w.total FROM (SELECT sum(n) AS n FROM per_user) AS p, whole AS w'),
  ]
  const published = () =>
    shop.server.core.batches.list('per_user', 100_000).filter(({ state }) => state === 'published')
  for (let round = 0; round < ROUNDS || published().length < 3; round++) await shop.send(20)
  isOver = true
  await Promise.all(readers)
  assert.ok(answers > 20)
  await shop.check()
  await shop.bordersAtT()
})
