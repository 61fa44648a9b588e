/**
 * Sends prepared request bodies and keeps the account. State: which bodies are on their way (a body's bytes must not
 * change while a socket still holds them), how often each was acknowledged, and which acknowledged events the view
 * has not folded yet.
 */

import type { SentAccount } from './generator-protocol.ts'
import { type HttpConnection, postHead } from './http-connection.ts'
import { requestBody, stampIds, templateCount, type Workload } from './workload.ts'

export interface Sent {
  readonly cut: number
  readonly ackMs: number
  /** Index in the pool of the first event of the body. */
  readonly firstEvent: number
}

export class Sender {
  readonly #workload: Workload
  readonly #bodies: Buffer[]
  readonly #busy: boolean[]
  readonly #acknowledged: number[]
  readonly #head: string
  #nextId: number
  #nextBody = 0
  #refused = 0
  #lastCut = 0
  #acknowledgedEvents = 0
  #pending: { readonly cut: number; readonly events: number }[] = []
  #pendingEvents = 0

  constructor(workload: Workload, stream: string, firstId: number) {
    this.#workload = workload
    this.#bodies = Array.from({ length: templateCount(workload) }, (_, index) => requestBody(workload, index))
    this.#busy = this.#bodies.map(() => false)
    this.#acknowledged = this.#bodies.map(() => 0)
    const length = this.#bodies[0]?.length ?? 0
    this.#head = postHead(`/v1/streams/${stream}/events`, 'application/x-ndjson', length)
    this.#nextId = firstId
  }

  get refused(): number {
    return this.#refused
  }

  get acknowledgedEvents(): number {
    return this.#acknowledgedEvents
  }

  /** Acknowledged events that no view's cut has reached yet, as far as `folded` was told. */
  get lagEvents(): number {
    return this.#pendingEvents
  }

  get account(): SentAccount {
    return { workload: this.#workload, acknowledged: this.#acknowledged, lastCut: this.#lastCut }
  }

  /** Sends the next body until it is acknowledged; a 429 is waited out. Time counts from `fromMs`. */
  async send(connection: HttpConnection, fromMs: number = performance.now()): Promise<Sent> {
    const body = this.#takeBody()
    const bytes = this.#bodies[body] ?? Buffer.alloc(0)
    stampIds(bytes, this.#workload.eventsPerRequest, this.#nextId)
    this.#nextId += this.#workload.eventsPerRequest
    for (;;) {
      const answer = await connection.send(this.#head, bytes)
      if (answer.status === 429) {
        this.#refused += 1
        await new Promise((resolve) => setTimeout(resolve, Math.max(5, answer.retryAfter * 1000)))
        continue
      }
      const cut = this.#note(body, answer.status, answer.body)
      return { cut, ackMs: performance.now() - fromMs, firstEvent: body * this.#workload.eventsPerRequest }
    }
  }

  /** Tells the cut that the view has reached; returns how many events that newly covers. */
  folded(cut: number): number {
    let events = 0
    this.#pending = this.#pending.filter((one) => {
      if (one.cut > cut) return true
      events += one.events
      return false
    })
    this.#pendingEvents -= events
    return events
  }

  #takeBody(): number {
    for (let tries = 0; tries < this.#bodies.length; tries += 1) {
      const body = this.#nextBody
      this.#nextBody = (body + 1) % this.#bodies.length
      if (this.#busy[body] === false) {
        this.#busy[body] = true
        return body
      }
    }
    throw new Error('more requests in flight than there are bodies')
  }

  #note(body: number, status: number, text: string): number {
    const events = this.#workload.eventsPerRequest
    const answer = status === 200 ? (JSON.parse(text) as { accepted: number; cut: number }) : undefined
    if (answer?.accepted !== events) throw new Error(`a request was answered ${status} ${text.slice(0, 300)}`)
    this.#busy[body] = false
    this.#acknowledged[body] = (this.#acknowledged[body] ?? 0) + 1
    this.#acknowledgedEvents += events
    this.#pendingEvents += events
    this.#pending.push({ cut: answer.cut, events })
    this.#lastCut = Math.max(this.#lastCut, answer.cut)
    return answer.cut
  }
}
