/**
 * The running server, whole and in this process, with real engines and workers: events in through the core, views
 * out. What is expected is counted here in plain JavaScript from the events that were sent.
 */

import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ProjectDef, ViewDef } from '../src/define/types.ts'
import type { LogEvent, PreparedEvent } from '../src/log/types.ts'
import type { FieldType } from '../src/model/schema.ts'
import { ProjectMistakes } from '../src/server/checked-project.ts'
import { type ServerCrashPoint, serverCrashPoints } from '../src/server/crash-point.ts'
import { openServer, type RunningServer, type ServerOptions } from '../src/server/open-server.ts'
import { type Files, realFiles } from '../src/std/files.ts'

let folder: string
let server: RunningServer | undefined
let sent: Sale[]
let nextId: number

interface Sale {
  readonly id: string
  readonly user: string
  readonly cents: number
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'refold-running-'))
  sent = []
  nextId = 0
})
afterEach(async () => {
  await server?.close()
  server = undefined
  rmSync(folder, { recursive: true, force: true })
})

function field(name: string, type: FieldType) {
  return { name, type, optional: false, nullable: false }
}

function view(name: string, sql: string, more: Partial<ViewDef> = {}): ViewDef {
  const sqlPlace = { file: `${name}.sql`, line: 1, column: 1 }
  return { name, sql, sqlPlace, run: { kind: 'kappa' }, onError: 'stall', ...more }
}

const perUser = view(
  'per_user',
  'SELECT "user", count(*) AS n, sum(amount) AS total, count(DISTINCT id) AS ids FROM sales GROUP BY "user"',
)
const all = view('totals', 'SELECT count(*) AS n, sum(amount) AS total FROM sales')

function project(change: Partial<ProjectDef> = {}): ProjectDef {
  const fields = [
    field('id', { kind: 'string' }),
    field('user', { kind: 'string' }),
    field('amount', { kind: 'decimal', precision: 18, scale: 2 }),
    field('at', { kind: 'timestamp' }),
  ]
  const schema = { kind: 'object', fields } as const
  const dedupe = { timeMs: 3_600_000, count: 1_000_000 }
  return {
    name: 'shop',
    root: folder,
    file: join(folder, 'refold.config.ts'),
    dataDir: join(folder, 'data'),
    streams: [
      { name: 'sales', schema, id: 'id', key: 'user', time: 'at', partitions: 2, dedupe, latenessMs: 0 },
    ],
    views: [perUser, all],
    checks: [],
    server: { host: '127.0.0.1', port: 0 },
    engine: { memoryBytes: 512 << 20, threads: 2, statementTimeoutMs: 30_000, heavyStatements: 2 },
    seal: { rows: 1e9, bytes: 1e12, ageMs: 1e9 },
    history: { quickMs: 86_400_000, fineMs: 2_592_000_000 },
    limits: {
      eventBytes: 1 << 20,
      requestBytes: 1 << 25,
      expandedBytes: 1 << 28,
      depth: 64,
      requestEvents: 100_000,
      queueBytes: 64 << 20,
    },
    ...change,
  }
}

async function open(def: ProjectDef = project(), options: ServerOptions = {}): Promise<RunningServer> {
  server = await openServer(def, { http: false, ...options })
  return server
}

/** Sends new sales in one request; answers its cut. */
async function send(count: number, dead = 0): Promise<number> {
  const sales = Array.from({ length: count }, () => {
    const id = nextId++
    return { id: `s${id}`, user: `u${id % 13}`, cents: (id * 37) % 1000 }
  })
  const events = sales.map((sale, index): PreparedEvent => {
    const amount = `${Math.floor(sale.cents / 100)}.${String(sale.cents % 100).padStart(2, '0')}`
    const at = '2024-05-01T10:00:00Z'
    const json = JSON.stringify({ id: sale.id, user: sale.user, amount, at })
    return { stream: 'sales', partition: index % 2, json, timeUs: Date.parse(at) * 1000, id: sale.id, index }
  })
  const deadLetters = Array.from({ length: dead }, (_, index) => ({
    stream: 'sales',
    index: count + index,
    code: 'EVENT_BAD',
    reason: 'bad',
    place: '/amount',
    raw: '{"bad":true}',
  }))
  const result = await server!.core.append({ stream: 'sales', events, deadLetters, bytes: count * 100 })
  sent.push(...sales)
  return result.cut
}

