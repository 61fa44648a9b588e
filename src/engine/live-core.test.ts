/**
 * The live engine in this process, over a log written by hand and plans written by hand: ticks, images, seals, a
 * restart from slices, lookups, deltas, SQL, stalls and skips. The expected rows are counted in plain TypeScript.
 */

import assert from 'node:assert/strict'
import { appendFileSync, mkdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { HandLog } from '../../test/support/hand-log.ts'
import type { StreamDef } from '../model/schema.ts'
import type { ViewPlan } from '../plan/plan.ts'
import { must } from '../std/assert.ts'
import type { EngineSpec, EngineView, ViewRead } from './engine.ts'
import { LiveCore } from './live-core.ts'
import type { ImagePolicy } from './live-images.ts'

const STREAM: StreamDef = {
  name: 'events',
  schema: {
    kind: 'object',
    fields: [
      { name: 'user', type: { kind: 'string' }, optional: true, nullable: false },
      {
        name: 'amount',
        type: { kind: 'decimal', precision: 18, scale: 2 },
        optional: false,
        nullable: false,
      },
      { name: 'page', type: { kind: 'string' }, optional: false, nullable: false },
    ],
  },
  partitions: 1,
  dedupe: { timeMs: 1, count: 1 },
  latenessMs: 0,
}

/** A plan as the planner would write it, by hand: sum, count and an exact distinct by user. */
const PLAN: ViewPlan = {
  format: 1,
  view: 'users',
  sql: 'SELECT user, count(*) AS n, sum(amount) AS total, count(DISTINCT page) AS pages FROM events GROUP BY user',
  streams: ['events'],
  columns: [
    { name: 'user', type: 'VARCHAR' },
    { name: 'n', type: 'BIGINT' },
    { name: 'total', type: 'DECIMAL(38,2)' },
    { name: 'pages', type: 'BIGINT' },
  ],
  stages: [
    {
      kind: 'group',
      name: 's0',
      source: { kind: 'stream', stream: 'events', fields: ['user', 'amount', 'page'] },
      keys: [{ name: 'k0', type: 'VARCHAR' }],
      parts: [
        {
          kind: 'main',
          name: 'main',
          foldSql:
            'SELECT "user" AS k0, count(*) AS a0, CAST(sum(amount) AS DECIMAL(38,2)) AS a1 FROM "$events" GROUP BY "user"',
          aggregates: [
            { name: 'a0', type: 'BIGINT', merge: 'sum', emptySql: '0' },
            { name: 'a1', type: 'DECIMAL(38,2)', merge: 'sum', emptySql: 'NULL' },
          ],
        },
        {
          kind: 'distinct',
          name: 'd0',
          foldSql:
            'SELECT "user" AS k0, page AS v, count(*) AS n FROM "$events" WHERE page IS NOT NULL GROUP BY ALL',
          value: { name: 'v', type: 'VARCHAR' },
          results: [{ name: 'r0', type: 'BIGINT', sql: 'count(v)', emptySql: '0' }],
        },
      ],
    },
  ],
  finish: {
    sql: 'SELECT k0 AS "user", a0 AS n, a1 AS total, r0 AS pages FROM "$merged"',
    ordered: false,
    limited: false,
    keyColumns: { user: 'k0' },
  },
  inexact: [],
}

const FAILING: ViewPlan = {
  ...PLAN,
  view: 'failing',
  columns: [{ name: 'n', type: 'BIGINT' }],
  stages: [
    {
      kind: 'group',
      name: 's0',
      source: { kind: 'stream', stream: 'events', fields: ['page'] },
      keys: [],
      parts: [
        {
          kind: 'main',
          name: 'main',
          foldSql: 'SELECT CAST(sum(CAST(page AS INTEGER)) AS DECIMAL(38,0)) AS a0 FROM "$events"',
          aggregates: [{ name: 'a0', type: 'DECIMAL(38,0)', merge: 'sum', emptySql: '0' }],
        },
      ],
    },
  ],
  finish: {
    sql: 'SELECT CAST(a0 AS BIGINT) AS n FROM "$merged"',
    ordered: false,
    limited: false,
    keyColumns: {},
  },
}

interface Event {
  readonly user?: string
  readonly amount: string
  readonly page: string
}

const folders: string[] = []
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true })
})

