/**
 * Reads of the past on the running server, with real engines: by cut, by time, by moment and by version, over slices,
 * superseded slices, the lake and the hot log. What is expected is counted here from what was sent.
 */

import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import type { Moment } from '../src/serve/core.ts'
import { systemClock } from '../src/std/clock.ts'
import { eventually, money, ShopServer, shopView } from './support/shop-server.ts'

const totals = shopView('totals', 'SELECT count(*) AS n, sum(amount) AS total FROM sales')
const perUser = shopView(
  'per_user',
  'SELECT "user", count(*) AS n, count(DISTINCT id) AS ids FROM sales GROUP BY "user"',
)
const doubled = shopView('totals', 'SELECT count(*) * 2 AS n, sum(amount) AS total FROM sales')

let shop: ShopServer

beforeEach(() => {
  shop = new ShopServer()
})
afterEach(() => shop.dispose())

function project(views = [totals, perUser]) {
  return shop.project({ views })
}

/** Rows of `totals` as they must be with the events up to a cut. */
function totalsAt(cut: number, times = 1): unknown {
  const sales = shop.sent.filter((sale) => sale.cut <= cut)
  const cents = sales.reduce((sum, sale) => sum + sale.cents, 0)
  return [{ n: sales.length * times, total: sales.length === 0 ? null : money(cents) }]
}

async function read(moment: Moment, view = 'totals', version?: string) {
  const asked = { view, where: {}, order: [], limit: 1000, ...(version === undefined ? {} : { version }) }
  const answer = await shop.server.core.readView(asked, { moment })
  return { ...answer, rows: JSON.parse(answer.json) as unknown }
}

async function sqlAt(moment: Moment, sql: string) {
  return JSON.parse((await shop.server.core.sql({ sql, limit: 100 }, { moment })).json) as unknown
}

test('as of a cut or a time: slices, superseded slices, lake and hot log give what was there', async () => {
  await shop.open(project(), { views: 'adopt' })
  const times: { readonly cut: number; readonly ms: number }[] = []
  let previousMs = 0
  for (let step = 0; step < 13; step++) {
    // Times of ingest are whole milliseconds: each commit gets one of its own.
    while (Date.now() <= previousMs);
    const cut = await shop.send(10 + step)
    previousMs = Date.now()
    times.push({ cut, ms: previousMs })
    if (step % 2 === 1) await shop.server.flush()
  }
  const superseded = 'SELECT path FROM refold.slices WHERE superseded_at IS NOT NULL'
  await eventually(async () => (await shop.sql(superseded)).length > 0)
  for (const { cut, ms } of times) {
    assert.deepEqual((await read({ kind: 'cut', cut })).rows, totalsAt(cut), `cut ${cut}`)
    const then = await read({ kind: 'time', us: ms * 1000 + 999 })
    assert.deepEqual([then.cut, then.rows, then.at], [cut, totalsAt(cut), null], `time of cut ${cut}`)
  }
  assert.deepEqual((await read({ kind: 'cut', cut: 0 })).rows, totalsAt(0))
  assert.deepEqual((await read({ kind: 'time', us: 1_000_000 })).rows, totalsAt(0))
  const users = await sqlAt(
    { kind: 'cut', cut: 5 },
    'SELECT count(*) AS users, sum(ids) AS ids FROM per_user',
  )
  const sent = shop.sent.filter((sale) => sale.cut <= 5)
  assert.deepEqual(users, [{ users: new Set(sent.map(({ user }) => user)).size, ids: sent.length }])
  assert.deepEqual(
    await sqlAt({ kind: 'cut', cut: 3 }, 'SELECT (SELECT n FROM totals) AS n, count(*) AS events FROM sales'),
    [{ n: 33, events: 33 }],
  )
})

test('what lies ahead, and what says how things are now, is refused', async () => {
  await shop.open(project(), { views: 'adopt' })
  const cut = await shop.send(5)
  const ahead = (Date.now() + 60_000) * 1000
  await assert.rejects(read({ kind: 'cut', cut: cut + 1 }), {
    code: 'MOMENT_UNKNOWN',
    message: /log ends at cut 1/,
  })
  await assert.rejects(read({ kind: 'time', us: ahead }), { code: 'MOMENT_UNKNOWN' })
  await assert.rejects(read({ kind: 'reported', us: ahead }), { code: 'MOMENT_UNKNOWN' })
  await assert.rejects(read({ kind: 'reported', us: 0 }), { code: 'MOMENT_UNKNOWN' })
  await assert.rejects(read({ kind: 'cut', cut }, 'nowhere'), { code: 'VIEW_UNKNOWN' })
  await assert.rejects(read({ kind: 'cut', cut }, 'totals', 'ffffffffffff'), { code: 'VERSION_UNKNOWN' })
  await assert.rejects(read({ kind: 'cut', cut }, 'totals', 'f'), {
    code: 'VERSION_UNKNOWN',
    hint: /12 digits/,
  })
  await assert.rejects(sqlAt({ kind: 'cut', cut }, 'SELECT * FROM refold.views'), { code: 'SQL_PAST_SYSTEM' })
  await assert.rejects(sqlAt({ kind: 'cut', cut }, 'SELECT * FROM nowhere'), { code: 'SQL_NAME_UNKNOWN' })
})

