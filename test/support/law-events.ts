/**
 * The events of the laws under deploys: made at random, sent, sent again when nobody said whether they arrived, and
 * kept with the cut at which they did, for an oracle that knows only SQL. State: everything that was acknowledged.
 */

import assert from 'node:assert/strict'
import { type LawServer, ServerGone } from './law-server.ts'
import { type Cell, Oracle } from './oracle.ts'

interface Sent {
  readonly stream: string
  readonly id: string
  readonly line: string
  readonly values: Readonly<Record<string, unknown>>
}

interface StoredEvent {
  readonly commit: number
  readonly event: Readonly<Record<string, string>>
}

const tables = {
  orders:
    'id VARCHAR, cut BIGINT, order_id VARCHAR, user_id VARCHAR, country VARCHAR, land VARCHAR, amount DECIMAL(18,2), quantity BIGINT, paid BOOLEAN, ts TIMESTAMP, tip DECIMAL(18,2)',
  visits:
    'id VARCHAR, cut BIGINT, visit_id VARCHAR, user_id VARCHAR, page VARCHAR, ms BIGINT, "at" TIMESTAMP',
  refunds: 'id VARCHAR, cut BIGINT, refund_id VARCHAR, amount DECIMAL(18,2)',
}

/** T, and how late an event may be. */
export interface LateStand {
  readonly cut: number
  readonly latenessMs: number
}

export type StreamName = keyof typeof tables

const ids: Readonly<Record<StreamName, string>> = {
  orders: 'order_id',
  visits: 'visit_id',
  refunds: 'refund_id',
}

const badLines = ['not json', '{"order_id":"x"}', '{"visit_id":7}', '7']

export class LawEvents {
  readonly #server: LawServer
  readonly #random: () => number
  readonly #oracles = new Map<StreamName, Oracle>()
  /** Acknowledged, not in the oracle yet. */
  #waiting: { readonly stream: StreamName; readonly rows: readonly Record<string, unknown>[] }[] = []
  readonly #acknowledged: Record<StreamName, Sent[]> = { orders: [], visits: [], refunds: [] }
  #next = 0
  cut = 0
  /** Requests whose fate no answer told. */
  unknown = 0

  constructor(server: LawServer, random: () => number) {
    this.#server = server
    this.#random = random
  }

  accepted(stream: StreamName): number {
    return this.#acknowledged[stream].length
  }

  /**
   * One request. `up`: resolves when a server runs again after one was killed. Fields that only a newer schema has are
   * sent where the caller knows that it holds.
   */
  async send(
    stream: StreamName,
    size: number,
    up: () => Promise<void>,
    more: { readonly tip?: boolean; readonly land?: boolean } = {},
  ): Promise<void> {
    const fresh = Array.from({ length: size }, () => this.#make(stream, more))
    const again = this.#pickKnown(stream)
    const bad = this.#random() < 0.2 ? [badLines[this.#below(badLines.length)] ?? ''] : []
    const lines = [...fresh, ...again].map(({ line }) => line)
    lines.splice(this.#below(lines.length + 1), 0, ...bad)
    let isRetry = false
    const before = this.cut
    for (;;) {
      try {
        const { accepted, duplicates, rejected, cut } = await this.#post(stream, lines)
        const found = { accepted, duplicates, rejected: rejected.length }
        const first = { accepted: fresh.length, duplicates: again.length, rejected: bad.length }
        const second = { accepted: 0, duplicates: fresh.length + again.length, rejected: bad.length }
        if (isRetry && accepted === 0) assert.deepEqual(found, second, JSON.stringify(rejected))
        else assert.deepEqual(found, first, `stream ${stream}: ${JSON.stringify(rejected)}`)
        this.#take(stream, fresh, accepted > 0 ? cut : await this.#cutOf(stream, fresh, before))
        return
      } catch (error) {
        if (!(error instanceof ServerGone)) throw error
        if (!isRetry) this.unknown++
        isRetry = true
        await up()
      }
    }
  }

  /** Rows of a query over the view's own stream, with the events after one cut up to another. */
  async rows(stream: StreamName, sql: string, from: number, to: number): Promise<Cell[][]> {
    const oracle = await this.#oracle(stream)
    return await oracle.rows(
      `WITH ${stream} AS (SELECT * FROM log WHERE cut > ${from} AND cut <= ${to}) ${sql}`,
    )
  }

  /**
   * The same of a view that holds late events back and stands on T: after it without the events of `orders` whose time
   * lies before the watermark, which is the greatest time up to their own commit, less the lateness.
   */
  async heldRows(sql: string, from: number, to: number, { cut, latenessMs }: LateStand): Promise<Cell[][]> {
    const oracle = await this.#oracle('orders')
    return await oracle.rows(
      `WITH commits AS (SELECT cut, max(max(ts)) OVER (ORDER BY cut) - INTERVAL ${latenessMs} MILLISECOND AS watermark
         FROM log GROUP BY cut),
       orders AS (SELECT log.* FROM log JOIN commits USING (cut)
         WHERE cut > ${from} AND cut <= ${to} AND (cut <= ${cut} OR ts >= watermark)) ${sql}`,
    )
  }

  close(): void {
    for (const oracle of this.#oracles.values()) oracle.close()
  }

  async #oracle(stream: StreamName): Promise<Oracle> {
    const waiting = this.#waiting
    this.#waiting = []
    for (const name of Object.keys(tables) as StreamName[]) {
      let oracle = this.#oracles.get(name)
      if (oracle === undefined) {
        oracle = await Oracle.create('log', tables[name])
        this.#oracles.set(name, oracle)
      }
      await oracle.insert(waiting.filter((one) => one.stream === name).flatMap(({ rows }) => rows))
    }
    return this.#oracles.get(stream)!
  }

  #take(stream: StreamName, fresh: readonly Sent[], cut: number): void {
    const rows = fresh.map(({ values, id }) => ({ id, cut, ...values }))
    this.#waiting.push({ stream, rows })
    this.#acknowledged[stream].push(...fresh)
    this.cut = Math.max(this.cut, cut)
  }

  async #post(
    stream: string,
    lines: readonly string[],
  ): Promise<{ accepted: number; duplicates: number; rejected: readonly unknown[]; cut: number }> {
    const path = `/v1/streams/${stream}/events`
    return await this.#server.post(path, lines.join('\n'), 'application/x-ndjson')
  }