function money(cents: number): string {
  return `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`
}

/** The views as they must be, counted from what was sent. */
function expected(): unknown {
  const users = new Map<string, { n: number; cents: number }>()
  for (const { user, cents } of sent) {
    const entry = users.get(user) ?? { n: 0, cents: 0 }
    users.set(user, { n: entry.n + 1, cents: entry.cents + cents })
  }
  const rows = [...users].sort(([a], [b]) => (a < b ? -1 : 1))
  const total = sent.reduce((sum, { cents }) => sum + cents, 0)
  return {
    perUser: rows.map(([user, { n, cents }]) => ({ user, n, total: money(cents), ids: n })),
    totals: [{ n: sent.length, total: sent.length === 0 ? null : money(total) }],
  }
}

async function actual(after?: number): Promise<unknown> {
  const options = after === undefined ? {} : { after }
  const order = [{ column: 'user', descending: false }]
  const core = server!.core
  const first = await core.readView({ view: 'per_user', where: {}, order, limit: 1000 }, options)
  const second = await core.readView({ view: 'totals', where: {}, order: [], limit: 10 }, options)
  return { perUser: JSON.parse(first.json), totals: JSON.parse(second.json) }
}

async function check(after?: number): Promise<void> {
  assert.deepEqual(await actual(after), expected())
}

async function logged(
  request: Partial<Parameters<RunningServer['core']['events']>[0]> = {},
): Promise<LogEvent[]> {
  const events: LogEvent[] = []
  for await (const event of server!.core.events({ stream: 'sales', follow: false, ...request }))
    events.push(event)
  return events
}

async function status(): Promise<Record<string, never>> {
  return (await server!.core.status()) as Record<string, never>
}

/** Waits for a state that background work reaches by itself. */
async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(10)
}

test('a reader sees its own writes, with cut, versions, watermark and lag', async () => {
  await open()
  await check()
  await check(await send(500))
  await check(await send(500))
  const answer = await server!.core.readView({ view: 'totals', where: {}, order: [], limit: 1 }, {})
  assert.equal(answer.cut, 2)
  assert.equal(answer.lagMs, 0)
  assert.deepEqual(answer.watermarks, { sales: '2024-05-01T10:00:00.000Z' })
  assert.match(answer.versions['totals'] ?? '', /^[0-9a-f]{64}$/)
})

test('waiting for a cut that does not come ends at the deadline', async () => {
  await open()
  const read = server!.core.readView(
    { view: 'totals', where: {}, order: [], limit: 1 },
    { after: 99, timeoutMs: 50 },
  )
  await assert.rejects(read, { code: 'CUT_NOT_REACHED', retryable: true })
  await assert.rejects(server!.core.readView({ view: 'total', where: {}, order: [], limit: 1 }, {}), {
    code: 'VIEW_UNKNOWN',
    hint: /totals/,
  })
})

test('seals, merges, moves to the lake and restarts change no answer', async () => {
  await open()
  for (let round = 0; round < 12; round++) {
    const cut = await send(200, 1)
    if (round % 2 === 0) await server!.flush()
    await check(cut)
    if (round % 5 === 4) {
      await server!.close()
      await open()
      await check(cut)
    }
  }
  const events = await logged()
  assert.deepEqual(
    events.map((event) => JSON.parse(event.json).id),
    sent.map(({ id }) => id),
  )
  const { lake, conservation } = (await status()) as unknown as {
    lake: { files: number }
    conservation: Record<string, number>[]
  }
  assert.ok(lake.files >= 4)
  for (const row of conservation) {
    assert.equal(row['received'], sent.length + 12)
    assert.equal(row['folded'], sent.length)
    assert.equal(row['pending'], 0)
  }
})

