/**
 * The events that benchmarks send: a pool of different events of 150 bytes each, cut into request bodies. Pure: the
 * same options give the same bytes in every process, so that the generator sends them and the oracle counts them
 * without exchanging a byte. Ids are the one thing that differs from send to send; `stampIds` writes them in place.
 */

export interface Workload {
  /** How many different values `user_id` has; each appears at least once in the pool. */
  readonly keys: number
  /** Events in the pool; a multiple of `eventsPerRequest`. */
  readonly poolEvents: number
  readonly eventsPerRequest: number
}

/** Length of one event's line, the newline included. */
export const eventBytes = 150
const idDigits = 16
const idStart = '{"event_id":"'.length
/** Brings a line to `eventBytes` without a space in it, as producers write JSON. */
const sessionDigits = 11
const firstTimeMs = Date.UTC(2026, 0, 1)

export interface PoolEvent {
  readonly user_id: string
  readonly session_id: string
  readonly page: string
  readonly revenue: string
  readonly ts: string
}

/** Event number `index` of the pool, without its id. */
export function poolEvent(workload: Workload, index: number): PoolEvent {
  const hash = scramble(index)
  return {
    user_id: `u${String(userNumber(workload, index)).padStart(7, '0')}`,
    session_id: `s-${(hash % 100_000_000).toString().padStart(sessionDigits, '0')}`,
    page: `/p/${String(hash % 1000).padStart(4, '0')}`,
    revenue: `${100 + (hash % 900)}.${String((hash >>> 8) % 100).padStart(2, '0')}`,
    ts: new Date(firstTimeMs + index * 137).toISOString(),
  }
}

/** A step that shares no factor with the number of keys visits every key in a scattered order. */
export function userNumber(workload: Workload, index: number): number {
  return (index * 7919 + 13) % workload.keys
}

/** One request body; all lines have the same length, ids are zeros. */
export function requestBody(workload: Workload, template: number): Buffer {
  const lines: string[] = []
  for (let at = 0; at < workload.eventsPerRequest; at += 1) {
    lines.push(poolLine(workload, template * workload.eventsPerRequest + at))
  }
  return Buffer.from(lines.join(''), 'latin1')
}

/** Writes the ids `first`, `first + 1`, … into a body, as 16 decimal digits each. */
export function stampIds(body: Buffer, eventsPerRequest: number, first: number): void {
  const digits = new Uint8Array(idDigits)
  let rest = first
  for (let at = idDigits - 1; at >= 0; at -= 1) {
    digits[at] = 48 + (rest % 10)
    rest = Math.floor(rest / 10)
  }
  for (let event = 0; event < eventsPerRequest; event += 1) {
    body.set(digits, event * eventBytes + idStart)
    let at = idDigits - 1
    while (at >= 0 && digits[at] === 57) digits[at--] = 48
    if (at >= 0) digits[at] = (digits[at] ?? 48) + 1
  }
}

export function templateCount(workload: Workload): number {
  return workload.poolEvents / workload.eventsPerRequest
}

function poolLine(workload: Workload, index: number): string {
  const event = poolEvent(workload, index)
  const line = `{"event_id":"${'0'.repeat(idDigits)}","user_id":"${event.user_id}","session_id":"${event.session_id}","page":"${event.page}","revenue":"${event.revenue}","ts":"${event.ts}"}\n`
  if (line.length !== eventBytes)
    throw new Error(`an event has ${line.length} bytes instead of ${eventBytes}`)
  return line
}

/** A 32-bit mix (the finaliser of MurmurHash3): neighbours get unrelated values. */
function scramble(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