async function setUp(views: readonly EngineView[] = [engineView(PLAN)], imagePolicy?: ImagePolicy) {
  const folder = await mkdtemp(join(tmpdir(), 'refold-engine-'))
  folders.push(folder)
  mkdirSync(join(folder, 'log'))
  mkdirSync(join(folder, 'staging'))
  const log = new HandLog(join(folder, 'log'))
  const spec: EngineSpec = {
    streams: [STREAM],
    sources: { log: log.manifest(), lake: { through: 0, files: [] } },
    views,
    serving: Object.fromEntries(views.map((view) => [view.view, view.version])),
    followed: [],
    settings: {
      memoryBytes: 1 << 30,
      threads: 2,
      scratchDir: join(folder, 'scratch'),
      statementTimeoutMs: 10_000,
      heavyStatements: 2,
    },
  }
  const cuts: number[] = []
  const { core } = await LiveCore.start(spec, (progress) => cuts.push(progress.cut), imagePolicy)
  return { folder, log, spec, core, reached: (cut: number) => reached(cuts, cut) }
}

function engineView(plan: ViewPlan, onError: 'stall' | 'skip' = 'stall'): EngineView {
  return { view: plan.view, version: `${plan.view}-v1`, plan, slices: [], sealed: 0, onError, skipped: [] }
}

async function reached(cuts: readonly number[], cut: number): Promise<void> {
  while ((cuts.at(-1) ?? -1) < cut) await sleep(1)
}

function readOf(where: ViewRead['where'] = {}): ViewRead {
  return { view: 'users', where, order: [], limit: 10_000, timeoutMs: 5_000 }
}

/** What the view must hold, counted by hand. */
function expected(events: readonly Event[]): Record<string, unknown>[] {
  const users = new Map<string | null, { n: number; cents: number; pages: Set<string> }>()
  for (const event of events) {
    const user = users.get(event.user ?? null) ?? { n: 0, cents: 0, pages: new Set<string>() }
    user.n++
    user.cents += Math.round(Number(event.amount) * 100)
    user.pages.add(event.page)
    users.set(event.user ?? null, user)
  }
  return [...users]
    .map(([user, { n, cents, pages }]) => ({ user, n, total: (cents / 100).toFixed(2), pages: pages.size }))
    .sort((a, b) => (a.user === null ? 1 : b.user === null ? -1 : a.user < b.user ? -1 : 1))
}

function makeEvents(count: number, seed: number): Event[] {
  return Array.from({ length: count }, (_, index) => {
    const number = (index * 7919 + seed * 104_729) % 1_000
    const amount = `${number}.${String(index % 100).padStart(2, '0')}`
    const event = { amount, page: `/p${number % 13}` }
    return number % 17 === 0 ? event : { user: `u${number % 50}`, ...event }
  })
}

