/** The window against a plain list, its bounds to the millisecond and the entry, and its hashes. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { hashBytes64, hashKey, hashText128 } from '../std/hash.ts'
import { DedupeWindow, type WindowMark } from './dedupe-window.ts'

const key = hashKey('0123456789abcdef0123456789abcdef', 'test')

function wordsOf(id: string): Int32Array {
  const words = new Int32Array(4)
  hashText128(key, id, words, 0)
  return words
}

/** Adds the id unless it is remembered; answers whether it was. */
function isRemembered(window: DedupeWindow, id: string, timeMs: number): boolean {
  return window.claim(wordsOf(id), 0, timeMs) >= 0
}

test('an id is remembered up to exactly its age and its count', () => {
  const window = new DedupeWindow({ timeMs: 100, count: 3 })
  assert.equal(isRemembered(window, 'a', 1000), false)
  window.expire(1100)
  assert.equal(isRemembered(window, 'a', 1100), true, 'as old as the bound')
  window.expire(1101)
  assert.equal(isRemembered(window, 'a', 1101), false, 'older')
  for (const id of ['b', 'c']) isRemembered(window, id, 1101)
  assert.equal(isRemembered(window, 'a', 1101), true, 'the third last')
  isRemembered(window, 'd', 1101)
  assert.equal(isRemembered(window, 'a', 1101), false, 'the fourth last')
})

test('times more than 49 days apart are told apart within one chunk', () => {
  const day = 86_400_000
  const window = new DedupeWindow({ timeMs: 60 * day, count: 1000 })
  for (const [i, at] of [0, 55, 110, 111].entries()) {
    window.expire(at * day)
    isRemembered(window, `id${i}`, at * day)
  }
  assert.equal(window.size, 3)
  window.expire(116 * day)
  assert.equal(window.size, 2)
  const again = new DedupeWindow({ timeMs: 60 * day, count: 1000 })
  for (const piece of window.pieces(window.tail, window.head)) again.load(piece)
  again.indexLoaded(171 * day)
  assert.equal(again.size, 1)
  assert.equal(isRemembered(again, 'id3', 171 * day), true)
})

test('a window is what a list of ids says, with commits that fail and restarts', () => {
  const step = fc.oneof(
    { weight: 12, arbitrary: fc.array(fc.nat(60), { minLength: 1, maxLength: 20 }) },
    { weight: 2, arbitrary: fc.constant('fail' as const) },
    { weight: 1, arbitrary: fc.constant('restart' as const) },
  )
  const bounds = fc.record({
    timeMs: fc.integer({ min: 0, max: 40 }),
    count: fc.integer({ min: 1, max: 50 }),
  })
  fc.assert(
    fc.property(bounds, fc.array(step, { maxLength: 40 }), (limits, steps) => {
      let window = new DedupeWindow(limits)
      let durable: { id: string; timeMs: number }[] = []
      let open: { entries: { id: string; timeMs: number }[]; mark: WindowMark }[] = []
      let timeMs = 1000
      for (const one of steps) {
        timeMs += 5
        if (one === 'fail') {
          window.rollBack()
          open = []
          continue
        }
        if (one === 'restart') {
          window.rollBack()
          const loaded = new DedupeWindow(limits)
          for (const piece of window.pieces(window.tail, window.head)) loaded.load(piece)
          loaded.indexLoaded(durable.at(-1)?.timeMs ?? 0)
          window = loaded
          open = []
          continue
        }
        // Two commits may be under way; the older is durable when a third begins.
        if (open.length === 2) {
          const first = open.shift()!
          window.setDurable(first.mark)
          durable = first.entries
        }
        const entries = [...(open.at(-1)?.entries ?? durable)]
        window.expire(timeMs)
        for (const id of one.map(String)) {
          const expected = entries
            .slice(-limits.count)
            .some((entry) => entry.id === id && timeMs - entry.timeMs <= limits.timeMs)
          assert.equal(isRemembered(window, id, timeMs), expected)
          if (!expected) entries.push({ id, timeMs })
        }
        open.push({ entries, mark: window.mark() })
      }
    }),
    { numRuns: 300 },
  )
})

test('a large window grows, turns over and stays exact', () => {
  const window = new DedupeWindow({ timeMs: 1e12, count: 50_000 })
  const word = new Int32Array(2)
  for (let n = 0; n < 160_000; n++) {
    assert.equal(isRemembered(window, `id-${n}`, n), false)
    word[0] = n
    window.setContent(window.head - 1, word)
    if (n % 1000 === 999) window.setDurable(window.mark())
  }
  assert.equal(window.size, 50_000)
  for (let n = 110_000; n < 160_000; n += 7) {
    const place = window.claim(wordsOf(`id-${n}`), 0, 1)
    word[0] = n
    assert.ok(place >= 0 && window.hasContent(place, word))
  }
  assert.equal(isRemembered(window, 'id-109999', 1), false)
})

test('after a pause most of the window goes at once, and can still come back', () => {
  const window = new DedupeWindow({ timeMs: 1000, count: 1e6 })
  for (let n = 0; n < 60_000; n++) isRemembered(window, `old-${n}`, n < 59_990 ? 0 : 2000)
  window.setDurable(window.mark())
  window.expire(3000)
  assert.equal(window.size, 10)
  isRemembered(window, 'failed', 3000)
  window.rollBack()
  assert.equal(window.size, 60_000)
  assert.equal(isRemembered(window, 'old-7', 500), true)
  window.expire(3000)
  isRemembered(window, 'new', 3000)
  const mark = window.mark()
  isRemembered(window, 'newer', 3000)
  window.setDurable(mark)
  assert.equal(window.start, 59_990)
  for (const id of ['new', 'newer', 'old-59995']) assert.equal(isRemembered(window, id, 3000), true)
  assert.equal(isRemembered(window, 'old-59989', 3000), false)
})

test('hashes differ for texts and bytes that differ a little', () => {
  const texts = [
    '',
    '\0',
    '\0\0',
    'a',
    'b',
    'ab',
    'ba',
    'é',
    'e',
    '\u0141',
    'A\u0001',
    'aaaa',
    'aaaaa',
    'ÿ',
    '\u00ff\u0100',
  ]
  const seen = new Set(texts.map((text) => wordsOf(text).join()))
  assert.equal(seen.size, texts.length)
  const other = hashKey('0123456789abcdef0123456789abcdef', 'other')
  const words = new Int32Array(4)
  hashText128(other, 'a', words, 0)
  assert.notDeepEqual(words, wordsOf('a'))
  const contents = new Set<string>()
  const bytes = new Uint8Array(64)
  const view = new DataView(bytes.buffer)
  const out = new Int32Array(2)
  const flip = (bit: number) => {
    bytes[bit >> 3]! ^= 1 << (bit & 7)
  }
  let count = 0
  for (const length of [40, 41, 47]) {
    for (let one = 0; one < 40 * 8; one++) {
      for (let two = one; two < 40 * 8; two++) {
        flip(one)
        if (two > one) flip(two)
        hashBytes64(key, view, 0, length, out, 0)
        if (two > one) flip(two)
        flip(one)
        contents.add(out.join())
        count++
      }
    }
  }
  assert.equal(contents.size, count)
})