  /** A request that was not answered became one commit. */
  async #cutOf(stream: StreamName, fresh: readonly Sent[], after: number): Promise<number> {
    const wanted = new Set(fresh.map(({ id }) => id))
    const cuts = new Set<number>()
    const stop = new AbortController()
    const path = `/v1/streams/${stream}/events?from=${after}&limit=1000000`
    let found = 0
    for await (const { commit, event } of this.#server.lines<StoredEvent>(path, stop.signal)) {
      if (!wanted.has(String(event[ids[stream]]))) continue
      cuts.add(commit)
      found++
    }
    assert.deepEqual([found, cuts.size], [fresh.length, 1], 'a request is one commit, each event once')
    return Math.max(...cuts)
  }

  #pickKnown(stream: StreamName): readonly Sent[] {
    const known = this.#acknowledged[stream]
    if (known.length === 0 || this.#random() > 0.3) return []
    return [known[this.#below(known.length)]!]
  }

  #make(stream: StreamName, { tip, land }: { readonly tip?: boolean; readonly land?: boolean }): Sent {
    const number = this.#next++
    const id = `${stream[0]}-${number}`
    const cents = this.#below(100_000)
    const amount = `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`
    const time = `2026-03-0${1 + this.#below(4)}T${String(this.#below(24)).padStart(2, '0')}:${String(this.#below(60)).padStart(2, '0')}:00Z`
    const user = `user-${Math.floor(this.#random() ** 2 * 40)}`
    if (stream === 'visits') {
      const event = { visit_id: id, user_id: user, page: `/p${this.#below(9)}`, ms: this.#below(10_000) }
      return { stream, id, line: JSON.stringify({ ...event, at: time }), values: { ...event, '"at"': time } }
    }
    if (stream === 'refunds') {
      const event = { refund_id: id, amount }
      return { stream, id, line: JSON.stringify(event), values: event }
    }
    const country = this.#random() < 0.1 ? undefined : ['de', 'fr', 'it', 'ch'][this.#below(4)]
    const paid = this.#random() < 0.3 ? undefined : this.#random() < 0.5
    const own = { order_id: id, user_id: user, amount, quantity: this.#below(10), ts: time }
    const tips = tip === true ? { tip: `${this.#below(5)}.25` } : {}
    const event = { ...own, paid, [land === true ? 'land' : 'country']: country, ...tips }
    const values = { ...own, paid: paid ?? false, country, land: country, tip: tips.tip ?? '0.10' }
    return { stream, id, line: JSON.stringify(event), values }
  }

  #below(count: number): number {
    return Math.floor(this.#random() * count)
  }
}
