/**
 * The policy against random histories: slices stay few and adjacent, rewriting stays cheap, ranges join. The model of
 * a merge here is plain list surgery; nothing of the code under test decides what is expected.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { chooseMerge, foldRanges, segmentsToMove, shouldSeal } from './kappa.ts'

const policy = { rows: 1000, bytes: 1 << 20, ageMs: 60_000 }

test('a tail is sealed when it reaches rows, bytes or age, and never when it is empty', () => {
  const small = { rows: 1, bytes: 1, ageMs: 1, commits: 1 }
  assert.equal(shouldSeal(policy, small), false)
  assert.equal(shouldSeal(policy, { ...small, rows: 1000 }), true)
  assert.equal(shouldSeal(policy, { ...small, bytes: 1 << 20 }), true)
  assert.equal(shouldSeal(policy, { ...small, ageMs: 60_000 }), true)
  assert.equal(shouldSeal(policy, { rows: 1e9, bytes: 1e12, ageMs: 1e9, commits: 0 }), false)
})

test('any history of seals leaves few slices, adjacent, with nothing lost and few rewrites', () => {
  const seals = fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 400, size: 'max' })
  fc.assert(
    fc.property(seals, (sizes) => {
      let slices: { from: number; to: number; size: number }[] = []
      let cut = 0
      let rewritten = 0
      for (const size of sizes) {
        slices.push({ from: cut, to: ++cut, size })
        for (;;) {
          const merge = chooseMerge(slices.map((slice) => slice.size))
          if (merge === undefined) break
          assert.ok(merge.count >= 2)
          const inputs = slices.slice(merge.first, merge.first + merge.count)
          assert.equal(inputs.length, merge.count)
          const merged = {
            from: inputs[0]!.from,
            to: inputs.at(-1)!.to,
            size: inputs.reduce((sum, slice) => sum + slice.size, 0),
          }
          rewritten += merged.size
          slices = [...slices.slice(0, merge.first), merged, ...slices.slice(merge.first + merge.count)]
        }
        slices.forEach((slice, index) => {
          assert.equal(slice.from, index === 0 ? 0 : slices[index - 1]!.to)
        })
        assert.equal(slices.at(-1)!.to, cut)
        const total = slices.reduce((sum, slice) => sum + slice.size, 0)
        assert.ok(slices.length <= 8 + Math.log2(total), `${slices.length} slices of ${total} rows`)
      }
      const written = sizes.reduce((sum, size) => sum + size, 0)
      assert.ok(
        rewritten <= written * (2 + 2 * Math.log2(sizes.length)),
        `${rewritten} rewritten of ${written}`,
      )
    }),
  )
})

test('slices of a view that no longer grows are merged too', () => {
  let slices = Array.from({ length: 9 }, () => 100)
  const merge = chooseMerge(slices)
  assert.ok(merge !== undefined)
  slices = [...slices.slice(0, merge.first), 100, ...slices.slice(merge.first + merge.count)]
  assert.ok(slices.length <= 8)
  assert.equal(chooseMerge(slices), undefined)
})

const segments = { rollBytes: 100, rollAgeMs: 1000, moveBytes: 300, moveAgeMs: 5000, jobBytes: 250 }

test('closed segments move from the oldest on, bounded by the size of a job', () => {
  const closed = (...bytes: number[]) => bytes.map((size) => ({ bytes: size, ageMs: 0 }))
  assert.equal(segmentsToMove(segments, []), 0)
  assert.equal(segmentsToMove(segments, closed(100, 100)), 0)
  assert.equal(segmentsToMove(segments, closed(100, 100, 100)), 2)
  assert.equal(segmentsToMove(segments, closed(900, 100)), 1)
  assert.equal(
    segmentsToMove(segments, [
      { bytes: 1, ageMs: 5000 },
      { bytes: 1, ageMs: 0 },
    ]),
    2,
  )
})

test('a fold is divided at borders into ranges that join and leave nothing out', () => {
  const borders = fc.array(fc.record({ step: fc.nat(9), events: fc.nat(50) }), { maxLength: 30 })
  fc.assert(
    fc.property(borders, fc.nat(40), fc.nat(200), (steps, from, length) => {
      let at = 0
      const list = steps.map(({ step, events }) => {
        at += step + 1
        return { to: at, events }
      })
      const to = from + length
      const ranges = foldRanges(from, to, list, 60)
      let reached = from
      for (const range of ranges) {
        assert.equal(range.from, reached)
        assert.ok(range.to > range.from)
        reached = range.to
        const within = list.filter((border) => border.to > range.from && border.to <= range.to)
        const events = within.reduce((sum, border) => sum + border.events, 0)
        assert.ok(within.length <= 1 || events <= 60 || range.to === to)
      }
      assert.equal(reached, to)
    }),
  )
})
