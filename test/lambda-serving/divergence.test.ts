/**
 * Divergence: each batch is held against what was served at its cut. With one definition nothing differs, whatever the
 * input and the moments of seals, batches and kills; a row that is corrupted in the live state is named by the next
 * batch and put right by it.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { isRefoldError } from '../support/is-refold-error.ts'
import { byHand, LambdaShop, lambdaSql, lambdaViews } from '../support/lambda-shop.ts'
import { rewriteSlice, slicesOf } from '../support/planted-slice.ts'
import { seededRandom } from '../support/seeded-random.ts'

const SEED = Number(process.env['REFOLD_SEED'] ?? randomBytes(4).readUInt32LE())
const views = Object.keys(lambdaSql)

let shop: LambdaShop
beforeEach(() => {
  shop = new LambdaShop()
})
afterEach(() => shop.dispose())

test(`with one definition nothing ever differs (seed ${SEED})`, async () => {
  const random = seededRandom(SEED)
  const project = shop.project({
    views: lambdaViews({ kind: 'every', everyMs: 250 }),
    seal: { rows: 60, bytes: 1e12, ageMs: 400 },
  })
  await shop.open(project, { segments: { rollBytes: 8_000, moveAgeMs: 1_000 } })
  for (let step = 0; step < 36; step++) {
    await shop.send(1 + Math.floor(random() * 30))
    const dice = random()
    if (dice < 0.1) process.kill(shop.server.enginePid() ?? 0, 'SIGKILL')
    else if (dice < 0.2) await shop.server.flush()
    else if (dice < 0.25) {
      await shop.close()
      await shop.open(project)
    }
    if (step % 10 === 9) await shop.check()
  }
  for (const view of views) await shop.batchAfter(view, shop.cut - 5)
  await shop.check()
  const compared = await shop.sql(
    `SELECT view, divergence, comparison FROM refold.batches WHERE state = 'published' AND divergence IS NOT NULL`,
  )
  assert.ok(compared.length >= 6, 'batches were compared')
  for (const { view, divergence } of compared) assert.deepEqual([view, Number(divergence)], [view, 0])
  assert.deepEqual(await shop.sql('SELECT * FROM refold.divergence'), [])
  const alarms = (await shop.status())['alarms'] as unknown as readonly { kind: string }[]
  assert.deepEqual(
    alarms.filter(({ kind }) => kind === 'divergence'),
    [],
  )
})

/** A batch, a slice after it in which a row is corrupted by plain DuckDB, and an engine that serves it. */
async function corrupt(view: string, select: string, part = 'main'): Promise<void> {
  const project = shop.project({ views: lambdaViews(byHand) })
  await shop.open(project)
  await shop.send(40)
  await shop.check()
  for (const own of views) await shop.published(own)
  await shop.send(20)
  await shop.check()
  await shop.server.flush()
  await shop.close()
  const dataDir = join(shop.folder, 'data')
  const last = slicesOf(dataDir, view, part).at(-1)
  assert.ok(last !== undefined)
  await rewriteSlice(dataDir, last, select)
  await shop.open(project)
  await shop.send(3)
  await shop.rows(view, { after: shop.cut })
}

test('one corrupted row is named by the next batch, with its key and both rows, and put right by it', async () => {
  await corrupt(
    'per_user',
    `SELECT * REPLACE (CASE k0 WHEN 'u5' THEN a1 + 0.25 ELSE a1 END AS a1) FROM slice`,
  )
  const [wrong] = (await shop.rows('per_user')).filter(({ user }) => user === 'u5')
  const right = (await shop.expected('per_user', shop.cut)).find(({ user }) => user === 'u5')
  assert.equal(Number(wrong?.['total']), Number(right?.['total']) + 0.25)
  const batch = await shop.published('per_user')
  assert.equal(batch.divergence, 1)
  const found = shop.server.core.divergence('per_user', { limit: 1 })
  assert.deepEqual(
    found.map(({ batch: id, changed, added, removed, causes, largest }) => ({
      id,
      changed,
      added,
      removed,
      causes,
      largest,
    })),
    [{ id: batch.id, changed: 1, added: 0, removed: 0, causes: { damage: 1 }, largest: { total: 0.25 } }],
  )
  const [row] = found[0]?.sample ?? []
  assert.deepEqual([row?.what, row?.cause, row?.key], ['changed', 'damage', { user: 'u5' }])
  const sides = row as unknown as { served: { total: string }; computed: { total: string } }
  assert.deepEqual([sides.served.total, sides.computed.total], [wrong?.['total'], right?.['total']])
  await shop.check()
  // The table says the same, and the alarm stands until the next batch finds nothing.
  const [told] = await shop.sql('SELECT view, batch, what, cause, key FROM refold.divergence')
  assert.deepEqual(
    [told?.['view'], Number(told?.['batch']), told?.['what'], told?.['cause']],
    ['per_user', batch.id, 'changed', 'damage'],
  )
  const alarms = async () =>
    ((await shop.status())['alarms'] as unknown as readonly { view: string; kind: string }[])
      .filter(({ kind }) => kind === 'divergence')
      .map(({ view }) => view)
  assert.deepEqual(await alarms(), ['per_user'])
  assert.equal((await shop.published('per_user')).divergence, 0)
  assert.deepEqual(await alarms(), [])
  for (const view of ['whole', 'large']) assert.equal((await shop.published(view)).divergence, 0)
})

test('rows that were lost or invented are told apart, in views of rows too', async () => {
  await corrupt(
    'large',
    `SELECT * REPLACE ('nobody' AS c1) FROM slice WHERE "$index" = 5
     UNION ALL SELECT * FROM slice WHERE "$index" NOT IN (5, 6)
     UNION ALL SELECT * REPLACE (999::INTEGER AS "$index") FROM slice WHERE "$index" = 7`,
    'rows',
  )
  const batch = await shop.published('large')
  const [found] = shop.server.core.divergence('large', { limit: 1 })
  assert.deepEqual([batch.divergence, found?.changed, found?.added, found?.removed], [3, 1, 1, 1])
  assert.deepEqual(
    found?.sample
      .map(({ what, cause, served, computed }) => [what, cause, served === null, computed === null])
      .sort(),
    [
      ['added', 'damage', true, false],
      ['changed', 'damage', false, false],
      ['removed', 'damage', false, true],
    ],
  )
  await shop.check()
})

test('a view that is not there, or has no batches, says so', async () => {
  await shop.open(shop.project({ views: lambdaViews(byHand) }))
  assert.throws(() => shop.server.core.divergence('nothing', { limit: 1 }), isRefoldError('VIEW_UNKNOWN'))
  assert.deepEqual(shop.server.core.divergence('whole', { limit: 1 }), [])
})
