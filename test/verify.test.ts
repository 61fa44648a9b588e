/**
 * `verify` against the real server: faults are planted in the files of slices by plain DuckDB, or by an engine that is
 * told to leave an event out, and each is found and located; where nothing is planted, nothing is found, whatever the
 * history went through. What a planted event is worth is counted here by hand.
 */

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { crc32 } from 'node:zlib'
import type { EngineSpec, LiveEngine } from '../src/engine/engine.ts'
import { startLiveEngine } from '../src/engine/live-engine.ts'
import type { VerifyFinding, VerifyReport } from '../src/govern/types.ts'
import { DatabaseSync } from '../src/std/sqlite.ts'
import { rewriteSlice, type SliceFile, slicesOf as slicesIn } from './support/planted-slice.ts'
import { eventually, SalesServer, salesView } from './support/sales-server.ts'

let shop: SalesServer
beforeEach(() => {
  shop = new SalesServer()
})
afterEach(() => shop.dispose())

const rowsSql = 'SELECT id, "user", amount FROM sales WHERE amount > 100'

/** The views of the support server, and one without grouping. */
function project(change: Parameters<SalesServer['project']>[0] = {}) {
  const own = shop.project()
  return { ...own, views: [...own.views, salesView('large', rowsSql)], ...change }
}

async function verify(view: string, more: { sample?: number; cut?: number } = {}): Promise<VerifyReport> {
  const [report] = await shop.core.verify.run({ views: [view], ...more })
  assert.ok(report !== undefined)
  return report
}

/** The only finding. */
async function finding(view: string): Promise<VerifyFinding> {
  const report = await verify(view)
  assert.equal(report.error, undefined)
  assert.equal(report.findings.length, 1, JSON.stringify(report.findings, null, 2))
  assert.equal(report.found, 1)
  return report.findings[0] as VerifyFinding
}

async function allSound(): Promise<void> {
  for (const report of await shop.core.verify.run({})) {
    assert.deepEqual([report.view, report.error, report.findings], [report.view, undefined, []])
    assert.ok(report.groups > 0)
  }
}

function slicesOf(view: string, part = 'main'): readonly SliceFile[] {
  return slicesIn(shop.dataDir, view, part)
}

function rewrite(slice: SliceFile, select: string): Promise<void> {
  return rewriteSlice(shop.dataDir, slice, select)
}

/** The hash of a position as it is stored; written out a second time, so that a change of it is noticed. */
function hashOf(commit: number, index: number): bigint {
  return (BigInt(commit) * 4_194_319n) ^ (BigInt(index) * 7_919n)
}

/** Numbers and times in the form in which the log keeps them. */
function asLogged(sale: SalesServer['sent'][number] | undefined) {
  return { ...sale, amount: String(Number(sale?.amount)), at: sale?.at.replace('.000Z', 'Z') }
}

/** Three slices of ten sales each, and a tail. */
async function threeSlices(): Promise<void> {
  await shop.open(project())
  for (let round = 0; round < 3; round++) {
    await shop.send(10)
    await shop.server?.flush()
  }
  await shop.send(5)
  await shop.check()
}

test('with nothing planted nothing is found, in slices, tail and lake', async () => {
  await threeSlices()
  await allSound()
  assert.equal((await verify('per_user')).groups, 13)
})

/** Opens the server again over what was planted; what is served comes from the slices then. */
async function openAgain(): Promise<void> {
  await shop.open(project())
  const after = Math.max(...shop.sentAt.keys())
  await shop.core.readView({ view: 'per_user', where: {}, order: [], limit: 1 }, { after })
}

/** What the rest of a slice's row of user `u1` becomes without the event, or with it once more. */
function planted(sign: '+' | '-', amount: string, commit: number, index: number): string {
  return `SELECT * REPLACE (CASE k0 WHEN 'u1' THEN a0 ${sign} 1 ELSE a0 END AS a0,
    CASE k0 WHEN 'u1' THEN a1 ${sign} ${amount} ELSE a1 END AS a1,
    CASE k0 WHEN 'u1' THEN xor(positions, ${hashOf(commit, index)}) ELSE positions END AS positions) FROM slice`
}

