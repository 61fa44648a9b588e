/**
 * Which events are late, by the log alone: random commits to two streams, with a lateness that changes on the way, read
 * from hot segments and copies of them, from the lake, from merged lake files and across the hand-over, against a
 * running maximum worked out here.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type { StreamDef } from '../../src/model/schema.ts'
import type { LateRequest } from '../../src/serve/core-late.ts'
import { HOUR_MS, LateShop, lateView, lateViews, randomVisits, visits } from '../support/late-shop.ts'
import { seededRandom } from '../support/seeded-random.ts'

let shop: LateShop

beforeEach(() => {
  shop = new LateShop()
})
afterEach(() => shop.dispose())

async function lateNow(view: string, more: Partial<LateRequest> = {}): Promise<readonly string[]> {
  await shop.read(view, { after: shop.sent.at(-1)?.cut ?? 0 })
  const { events } = await shop.server.core.late.list({ view, all: true, limit: 10_000, ...more })
  return events.map(({ commit, index }) => `${commit}.${index}`)
}

test('late is what lies before the watermark of its own commit, wherever it is read and whatever the lateness is now', async () => {
  const seed = Number(process.env.REFOLD_SEED ?? Math.floor(Math.random() * 1e9))
  const random = seededRandom(seed)
  const views = [lateView('totals', lateViews['totals']!, {})]
  const project = (latenessMs: number) => shop.project({ views, streams: [visits({ latenessMs }), other()] })
  let latenessMs = HOUR_MS
  await shop.open(project(latenessMs))
  let watermarkMs = Number.NEGATIVE_INFINITY
  const expected: string[] = []
  let ids = 0
  for (let round = 0; round < 7; round++) {
    for (let commit = 0; commit < 8; commit++) {
      const nowMs = Date.UTC(2024, 0, 1) + ids * 600_000
      const sent = randomVisits(random, ids, 1 + Math.floor(random() * 12), nowMs)
      ids += sent.length
      const cut = await shop.send(sent)
      for (const { ts } of sent) watermarkMs = Math.max(watermarkMs, Date.parse(ts) - latenessMs)
      sent.forEach(({ ts }, index) => {
        if (Date.parse(ts) < watermarkMs) expected.push(`${cut}.${index}`)
      })
      if (random() < 0.3) await sendOther()
    }
    const dice = random()
    if (dice < 0.5) await shop.server.flush()
    else if (dice < 0.7) {
      latenessMs = Math.floor(random() * 6 * HOUR_MS)
      await shop.server.reload(project(latenessMs))
    } else if (dice < 0.85) await shop.killed(() => project(latenessMs))
    assert.deepEqual(await lateNow('totals'), expected, `seed ${seed}, round ${round}`)
  }
  assert.ok(expected.length > 50)
})

async function sendOther(): Promise<void> {
  const event = {
    stream: 'other',
    partition: 0,
    json: '{"at":"2031-01-01T00:00:00Z"}',
    index: 0,
    timeUs: 1.9e15,
  }
  await shop.server.core.append({ stream: 'other', events: [event], deadLetters: [], bytes: 9 })
}

/** Far ahead in time: its watermark is no other stream's. */
function other(): StreamDef {
  const field = { name: 'at', type: { kind: 'timestamp' }, optional: false, nullable: false } as const
  const { dedupe } = visits()
  const schema = { kind: 'object', fields: [field] } as const
  return { name: 'other', schema, time: 'at', partitions: 1, dedupe, latenessMs: 0 }
}
