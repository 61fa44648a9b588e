/** Progress of a replay: figures are worked out by hand. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { estimatedDone, type ProgressSample, replayProgress, withSample } from './replay-progress.ts'

function samples(...points: readonly (readonly [number, number, number])[]): readonly ProgressSample[] {
  return points.reduce<readonly ProgressSample[]>(
    (all, [timeMs, done, total]) => withSample(all, { timeMs, done, total }),
    [],
  )
}

test('a steady pace has a narrow band; input that grows the rest is counted in', () => {
  const steady = replayProgress(samples([0, 0, 1000], [1000, 100, 1000], [2000, 200, 1000]), undefined)
  const etaMs = { low: 8000, likely: 8000, high: 8000 }
  assert.deepEqual(steady, { done: 200, total: 1000, percent: 20, rate: 100, etaMs })
  const growing = replayProgress(samples([0, 0, 1000], [1000, 100, 1050], [2000, 200, 1100]), undefined)
  assert.deepEqual(growing?.etaMs, { low: 18_000, likely: 18_000, high: 18_000 })
})

test('an uneven pace has a wide band, and none where the rest does not shrink', () => {
  const uneven = replayProgress(samples([0, 0, 1000], [1000, 300, 1000], [2000, 400, 1000]), 'budget')
  assert.deepEqual(uneven?.etaMs, { low: 2000, likely: 3000, high: 6000 })
  assert.equal(uneven?.held, 'budget')
  assert.equal(replayProgress(samples([0, 5, 10], [2000, 5, 10]), 'lag')?.etaMs, undefined)
  const stood = replayProgress(samples([0, 0, 1000], [1000, 0, 1000], [2000, 400, 1000]), undefined)
  assert.deepEqual(stood?.etaMs, { low: 1500, likely: 3000, high: 9000 })
})

test('samples older than ten seconds are forgotten; nothing to fold is all of it', () => {
  assert.equal(samples([0, 0, 10], [5_000, 1, 10], [11_000, 2, 10]).length, 2)
  assert.equal(replayProgress(samples([0, 0, 0]), undefined)?.percent, 100)
  assert.equal(replayProgress([], undefined), undefined)
})

test('an estimate by pace grows without a jump and never says that it is done', () => {
  assert.deepEqual(
    [0, 40, 80].map((byPace) => estimatedDone(byPace, 100)),
    [0, 40, 80],
  )
  let before = 0
  for (let byPace = 0; byPace < 300; byPace++) {
    const done = estimatedDone(byPace, 100)
    assert.ok(done >= before && done - before <= 1 && done < 100)
    before = done
  }
  assert.ok(before > 99)
  assert.equal(estimatedDone(5, 0), 0)
})