test('an event that a slice lacks is named, with slice, key and content', async () => {
  await threeSlices()
  await shop.close()
  const slice = slicesOf('per_user')[1] as SliceFile
  // Sale 14 is of user u1 and came as number 4 of the second commit.
  const sale = shop.sent[14]
  assert.deepEqual([sale?.user, sale?.amount], ['u1', '518.00'])
  await rewrite(slice, `${planted('-', '518', 2, 4)} WHERE a0 > 1 OR k0 <> 'u1'`)
  await openAgain()
  const found = await finding('per_user')
  assert.equal(found.kind, 'skipped')
  assert.deepEqual(found.place, { kind: 'slice', ...slice })
  assert.deepEqual(found.key, { user: 'u1' })
  assert.equal(found.events, -1)
  assert.deepEqual(found.positions, [
    { stream: 'sales', commit: 2, index: 4, partition: 0, offset: 7, event: asLogged(sale) },
  ])
  const right = shop.sent.filter(({ user }) => user === 'u1').length
  assert.equal((found.right as { n: number }).n, right)
  assert.equal((found.served as { n: number }).n, right - 1)
  await othersAreSound('per_user')
})

test('an event that a slice has twice is named', async () => {
  await threeSlices()
  await shop.close()
  const slice = slicesOf('per_user')[1] as SliceFile
  await rewrite(slice, planted('+', '518', 2, 4))
  await openAgain()
  const found = await finding('per_user')
  assert.equal(found.kind, 'doubled')
  assert.deepEqual(found.place, { kind: 'slice', ...slice })
  assert.deepEqual([found.key, found.events], [{ user: 'u1' }, 1])
  assert.deepEqual(
    found.positions?.map(({ commit, index }) => [commit, index]),
    [[2, 4]],
  )
})

test('a value that is wrong over the right events is located, also while the live state is right', async () => {
  await threeSlices()
  const slice = slicesOf('per_user')[2] as SliceFile
  const wrong = `SELECT * REPLACE (CASE k0 WHEN 'u9' THEN a1 + 0.01 ELSE a1 END AS a1) FROM slice`
  await rewrite(slice, wrong)
  const stored = await finding('per_user')
  assert.deepEqual(
    [stored.kind, stored.key, stored.place],
    ['wrong row', { user: 'u9' }, { kind: 'slice', ...slice }],
  )
  assert.deepEqual(stored.served, stored.right)
  assert.equal(stored.positions, undefined)
  await shop.close()
  await openAgain()
  const served = await finding('per_user')
  assert.deepEqual([served.kind, served.key, served.place], [stored.kind, stored.key, stored.place])
  assert.notDeepEqual(served.served, served.right)
  assert.equal((await verify('per_user', { sample: 0.000001 })).found, 0)
  assert.equal((await verify('per_user', { cut: 1 })).found, 0)
  assert.equal((await verify('per_user', { cut: 4 })).found, 1)
})

test('a flipped byte is found, and its slice named; where the file reads, so are the keys', async () => {
  await threeSlices()
  const [first, second] = slicesOf('per_user') as [SliceFile, SliceFile]
  const path = join(shop.dataDir, first.path)
  const bytes = readFileSync(path)
  const middle = bytes.length >> 1
  bytes[middle] = (bytes[middle] ?? 0) ^ 0x10
  writeFileSync(path, bytes)
  const report = await verify('per_user')
  assert.ok(report.found >= 1)
  for (const { kind, place } of report.findings) {
    assert.deepEqual([kind, place], ['damaged slice', { kind: 'slice', ...first }])
  }
  bytes[middle] = (bytes[middle] ?? 0) ^ 0x10
  writeFileSync(path, bytes)
  await othersAreSound('')
  const sums = `UPDATE slices SET checksum = checksum + 1 WHERE path = '${second.path}'`
  await rewrite(second, `SELECT * REPLACE (CASE k0 WHEN 'u12' THEN a1 * 2 ELSE a1 END AS a1) FROM slice`)
  const catalog = new DatabaseSync(join(shop.dataDir, 'catalog.sqlite'))
  catalog.exec(sums)
  catalog.close()
  const found = await finding('per_user')
  assert.deepEqual([found.kind, found.key], ['damaged slice', { user: 'u12' }])
  assert.deepEqual(found.place, { kind: 'slice', ...second })
})