test('slices are merged when there are many', async () => {
  await open(project({ seal: { rows: 1, bytes: 1e12, ageMs: 1e9 } }))
  for (let round = 0; round < 14; round++) {
    const cut = await send(100)
    await eventually(async () => {
      const { views } = (await status()) as unknown as { views: { sealed: number }[] }
      return views.every(({ sealed }) => sealed >= cut)
    })
  }
  await eventually(async () => {
    const { views } = (await status()) as unknown as { views: { slices: number; name: string }[] }
    return views.every(({ slices, name }) => slices <= (name === 'per_user' ? 2 : 1) * 9)
  })
  await check(14)
  await server!.close()
  await open()
  await check(14)
  const left = readdirSync(join(folder, 'data', 'staging'))
  assert.deepEqual(left, [])
})

test('a killed engine is replaced, and reads in flight get their answer', async () => {
  await open()
  const cut = await send(1000)
  await server!.flush()
  await send(1000)
  const before = server!.enginePid()!
  process.kill(before, 'SIGKILL')
  await eventually(() => server!.enginePid() !== before && server!.enginePid() !== undefined)
  const { engine } = (await status()) as unknown as { engine: { foldAgain: unknown } }
  assert.deepEqual(engine.foldAgain, { from: 1, to: 2, events: 1000 })
  process.kill(server!.enginePid()!, 'SIGKILL')
  const reads = Array.from({ length: 20 }, () => actual(cut + 1))
  for (const answer of await Promise.all(reads)) assert.deepEqual(answer, expected())
  await check(await send(10))
  assert.notEqual(server!.enginePid(), before)
})

test('a damaged slice is set aside and folded again', async () => {
  await open()
  await send(1000)
  await server!.flush()
  await check(await send(100))
  await server!.close()
  const slices = join(folder, 'data', 'slices', 'per_user')
  const [name] = readdirSync(slices)
  writeFileSync(join(slices, name!), 'damaged')
  await open()
  const read = { view: 'totals', where: {}, order: [], limit: 1 }
  assert.equal((await server!.core.readView(read, {})).count, 1)
  await eventually(async () => {
    try {
      await server!.core.readView({ ...read, view: 'per_user' }, {})
      return true
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'VIEW_BUILDING')
      return false
    }
  })
  await check(2)
  assert.ok(existsSync(join(folder, 'data', 'lost+found', name!)))
})

test('a changed view is built beside the old one and swapped in; others stay', async () => {
  await open()
  await send(2000)
  await server!.flush()
  await send(500)
  const before = (await server!.core.readView({ view: 'per_user', where: {}, order: [], limit: 1 }, {}))
    .versions
  const changed = view('per_user', 'SELECT "user", count(*) * 2 AS twice FROM sales GROUP BY "user"')
  await server!.reload(project({ views: [changed, all] }))
  const answer = await server!.core.readView(
    { view: 'per_user', where: { user: 'u1' }, order: [], limit: 1 },
    {},
  )
  assert.notDeepEqual(answer.versions, before)
  const own = sent.filter(({ user }) => user === 'u1').length
  assert.deepEqual(JSON.parse(answer.json), [{ user: 'u1', twice: own * 2 }])
  await server!.close()
  await open(project({ views: [changed, all] }))
  const again = await server!.core.readView(
    { view: 'per_user', where: { user: 'u1' }, order: [], limit: 1 },
    {},
  )
  assert.equal(again.json, answer.json)
  await server!.reload(project({ views: [all] }))
  await assert.rejects(server!.core.readView({ view: 'per_user', where: {}, order: [], limit: 1 }, {}), {
    code: 'VIEW_UNKNOWN',
  })
  assert.deepEqual(readdirSync(join(folder, 'data', 'slices', 'per_user')), [])
})

test('a new version that cannot be folded is refused, and the old one goes on', async () => {
  await open()
  await send(100)
  await server!.flush()
  const broken = view('per_user', 'SELECT sum(CAST("user" AS INTEGER)) AS s FROM sales')
  await assert.rejects(server!.reload(project({ views: [broken, all] })), /per_user.*could not be folded/)
  await check(await send(10))
  await server!.reload(project())
  await check(await send(10))
})