test('a version that was replaced, or a view that is gone, is read as it was and as it would be', async () => {
  await shop.open(project(), { views: 'adopt' })
  const first = await shop.send(20)
  await shop.rows('totals', { after: first })
  const old = await shop.version('totals')
  const seen = await shop.server.core.readView({ view: 'per_user', where: {}, order: [], limit: 100 }, {})
  await shop.server.reload(project([doubled]))
  const second = await shop.send(7)
  assert.deepEqual(await shop.rows('totals', { after: second }), totalsAt(second, 2))
  assert.deepEqual(await shop.rows('totals', { version: old.slice(0, 12) }), totalsAt(second))
  assert.deepEqual((await read({ kind: 'cut', cut: first }, 'totals', old)).rows, totalsAt(first))
  assert.deepEqual((await read({ kind: 'cut', cut: first })).rows, totalsAt(first, 2))
  const us = Date.parse(seen.at!) * 1000 + Number(seen.at!.slice(23, 26))
  const again = await read({ kind: 'reported', us }, 'per_user')
  assert.deepEqual([again.json, again.versions, again.at], [seen.json, seen.versions, seen.at])
  assert.deepEqual((await read({ kind: 'reported', us })).rows, totalsAt(first))
  await assert.rejects(read({ kind: 'cut', cut: second }, 'per_user'), { code: 'VIEW_UNKNOWN' })
})

test('versions that tick beside the live one are read as they are now', async () => {
  await shop.open(project([totals]))
  const first = await shop.send(20)
  await shop.deploy(project([doubled]))
  const second = await shop.send(3)
  const [row] = await shop.sql("SELECT version FROM refold.versions WHERE state = 'warm'")
  const warm = String(row?.['version'])
  assert.deepEqual(await shop.rows('totals', { after: second }), totalsAt(second, 2))
  assert.deepEqual(await shop.rows('totals', { after: second, version: warm }), totalsAt(second))
  assert.deepEqual((await read({ kind: 'cut', cut: first }, 'totals', warm)).rows, totalsAt(first))
})

test('a killed server loses no moment', async () => {
  await shop.open(project(), { views: 'adopt' })
  const answers = []
  for (let step = 0; step < 5; step++) {
    const after = await shop.send(3)
    answers.push(
      await shop.server.core.readView({ view: 'totals', where: {}, order: [], limit: 1 }, { after }),
    )
  }
  const copy = shop.copyOfData('killed')
  await shop.close()
  await shop.open({ ...project(), dataDir: copy }, { views: 'adopt' })
  for (const { at, json, cut } of answers) {
    const again = await read({ kind: 'reported', us: Date.parse(at!) * 1000 + Number(at!.slice(23, 26)) })
    assert.deepEqual([again.json, again.cut], [json, cut])
  }
})

test('a damaged slice costs time and no answer; what it costs is said before', async () => {
  await shop.open(project([perUser]), { views: 'adopt' })
  for (let step = 0; step < 3; step++) {
    await shop.send(20)
    await shop.server.flush()
  }
  const moment = { kind: 'cut', cut: 2 } as const
  const cost = () => shop.server.core.pastCost({ view: 'per_user' }, moment)
  const before = await cost()
  assert.deepEqual([before.events, before.slices.through, before.cut], [0, 2, 2])
  assert.ok(before.slices.rows > 0 && before.seconds.low <= before.seconds.high)
  const slices = join(shop.folder, 'data', 'slices', 'per_user')
  for (const name of readdirSync(slices)) {
    const path = join(slices, name)
    const bytes = readFileSync(path)
    bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 0x40, bytes.length >> 1)
    writeFileSync(path, bytes)
  }
  const { rows } = await read(moment, 'per_user')
  const sent = shop.sent.filter((sale) => sale.cut <= 2)
  const users = [...new Set(sent.map(({ user }) => user))].sort()
  const of = (user: string) => sent.filter((sale) => sale.user === user).length
  assert.deepEqual(
    rows,
    users.map((user) => ({ user, n: of(user), ids: of(user) })),
  )
  const after = await cost()
  assert.deepEqual([after.events, after.slices.through], [40, 0])
})

