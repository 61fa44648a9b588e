/**
 * Prints clicks as NDJSON: thirty days of visitors who come a few times a day, click for a while and sometimes pay, in the
 * order of their times. The same seed gives the same clicks.
 *
 *   node generate.ts --seed 1 --clicks 20000 [--day 0] [--days 30]
 */

import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    clicks: { type: 'string', default: '20000' },
    day: { type: 'string', default: '0' },
    days: { type: 'string', default: '30' },
  },
})
const random = seeded(Number(values.seed))
const VISITORS = 200
const DAY_MS = 86_400_000
const beginMs = Date.parse('2026-03-01T00:00:00Z') + Number(values.day) * DAY_MS
const spanMs = Number(values.days) * DAY_MS
const pages = ['/', '/shop', '/cart', '/news', '/help']

const clicks: { readonly at: string }[] = []
while (clicks.length < Number(values.clicks)) {
  const visitor = Math.floor(random() * VISITORS)
  let atMs = beginMs + Math.floor(random() * spanMs)
  const count = 1 + Math.floor(random() * 9)
  for (let click = 0; click < count && clicks.length < Number(values.clicks); click++) {
    const cents = random() < 0.1 ? Math.floor(random() * 10_000) : 0
    clicks.push({
      click_id: `click-${values.seed}-${clicks.length}`,
      visitor_id: `visitor-${visitor}`,
      page: pages[Math.floor(random() * pages.length)],
      ...(cents === 0 ? {} : { paid: `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}` }),
      at: new Date(atMs).toISOString(),
    } as { readonly at: string })
    atMs += Math.floor(random() * 20 * 60_000)
  }
}
clicks.sort((a, b) => (a.at < b.at ? -1 : 1))
process.stdout.write(`${clicks.map((click) => JSON.stringify(click)).join('\n')}\n`)

/** Numbers in [0, 1), by mulberry32. */
function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
