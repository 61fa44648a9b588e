/** The retention policy, by small examples worked out by hand. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StreamDef } from '../model/schema.ts'
import {
  chooseLakeMerge,
  hotDropCut,
  hotRetentionMs,
  type LakeMergePolicy,
  type MergeableFile,
  retainedFrom,
  trimBorder,
} from './retention.ts'

const stream = (retention?: StreamDef['retention']): StreamDef => ({
  ...{ name: 's', schema: { kind: 'object', fields: [] }, partitions: 1 },
  ...{ dedupe: { timeMs: 0, count: 0 }, latenessMs: 0 },
  ...(retention === undefined ? {} : { retention }),
})

/** Files of 10 bytes, one for each 10 commits and each 1000 ms. */
const files = [1, 2, 3, 4].map((n) => ({ from: (n - 1) * 10, to: n * 10, bytes: 10, lastMs: n * 1000 }))

test('the longest hot retention of all streams holds', () => {
  assert.equal(hotRetentionMs([stream(), stream({ hotMs: 5 }), stream({ hotMs: 3 })]), 5)
  assert.equal(hotRetentionMs([stream()]), 0)
})

test('segments go from the oldest on, and none before its time', () => {
  const moved = [
    { last: 10, ageMs: 50 },
    { last: 20, ageMs: 40 },
    { last: 30, ageMs: 10 },
  ]
  assert.equal(hotDropCut(moved, 0), 30)
  assert.equal(hotDropCut(moved, 40), 20)
  assert.equal(hotDropCut(moved, 60), 0)
  // A clock that went back makes no gap.
  assert.equal(hotDropCut([{ last: 10, ageMs: 1 }, ...moved.slice(1)], 20), 0)
})

test('by age a file goes when its last event is too old, by bytes while the rest is too large', () => {
  assert.equal(retainedFrom({ ageMs: 2500, promote: true }, files, 5000), 20)
  assert.equal(retainedFrom({ ageMs: 4000, promote: true }, files, 5000), 0)
  assert.equal(retainedFrom({ bytes: 25, promote: true }, files, 5000), 20)
  assert.equal(retainedFrom({ bytes: 40, promote: true }, files, 5000), 0)
  assert.equal(retainedFrom({ ageMs: 3500, bytes: 15, promote: true }, files, 5000), 30)
})

test('a trim is rounded down to a border', () => {
  assert.equal(trimBorder(files, { cut: 25 }), 20)
  assert.equal(trimBorder(files, { cut: 30 }), 30)
  assert.equal(trimBorder(files, { cut: 9 }), 0)
  assert.equal(trimBorder(files, { timeMs: 2000 }), 10)
  assert.equal(trimBorder(files, { timeMs: 9000 }), 40)
})

const policy: LakeMergePolicy = { targetBytes: 1000, targetRows: 1000, filesMin: 3, filesMax: 5 }

function file(n: number, bytes: number, more: Partial<MergeableFile> = {}): MergeableFile {
  return { from: n - 1, to: n, bytes, rows: 1, lastMs: n * 1000, columns: 'a', ...more }
}

test('small neighbours are merged, up to the target, and only with the same columns', () => {
  const small = [1, 2, 3, 4, 5, 6].map((n) => file(n, 10))
  assert.deepEqual(chooseLakeMerge(small, policy), { first: 0, count: 5 })
  assert.equal(chooseLakeMerge(small.slice(0, 2), policy), undefined)
  const large = [file(1, 900), ...small.slice(1)]
  assert.deepEqual(chooseLakeMerge(large, policy), { first: 0, count: 5 })
  assert.deepEqual(chooseLakeMerge([file(1, 990), ...small.slice(1)], policy), { first: 1, count: 5 })
  const changed = small.map((one, at) => (at < 2 ? one : { ...one, columns: 'b' }))
  assert.deepEqual(chooseLakeMerge(changed, policy), { first: 2, count: 4 })
})

test('files of one size first, so that large ones are not written again for a few small ones', () => {
  const big = { ...policy, targetBytes: 1e9, filesMax: 9 }
  const mixed = [file(1, 50e6), file(2, 10), file(3, 10), file(4, 10), file(5, 50e6)]
  assert.deepEqual(chooseLakeMerge(mixed, big), { first: 1, count: 3 })
})

test('with a retention by age a merged file spans a twentieth of it at most', () => {
  const small = [1, 2, 3, 4, 5, 6].map((n) => file(n, 10))
  assert.deepEqual(chooseLakeMerge(small, policy, 40_000), { first: 0, count: 3 })
  assert.equal(chooseLakeMerge(small, policy, 20_000), undefined)
})

test('merging ends: what was merged is merged again only when there is much more of it', () => {
  let tree: MergeableFile[] = []
  let rewritten = 0
  for (let n = 1; n <= 500; n++) {
    tree.push(file(n, 64 << 10))
    for (;;) {
      const merge = chooseLakeMerge(tree, {
        ...policy,
        targetBytes: 1e9,
        targetRows: 1e9,
        filesMin: 8,
        filesMax: 64,
      })
      if (merge === undefined) break
      const inputs = tree.slice(merge.first, merge.first + merge.count)
      const bytes = inputs.reduce((sum, input) => sum + input.bytes, 0)
      rewritten += bytes
      const merged = { ...inputs[0]!, to: inputs.at(-1)!.to, bytes, lastMs: inputs.at(-1)!.lastMs }
      tree = [...tree.slice(0, merge.first), merged, ...tree.slice(merge.first + merge.count)]
    }
  }
  assert.ok(tree.length < 30, `${tree.length} files are left of 500`)
  assert.ok(rewritten < 4 * 500 * (64 << 10), 'a byte is written about once for each level')
})