test('superseded slices go when they are old, and answers stay', async () => {
  let ahead = 0
  const clock = { ...systemClock, nowMs: () => Date.now() + ahead }
  await shop.open(project([perUser]), { views: 'adopt', clock, historyCheckMs: 20 })
  for (let step = 0; step < 6; step++) {
    await shop.send(20)
    await shop.server.flush()
  }
  const slices = () => shop.sql('SELECT path, superseded_at FROM refold.slices')
  await eventually(async () => (await slices()).some((row) => row['superseded_at'] !== null))
  const superseded = (await slices()).filter((row) => row['superseded_at'] !== null)
  const before = await read({ kind: 'cut', cut: 1 }, 'per_user')
  ahead = 25 * 3_600_000
  await eventually(async () => (await slices()).length < superseded.length)
  for (const { path } of await slices()) assert.ok(existsSync(String(path)))
  const listed = (await slices()).length
  assert.equal(readdirSync(join(shop.folder, 'data', 'slices', 'per_user')).length, listed)
  assert.equal((await read({ kind: 'cut', cut: 1 }, 'per_user')).json, before.json)
})

test('a view that stands still is reported at its own cut, beside views that go on', async () => {
  const ratio = shopView(
    'ratio',
    'SELECT count(*) AS n, sum(CAST("user" AS INTEGER)) AS s FROM sales WHERE id = \'s12\' OR "user" = \'7\'',
  )
  await shop.open(project([totals, ratio]), { views: 'adopt' })
  const first = await shop.send(5)
  const options = { after: first }
  const view = (name: string) =>
    shop.server.core.readView({ view: name, where: {}, order: [], limit: 10 }, {})
  const both = 'SELECT t.n AS n, r.n AS r FROM totals AS t, ratio AS r'
  const before = await shop.server.core.sql({ sql: both, limit: 10 }, options)
  await shop.send(20)
  const last = await shop.send(3)
  await shop.rows('totals', { after: last })
  const answers = [
    { sql: both, answer: before },
    { view: 'ratio', answer: await view('ratio') },
    { view: 'totals', answer: await view('totals') },
    { sql: both, answer: await shop.server.core.sql({ sql: both, limit: 10 }, {}) },
    { view: 'ratio', answer: await view('ratio') },
    { view: 'totals', answer: await view('totals') },
  ]
  assert.ok(answers.some(({ answer }) => Object.keys(answer.stalled).length > 0))
  assert.deepEqual(JSON.parse(answers[3]!.answer.json), [{ n: 28, r: 0 }])
  for (const { view: name, sql, answer } of answers) {
    const moment = {
      kind: 'reported',
      us: Date.parse(answer.at!) * 1000 + Number(answer.at!.slice(23, 26)),
    } as const
    const again =
      name === undefined
        ? await shop.server.core.sql({ sql: sql!, limit: 10 }, { moment })
        : await read(moment, name)
    assert.deepEqual(
      [again.json, again.cut, again.versions],
      [answer.json, answer.cut, answer.versions],
      name ?? sql,
    )
  }
  // Reading it again and again makes no new entry.
  const entries = async () => (await shop.sql('SELECT * FROM refold.reports')).length
  const listed = await entries()
  for (let time = 0; time < 20; time++) {
    await view('ratio')
    await view('totals')
  }
  assert.equal(await entries(), listed)
})

test('where the lake was trimmed, the past is right or refused, and never wrong', async () => {
  await shop.open(project([perUser, totals]), { views: 'adopt' })
  for (let step = 0; step < 8; step++) {
    await shop.send(10)
    if (step % 3 === 2) await shop.server.flush()
  }
  await shop.server.flush()
  const counted = 'SELECT count(*) AS n FROM sales'
  const before = await shop.server.core.sql({ sql: counted, limit: 10 }, {})
  const trim = await shop.server.core.lake.trim({ stream: 'sales', to: { cut: 6 }, promote: true })
  assert.deepEqual([trim.cut, trim.done], [6, true])
  let right = 0
  for (let cut = 0; cut <= 8; cut++) {
    try {
      assert.deepEqual((await read({ kind: 'cut', cut })).rows, totalsAt(cut), `cut ${cut}`)
      right++
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'HISTORY_TRIMMED', `cut ${cut}: ${String(error)}`)
      assert.ok(cut < 6, 'a base stands for what was trimmed')
    }
  }
  assert.ok(right >= 3 && right < 9)
  const us = Date.parse(before.at!) * 1000 + Number(before.at!.slice(23, 26))
  await assert.rejects(sqlAt({ kind: 'reported', us }, counted), { code: 'HISTORY_TRIMMED' })
  const reported = await sqlAt({ kind: 'reported', us }, 'SELECT n FROM totals')
  assert.deepEqual(reported, [{ n: 80 }])
})
