/**
 * Sends batches over HTTP with several requests in flight, as a careful producer does: what was not acknowledged is
 * sent again with the same ids, whatever happened to the server meanwhile. State: the counts of what the server
 * answered, and the newest cut.
 */

import type { Batch } from './flights-source.ts'

export interface SenderCounts {
  /** Events whose request was acknowledged, duplicates included. */
  sent: number
  accepted: number
  duplicates: number
  rejected: number
  /** Events by what was done to their batch. */
  late: number
  again: number
  reversed: number
  /** Requests sent again because no answer came. */
  retries: number
  cut: number
  /** Accepted events by the cut of their answer. */
  readonly acks: { readonly cut: number; readonly events: number }[]
}

export async function sendAll(
  url: () => string,
  source: Iterator<Batch>,
  inFlight: number,
  counts: SenderCounts,
): Promise<void> {
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      for (let next = source.next(); !next.done; next = source.next()) {
        await sendUntilAcknowledged(url, next.value, counts)
      }
    }),
  )
}

/** Sends so many events a second, one request after the other, until `over` or the source is at its end. */
export async function sendSteadily(
  url: () => string,
  source: Iterator<Batch>,
  perSecond: number,
  counts: SenderCounts,
  over: () => boolean,
): Promise<void> {
  let dueMs = performance.now()
  while (!over()) {
    const next = source.next()
    if (next.done === true) return
    await sendUntilAcknowledged(url, next.value, counts)
    // A request that took long is no reason to send the next ones in a burst.
    dueMs = Math.max(dueMs, performance.now() - 1000) + (next.value.events / perSecond) * 1000
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueMs - performance.now())))
  }
}

interface IngestAnswer {
  readonly accepted: number
  readonly duplicates: number
  readonly rejected: readonly unknown[]
  readonly cut: number
}

async function sendUntilAcknowledged(url: () => string, batch: Batch, counts: SenderCounts): Promise<void> {
  for (;;) {
    const answer = await post(`${url()}/v1/streams/flights/events`, batch.body)
    if (answer !== undefined) {
      counts.sent += batch.events
      counts.accepted += answer.accepted
      counts.duplicates += answer.duplicates
      counts.rejected += answer.rejected.length
      counts.acks.push({ cut: answer.cut, events: answer.accepted })
      counts.cut = Math.max(counts.cut, answer.cut)
      if (batch.kind !== 'in order') counts[batch.kind] += batch.events
      return
    }
    counts.retries += 1
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** Undefined where it is not known whether the server took it, or where it asked to wait. */
async function post(url: string, body: Buffer): Promise<IngestAnswer | undefined> {
  let response: Response
  let text: string
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: new Uint8Array(body.buffer, body.byteOffset, body.byteLength),
    })
    text = await response.text()
  } catch {
    return undefined
  }
  if (response.ok) return JSON.parse(text) as IngestAnswer
  if (response.status === 429 || response.status >= 500) return undefined
  throw new Error(`the server answered ${response.status}: ${text.slice(0, 400)}`)
}