test('a slice that holds other events than were recorded when it was made is named', async () => {
  await threeSlices()
  const catalog = new DatabaseSync(join(shop.dataDir, 'catalog.sqlite'))
  const recorded = catalog
    .prepare(
      `SELECT events, position_sum FROM slices WHERE view = 'per_user' AND part = 'main' ORDER BY from_cut`,
    )
    .all()
  const sums = [0, 1, 2].map((commit) =>
    Array.from({ length: 10 }, (_, index) => hashOf(commit + 1, index)).reduce((sum, hash) => sum ^ hash),
  )
  assert.deepEqual(
    recorded.map(({ events, position_sum }) => [events, position_sum]),
    sums.map((sum) => [10, String(sum)]),
  )
  const slice = slicesOf('per_user')[1] as SliceFile
  catalog.prepare('UPDATE slices SET events = 11 WHERE path = ?').run(slice.path)
  catalog.close()
  const found = await finding('per_user')
  assert.deepEqual([found.kind, found.place], ['damaged slice', { kind: 'slice', ...slice }])
})

test('rows without grouping: a missing, a repeated and a wrong row are told apart by their events', async () => {
  await threeSlices()
  await shop.close()
  const slice = slicesOf('large', 'rows')[0] as SliceFile
  const at = (index: number) => `("$commit" = 1 AND "$index" = ${index})`
  // Sales 3, 4 and 5 of the first commit cost 111, 148 and 185.
  await rewrite(
    slice,
    `SELECT * REPLACE (CASE WHEN ${at(5)} THEN 'nobody' ELSE c1 END AS c1) FROM slice WHERE NOT ${at(3)}
     UNION ALL SELECT * FROM slice WHERE ${at(4)}`,
  )
  await openAgain()
  const { findings } = await verify('large')
  assert.deepEqual(
    findings.map(({ kind, place, positions = [] }) => [kind, place, positions[0]?.index]),
    [
      ['skipped', { kind: 'slice', ...slice }, 3],
      ['doubled', { kind: 'slice', ...slice }, 4],
      ['wrong row', { kind: 'slice', ...slice }, 5],
    ],
  )
  await othersAreSound('large')
})

/** An engine of the real kind that is told something else than the server meant. */
function toldOtherwise(change: (spec: EngineSpec) => EngineSpec): () => LiveEngine {
  return () => {
    const engine = startLiveEngine()
    const { start } = engine
    engine.start = (spec) => start(change(spec))
    return engine
  }
}

test('an event that a tick leaves out is located to the tick, and to the slice once that is sealed', async () => {
  const skipped = [{ commit: 3, index: 1 }]
  const startEngine = toldOtherwise((spec) => ({
    ...spec,
    views: spec.views.map((view) => (view.view === 'per_user' ? { ...view, skipped } : view)),
  }))
  await shop.open(project(), { startEngine })
  for (let round = 0; round < 4; round++) {
    const after = await shop.send(5)
    await shop.core.readView({ view: 'per_user', where: {}, order: [], limit: 1 }, { after })
  }
  const found = await finding('per_user')
  assert.deepEqual([found.kind, found.place], ['skipped', { kind: 'tick', from: 2, to: 3 }])
  assert.deepEqual([found.key, found.positions?.[0]?.index], [{ user: 'u11' }, 1])
  await shop.server?.flush()
  const sealed = await finding('per_user')
  assert.deepEqual([sealed.kind, sealed.place.kind, sealed.key], ['skipped', 'slice', { user: 'u11' }])
  assert.deepEqual(sealed.positions?.[0]?.event, asLogged(shop.sent[11]))
  await othersAreSound('per_user')
})

