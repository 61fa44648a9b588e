/** Late events of a view with two definitions that holds them back: the speed layer leaves them out, the batch takes them. */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type { Row } from '../support/shop-server.ts'
import { TwoShop } from '../support/two-shop.ts'

let shop: TwoShop
beforeEach(() => {
  shop = new TwoShop()
})
afterEach(() => shop.dispose())

let next = 0

/** One sale of a cent by each user, at this time of day. */
async function sale(at: string, ...users: readonly string[]): Promise<number> {
  const events = users.map((user, index) => {
    const id = `l${next++}`
    const json = JSON.stringify({ id, user, amount: '0.01', at })
    return { stream: 'sales', partition: 0, json, timeUs: Date.parse(at) * 1000, id, index }
  })
  return (await shop.server.core.append({ stream: 'sales', events, deadLetters: [], bytes: 100 })).cut
}

async function counts(after: number, layer?: 'batch' | 'speed'): Promise<Readonly<Record<string, number>>> {
  const read = {
    view: 'customers',
    where: {},
    order: [],
    limit: 1000,
    ...(layer === undefined ? {} : { layer }),
  }
  const answer = await shop.server.core.readView(read, { after })
  const rows = JSON.parse(answer.json) as Row[]
  return Object.fromEntries(rows.map((row) => [String(row['user']), Number(row['n'])]).sort())
}

test('late events wait for the batch, which has all of them', async () => {
  const plain = shop.project()
  const streams = plain.streams.map((one) => (one.name === 'sales' ? { ...one, latenessMs: 60_000 } : one))
  await shop.open({ ...plain, streams, views: [shop.twoView({}, { late: 'hold' })] })
  await sale('2024-05-01T10:00:00Z', 'ann', 'bob')
  let cut = await sale('2024-05-01T12:00:00Z', 'ann')
  assert.deepEqual(await counts(cut), { ann: 2, bob: 1 })
  cut = await sale('2024-05-01T09:00:00Z', 'ann', 'eve')
  assert.deepEqual(await counts(cut), { ann: 2, bob: 1 }, 'held back')
  await shop.published('customers')
  assert.deepEqual(await counts(cut, 'batch'), { ann: 3, bob: 1, eve: 1 })
  assert.deepEqual(await counts(cut), { ann: 3, bob: 1, eve: 1 })
  await sale('2024-05-01T08:00:00Z', 'eve')
  cut = await sale('2024-05-01T12:30:00Z', 'eve', 'bob')
  await shop.server.flush()
  assert.deepEqual(await counts(cut, 'speed'), { bob: 1, eve: 1 })
  assert.deepEqual(await counts(cut), { ann: 3, bob: 2, eve: 2 })
  await shop.published('customers')
  assert.deepEqual(await counts(cut), { ann: 3, bob: 2, eve: 3 })
})
