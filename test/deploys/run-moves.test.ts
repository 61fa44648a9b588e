/**
 * Moving views between kappa, lambda and hybrid, in the running server: what the plan says, what a deploy does, what a
 * rollback takes back. What views show is counted here from what was sent; readers ask all the while and see no change.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type { RunDef } from '../../src/define/types.ts'
import type { DeployInfo } from '../../src/deploy/types.ts'
import { batchCrashPoints, deployCrashPoints, type ServerCrashPoint } from '../../src/server/crash-point.ts'
import { rewriteSlice, slicesOf } from '../support/planted-slice.ts'
import { eventually, type Row, ShopServer, shopView } from '../support/shop-server.ts'

let shop: ShopServer
beforeEach(() => {
  shop = new ShopServer()
})
afterEach(() => shop.dispose())

const kappa: RunDef = { kind: 'kappa' }
const hybrid: RunDef = { kind: 'hybrid', snapshotEveryMs: 3_600_000, keep: 10 }

/** Not due while a test runs, unless the test says so. */
export function lambda(everyMs = 3_600_000): RunDef {
  return {
    kind: 'lambda',
    schedule: { kind: 'every', everyMs },
    incremental: false,
    whenSpeedFails: 'stale',
    maxDivergence: 0,
  }
}

const SQL = 'SELECT "user", count(*) AS n FROM sales GROUP BY "user"'
const DOUBLE = 'SELECT "user", count(*) * 2 AS n FROM sales GROUP BY "user"'

const asking = (run: RunDef, sql = SQL) => shop.project({ views: [shopView('per_user', sql, { run })] })

function counts(factor = 1): string[] {
  const users = new Map<string, number>()
  for (const { user } of shop.sent) users.set(user, (users.get(user) ?? 0) + factor)
  return sorted([...users].map(([user, n]) => ({ user, n })))
}

function sorted(rows: readonly Row[]): string[] {
  return rows.map((row) => JSON.stringify(row)).sort()
}

async function check(factor = 1): Promise<void> {
  const after = shop.sent.at(-1)?.cut ?? 0
  assert.deepEqual(sorted(await shop.rows('per_user', { after })), counts(factor))
}

async function runsAs(): Promise<Row> {
  const [row] = await shop.sql('SELECT run, run_options, version FROM refold.views')
  return { run: row?.['run'], ...(row?.['run_options'] as object) }
}

/** T, as answers tell it. */
async function batchCut(): Promise<number | undefined> {
  const answer = await shop.server.core.readView({ view: 'per_user', where: {}, order: [], limit: 1 }, {})
  return answer.batches?.['per_user']?.cut
}

function said({ plan }: Pick<DeployInfo, 'plan'>): string[] {
  return plan.views.flatMap(({ view, reasons }) =>
    reasons.map(({ what, text }) => `${view}: ${what} ${text}`),
  )
}

test('a plan says how a view is to run, and what stands behind it', async () => {
  await shop.open(asking(kappa))
  await shop.send(100)
  await shop.server.flush()
  await shop.send(20)
  const planned = async (run: RunDef) => {
    const plan = await shop.server.core.plan(JSON.parse(JSON.stringify(asking(run))))
    const [view] = plan.views
    return {
      said: said({ plan }),
      proof: view?.run?.proof,
      events: view?.estimate?.events,
      empty: plan.empty,
    }
  }
  const none = { said: [], proof: undefined, events: undefined, empty: true }
  assert.deepEqual(await planned(kappa), none)
  assert.deepEqual(await planned(lambda(900_000)), {
    said: ['per_user: run it moves from kappa to lambda, a batch every 15 min'],
    ...{ proof: 'batch', events: 120, empty: false },
  })
  assert.deepEqual(await planned(hybrid), {
    said: ['per_user: run it moves from kappa to hybrid, a snapshot every 1 h, 10 of them kept'],
    ...{ proof: 'refold', events: 120, empty: false },
  })
  await shop.deploy(asking(lambda()))
  assert.deepEqual(await planned(lambda()), none)
  const often: RunDef = { ...lambda(90_000), incremental: true, maxSpanMs: 1_500 } as RunDef
  assert.deepEqual(await planned(often), {
    said: [
      'per_user: run the schedule changed from a batch every 1 h to a batch every 90 s',
      'per_user: run incremental changed from false to true',
      'per_user: run maxSpan changed from none to 1500 ms',
    ],
    ...{ proof: 'none', events: undefined, empty: false },
  })
  assert.deepEqual(await planned(kappa), {
    said: ['per_user: run it moves from lambda to kappa'],
    ...{ proof: 'refold', events: 120, empty: false },
  })
})

