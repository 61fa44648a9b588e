/**
 * `verify` over views that run as lambda, with real engines: while batches are published, slices sealed and engines
 * killed nothing is found, of views that hold late events back neither; a row that is corrupted is found until the next
 * batch has put it right.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { test } from 'node:test'
import { byHand, LambdaShop, lambdaViews } from '../support/lambda-shop.ts'
import { HOUR_MS, LateShop, type Visit } from '../support/late-shop.ts'
import { rewriteSlice, slicesOf } from '../support/planted-slice.ts'
import { seededRandom } from '../support/seeded-random.ts'

const SEED = Number(process.env['REFOLD_SEED'] ?? randomBytes(4).readUInt32LE())

test(`nothing is found while batches go on (seed ${SEED})`, async (t) => {
  const random = seededRandom(SEED)
  const shop = new LambdaShop()
  t.after(() => shop.dispose())
  await shop.open(
    shop.project({
      views: lambdaViews({ kind: 'every', everyMs: 300 }),
      seal: { rows: 80, bytes: 1e12, ageMs: 500 },
    }),
    { segments: { rollBytes: 8_000, moveAgeMs: 1_000 } },
  )
  for (let step = 0; step < 8; step++) {
    for (let commit = 0; commit < 4; commit++) await shop.send(1 + Math.floor(random() * 20))
    if (random() < 0.3) process.kill(shop.server.enginePid() ?? 0, 'SIGKILL')
    await shop.check()
    for (const report of await shop.server.core.verify.run({})) {
      assert.deepEqual([report.view, report.error, report.findings], [report.view, undefined, []])
    }
  }
})

test(`nor in views that hold late events back (seed ${SEED})`, async (t) => {
  const random = seededRandom(SEED)
  const shop = new LateShop()
  t.after(() => shop.dispose())
  const project = shop.project()
  const views = project.views.filter(({ late }) => late === 'hold')
  await shop.open({ ...project, views })
  let clockMs = Date.UTC(2024, 0, 1)
  let id = 0
  for (let step = 0; step < 5; step++) {
    for (let commit = 0; commit < 4; commit++) {
      clockMs += Math.floor(random() * 3 * HOUR_MS)
      const visits = Array.from({ length: 1 + Math.floor(random() * 8) }, (): Visit => {
        const ts = new Date(clockMs - (random() < 0.4 ? random() * 48 * HOUR_MS : 0)).toISOString()
        return { id: `v${id++}`, person: `p${id % 5}`, amount: (random() * 100).toFixed(2), ts }
      })
      const cut = await shop.send(visits)
      for (const { name } of views) await shop.read(name, { after: cut })
    }
    const check = async () => {
      for (const report of await shop.server.core.verify.run({})) {
        assert.deepEqual([report.view, report.error, report.findings], [report.view, undefined, []])
      }
    }
    await check()
    const [one] = views
    if (one !== undefined && step % 2 === 0) await shop.batch(one.name)
    if (step % 2 === 1) await shop.server.flush()
    await check()
  }
})

test('a corrupted row of the speed layer is found and located, and gone after the next batch', async (t) => {
  const shop = new LambdaShop()
  t.after(() => shop.dispose())
  const project = shop.project({ views: lambdaViews(byHand) })
  await shop.open(project)
  await shop.send(40)
  await shop.check()
  await shop.published('per_user')
  await shop.send(20)
  await shop.check()
  await shop.server.flush()
  await shop.close()
  const dataDir = join(shop.folder, 'data')
  const last = slicesOf(dataDir, 'per_user').at(-1)
  assert.ok(last !== undefined)
  await rewriteSlice(
    dataDir,
    last,
    `SELECT * REPLACE (CASE k0 WHEN 'u5' THEN a1 + 1 ELSE a1 END AS a1) FROM slice`,
  )
  await shop.open(project)
  await shop.rows('per_user', { after: shop.cut })
  const [found] = await shop.server.core.verify.run({ views: ['per_user'] })
  assert.deepEqual(
    found?.findings.map(({ kind, key, place }) => [kind, key, place]),
    [['wrong row', { user: 'u5' }, { kind: 'slice', ...last }]],
  )
  assert.equal((await shop.published('per_user')).divergence, 1)
  const [mended] = await shop.server.core.verify.run({ views: ['per_user'] })
  assert.deepEqual([mended?.error, mended?.found], [undefined, 0])
  await shop.check()
})

test('a verification and a batch that stand at one cut have each their own copy of what is served', async (t) => {
  const shop = new LambdaShop()
  t.after(() => shop.dispose())
  await shop.open(shop.project({ views: lambdaViews(byHand) }))
  await shop.send(60)
  await shop.check()
  for (let round = 0; round < 6; round++) {
    const verified = shop.server.core.verify.run({ views: ['per_user'] })
    const batch = await shop.published('per_user')
    const [report] = await verified
    assert.deepEqual([batch.divergence, report?.error, report?.findings], [0, undefined, []])
  }
})