describe('live engine', () => {
  test('ticks, seals, images and a restart from slices keep the rows', async () => {
    const { folder, log, spec, core, reached } = await setUp()
    const all: Event[] = []
    for (let tick = 0; tick < 20; tick++) {
      const events = makeEvents(tick * 5, tick)
      all.push(...events)
      const cut = log.commit('events', events)
      if (tick % 7 === 6) log.roll()
      core.advance(log.manifest())
      await reached(cut)
      const answer = await core.reads.read(readOf(), new AbortController().signal)
      assert.equal(answer.cut, cut)
      assert.deepEqual(JSON.parse(answer.json), expected(all))
    }
    const sealed = await core.seal({
      views: [{ view: 'users', version: 'users-v1' }],
      stagingDir: join(folder, 'staging'),
    })
    const slices = sealed.flatMap((generation) => generation.slices)
    assert.deepEqual(
      slices.map((slice) => [slice.part, slice.from, slice.to]),
      [
        ['main', 0, 20],
        ['d0', 0, 20],
      ],
    )
    await core.published({ view: 'users', version: 'users-v1', sealed: 20, slices })
    const more = makeEvents(30, 99)
    const cut = log.commit('events', more)
    core.advance(log.manifest())
    await reached(cut)
    all.push(...more)
    assert.deepEqual(
      JSON.parse((await core.reads.read(readOf(), new AbortController().signal)).json),
      expected(all),
    )
    await core.stop()

    const views = [{ ...engineView(PLAN), slices, sealed: 20 }]
    const cuts: number[] = []
    const again = await LiveCore.start(
      { ...spec, views, sources: { ...spec.sources, log: log.manifest() } },
      (progress) => cuts.push(progress.cut),
    )
    await reachedCut(cuts, cut)
    const answer = await again.core.reads.read(readOf(), new AbortController().signal)
    assert.deepEqual(JSON.parse(answer.json), expected(all))
    await again.core.stop()
  })

  test('lookups by key see the same rows, and null keys are groups', async () => {
    const { log, core, reached } = await setUp()
    const events = makeEvents(500, 3)
    const cut = log.commit('events', events)
    core.advance(log.manifest())
    await reached(cut)
    const rows = expected(events)
    const answers = await Promise.all(
      rows.map((row) =>
        core.reads.read(readOf({ user: row.user as string | null }), new AbortController().signal),
      ),
    )
    assert.deepEqual(
      answers.map((answer) => JSON.parse(answer.json)),
      rows.map((row) => [row]),
    )
    const none = await core.reads.read(readOf({ user: 'nobody' }), new AbortController().signal)
    assert.equal(none.json, '[]')
    await core.stop()
  })

  test('images made while ticks go on change no row, no lookup and no delta', async () => {
    const { log, core, reached } = await setUp([engineView(PLAN)], {
      rowsMin: 20,
      groupsShare: 0,
      timeShare: 1,
    })
    const all: Event[] = []
    const mirror = new Map<string, unknown>()
    let from = 0
    for (let tick = 0; tick < 60; tick++) {
      const events = makeEvents(1 + ((tick * 37) % 40), tick)
      all.push(...events)
      const cut = log.commit('events', events)
      core.advance(log.manifest())
      await reached(cut)
      const rows = expected(all)
      assert.deepEqual(JSON.parse((await core.reads.read(readOf(), new AbortController().signal)).json), rows)
      const row = rows[tick % rows.length]
      const one = await core.reads.read(
        readOf({ user: row?.user as string | null }),
        new AbortController().signal,
      )
      assert.deepEqual(JSON.parse(one.json), [row])
      const delta = await core.reads.delta({ view: 'users', from }, new AbortController().signal)
      for (const change of JSON.parse(delta.json)) {
        const user = JSON.stringify((change.new ?? change.old).user)
        assert.deepEqual(mirror.get(user), change.old)
        mirror.set(user, change.new)
      }
      from = delta.to
      assert.deepEqual([...mirror.values()].sort(byUser), [...rows].sort(byUser))
    }
    await core.stop()
  })

  test('a delta names exactly the rows that changed, old and new', async () => {
    const { log, core, reached } = await setUp()
    const first: Event[] = [
      { user: 'a', amount: '1.00', page: '/x' },
      { user: 'b', amount: '2.00', page: '/x' },
    ]
    const second: Event[] = [
      { user: 'b', amount: '0.50', page: '/y' },
      { user: 'c', amount: '1.00', page: '/x' },
    ]
    log.commit('events', first)
    const cut = log.commit('events', second)
    core.advance(log.manifest())
    await reached(cut)
    // Both commits were one tick perhaps; deltas are by cuts of ticks, so ask from the beginning.
    const delta = await core.reads.delta({ view: 'users', from: 0 }, new AbortController().signal)
    assert.deepEqual(
      (JSON.parse(delta.json) as { new: unknown }[]).map((change) => change.new).sort(byUser),
      expected([...first, ...second]),
    )
    const third = log.commit('events', [{ user: 'a', amount: '1.00', page: '/x' }])
    core.advance(log.manifest())
    await reached(third)
    const next = await core.reads.delta({ view: 'users', from: cut }, new AbortController().signal)
    assert.deepEqual(JSON.parse(next.json), [
      {
        op: 'update',
        old: { user: 'a', n: 1, total: '1.00', pages: 1 },
        new: { user: 'a', n: 2, total: '2.00', pages: 1 },
      },
    ])
    await core.stop()
  })

  test('SQL waits until its views stand at one cut', async () => {
    const { folder, log, spec, core, reached } = await setUp()
    const cut = log.commit('events', makeEvents(400, 5))
    core.advance(log.manifest())
    await reached(cut)
    const staged = await core.seal({
      views: [{ view: 'users', version: 'users-v1' }],
      stagingDir: join(folder, 'staging'),
    })
    await core.stop()
    const sealed = {
      ...engineView(PLAN),
      slices: staged.flatMap((generation) => generation.slices),
      sealed: cut,
    }
    const behind = engineView({ ...PLAN, view: 'others' })
    const views = [sealed, behind]
    const serving = Object.fromEntries(views.map((view) => [view.view, view.version]))
    const sources = { ...spec.sources, log: log.manifest() }
    const again = await LiveCore.start({ ...spec, views, serving, sources }, () => {})
    const sql = 'SELECT (SELECT sum(n) FROM users)::BIGINT AS u, (SELECT sum(n) FROM others)::BIGINT AS o'
    const request = { sql, limit: 10, timeoutMs: 5_000, system: {} }
    const answer = await again.core.reads.sql(request, new AbortController().signal)
    assert.deepEqual(JSON.parse(answer.json), [{ u: 400, o: 400 }])
    await again.core.stop()
  })

  test('SQL reads views, streams and system tables at one cut, and nothing else', async () => {
    const { log, core, reached } = await setUp()
    log.commit('events', makeEvents(40, 1))
    log.roll()
    const cut = log.commit('events', makeEvents(50, 2))
    core.advance(log.manifest())
    await reached(cut)
    const system = {
      cuts: {
        columns: [
          { name: 'cut', type: 'BIGINT' },
          { name: 'label', type: 'VARCHAR' },
        ],
        rows: [{ cut: 7, label: "it's" }],
      },
    }
    const ask = (sql: string) =>
      core.reads.sql({ sql, limit: 10, timeoutMs: 5_000, system }, new AbortController().signal)
    const counts = await ask(
      'SELECT (SELECT sum(n) FROM users)::BIGINT AS v, (SELECT count(*) FROM events) AS e, (SELECT max(_offset) FROM events) AS o',
    )
    assert.deepEqual(JSON.parse(counts.json), [{ v: 90, e: 90, o: 89 }])
    assert.equal(counts.cut, cut)
    assert.deepEqual(counts.versions, { users: 'users-v1' })
    // The server goes on writing: a whole line beyond the cut, and one that is not finished.
    const open = must(log.manifest().segments.at(-1), 'an open segment').path
    appendFileSync(
      open,
      '{"c":99,"i":0,"p":0,"o":90,"events":{"amount":"1.00","page":"/x"}}\n{"c":99,"i":1,"events":{"amou',
    )
    assert.equal((await ask('SELECT count(*) AS n FROM events')).json, '[{"n":90}]')
    assert.equal(
      (await ask('SELECT max(_commit) AS c, count(*) AS n FROM events')).json,
      `[{"c":${cut},"n":90}]`,
    )
    assert.equal(
      (await ask('WITH w AS (SELECT * FROM refold.cuts) SELECT cut, label FROM w')).json,
      `[{"cut":7,"label":"it's"}]`,
    )
    const many = await ask('SELECT * FROM range(100) t(i) ORDER BY i DESC')
    assert.deepEqual([many.count, many.truncated, JSON.parse(many.json)[0]], [10, true, { i: 99 }])
    for (const sql of [
      "SELECT * FROM read_csv('/etc/passwd')",
      "SELECT * FROM '/etc/passwd'",
      'SELECT * FROM duckdb_settings()',
      'DROP TABLE users',
    ]) {
      await assert.rejects(
        ask(sql),
        (error: { code?: string }) => error.code !== 'QUERY_FAILED' && error.code !== undefined,
        sql,
      )
    }
    await core.stop()
  })

  test('a view whose fold fails stalls alone, names the event, and goes on after a skip', async () => {
    const { log, core, reached } = await setUp([engineView(PLAN), engineView(FAILING)])
    log.commit('events', [{ user: 'a', amount: '1.00', page: '5' }])
    const cut = log.commit('events', [
      { user: 'a', amount: '1.00', page: '7' },
      { user: 'a', amount: '1.00', page: 'x' },
      { user: 'a', amount: '1.00', page: '1' },
    ])
    core.advance(log.manifest())
    await reached(cut)
    const users = await core.reads.read(readOf(), new AbortController().signal)
    assert.equal(users.cut, cut)
    assert.deepEqual(JSON.parse(users.json), [{ user: 'a', n: 4, total: '4.00', pages: 4 }])
    const failing = await core.reads.read({ ...readOf(), view: 'failing' }, new AbortController().signal)
    assert.deepEqual(failing.stalled.failing?.position, {
      stream: 'events',
      commit: 2,
      index: 1,
      partition: 0,
      offset: 2,
    })
    await core.skip('failing', 'failing-v1', { commit: 2, index: 1 })
    const next = log.commit('events', [{ user: 'a', amount: '1.00', page: '10' }])
    core.advance(log.manifest())
    await reached(next)
    const answer = await core.reads.read({ ...readOf(), view: 'failing' }, new AbortController().signal)
    assert.deepEqual(JSON.parse(answer.json), [{ n: 23 }])
    assert.deepEqual(answer.stalled, {})
    await core.stop()
  })

  test('onError skip goes on without the event and reports it', async () => {
    const { log, core, reached } = await setUp([engineView(FAILING, 'skip')])
    const cut = log.commit('events', [
      { amount: '1.00', page: '1' },
      { amount: '1.00', page: 'x' },
      { amount: '1.00', page: '2' },
    ])
    core.advance(log.manifest())
    await reached(cut)
    const answer = await core.reads.read({ ...readOf(), view: 'failing' }, new AbortController().signal)
    assert.deepEqual(JSON.parse(answer.json), [{ n: 3 }])
    await core.stop()
  })
})

async function reachedCut(cuts: readonly number[], cut: number): Promise<void> {
  await reached(cuts, cut)
}

function byUser(a: unknown, b: unknown): number {
  const [left, right] = [
    (a as { user: string | null }).user ?? '~',
    (b as { user: string | null }).user ?? '~',
  ]
  return left < right ? -1 : 1
}