test('a save that comes while a view is built overtakes the build', async () => {
  await open()
  await send(2000)
  await server!.flush()
  const versions = [2, 3, 4].map((factor) =>
    view('per_user', `SELECT "user", count(*) * ${factor} AS times FROM sales GROUP BY "user"`),
  )
  await Promise.all(versions.map((changed) => server!.reload(project({ views: [changed, all] }))))
  const answer = await server!.core.readView(
    { view: 'per_user', where: { user: 'u1' }, order: [], limit: 1 },
    {},
  )
  const own = sent.filter(({ user }) => user === 'u1').length
  assert.deepEqual(JSON.parse(answer.json), [{ user: 'u1', times: own * 4 }])
  await eventually(async () => {
    const { views } = (await status()) as unknown as { views: unknown[] }
    return views.length === 2
  })
})

test('an event that a view cannot fold stalls that view alone, or is skipped on the record', async () => {
  const strict = view('strict', 'SELECT sum(CAST("user" AS INTEGER)) AS s FROM sales')
  const skipping = view(
    'skipping',
    'SELECT sum(1 / CAST("user" AS INTEGER)) AS s, count(*) AS n FROM sales',
    {
      onError: 'skip',
    },
  )
  await open(project({ views: [all, strict, skipping] }))
  const raw = (id: string, user: string, index: number): PreparedEvent => ({
    stream: 'sales',
    partition: 0,
    json: JSON.stringify({ id, user, amount: '1.00', at: '2024-05-01T10:00:00Z' }),
    id,
    index,
  })
  const events = [raw('a', '1', 0), raw('b', 'x', 1), raw('c', '1', 2)]
  const { cut } = await server!.core.append({ stream: 'sales', events, deadLetters: [], bytes: 10 })
  const read = async (name: string) =>
    await server!.core.readView({ view: name, where: {}, order: [], limit: 1 }, {})
  await eventually(async () => (await read('skipping')).cut >= cut)
  assert.deepEqual(JSON.parse((await read('skipping')).json), [{ s: 2, n: 2 }])
  await eventually(async () => (await read('strict')).stalled['strict'] !== undefined)
  assert.deepEqual((await read('strict')).stalled['strict']?.position, {
    commit: 1,
    index: 1,
    stream: 'sales',
    partition: 0,
    offset: 1,
  })
  assert.equal((await read('totals')).cut, cut)
  await server!.flush()
  await server!.close()
  await open(project({ views: [all, strict, skipping] }))
  assert.deepEqual(JSON.parse((await read('skipping')).json), [{ s: 2, n: 2 }])
  const { skipped } = (await status()) as unknown as { skipped: number }
  assert.equal(skipped, 1)
})

for (const kills of [0, 3]) {
  test(`changes join without a gap and end in the view itself, the engine killed ${kills} times`, async () => {
    await changesJoin(kills)
  })
}

async function changesJoin(kills: number): Promise<void> {
  await open()
  await send(100)
  const stop = new AbortController()
  const state = new Map<string, string>()
  let reached = 0
  const following = (async () => {
    for await (const delta of server!.core.changes('per_user', { follow: true, signal: stop.signal })) {
      assert.equal(delta.from, reached)
      reached = delta.to
      for (const change of JSON.parse(delta.json)) {
        if (change.old !== undefined) assert.equal(state.get(change.old.user), JSON.stringify(change.old))
        if (change.new !== undefined) state.set(change.new.user, JSON.stringify(change.new))
        else state.delete(change.old.user)
      }
    }
  })()
  let cut = 0
  for (let round = 0; round < 5; round++) {
    cut = await send(50)
    await sleep(20)
    const pid = server!.enginePid()
    if (round < kills && pid !== undefined) process.kill(pid, 'SIGKILL')
  }
  await eventually(() => reached >= cut)
  stop.abort()
  await following
  const { perUser: rows } = expected() as { perUser: { user: string }[] }
  assert.deepEqual([...state.values()].sort(), rows.map((row) => JSON.stringify(row)).sort())
}

