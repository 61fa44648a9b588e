/**
 * Laws 1 to 9 under random deploys. The real server, as a process, takes live input all the while (duplicates, disorder,
 * bad events, three streams), and is deployed to, rolled back, paused, cancelled, flushed, trimmed, killed (with its
 * engine, at random moments and at the named points of a deploy, a rollback, a publication and a trim), and loses
 * slices or finds them damaged. After each step every view, by name and by version, as of a cut and as it was reported,
 * is what plain DuckDB makes of its SQL and the events that were acknowledged. REFOLD_SEED and REFOLD_STEPS set seed and
 * steps. A run is killed at half of the points of deploys and rollbacks, those of even or of odd seeds; with
 * REFOLD_POINTS=all at every one, those of publications and trims too. REFOLD_POINTS=deploy.moved,… names some.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { deployCrashPoints, lakeCrashPoints, serverCrashPoints } from '../../src/server/crash-point.ts'
import { LawHistory } from '../support/law-history.ts'
import { seededRandom } from '../support/seeded-random.ts'

const SEED = Number(process.env['REFOLD_SEED'] ?? randomBytes(4).readUInt32LE())
const STEPS = Number(process.env['REFOLD_STEPS'] ?? 8)
const POINTS = process.env['REFOLD_POINTS']

/** Of a project that is taken over at once, without a deploy: `refold dev`, in tests of its own. */
const adopting = ['version.folded', 'version.added', 'version.moved', 'version.let-go']
/** Of a merge of many small files, which a short history has not. */
const merging = ['lake.merge-renamed', 'lake.merged']
const building = ['version.recorded', 'build.folded', 'build.published']
const ofDeploys: readonly string[] = [...deployCrashPoints, ...building]
const others = [...serverCrashPoints, ...lakeCrashPoints].filter(
  (point) => ![...ofDeploys, ...adopting, ...merging].includes(point),
)

describe(`random deploys keep the laws (seed ${SEED})`, () => {
  const random = seededRandom(SEED)
  const history = new LawHistory(random)
  before(() => history.begin())
  after(() => history.end())

  const all = [...ofDeploys, ...others]
  const points =
    POINTS === undefined
      ? ofDeploys.filter((_, index) => index % 2 === SEED % 2)
      : POINTS === 'all'
        ? all
        : POINTS.split(',')

  test(`killed at ${points.length} points`, async () => {
    for (const point of points) await history.killedAt(point)
    const missed = points.filter((point) => !history.server.diedAt.has(point))
    assert.deepEqual(missed, [], 'every point was reached')
  })

  test(`${STEPS} steps`, async () => {
    for (let step = 0; step < STEPS; step++) await history.step()
    await history.checkFollowers()
    console.log(`  ${history.summary()}`)
  })
})
