/** The history of recent cuts: lag, watermark and bytes at any cut, exact while kept and never too late after. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CommitHistory } from './commit-history.ts'

function filled(commits: number, entriesMax?: number): CommitHistory {
  const history = new CommitHistory(entriesMax)
  for (let commit = 1; commit <= commits; commit++) {
    history.add({
      commit,
      timeMs: commit * 10,
      watermarksUs: { s: commit * 1000 },
      counts: { s: { accepted: commit * 5, duplicate: 0, rejected: 0 } },
      offsets: { s: [commit * 5] },
      logBytes: commit * 100,
    })
  }
  return history
}

test('lag is the age of the oldest commit that a cut does not include', () => {
  const history = filled(10)
  assert.equal(history.lagMs(10, 500), 0)
  assert.equal(history.lagMs(9, 500), 400)
  assert.equal(history.lagMs(0, 500), 490)
  assert.equal(new CommitHistory().lagMs(0, 500), 0)
})

test('state and bytes at a cut', () => {
  const history = filled(10)
  assert.equal(history.at(7)?.counts['s']?.accepted, 35)
  assert.equal(history.at(0), undefined)
  assert.equal(history.bytesAfter(7), 300)
  assert.equal(history.bytesAfter(10), 0)
  assert.equal(history.bytesAfter(3, 7), 400)
})

test('a full history thins out: the newest half is exact, older cuts are answered from before', () => {
  const history = filled(1000, 64)
  for (let cut = 1; cut <= 1000; cut++) {
    const state = history.at(cut)
    if (cut > 1000 - 24) assert.equal(state?.commit, cut)
    else assert.ok(state === undefined || state.commit <= cut)
  }
  assert.equal(history.at(1)?.commit, 1)
})
