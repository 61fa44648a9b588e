/** The policy of snapshots, by cases. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Snapshot, snapshotDue, snapshotsBefore, snapshotsToForget } from './hybrid.ts'

function snapshot(version: string, cut: number, engine = 'e'): Snapshot {
  return { view: 'v', version, cut, engine, madeMs: cut * 10 }
}

test('a snapshot is due so long after the last one, or after the view began', () => {
  const run = { kind: 'hybrid', snapshotEveryMs: 100, keep: 2 } as const
  assert.equal(snapshotDue(run, undefined, 1_000, 1_099), false)
  assert.equal(snapshotDue(run, undefined, 1_000, 1_100), true)
  assert.equal(snapshotDue(run, 1_050, 1_000, 1_149), false)
  assert.equal(snapshotDue(run, 1_050, 1_000, 1_150), true)
})

test('the newest of each version are kept, and none of versions long gone', () => {
  const all = ['a', 'b', 'c', 'd', 'e', 'f'].flatMap((version, index) =>
    [1, 2, 3].map((cut) => snapshot(version, index * 10 + cut)),
  )
  const forgotten = snapshotsToForget(all, 2).map(({ version, cut }) => `${version}${cut}`)
  assert.deepEqual(forgotten.sort(), ['a1', 'a2', 'a3', 'b11', 'c21', 'd31', 'e41', 'f51'])
})

test('a replay begins at the nearest snapshot of the same version and engine', () => {
  const all = [snapshot('a', 5), snapshot('a', 9), snapshot('a', 7, 'other'), snapshot('b', 8)]
  const cuts = (version: string, cut: number) => snapshotsBefore(all, version, 'e', cut).map((one) => one.cut)
  assert.deepEqual([cuts('a', 9), cuts('a', 8), cuts('a', 4), cuts('c', 9)], [[9, 5], [5], [], []])
})
