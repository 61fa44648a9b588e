/**
 * Prints events as NDJSON: people who come in sessions and sometimes pay. The same seed gives the same events. One in
 * fifty comes twice, and one in twenty with a time of up to ten minutes ago.
 *
 *   node generate.ts --seed 1 --events 20000 [--from 0]
 */

import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    events: { type: 'string', default: '20000' },
    from: { type: 'string', default: '0' },
  },
})
const random = seeded(Number(values.seed))
const first = Number(values.from)
const USERS = 400
const BEGIN_MS = Date.parse('2026-03-01T00:00:00Z')
const STEP_MS = 250

const lines: string[] = []
for (let number = first; number < first + Number(values.events); number++) {
  const user = Math.floor(random() ** 2 * USERS)
  const agoMs = random() < 0.05 ? random() * 600_000 : 0
  const atMs = Math.max(BEGIN_MS, BEGIN_MS + number * STEP_MS - agoMs)
  const cents = random() < 0.2 ? Math.floor(random() * 20_000) : 0
  const line = JSON.stringify({
    event_id: `event-${number}`,
    user_id: `user-${user}`,
    session_id: `session-${user}-${Math.floor(atMs / 1_800_000)}`,
    ...(cents === 0 ? {} : { revenue: `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}` }),
    ts: new Date(atMs).toISOString(),
  })
  lines.push(line)
  if (random() < 0.02) lines.push(line)
}
process.stdout.write(`${lines.join('\n')}\n`)

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