test('a rule about rows that may differ shows up in a plan, and is in place after a deploy', async () => {
  const place = { file: 'refold.config.ts', line: 1, column: 1 }
  const rules = (...expect: readonly { name: string; when: string }[]) =>
    shop.project({
      views: [shopView('per_user', SQL, { expect: expect.map((rule) => ({ ...rule, place })) })],
    })
  await shop.open(rules({ name: 'small', when: 'new.n < 5' }))
  await shop.send(10)
  const version = await shop.version('per_user')
  const next = rules({ name: 'small', when: 'new.n < 6' }, { name: 'gone', when: 'new.n IS NULL' })
  const info = await shop.deploy(next)
  assert.deepEqual(said(info), [
    'per_user: expect rule "small" changed from "new.n < 5" to "new.n < 6"',
    'per_user: expect rule "gone" is new: "new.n IS NULL"',
  ])
  assert.deepEqual([info.state, info.views, await shop.version('per_user')], ['live', [], version])
  assert.equal((await shop.deploy(next)).plan.empty, true)
  const turned = rules({ name: 'gone', when: 'new.n IS NULL' }, { name: 'small', when: 'new.n < 6' })
  assert.deepEqual(said(await shop.deploy(turned)), ['per_user: expect the order of its rules changed'])
})

test('there and back: proved at one cut, no reader sees a change, the version stays', async () => {
  await shop.open(asking(kappa))
  await shop.send(300)
  await shop.server.flush()
  const version = await shop.version('per_user')
  let running = true
  let asked = 0
  const live = (async () => {
    while (running) {
      await shop.send(7)
      await check()
      asked++
    }
  })()
  for (const run of [hybrid, kappa, lambda(), hybrid, lambda(), kappa]) {
    const before = asked
    await eventually(() => asked > before)
    const info = await shop.deploy(asking(run))
    assert.equal(info.state, 'live', info.reason)
    const [view] = info.views
    assert.deepEqual([view?.from, view?.to, view?.run?.to], [version, version, run])
    const { compare } = view ?? {}
    assert.deepEqual([compare?.changed, compare?.added, compare?.removed], [0, 0, 0])
    assert.deepEqual([compare?.equal, compare?.cut], [13, info.comparedAt])
    assert.ok((info.cutoverAt ?? 0) >= (info.comparedAt ?? 0))
    const { kind, ...options } = run
    assert.deepEqual(await runsAs(), { run: kind, ...options })
    // The first batch is the proof; what it reached is told from the cutover on, and only as long as it runs so.
    assert.equal(await batchCut(), kind === 'lambda' ? compare?.cut : undefined)
    assert.equal((await shop.deploy(asking(run))).plan.empty, true)
  }
  running = false
  await live
  assert.equal(await shop.version('per_user'), version)
  const moves = await shop.sql(`SELECT details FROM refold.audit WHERE what = 'cutover' ORDER BY time`)
  assert.equal(moves.length, 13)
})

test('options alone are in place at once, without a fold', async () => {
  await shop.open(asking(lambda()))
  await shop.send(30)
  const info = await shop.deploy(asking(lambda(7_200_000)))
  const [view] = info.views
  assert.deepEqual([info.state, view?.compare, view?.run?.proof], ['live', undefined, 'none'])
  assert.equal((await runsAs())['run'], 'lambda')
  await check()
})

test('a rollback takes the way it ran back, alone or with the version', async () => {
  await shop.open(asking(kappa))
  await shop.send(30)
  const author = { who: 'tester' }
  await shop.deploy(asking(lambda()))
  assert.notEqual(await batchCut(), undefined)
  const back = await shop.server.deploys.rollback({ reason: 'no', author })
  assert.equal(back.state, 'rolled_back')
  assert.deepEqual([(await runsAs())['run'], await batchCut()], ['kappa', undefined])
  await check()
  // What a batch once reached is nothing that a rollback brings back: merges may have gone over it.
  await shop.deploy(asking(lambda()))
  await shop.deploy(asking(kappa))
  await shop.server.deploys.rollback({ reason: 'no', author })
  assert.deepEqual([(await runsAs())['run'], await batchCut()], ['lambda', undefined])
  await check()
  await shop.deploy(asking(kappa))

  const both = await shop.deploy(asking(hybrid, DOUBLE))
  assert.deepEqual([both.state, both.views[0]?.run?.proof], ['live', 'none'])
  assert.equal((await runsAs())['run'], 'hybrid')
  await check(2)
  await shop.deploy(asking({ ...hybrid, keep: 3 } as RunDef, DOUBLE))
  assert.deepEqual((await runsAs())['keep'], 3)
  // Only the newest deploy that changed something is taken back.
  await shop.server.deploys.rollback({ reason: 'no', author })
  assert.deepEqual((await runsAs())['keep'], 10)
  await check(2)
  await shop.server.deploys.rollback({ reason: 'no', author })
  assert.equal((await runsAs())['run'], 'kappa')
  await check()
})

