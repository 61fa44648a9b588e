/**
 * Sends one batch until the server has said what became of it. A batch that is sent again carries the same bytes and
 * the same key, so the server recognises what it already has. Waits where the server asks for it, and where it is
 * gone for a while; gives up only when `patienceMs` passed without an answer that helps. No state.
 */

import type { RefoldError } from '../model/errors.ts'
import { errorTable } from '../model/errors.ts'
import { answerError, type Client, type ClientAnswer } from './client.ts'

export interface IngestAnswer {
  readonly accepted: number
  readonly duplicates: number
  readonly rejected: readonly Rejection[]
  readonly cut: number
}

export interface Rejection {
  readonly index: number
  readonly code: string
  readonly reason: string
  readonly place: string
}

export interface SendOptions {
  readonly client: Client
  readonly stream: string
  readonly key: string | undefined
  readonly patienceMs: number
  readonly signal: AbortSignal
  /** Told before each wait. */
  onWait(reason: RefoldError, delayMs: number): void
  sleep(delayMs: number): Promise<void>
  nowMs(): number
}

const firstDelayMs = 200
const delayMsMax = 5_000
const retried = new Set([429, 503, 507])

export async function sendBatch(body: Uint8Array, options: SendOptions): Promise<IngestAnswer> {
  const giveUpMs = options.nowMs() + options.patienceMs
  for (let attempt = 0; ; attempt += 1) {
    const backoffMs = Math.min(delayMsMax, firstDelayMs * 2 ** Math.min(attempt, 10))
    let problem: RefoldError
    let delayMs = backoffMs
    try {
      const answer = await post(body, options)
      if (answer.status === 200 || answer.status === 422) return JSON.parse(answer.body) as IngestAnswer
      problem = answerError(answer, options.client.url)
      if (!retried.has(answer.status)) throw problem
      delayMs = retryAfterMs(answer) ?? backoffMs
    } catch (error) {
      if (options.signal.aborted || (error as { code?: string }).code !== 'CLI_UNREACHABLE') throw error
      problem = error as RefoldError
    }
    if (options.nowMs() + delayMs > giveUpMs) throw problem
    options.onWait(problem, delayMs)
    await options.sleep(delayMs)
    options.signal.throwIfAborted()
  }
}

function post(body: Uint8Array, options: SendOptions): Promise<ClientAnswer> {
  return options.client.send({
    method: 'POST',
    path: `/v1/streams/${encodeURIComponent(options.stream)}/events`,
    headers: {
      'content-type': 'application/x-ndjson',
      ...(options.key === undefined ? {} : { 'idempotency-key': options.key }),
    },
    body,
    signal: options.signal,
  })
}

function retryAfterMs(answer: ClientAnswer): number | undefined {
  const seconds = Number(answer.headers['retry-after'])
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1_000 : undefined
}

/** Rejections by code, with the first few as examples; a file may have millions. State: counts and examples. */
export class RejectionSummary {
  readonly #byCode = new Map<string, { count: number; readonly examples: RejectionExample[] }>()

  add(rejection: Rejection, line: number): void {
    const known = this.#byCode.get(rejection.code) ?? { count: 0, examples: [] }
    known.count += 1
    if (known.examples.length < examplesMax) {
      known.examples.push({ line, reason: rejection.reason, place: rejection.place })
    }
    this.#byCode.set(rejection.code, known)
  }

  /** Most frequent first. */
  list(): readonly RejectionGroup[] {
    return [...this.#byCode]
      .map(([code, { count, examples }]) => ({ code, meaning: meaningOf(code), count, examples }))
      .sort((a, b) => b.count - a.count)
  }
}

export interface RejectionExample {
  readonly line: number
  readonly reason: string
  readonly place: string
}

export interface RejectionGroup {
  readonly code: string
  readonly meaning: string
  readonly count: number
  readonly examples: readonly RejectionExample[]
}

const examplesMax = 3

function meaningOf(code: string): string {
  return (errorTable as Readonly<Record<string, { meaning: string }>>)[code]?.meaning ?? ''
}
