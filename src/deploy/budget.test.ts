/** The budget of a replay, driven through random stretches of time: what is spent stays within it on average. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { accountAfter, type BudgetAccount, emptyAccount, holdOf, rangeEventsMax } from './budget.ts'
import type { ReplayBudget } from './types.ts'

/** Runs whenever it may, in steps of random length; a running worker folds `pace` events a millisecond. */
function drive(budget: ReplayBudget, steps: readonly number[], pace: number) {
  let account: BudgetAccount = emptyAccount
  let [elapsed, ran, events] = [0, 0, 0]
  for (const step of steps) {
    const runs = holdOf(budget, account, 0, undefined) === undefined
    const folded = runs ? step * pace : 0
    account = accountAfter(budget, account, { elapsedMs: step, ranMs: runs ? step : 0, events: folded })
    elapsed += step
    ran += runs ? step : 0
    events += folded
  }
  return { elapsed, ran, events }
}

const steps = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 200, maxLength: 400 })

test('a share of the worker, and events a second, are kept to on average and used up', () => {
  fc.assert(
    fc.property(steps, fc.double({ min: 0.05, max: 1, noNaN: true }), (times, share) => {
      const { elapsed, ran } = drive({ cpuShare: share }, times, 1)
      // A step more than allowed, and what may be saved up, are the most that it can be off.
      assert.ok(ran <= elapsed * share + 250 * share + 50, `${ran} of ${elapsed} ms at ${share}`)
      assert.ok(ran >= elapsed * share - 250 * share - 51, `${ran} of ${elapsed} ms at ${share}`)
    }),
  )
  fc.assert(
    fc.property(steps, fc.integer({ min: 1_000, max: 1_000_000 }), (times, perSecond) => {
      const pace = 2_000
      const { elapsed, events } = drive({ eventsPerSecond: perSecond }, times, pace)
      assert.ok(events <= ((elapsed + 250) * perSecond) / 1000 + 50 * pace)
      assert.ok(events >= ((elapsed - 250) * perSecond) / 1000 - 51 * pace)
    }),
  )
})

test('what was not used is not saved up for longer than a moment', () => {
  const budget = { cpuShare: 0.5, eventsPerSecond: 1_000 }
  const rested = accountAfter(budget, emptyAccount, { elapsedMs: 3_600_000, ranMs: 0, events: 0 })
  assert.deepEqual(rested, { workerMs: 125, events: 250 })
})

test('a replay stands still above the limit of the lag, and goes on only well below it', () => {
  const budget = { lagMs: 1_000 }
  assert.equal(holdOf(budget, emptyAccount, 1_000, undefined), undefined)
  assert.equal(holdOf(budget, emptyAccount, 1_001, undefined), 'lag')
  assert.equal(holdOf(budget, emptyAccount, 600, 'lag'), 'lag')
  assert.equal(holdOf(budget, emptyAccount, 499, 'lag'), undefined)
  assert.equal(holdOf({}, { workerMs: -1, events: -1 }, 1e9, undefined), undefined)
})

test('with a budget ranges are smaller', () => {
  assert.equal(rangeEventsMax({ lagMs: 1 }), 50_000_000)
  assert.equal(rangeEventsMax({ cpuShare: 0.5 }), 4_000_000)
  assert.equal(rangeEventsMax({ eventsPerSecond: 50_000 }), 250_000)
  assert.equal(rangeEventsMax({ eventsPerSecond: 10 }), 100_000)
})