test('a version that needs batches does not come back to a view without them', async () => {
  const streams = shop.project().streams.map((one) => ({ ...one, latenessMs: 60_000 }))
  const hold = (run: RunDef, sql: string, late?: 'hold') =>
    shop.project({
      streams,
      views: [shopView('per_user', sql, { run, ...(late === undefined ? {} : { late }) })],
    })
  await shop.open(hold(lambda(), SQL, 'hold'))
  await shop.send(30)
  const author = { who: 'tester' }
  const wire = JSON.parse(JSON.stringify(hold(kappa, SQL, 'hold')))
  await assert.rejects(shop.server.core.plan(wire), {
    code: 'PROJECT_RECEIVED',
    message: /view "per_user" holds late events back and runs as kappa, which has no batch layer/,
  })
  const changed = await shop.deploy(hold(lambda(), DOUBLE))
  const moved = await shop.deploy(hold(kappa, DOUBLE))
  assert.deepEqual([changed.state, moved.state], ['live', 'live'])
  const back = (deploy: number) => shop.server.deploys.rollback({ deploy, reason: 'no', author })
  await assert.rejects(back(changed.id), { code: 'ROLLBACK_IMPOSSIBLE', message: /needs batches/ })
  await back(moved.id)
  await back(changed.id)
  assert.equal((await runsAs())['run'], 'lambda')
  assert.equal((await shop.rows('per_user')).length, 13)
})

test('a view that goes leaves nothing behind of how it ran, and has it again after a rollback', async () => {
  await shop.open(asking(hybrid))
  await shop.send(30)
  const total = shopView('total', 'SELECT count(*) AS n FROM sales')
  await shop.deploy(shop.project({ views: [total] }))
  assert.deepEqual(await shop.sql('SELECT view, run FROM refold.views'), [{ view: 'total', run: 'kappa' }])
  await shop.server.deploys.rollback({ reason: 'no', author: { who: 'tester' } })
  assert.equal((await runsAs())['run'], 'hybrid')
  await check()
})

test('a start keeps how views run, whatever the file says; `refold dev` takes the file over at once', async () => {
  await shop.open(asking(hybrid))
  await shop.send(30)
  await shop.close()
  await shop.open(asking(kappa))
  assert.equal((await runsAs())['run'], 'hybrid')
  await eventually(async () => (await shop.status())['differs'] !== null)
  assert.deepEqual((await shop.status())['differs'], { streams: [], views: ['per_user'] })
  await shop.close()
  await shop.open(asking(lambda()), { views: 'adopt' })
  assert.equal((await runsAs())['run'], 'lambda')
  await shop.server.reload(asking(kappa))
  assert.equal((await runsAs())['run'], 'kappa')
  await shop.server.reload(asking(hybrid, DOUBLE))
  assert.equal((await runsAs())['run'], 'hybrid')
  await check(2)
})

test('what is served and what the log gives differ: the gate is held until somebody accepts', async () => {
  await shop.open(asking(kappa))
  await shop.send(130)
  await shop.server.flush()
  await shop.close()
  const dataDir = `${shop.folder}/data`
  const [slice] = slicesOf(dataDir, 'per_user')
  assert.ok(slice !== undefined)
  await rewriteSlice(
    dataDir,
    slice,
    "SELECT * REPLACE (CASE k0 WHEN 'u4' THEN a0 + 1 ELSE a0 END AS a0) FROM slice",
  )
  await shop.open(asking(kappa))
  const cut = await shop.send(26)
  const { deploys } = shop.server
  const refused = await shop.deploy(asking(hybrid))
  assert.equal(refused.state, 'refused')
  assert.equal(
    refused.reason,
    `view "per_user", folded again from the log, differs in 1 row from what is served at cut ${cut}`,
  )
  const { compare } = refused.views[0] ?? {}
  assert.deepEqual(
    compare?.sample.map(({ kind, cause, old, new: again }) => ({ kind, cause, old, again })),
    [{ kind: 'changed', cause: 'unexplained', old: { user: 'u4', n: 13 }, again: { user: 'u4', n: 12 } }],
  )
  assert.equal((await runsAs())['run'], 'kappa')
  await deploys.cancel(refused.id, 'looking', { who: 'tester' })
  assert.equal((await runsAs())['run'], 'kappa')

  const again = await shop.deploy(asking(hybrid))
  deploys.accept(again.id, 'known since May', { who: 'tester' })
  const passed = await deploys.settled(again.id)
  assert.deepEqual([passed.state, passed.accepted], ['live', 'known since May'])
  assert.equal((await runsAs())['run'], 'hybrid')
})

