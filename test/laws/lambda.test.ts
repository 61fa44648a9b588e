/**
 * Laws 1 to 9 while views move between kappa, lambda and hybrid. As in `deploys.test.ts`, whose history this is, with
 * more in it: deploys change how views run, alone or with what they are, with every schedule of batches; batches run
 * all the while, whole and incremental ones, under live input, seals, merges and moves to the lake; the engine and the
 * server are killed, the server also at the named points of a batch and its publication. Expected rows come from plain
 * DuckDB over the events that were acknowledged, at the cut of each answer. Beside the laws: with one definition a batch
 * never differs from what was served, T never goes back, and views run as the last deploy or rollback said.
 * Late events of one view wait for its batches, by a definition of our own. REFOLD_SEED and REFOLD_STEPS set seed and
 * steps. A run is killed at half of the points of batches, those of even or of odd seeds; with REFOLD_POINTS=all at
 * every one; REFOLD_POINTS=batch.lake,… names some, of deploys too.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { batchCrashPoints } from '../../src/server/crash-point.ts'
import { LawHistory } from '../support/law-history.ts'
import { seededRandom } from '../support/seeded-random.ts'

const SEED = Number(process.env['REFOLD_SEED'] ?? randomBytes(4).readUInt32LE())
const STEPS = Number(process.env['REFOLD_STEPS'] ?? 6)
const POINTS = process.env['REFOLD_POINTS']

describe(`moves between kappa, lambda and hybrid keep the laws (seed ${SEED})`, () => {
  const random = seededRandom(SEED)
  const history = new LawHistory(random, { moves: true })
  before(() => history.begin())
  after(() => history.end())

  const points =
    POINTS === undefined
      ? batchCrashPoints.filter((_, index) => index % 2 === SEED % 2)
      : POINTS === 'all'
        ? batchCrashPoints
        : POINTS.split(',')

  test(`killed at ${points.length} points`, async () => {
    for (const point of points) await history.killedAt(point)
    const missed = points.filter((point) => !history.server.diedAt.has(point))
    assert.deepEqual(missed, [], 'every point was reached')
  })

  test(`${STEPS} steps`, async () => {
    for (let step = 0; step < STEPS; step++) await history.step()
    await history.checkFollowers()
    assert.ok(history.batches > 0 || STEPS === 0, 'batches were published')
    console.log(`  ${history.summary()}`)
  })
})
