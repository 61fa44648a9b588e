/** Where a stream's events lie and how a replay is divided: sums are counted here, ranges must join without a gap. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { LogSources } from '../engine/engine.ts'
import { replayRanges, sizeOf, streamHistory } from './stream-history.ts'

function sources(): LogSources {
  const file = (stream: string, from: number, to: number, rows: number) => ({
    ...{ stream, from, to, rows, path: '', bytes: rows * 10, checksum: 0, offsets: [], fields: [] },
  })
  const segment = (base: number, last: number, events: Record<string, number>) => ({
    ...{ path: '', number: base, base, last, start: 0, bytes: 1000, closed: true, events },
  })
  return {
    lake: { through: 20, files: [file('a', 0, 10, 100), file('b', 0, 20, 7), file('a', 10, 20, 50)] },
    log: {
      durable: 40,
      segments: [segment(10, 20, { a: 50 }), segment(20, 30, { a: 5, b: 15 }), segment(30, 40, {})],
    },
  }
}

test('cold and hot events of a stream are counted once', () => {
  const history = streamHistory(sources(), 'a')
  assert.deepEqual(history, [
    { from: 0, to: 10, events: 100, bytes: 1000 },
    { from: 10, to: 20, events: 50, bytes: 500 },
    { from: 20, to: 30, events: 5, bytes: 250 },
  ])
  assert.deepEqual(sizeOf(history, { from: 0, to: 40 }), { events: 155, bytes: 1750 })
  assert.deepEqual(sizeOf(history, { from: 5, to: 22 }), { events: 101, bytes: 1050 })
  assert.deepEqual(sizeOf(history, { from: 30, to: 40 }), { events: 0, bytes: 0 })
})

test('ranges of a replay join, reach the end, and are as small as asked where commits allow it', () => {
  const piece = fc.record({
    commits: fc.integer({ min: 1, max: 500 }),
    events: fc.integer({ min: 0, max: 1e6 }),
  })
  fc.assert(
    fc.property(
      fc.array(piece, { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 1, max: 1e6 }),
      (pieces, most) => {
        let at = 0
        const history = pieces.map(({ commits, events }) => {
          const from = at
          at += commits
          return { from, to: at, events, bytes: 0 }
        })
        const ranges = replayRanges(history, { from: 0, to: at + 5 }, most)
        let reached = 0
        for (const range of ranges) {
          assert.equal(range.from, reached)
          assert.ok(range.to > range.from)
          reached = range.to
          const perCommit = Math.max(...history.map(({ from, to, events }) => events / (to - from)))
          const { events } = sizeOf(history, range)
          assert.ok(events <= 2 * most + 2 * perCommit, `${events} events in a range of ${most}`)
        }
        assert.equal(reached, at + 5)
      },
    ),
  )
})
