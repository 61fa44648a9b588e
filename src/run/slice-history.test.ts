/** Which slices reads of the past keep, and which they begin with; what is expected is found here by trying all. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { sliceChain } from './slice-chain.ts'
import { bordersToKeep, type KeptSlice, slicesToForget } from './slice-history.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const parts = ['main', 'd0']

function slices(
  from: number,
  to: number,
  more: Partial<KeptSlice> = {},
  names: readonly string[] = parts,
): KeptSlice[] {
  return names.map((part) => ({
    ...{ view: 'v', version: 'a', stage: 's', part, from, to, rows: 1, bytes: to - from, checksum: 0 },
    ...{ path: `${from}-${to}-${part}`, supersededMs: null, publishedMs: 0, base: false },
    ...more,
  }))
}

const ranges = fc.array(fc.tuple(fc.nat(12), fc.integer({ min: 1, max: 5 })), { maxLength: 14 })

test('a chain has no gap and no overlap, and no chain reaches further', () => {
  fc.assert(
    fc.property(ranges, fc.nat(14), fc.nat(3), (drawn, cut, start) => {
      const all = drawn.flatMap(([from, length], index) =>
        slices(from, from + length, { path: String(index) }, index % 5 === 4 ? ['main'] : parts),
      )
      const chain = sliceChain(all, parts, start, cut)
      for (const part of parts) {
        const own = chain.slices.filter((slice) => slice.part === part)
        let reached = start
        for (const slice of own) {
          assert.equal(slice.from, reached)
          reached = slice.to
        }
        assert.equal(reached, chain.border)
      }
      assert.ok(chain.border <= Math.max(cut, start))
      const whole = drawn.filter((_, index) => index % 5 !== 4)
      assert.equal(chain.border, furthest(whole, start, cut))
    }),
  )
})

/** The furthest border that ranges lead to, by trying every way. */
function furthest(all: readonly (readonly [number, number])[], at: number, cut: number): number {
  const next = all.filter(([from, length]) => from === at && from + length <= cut)
  return Math.max(at, ...next.map(([from, length]) => furthest(all, from + length, cut)))
}

test('of several chains to one border the smallest is taken', () => {
  const all = [
    ...slices(0, 2, { bytes: 10 }),
    ...slices(2, 5, { bytes: 10 }),
    ...slices(0, 5, { bytes: 15 }),
    ...slices(5, 9),
  ]
  assert.deepEqual(
    sliceChain(all, ['main'], 0, 8).slices.map(({ path }) => path),
    ['0-5-main'],
  )
})

test('superseded slices stay as long as the project says, current ones and bases always', () => {
  const now = 100 * DAY
  const recent = { supersededMs: now - DAY + 1, publishedMs: now - 2 * DAY }
  const old = { supersededMs: now - 90 * DAY, publishedMs: now - 91 * DAY }
  const all = [
    ...slices(0, 9, { publishedMs: 0 }),
    ...slices(0, 4, recent),
    ...slices(4, 9, recent),
    ...slices(0, 2, { ...old, base: true }),
    ...slices(2, 4, old),
    ...slices(3, 4, old),
    ...slices(0, 1, { ...old, publishedMs: now - 40 * DAY }),
  ]
  const gone = slicesToForget({ slices: all, parts, start: 0 }, now, DAY).map(({ path }) => path)
  assert.deepEqual(gone, ['2-4-main', '2-4-d0', '3-4-main', '3-4-d0'])
  assert.deepEqual(slicesToForget({ slices: all, parts, start: 0 }, now - 100 * DAY, DAY), [])
})

test('however long it goes on, the kept borders are few and none is far from another', () => {
  let kept: { cut: number; timeMs: number }[] = []
  for (let hour = 0; hour < 24 * 400; hour++) {
    const now = hour * HOUR
    kept.push({ cut: hour, timeMs: now })
    const stays = new Set(bordersToKeep(kept, now, DAY))
    kept = kept.filter(({ cut, timeMs }) => now - timeMs < DAY || stays.has(cut))
  }
  const now = (24 * 400 - 1) * HOUR
  const ages = kept.map(({ timeMs }) => now - timeMs).filter((age) => age >= DAY)
  assert.ok(ages.length <= Math.ceil(Math.log2(400)) + 1, `${ages.length} borders are kept`)
  // An answer of any age up to the oldest border folds no more than about twice its own age.
  const times = kept.map(({ timeMs }) => timeMs).sort((a, b) => a - b)
  for (let day = 1; day < 200; day++) {
    const moment = now - day * DAY
    const border = times.filter((time) => time <= moment).at(-1) ?? 0
    assert.ok(
      moment - border <= 2 * day * DAY + HOUR,
      `${day} days back: ${(moment - border) / DAY} days to fold`,
    )
  }
})

test('a view whose seals are as large as its state keeps a few times its state', () => {
  const GB = 1 << 30
  const now = 100 * DAY
  // A seal a minute of the whole state, merged at once: 24 hours of them would be 1,440 times the state.
  const minutes = 24 * 60
  const all = slices(0, minutes, { bytes: GB / 2, publishedMs: now })
  for (let minute = 0; minute < minutes; minute++) {
    const publishedMs = now - (minutes - minute) * 60_000
    const superseded = { bytes: GB / 2, publishedMs, supersededMs: publishedMs + 60_000 }
    all.push(...slices(minute, minute + 1, superseded))
    if (minute > 0) all.push(...slices(0, minute, superseded))
  }
  const gone = new Set(slicesToForget({ slices: all, parts, start: 0 }, now, DAY))
  const stay = all.filter((slice) => slice.supersededMs !== null && !gone.has(slice))
  const bytes = stay.reduce((sum, slice) => sum + slice.bytes, 0)
  assert.ok(bytes <= 40 * GB, `${Math.round(bytes / GB)} GB stay`)
  const borders = [...new Set(stay.map(({ to }) => to))].sort((a, b) => a - b)
  assert.ok(borders.length >= 5 && borders[0]! <= minutes / 2, `borders at ${borders.join(', ')}`)
  const small = all.map((slice) => ({ ...slice, bytes: 1000 }))
  assert.deepEqual(slicesToForget({ slices: small, parts, start: 0 }, now, DAY), [])
})