test('a first batch that differs is held, and repairs what is served once somebody accepts', async () => {
  await shop.open(asking(kappa))
  await shop.send(130)
  await shop.server.flush()
  await shop.close()
  const dataDir = `${shop.folder}/data`
  const [slice] = slicesOf(dataDir, 'per_user')
  assert.ok(slice !== undefined)
  await rewriteSlice(dataDir, slice, "SELECT * REPLACE (a0 + 1 AS a0) FROM slice WHERE k0 <> 'u7'")
  await shop.open(asking(kappa))
  await shop.send(26)
  const served = sorted(await shop.rows('per_user', { after: shop.sent.at(-1)?.cut ?? 0 }))
  const { deploys } = shop.server
  const { id, state, reason, comparedAt } = await shop.deploy(asking(lambda()))
  assert.equal(state, 'refused')
  assert.match(reason ?? '', new RegExp(`differs in 13 rows from what is served at cut ${comparedAt}$`))
  const batches = () => shop.sql('SELECT state, divergence FROM refold.batches ORDER BY batch')
  assert.deepEqual(
    (await batches()).map((row) => row['state']),
    ['failed'],
  )
  assert.deepEqual(sorted(await shop.rows('per_user')), served)
  deploys.accept(id, 'repair it', { who: 'tester' })
  const passed = await deploys.settled(id)
  assert.deepEqual([passed.state, passed.accepted], ['live', 'repair it'])
  assert.deepEqual(
    (await batches()).map((row) => row['state']),
    ['failed', 'published'],
  )
  await check()
})

test('damage in a group that no answer shows holds the gate too', async () => {
  const top = 'SELECT "user", count(*) AS n FROM sales GROUP BY "user" ORDER BY n DESC, "user" LIMIT 3'
  await shop.open(asking(kappa, top))
  await shop.send(130)
  await shop.server.flush()
  await shop.close()
  const dataDir = `${shop.folder}/data`
  const [slice] = slicesOf(dataDir, 'per_user')
  assert.ok(slice !== undefined)
  await rewriteSlice(
    dataDir,
    slice,
    "SELECT * REPLACE (CASE k0 WHEN 'u9' THEN a0 - 1 ELSE a0 END AS a0) FROM slice",
  )
  await shop.open(asking(kappa, top))
  const { state, reason, comparedAt } = await shop.deploy(asking(hybrid, top))
  assert.equal(state, 'refused')
  assert.equal(
    reason,
    `view "per_user", folded again from the log, differs in 1 group that no answer shows from what is served at cut ${comparedAt}`,
  )
})

/** That a move does not pass: nothing is built, nothing becomes warm. */
const elsewhere: readonly ServerCrashPoint[] = ['deploy.added', 'warm.ended']

for (const [from, to] of [
  [kappa, hybrid],
  [kappa, lambda()],
  [lambda(), kappa],
] as const) {
  test(`a move from ${from.kind} to ${to.kind} that is killed at any point goes on where it was`, async () => {
    const passed = to.kind === 'lambda' ? [...deployCrashPoints, ...batchCrashPoints] : deployCrashPoints
    const points = passed.filter((point) => !elsewhere.includes(point))
    const copies = new Map<ServerCrashPoint, string>()
    let armed = false
    const crash = (point: ServerCrashPoint) => {
      if (armed && points.some((one) => one === point) && !copies.has(point))
        copies.set(point, shop.copyOfData(`crash-${point}`))
    }
    await shop.open(asking(from), { crash })
    await shop.send(200)
    await shop.server.flush()
    await shop.send(50)
    armed = true
    assert.equal((await shop.deploy(asking(to))).state, 'live')
    await shop.server.deploys.rollback({ reason: 'a test', author: { who: 'tester' } })
    await shop.close()
    assert.deepEqual([...copies.keys()].sort(), [...points].sort())
    for (const [point, dataDir] of copies) {
      await shop.open({ ...asking(kappa), dataDir })
      const { deploys } = shop.server
      const last = deploys.list().at(-1)
      const ended = await deploys.settled(last?.id ?? 0)
      const isBack = point === 'rollback.moved'
      assert.equal(ended.state, isBack ? 'rolled_back' : 'live', `${point}: ${ended.reason}`)
      assert.equal((await runsAs())['run'], (isBack ? from : to).kind, point)
      await shop.send(13)
      await check()
      shop.sent.splice(250)
      await shop.close()
    }
  })
}