test('the log is read by cut, offset and time, over lake and hot log, and followed', async () => {
  await open()
  await send(30)
  await server!.flush()
  await send(30)
  await send(30)
  const events = await logged()
  assert.equal(events.length, 90)
  const ids = (list: readonly LogEvent[]) => list.map((event) => JSON.parse(event.json).id)
  assert.deepEqual(
    ids(await logged({ from: { kind: 'cut', commit: 1 }, to: { kind: 'cut', commit: 2 } })),
    ids(events.slice(30, 60)),
  )
  const some = events.filter(({ partition, offset }) => partition === 1 && offset >= 10 && offset < 20)
  assert.deepEqual(
    ids(
      await logged({
        from: { kind: 'offset', partition: 1, offset: 10 },
        to: { kind: 'offset', partition: 1, offset: 20 },
      }),
    ),
    ids(some),
  )
  const { timeMs } = events[60]!
  const late = events.filter((event) => event.timeMs >= timeMs)
  assert.deepEqual(ids(await logged({ from: { kind: 'time', timeMs } })), ids(late))
  assert.deepEqual(
    ids(await logged({ limit: 7, partition: 0 })),
    ids(events.filter((event) => event.partition === 0).slice(0, 7)),
  )
  const stop = new AbortController()
  const followed: LogEvent[] = []
  const following = (async () => {
    for await (const event of server!.core.events({ stream: 'sales', follow: true, signal: stop.signal })) {
      followed.push(event)
    }
  })()
  await eventually(() => followed.length === 90)
  await send(10)
  await eventually(() => followed.length === 100)
  stop.abort()
  await following
  assert.deepEqual(
    ids(followed),
    sent.map(({ id }) => id),
  )
})

/** The data folder as a kill -9 at this moment would leave it; the lock is the kernel's and goes with the process. */
function copyOfData(name: string): string {
  const data = join(folder, 'data')
  const copy = join(folder, name)
  const filter = (path: string) => !/lock\.(sqlite|pid)|-shm$/.test(path)
  cpSync(data, copy, { recursive: true, filter })
  return copy
}

test('a crash at every point of every publication loses and doubles nothing', async () => {
  const copies = new Map<ServerCrashPoint, string>()
  const changed = view('per_user', `${perUser.sql} HAVING count(*) > 0`)
  await open(project({ views: [perUser, all] }), {
    crash(point) {
      if (!copies.has(point)) copies.set(point, copyOfData(`crash-${point}`))
    },
  })
  await send(400, 1)
  await server!.flush()
  await send(300)
  for (let round = 0; round < 9; round++) {
    await send(1)
    await server!.flush()
  }
  await server!.reload(project({ views: [changed, all] }))
  const before = sent.length
  await server!.close()
  assert.deepEqual([...copies.keys()].sort(), [...serverCrashPoints].sort())
  for (const [point, dataDir] of copies) {
    await open(project({ dataDir }))
    const { cut } = (await status()) as unknown as { cut: number }
    await eventually(async () => {
      const { views } = (await status()) as unknown as { views: { name: string; serving: boolean }[] }
      return views.filter(({ serving }) => serving).length === 2
    })
    const events = await logged()
    sent = sent.slice(0, before)
    const kept = sent
    sent = kept.slice(0, events.length)
    assert.deepEqual(
      events.map((event) => JSON.parse(event.json).id),
      sent.map(({ id }) => id),
      point,
    )
    assert.deepEqual(await actual(cut), expected(), point)
    sent = kept
    await server!.close()
  }
})

