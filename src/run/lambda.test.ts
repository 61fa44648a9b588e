/** The policy of batches, by cases counted by hand. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LambdaDef } from '../define/types.ts'
import {
  type BatchNeed,
  batchAlarms,
  batchDueMs,
  incrementalPlan,
  type LayerState,
  missedBatches,
} from './lambda.ts'

const at = (text: string) => Date.parse(`2026-03-01T${text}Z`)
const every = { kind: 'every', everyMs: 60_000 } as const
const daily = { kind: 'cron', cron: '30 4 * * *' } as const

function due(need: Partial<BatchNeed>): number {
  return batchDueMs({ schedule: every, sinceMs: at('10:00:00'), last: undefined, eventsSince: 0, ...need })
}

test('a schedule of intervals counts from the beginning of the batch before, or from when the view began', () => {
  assert.equal(due({}), at('10:01:00'))
  const last = { startedMs: at('10:05:00'), endedMs: at('10:05:40'), failures: 0 }
  assert.equal(due({ last }), at('10:06:00'))
})

test('cron is in UTC; a moment that passed while nobody ran is due once', () => {
  assert.equal(due({ schedule: daily }), Date.parse('2026-03-02T04:30:00Z'))
  const last = { startedMs: at('04:30:00'), endedMs: at('04:31:00'), failures: 0 }
  assert.equal(due({ schedule: daily, last }), Date.parse('2026-03-02T04:30:00Z'))
  const old = { startedMs: Date.parse('2026-02-20T04:30:00Z'), endedMs: 0, failures: 0 }
  assert.ok(due({ schedule: daily, last: old }) < at('00:00:00'))
})

test('events make a batch due when there are enough of them', () => {
  const schedule = { kind: 'events', events: 100 } as const
  assert.equal(due({ schedule, eventsSince: 99 }), Number.POSITIVE_INFINITY)
  assert.ok(due({ schedule, eventsSince: 100 }) <= at('10:00:00'))
})

test('a failed batch is tried again soon, later each time, and never later than the schedule says', () => {
  const failed = (failures: number) => ({ startedMs: at('10:00:00'), endedMs: at('10:00:03'), failures })
  assert.equal(due({ last: failed(1) }), at('10:00:04'))
  assert.equal(due({ last: failed(3) }), at('10:00:07'))
  assert.equal(due({ last: failed(50) }), at('10:01:00'))
  assert.equal(due({ schedule: daily, last: failed(50) }), at('10:01:03'))
  const schedule = { kind: 'events', events: 100 } as const
  assert.equal(due({ schedule, last: failed(2) }), at('10:00:05'))
})

test('moments that a batch missed while it ran', () => {
  const began = at('10:00:10')
  assert.deepEqual(missedBatches(every, began, began, at('10:01:09')), [])
  const two = [at('10:01:10'), at('10:02:10')]
  assert.deepEqual(missedBatches(every, began, began, at('10:02:30')), two)
  assert.deepEqual(missedBatches(every, began, at('10:01:10'), at('10:02:30')), two.slice(1))
  const minutes = { kind: 'cron', cron: '* * * * *' } as const
  assert.deepEqual(missedBatches(minutes, began, began, at('10:02:30')), [at('10:01:00'), at('10:02:00')])
  assert.deepEqual(missedBatches({ kind: 'events', events: 1 }, began, began, at('12:00:00')), [])
})

test('an incremental batch folds ranges whose files changed, and what is new', () => {
  const range = (from: number, to: number, inputs: Record<string, number> | undefined) => ({
    ...{ from, to, bytes: 10 ** (9 - from / 10), inputs },
  })
  const layer = [range(0, 10, { a: 1 }), range(10, 20, { a: 1, b: 2 }), range(20, 30, undefined)]
  const files: Record<string, Record<string, number>> = {
    '0-10': { a: 1 },
    '10-20': { a: 1, b: 3 },
    '20-30': {},
  }
  const now = ({ from, to }: { from: number; to: number }) => files[`${from}-${to}`] ?? {}
  assert.deepEqual(incrementalPlan(layer, now, 0, 45), {
    kept: [{ from: 0, to: 10 }],
    fold: [
      { from: 10, to: 20 },
      { from: 20, to: 30 },
      { from: 30, to: 45 },
    ],
  })
  assert.deepEqual(incrementalPlan([], now, 5, 9), { kept: [], fold: [{ from: 5, to: 9 }] })
  // A file more, or one fewer, is another input.
  assert.deepEqual(incrementalPlan([range(0, 10, {})], now, 0, 10).kept, [])
  // A layer that does not begin at the start is of no use.
  assert.deepEqual(incrementalPlan(layer.slice(1), now, 0, 20), { kept: [], fold: [{ from: 0, to: 20 }] })
})

test('an incremental batch puts many small ranges together', () => {
  let layer: { from: number; to: number; bytes: number; inputs: Record<string, number> }[] = []
  let folded = 0
  for (let cut = 1; cut <= 300; cut++) {
    const plan = incrementalPlan(layer, () => ({}), 0, cut)
    const next = [...plan.kept, ...plan.fold].sort((a, b) => a.from - b.from)
    for (const [index, { from }] of next.entries()) assert.equal(from, next[index - 1]?.to ?? 0)
    assert.equal(next.at(-1)?.to, cut)
    folded += plan.fold.reduce((sum, { from, to }) => sum + to - from, 0)
    layer = next.map(({ from, to }) => ({ from, to, bytes: (to - from) * 100, inputs: {} }))
    assert.ok(layer.length <= 12, `${layer.length} ranges`)
  }
  assert.ok(folded < 300 * 12, `${folded} cuts were folded for 300`)
})

test('alarms: failed and skipped ones since the last that was published, a span and a divergence beyond their limits', () => {
  const run: LambdaDef = {
    ...{ kind: 'lambda', schedule: every, incremental: false, whenSpeedFails: 'stale' },
    ...{ maxSpanMs: 3_000, maxDivergence: 2 },
  }
  const quiet: LayerState = {
    ...{ view: 'v', nowMs: 100_000, spanMs: 3_000, failed: [], skipped: [] },
    published: { timeMs: 50_000, divergence: 2 },
  }
  assert.deepEqual(batchAlarms(run, quiet), [])
  const loud = batchAlarms(run, {
    ...quiet,
    spanMs: 9_000,
    failed: [
      { timeMs: 60_000, reason: 'first' },
      { timeMs: 70_000, reason: 'a file is gone' },
    ],
    skipped: [{ timeMs: 65_000 }],
    published: { timeMs: 50_000, divergence: 3 },
  })
  assert.deepEqual(
    loud.map(({ kind, sinceMs }) => [kind, sinceMs]),
    [
      ['batch failed', 60_000],
      ['batch overran', 65_000],
      ['speed span', 94_000],
      ['divergence', 50_000],
    ],
  )
  assert.match(loud[0]?.message ?? '', /2 batches failed: a file is gone/)
})
