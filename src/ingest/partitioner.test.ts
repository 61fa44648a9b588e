/** The partitioner against the hashes that Kafka's own tests state. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { murmur2, murmur2Bytes, partitionOf } from './partitioner.ts'

test('murmur2 gives the values of Kafka’s own test', () => {
  const known: readonly (readonly [string, number])[] = [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ]
  for (const [key, hash] of known) assert.equal(murmur2(key), hash, key)
})

test('the text and its UTF-8 bytes hash the same', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (key) => {
      fc.pre(key.isWellFormed())
      assert.equal(murmur2(key), murmur2Bytes(new TextEncoder().encode(key)))
    }),
  )
})

test('a partition is within its count, and keys spread over all of them', () => {
  const counts = new Array<number>(7).fill(0)
  for (let key = 0; key < 7000; key++) {
    const partition = partitionOf(`user-${key}`, 7)
    assert.ok(Number.isInteger(partition) && partition >= 0 && partition < 7)
    counts[partition] = (counts[partition] ?? 0) + 1
  }
  for (const count of counts) assert.ok(count > 800 && count < 1200, String(counts))
  assert.equal(partitionOf('21', 1), 0)
  assert.equal(partitionOf('foobar', 4), (-790332482 & 0x7fffffff) % 4)
})