test('a full disk refuses events and nothing else, and ingest resumes by itself', async () => {
  let full = false
  const noSpace = () => Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  const files: Files = {
    ...realFiles,
    async open(path, mode) {
      if (full && mode === 'create') throw noSpace()
      const handle = await realFiles.open(path, mode)
      return {
        ...handle,
        write: (buffers, position) => (full ? Promise.reject(noSpace()) : handle.write(buffers, position)),
      }
    },
  }
  await open(project(), { files })
  const cut = await send(100)
  full = true
  await assert.rejects(send(10), { code: 'LOG_FULL', retryable: true })
  await check(cut)
  full = false
  nextId -= 10
  let after = 0
  await eventually(async () => {
    try {
      after = await send(10)
      return true
    } catch (error) {
      nextId -= 10
      assert.match(String((error as { code?: string }).code), /LOG_(FULL|FAILED)/)
      return false
    }
  })
  await check(after)
  await server!.close()
  await open()
  await check(after)
})

test('all mistakes of a project come at once, and nothing is left held', async () => {
  await open()
  await server!.close()
  const bad = project({
    views: [view('a', 'SELECT nope FROM sales'), view('b', 'SELECT count(*) FROM nowhere')],
    streams: [{ ...project().streams[0]!, partitions: 9 }],
  })
  await assert.rejects(openServer(bad, { http: false }), (error) => {
    assert.ok(error instanceof ProjectMistakes)
    assert.ok(error.mistakes.length >= 3)
    return true
  })
  await open()
  await check(await send(5))
})

test('every system table answers, beside views, and the account balances', async () => {
  await open()
  await send(100, 2)
  await server!.flush()
  const cut = await send(50, 1)
  const sql = async (text: string) => {
    const answer = await server!.core.sql({ sql: text, limit: 1000 }, { after: cut })
    return JSON.parse(answer.json) as Record<string, unknown>[]
  }
  const [streams] = await sql('SELECT * FROM refold.streams')
  assert.deepEqual(
    [streams?.['stream'], streams?.['accepted'], streams?.['rejected'], streams?.['watermark']],
    ['sales', 150, 3, '2024-05-01T10:00:00Z'],
  )
  assert.deepEqual(await sql('SELECT view, state, cut FROM refold.views ORDER BY view'), [
    { view: 'per_user', state: 'live', cut },
    { view: 'totals', state: 'live', cut },
  ])
  assert.equal((await sql('SELECT * FROM refold.versions')).length, 2)
  assert.deepEqual(await sql('SELECT part, from_cut, to_cut FROM refold.slices ORDER BY view, part'), [
    { part: 'd0', from_cut: 0, to_cut: 1 },
    { part: 'main', from_cut: 0, to_cut: 1 },
    { part: 'main', from_cut: 0, to_cut: 1 },
  ])
  assert.deepEqual(await sql('SELECT stream, to_cut, rows FROM refold.lake_files'), [
    { stream: 'sales', to_cut: 1, rows: 100 },
  ])
  assert.deepEqual(await sql('SELECT from_cut, to_cut, events, closed FROM refold.segments'), [
    { from_cut: 1, to_cut: 2, events: 50, closed: false },
  ])
  assert.ok((await sql("SELECT * FROM refold.cuts WHERE what = 'seal'")).length >= 2)
  assert.equal((await sql('SELECT * FROM refold.audit')).length, 1)
  assert.deepEqual(await sql('SELECT "commit", "index", code FROM refold.dead_letters ORDER BY ALL'), [
    { commit: 1, index: 100, code: 'EVENT_BAD' },
    { commit: 1, index: 101, code: 'EVENT_BAD' },
    { commit: 2, index: 50, code: 'EVENT_BAD' },
  ])
  assert.deepEqual(await sql('SELECT * FROM refold.skipped'), [])
  assert.equal((await sql('SELECT * FROM refold.schemas')).length, 1)
  const unbalanced = await sql(
    `SELECT * FROM refold.conservation
     WHERE received <> accepted + duplicate + rejected OR accepted <> folded + pending + skipped + held`,
  )
  assert.deepEqual(unbalanced, [])
  const joined = await sql(
    "SELECT c.folded, t.n FROM refold.conservation c, totals t WHERE c.view = 'totals'",
  )
  assert.deepEqual(joined, [{ folded: 150, n: 150 }])
})

test('a second server on the same folder is refused', async () => {
  await open()
  await assert.rejects(openServer(project(), { http: false }), { code: 'LOG_LOCKED' })
})
