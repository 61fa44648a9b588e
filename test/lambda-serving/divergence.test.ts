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
import { HOUR_MS, LateShop } from '../support/late-shop.ts'
import { rewriteSlice, slicesOf } from '../support/planted-slice.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { TwoShop } from '../support/two-shop.ts'

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

test('late events that a view holds back differ because of that, and are no damage and no alarm', async () => {
  const late = new LateShop()
  try {
    const project = late.project()
    await late.open({ ...project, views: project.views.filter(({ late: kind }) => kind === 'hold') })
    const visit = (id: string, person: string, hours: number, amount: string) => {
      return { id, person, amount, ts: new Date(Date.UTC(2024, 0, 10) + hours * HOUR_MS).toISOString() }
    }
    await late.send([visit('a', 'p1', 0, '95.00'), visit('b', 'p2', 1, '2.00')])
    await late.send([visit('c', 'p1', 10, '3.00')])
    const views = ['totals_held', 'active_held', 'large_held']
    for (const view of views) await late.batch(view)
    // Twelve hours before the watermark: the same day as others, a day of their own, and one in time.
    await late.send([
      visit('d', 'p3', 2, '99.00'),
      visit('e', 'p4', -30, '4.00'),
      visit('f', 'p1', 11, '5.00'),
    ])
    const cut = await late.send([visit('g', 'p2', 12, '98.00')])
    const expected = {
      totals_held: { changed: 1, added: 0, removed: 0, causes: { late: 1 } },
      active_held: { changed: 1, added: 1, removed: 0, causes: { late: 2 } },
      large_held: { changed: 0, added: 1, removed: 0, causes: { late: 1 } },
    }
    for (const view of views) {
      await late.read(view, { after: cut })
      await late.batch(view)
      const [found] = late.server.core.divergence(view, { limit: 1 })
      const { changed, added, removed, causes } = found ?? {}
      assert.deepEqual({ changed, added, removed, causes }, expected[view as keyof typeof expected], view)
    }
    const [day] = late.server.core.divergence('active_held', { limit: 1 })[0]?.sample ?? []
    assert.ok(day !== undefined && ['changed', 'added'].includes(day.what) && day.cause === 'late')
    const status = (await late.server.core.status()) as unknown as { alarms: readonly { kind: string }[] }
    assert.deepEqual(
      status.alarms.filter(({ kind }) => kind === 'divergence'),
      [],
    )
  } finally {
    await late.dispose()
  }
})

test('of two definitions, rows that differ only in approximate columns are told from others', async () => {
  const two = new TwoShop()
  try {
    await two.open(two.project())
    await two.send(40)
    await two.answer()
    await two.published('customers')
    await two.login('u1', 'u5')
    await two.send(26)
    const { batch, cut } = await two.answer()
    const served = new Map((await two.expectedRows(undefined, batch, cut)).map((row) => [row['user'], row]))
    const computed = await two.expectedRows('batch', cut, cut)
    const causes: Record<string, number> = {}
    for (const row of computed) {
      const before = served.get(row['user']) ?? {}
      const differs = (names: readonly string[]) =>
        names.some((name) => String(row[name]) !== String(before[name]))
      const cause = differs(['n', 'total', 'biggest', 'score'])
        ? 'definition'
        : differs(['p90', 'best_step', 'visits'])
          ? 'approximate'
          : undefined
      if (cause !== undefined) causes[cause] = (causes[cause] ?? 0) + 1
    }
    assert.ok((causes['definition'] ?? 0) > 0 && (causes['approximate'] ?? 0) > 0)
    await two.published('customers')
    const [found] = two.server.core.divergence('customers', { limit: 1 })
    assert.deepEqual([found?.rows, found?.causes], [computed.length, causes])
    const row = found?.sample.find(({ cause }) => cause === 'definition')
    const { key, served: shown } = row as unknown as { key: { user: string }; served: { score: string } }
    assert.equal(shown.score, served.get(key.user)?.['score'])
  } finally {
    await two.dispose()
  }
})
