/**
 * The layers of views that run as lambda, read by themselves: each equals the view's SQL run by plain DuckDB over the
 * events of its own range, the batch layer up to T and the speed layer after it, while events and batches go on.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { DuckDBInstance } from '@duckdb/node-api'
import { isRefoldError } from '../support/is-refold-error.ts'
import { byHand, LambdaShop, lambdaRun, lambdaSql, lambdaViews, sorted } from '../support/lambda-shop.ts'
import { money, type Row, shopView } from '../support/shop-server.ts'

let shop: LambdaShop
beforeEach(() => {
  shop = new LambdaShop()
})
afterEach(() => shop.dispose())

const views = Object.keys(lambdaSql)

/** The view's SQL over the events of (from, to]. */
async function expected(view: string, from: number, to: number): Promise<readonly string[]> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    await connection.run('CREATE TABLE sales (id VARCHAR, "user" VARCHAR, amount DECIMAL(18, 2))')
    const rows = shop.sent
      .filter(({ cut }) => cut > from && cut <= to)
      .map(({ id, user, cents }) => `('${id}', '${user}', ${money(cents)})`)
    if (rows.length > 0) await connection.run(`INSERT INTO sales VALUES ${rows.join(', ')}`)
    const result = await connection.runAndReadAll(lambdaSql[view] ?? '')
    return sorted(result.getRowObjectsJson() as Row[])
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

/** Both layers and the whole of a view, each at the T and the cut of its own answer. */
async function checkLayers(view: string): Promise<void> {
  const { core } = shop.server
  for (const layer of ['batch', 'speed', undefined] as const) {
    const read = { view, where: {}, order: [], limit: 100_000, ...(layer === undefined ? {} : { layer }) }
    const answer = await core.readView(read, { after: shop.cut })
    const batch = answer.batches?.[view]
    assert.ok(batch !== undefined, 'an answer says where the batch layer ends')
    const from = layer === 'speed' ? batch.cut : 0
    const to = layer === 'batch' ? batch.cut : answer.cut
    const rows = sorted(JSON.parse(answer.json) as Row[])
    assert.deepEqual(rows, await expected(view, from, to), `${layer ?? 'both'} of ${view}: (${from}, ${to}]`)
  }
}

test('each layer is the SQL over its own range, through seals, batches and a restart', async () => {
  const project = shop.project({ views: lambdaViews(byHand) })
  await shop.open(project)
  await shop.send(30)
  await shop.check()
  for (const view of views) await shop.published(view)
  for (let round = 0; round < 4; round++) {
    await shop.send(17)
    for (const view of views) await checkLayers(view)
    await shop.server.flush()
    await shop.send(9)
    for (const view of views) await checkLayers(view)
    if (round % 2 === 1) for (const view of views) await shop.published(view)
    for (const view of views) await checkLayers(view)
  }
  await shop.close()
  await shop.open(project)
  for (const view of views) await checkLayers(view)
})

test('layers are read beside the view in one SQL, at one cut, while batches run by themselves', async () => {
  await shop.open(shop.project({ views: lambdaViews({ kind: 'every', everyMs: 150 }) }))
  await shop.send(10)
  await shop.batchAfter('whole', 1)
  let cuts = 0
  // However long a batch takes on a busy machine: until some of them were published meanwhile.
  for (let round = 0; round < 40 || cuts <= 1; round++) {
    await shop.send(5)
    const sql = `SELECT b.n AS batch, s.n AS speed, v.n AS whole, b.total + s.total = v.total AS fits
      FROM batch.whole AS b, speed.whole AS s, whole AS v`
    const answer = await shop.server.core.sql({ sql, limit: 10 }, { after: shop.cut })
    const [row] = JSON.parse(answer.json) as {
      batch: number
      speed: number
      whole: number
      fits: boolean | null
    }[]
    const cut = answer.batches?.['whole']?.cut ?? 0
    const upTo = (end: number) => shop.sent.filter((sale) => sale.cut <= end).length
    assert.deepEqual(
      [row?.batch, row?.speed, row?.whole],
      [upTo(cut), upTo(answer.cut) - upTo(cut), upTo(answer.cut)],
    )
    assert.notEqual(row?.fits, false)
    cuts = Math.max(cuts, cut)
    const joined = await shop.sql(
      'SELECT "user", b.n + s.n AS n FROM batch.per_user b JOIN speed.per_user s USING ("user")',
    )
    assert.ok(joined.length <= 13)
  }
})

test('a view that does not run as lambda says that it has no layers, and names are helped with', async () => {
  const kappa = shopView('plain', 'SELECT count(*) AS n FROM sales')
  const fresh = shopView('fresh', 'SELECT count(*) AS n FROM sales', { run: lambdaRun(byHand) })
  await shop.open(shop.project({ views: [kappa, fresh] }))
  await shop.send(3)
  const { core } = shop.server
  const read = (view: string, layer: 'batch' | 'speed') =>
    core.readView({ view, layer, where: {}, order: [], limit: 1 }, {})
  for (const layer of ['batch', 'speed'] as const) {
    await assert.rejects(read('plain', layer), isRefoldError('VIEW_NO_LAYERS', /view "plain" has no/))
    await assert.rejects(shop.sql(`SELECT * FROM ${layer}.plain`), isRefoldError('VIEW_NO_LAYERS'))
  }
  await assert.rejects(read('fresh', 'batch'), isRefoldError('VIEW_NO_BATCH'))
  await assert.rejects(shop.sql('SELECT * FROM BATCH.Fresh'), isRefoldError('VIEW_NO_BATCH'))
  assert.deepEqual(await shop.sql('SELECT n FROM speed.fresh'), [{ n: 3 }])
  await assert.rejects(
    shop.sql('SELECT * FROM batch.frsh'),
    (error: Error & { hint?: string }) =>
      isRefoldError('SQL_NAME_UNKNOWN')(error) && error.hint === 'Did you mean "batch.fresh"?',
  )
  await assert.rejects(shop.sql('SELECT * FROM main.fresh'), isRefoldError('SQL_FORBIDDEN'))
})