test('an event that a tick takes twice is located', async () => {
  await shop.open(project())
  await shop.send(1)
  await shop.server?.flush()
  await shop.close()
  const catalog = new DatabaseSync(join(shop.dataDir, 'catalog.sqlite'))
  catalog.exec(`DELETE FROM slices; UPDATE versions SET sealed_cut = 0`)
  catalog.close()
  const startEngine = toldOtherwise((spec) => {
    const { lake } = spec.sources
    return {
      ...spec,
      sources: { ...spec.sources, lake: { ...lake, files: lake.files.flatMap((file) => [file, file]) } },
    }
  })
  await shop.open(project(), { startEngine })
  await shop.core.readView({ view: 'per_user', where: {}, order: [], limit: 1 }, { after: 1 })
  const found = await finding('per_user')
  assert.deepEqual(
    [found.kind, found.place, found.key],
    ['doubled', { kind: 'tick', from: 0, to: 1 }, { user: 'u0' }],
  )
  assert.deepEqual(found.positions?.[0]?.event, asLogged(shop.sent[0]))
})

async function othersAreSound(view: string): Promise<void> {
  for (const report of await shop.core.verify.run({})) {
    if (report.view !== view)
      assert.deepEqual([report.view, report.error, report.findings], [report.view, undefined, []])
  }
}

test('skipped events on record, merges, lake, a trimmed log and a restart are no damage', async () => {
  const small = {
    ...salesView(
      'small',
      `SELECT "user", sum(CAST(replace(id, 's', '') AS TINYINT)) AS ids, count(*) AS n FROM sales GROUP BY "user"`,
    ),
    onError: 'skip' as const,
  }
  const views = [...project().views, small]
  await shop.open(project({ views }))
  let cut = 0
  for (let round = 0; round < 14; round++) {
    cut = await shop.send(10)
    await shop.core.readView({ view: 'small', where: {}, order: [], limit: 1 }, { after: cut })
    await shop.server?.flush()
  }
  assert.equal((await shop.status<{ skipped: number }>()).skipped, 12)
  await allSound()
  await shop.core.lake.trim({ stream: 'sales', to: { cut: 7 }, promote: true })
  await shop.send(10)
  await allSound()
  await shop.close()
  await shop.open(project({ views }))
  await shop.send(10)
  await shop.server?.flush()
  await allSound()
  await othersAreSound('')
})

test('what is found is an alarm until it is gone: status, metrics, audit, and a table', async () => {
  await threeSlices()
  await shop.core.verify.run({})
  const slice = slicesOf('per_user')[0] as SliceFile
  const before = readFileSync(join(shop.dataDir, slice.path))
  await rewrite(slice, planted('-', '37', 1, 1))
  await shop.core.verify.run({})
  const metric = async (name: string) =>
    (await shop.core.metrics())
      .find((each) => each.name === name)
      ?.samples.find(({ labels }) => labels.view === 'per_user')?.value
  type Status = { verify: { view: string; found: number; findings: { kind: string }[] }[] }
  const status = await shop.status<Status>()
  const own = status.verify.find(({ view }) => view === 'per_user')
  assert.deepEqual([own?.found, own?.findings[0]?.kind], [1, 'skipped'])
  assert.equal(await metric('refold_verify_findings'), 1)
  assert.ok(Number(await metric('refold_verify_time_seconds')) > 1e9)
  writeFileSync(join(shop.dataDir, slice.path), before)
  const catalog = new DatabaseSync(join(shop.dataDir, 'catalog.sqlite'))
  catalog
    .prepare('UPDATE slices SET bytes = ?, checksum = ? WHERE path = ?')
    .run(before.length, crc32(before), slice.path)
  catalog.close()
  await shop.core.verify.run({})
  assert.equal(await metric('refold_verify_findings'), 0)
  const sql = async (text: string) =>
    JSON.parse((await shop.core.sql({ sql: text, limit: 100 }, {})).json) as unknown
  assert.deepEqual(await sql(`SELECT found FROM refold.verify WHERE view = 'per_user' ORDER BY time`), [
    { found: 0 },
    { found: 1 },
    { found: 0 },
  ])
  assert.deepEqual(await sql(`SELECT what FROM refold.audit WHERE what LIKE 'verify%' ORDER BY time`), [
    { what: 'verify found damage' },
    { what: 'verify found nothing any more' },
  ])
})

test('on a schedule it runs by itself', async () => {
  await shop.open(project({ verify: { everyMs: 1_000, sample: 0.5 } }))
  await shop.send(100)
  await eventually(() => shop.core.verify.last().length === 3)
  for (const { share, found } of shop.core.verify.last()) assert.deepEqual([share, found], [0.5, 0])
})
