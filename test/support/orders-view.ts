/** For tests: a stream, a view planned by hand, and a random history of them. No state. */

import fc from 'fast-check'
import type { EngineView } from '../../src/engine/engine.ts'
import type { StreamDef } from '../../src/model/schema.ts'
import type { ViewPlan } from '../../src/plan/plan.ts'
import type { FixtureCommit } from './written-log.ts'

export const ordersStream: StreamDef = {
  ...{ name: 'orders', partitions: 4, dedupe: { timeMs: 0, count: 0 }, latenessMs: 0 },
  schema: {
    kind: 'object',
    fields: [
      { name: 'id', type: { kind: 'string' }, optional: false, nullable: false },
      { name: 'who', type: { kind: 'string' }, optional: true, nullable: false },
      { name: 'amount', type: { kind: 'string' }, optional: false, nullable: false },
    ],
  },
}

/** `amount` is a text, so that a fold can fail on an event: SELECT who, count(*), sum(amount), count(DISTINCT amount). */
export const ordersPlan: ViewPlan = {
  ...{ format: 1, view: 'totals', sql: '', streams: ['orders'], columns: [], inexact: [] },
  stages: [
    {
      ...{ kind: 'group', name: 's0' },
      source: { kind: 'stream', stream: 'orders', fields: ['who', 'amount'] },
      keys: [{ name: 'k0', type: 'VARCHAR' }],
      parts: [
        {
          ...{ kind: 'main', name: 'main' },
          foldSql:
            'SELECT who AS k0, count(*) AS a0, CAST(sum(CAST(amount AS INTEGER)) AS DECIMAL(38,0)) AS a1 FROM "$events" GROUP BY who',
          aggregates: [
            { name: 'a0', type: 'BIGINT', merge: 'sum', emptySql: '0' },
            { name: 'a1', type: 'DECIMAL(38,0)', merge: 'sum', emptySql: 'NULL' },
          ],
        },
        {
          ...{ kind: 'distinct', name: 'd0' },
          foldSql:
            'SELECT who AS k0, CAST(amount AS INTEGER) AS v, count(*) AS n FROM "$events" GROUP BY ALL',
          value: { name: 'v', type: 'INTEGER' },
          results: [{ name: 'r0', type: 'BIGINT', sql: 'count(v)', emptySql: '0' }],
        },
      ],
    },
  ],
  finish: { sql: '', ordered: false, limited: false, keyColumns: {} },
}

export function ordersView(onError: 'stall' | 'skip'): EngineView {
  const version = '0123456789abcdef0123'
  return { view: 'totals', version, plan: ordersPlan, slices: [], sealed: 0, onError, skipped: [] }
}

export interface Order {
  readonly who?: string
  readonly amount: string
}

export function commitsOf(orders: readonly (readonly Order[])[]): FixtureCommit[] {
  return orders.map((batch, at) => ({
    timeMs: 1_700_000_000_000 + at,
    events: batch.map((order, index) => ({
      ...{ stream: 'orders', partition: (at + index) % 4 },
      json: JSON.stringify({ id: `${at}-${index}`, ...order }),
    })),
  }))
}

export const goodOrder = fc.record(
  { who: fc.constantFrom('ann', 'bob', 'eve'), amount: fc.nat(9).map(String) },
  { requiredKeys: ['amount'] },
)

/** The partial rows by JavaScript: `who|count|sum`, and `who|value|n`, sorted. */
export function foldByHand(orders: readonly Order[]): { main: string[]; d0: string[] } {
  const main = new Map<string, [number, number]>()
  const values = new Map<string, number>()
  for (const { who = '-', amount } of orders) {
    const [count, sum] = main.get(who) ?? [0, 0]
    main.set(who, [count + 1, sum + Number(amount)])
    values.set(`${who}|${amount}`, (values.get(`${who}|${amount}`) ?? 0) + 1)
  }
  return {
    main: [...main].map(([who, [count, sum]]) => `${who}|${count}|${sum}`).sort(),
    d0: [...values].map(([key, n]) => `${key}|${n}`).sort(),
  }
}
