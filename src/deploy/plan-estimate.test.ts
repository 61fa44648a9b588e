/** What a build is said to cost: events, bytes, time and rates, with figures worked out by hand. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type EstimateInput, estimateBuild } from './plan-estimate.ts'

const pieces = [
  { from: 0, to: 10, events: 1_000_000, bytes: 40_000_000 },
  { from: 10, to: 30, events: 500_000, bytes: 60_000_000 },
]
const input: EstimateInput = { pieces, sealed: 0, measured: [], inputRate: 1000, sliceBytesPerEvent: 2 }

test('without a measured build the rate is a guess with a wide band', () => {
  const { events, bytes, reusedEvents, seconds, diskBytes, basis, catchesUp } = estimateBuild(input)
  assert.deepEqual([events, bytes, reusedEvents, diskBytes], [1_500_000, 100_000_000, 0, 3_000_000])
  assert.equal(basis, 'default')
  assert.equal(catchesUp, true)
  assert.ok(seconds.high > 4 * seconds.low)
})

test('what slices of the same version hold is not folded again', () => {
  const { events, bytes, reusedEvents } = estimateBuild({ ...input, sealed: 20 })
  assert.deepEqual([events, bytes, reusedEvents], [250_000, 30_000_000, 1_250_000])
  assert.equal(estimateBuild({ ...input, sealed: 30 }).events, 0)
})

test('measured builds give rate and band; short ones do not count', () => {
  const measured = [
    { seconds: 1, events: 100_000, bytes: 1 },
    { seconds: 1, events: 300_000, bytes: 1 },
    { seconds: 1, events: 200_000, bytes: 1 },
    { seconds: 1, events: 10, bytes: 1 },
  ]
  const { foldRate, basis, seconds, catchesUp } = estimateBuild({ ...input, measured, inputRate: 200_001 })
  assert.equal(foldRate, 200_000)
  assert.equal(basis, 'measured')
  assert.equal(catchesUp, false)
  assert.ok(Math.abs(seconds.likely - 7.5) < 1)
  assert.ok(seconds.low >= 5 && seconds.high >= 15)
})
