/** The search for failing events, over a fold that is a function of the events' flags and weights. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { EventPosition } from './engine.ts'
import { type FailingRange, failingPositions } from './failing-positions.ts'

/** Events in the order of the log: bad ones fail alone; weights fail together when their sum is above 100. */
interface Sample {
  readonly commit: number
  readonly index: number
  readonly bad: boolean
  readonly weight: number
}

const history = fc
  .array(fc.array(fc.record({ bad: fc.nat(9).map((n) => n === 0), weight: fc.nat(20) }), { maxLength: 5 }), {
    maxLength: 30,
  })
  .map((commits) =>
    commits.flatMap((events, at) => events.map((event, index) => ({ commit: at + 3, index, ...event }))),
  )

function fails(events: readonly Sample[]): boolean {
  return events.some(({ bad }) => bad) || events.reduce((sum, { weight }) => sum + weight, 0) > 100
}

function search(events: readonly Sample[], counted: { folds: number }): FailingRange {
  const key = ({ commit, index }: EventPosition): number => commit * 2 ** 31 + index
  return {
    range: { from: 2, to: 40 },
    folds: async (after, upTo) => {
      counted.folds++
      return !fails(events.filter((event) => key(event) > key(after) && key(event) <= key(upTo)))
    },
    commits: async () => [...new Set(events.map(({ commit }) => commit))],
    indexes: async (commit) => events.filter((event) => event.commit === commit).map(({ index }) => index),
  }
}

const at = ({ commit, index }: EventPosition) => ({ commit, index })

test('events that fail by themselves are found, all of them, in order', async () => {
  await fc.assert(
    fc.asyncProperty(history, async (sample) => {
      const events = sample.map((event) => ({ ...event, weight: 0 }))
      const found = await failingPositions(search(events, { folds: 0 }), 1000)
      assert.deepEqual(found.map(at), events.filter(({ bad }) => bad).map(at))
    }),
  )
})

test('the first one is the first event by which the range fails', async () => {
  await fc.assert(
    fc.asyncProperty(history, async (sample) => {
      const events = sample.map((event) => ({ ...event, weight: 0 }))
      const found = await failingPositions(search(events, { folds: 0 }), 1)
      assert.deepEqual(
        found.map(at),
        events
          .filter(({ bad }) => bad)
          .slice(0, 1)
          .map(at),
      )
    }),
  )
})

test('leaving out what is found, again and again, ends with a range that folds', async () => {
  await fc.assert(
    fc.asyncProperty(history, async (sample) => {
      let events = sample
      for (let round = 0; fails(events); round++) {
        assert.ok(round <= sample.length)
        const found = new Set(
          (await failingPositions(search(events, { folds: 0 }), 1000)).map((p) => JSON.stringify(at(p))),
        )
        assert.ok(found.size > 0)
        events = events.filter((event) => !found.has(JSON.stringify(at(event))))
      }
    }),
  )
})

test('the work grows with the bad events and not with all of them', async () => {
  const events = Array.from({ length: 4096 }, (_, n) => ({
    commit: n >> 2,
    index: n & 3,
    bad: n % 1024 === 99,
    weight: 0,
  }))
  const counted = { folds: 0 }
  const range = search(events, counted)
  assert.equal((await failingPositions({ ...range, range: { from: -1, to: 1024 } }, 100)).length, 4)
  assert.ok(counted.folds < 4 * 2 * 13 + 20, `${counted.folds} folds`)
})
