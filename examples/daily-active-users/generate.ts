/**
 * Prints actions as NDJSON, in the order in which they arrive: people on phones, one action in five from a phone that
 * was offline for up to 48 hours. The same seed gives the same actions. One in a hundred comes twice.
 *
 *   node generate.ts --seed 1 --actions 20000 [--from 0]
 */

import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    actions: { type: 'string', default: '20000' },
    from: { type: 'string', default: '0' },
  },
})
const random = seeded(Number(values.seed))
const first = Number(values.from)
const USERS = 2_000
const BEGIN_MS = Date.parse('2026-03-02T00:00:00Z')
/** About 6,000 actions a day. */
const STEP_MS = 14_400
const OFFLINE_MS = 48 * 3_600_000
const SCREENS = ['home', 'search', 'cart', 'profile']

const lines: string[] = []
for (let number = first; number < first + Number(values.actions); number++) {
  const arrivesMs = BEGIN_MS + number * STEP_MS
  const offlineMs = random() < 0.2 ? random() * OFFLINE_MS : random() * 60_000
  const line = JSON.stringify({
    action_id: `action-${number}`,
    user_id: `user-${Math.floor(random() ** 2 * USERS)}`,
    screen: SCREENS[Math.floor(random() * SCREENS.length)],
    done_at: new Date(Math.max(BEGIN_MS, Math.floor(arrivesMs - offlineMs))).toISOString(),
  })
  lines.push(line)
  if (random() < 0.01) lines.push(line)
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
