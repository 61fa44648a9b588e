/**
 * The past engine as a process: it starts at the first request, ends when idle, and whatever becomes of it, the next
 * request is answered. What states hold is tested in `test/cases-past.test.ts`.
 */

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { getPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeLogFixture } from '../../test/support/written-log.ts'
import type { StreamDef } from '../model/schema.ts'
import type { ViewPlan } from '../plan/plan.ts'
import { planView } from '../plan/plan-view.ts'
import type { LogSources } from './engine.ts'
import type { PastEngine, PastState } from './past.ts'
import { createPastEngine } from './past-engine.ts'
import { openSqlSyntax } from './sql-syntax.ts'

const stream: StreamDef = {
  ...{ name: 'sales', partitions: 1, dedupe: { timeMs: 0, count: 0 }, latenessMs: 0 },
  schema: {
    kind: 'object',
    fields: [
      { name: 'who', type: { kind: 'string' }, optional: false, nullable: false },
      { name: 'n', type: { kind: 'integer', bits: 64 }, optional: false, nullable: false },
      { name: 'at', type: { kind: 'timestamp' }, optional: false, nullable: false },
    ],
  },
}
const COMMITS = 40
const EVENTS = 50

let folder: string
let sources: LogSources
let plan: ViewPlan
let ranked: ViewPlan
let engine: PastEngine
let pids: number[] = []

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'refold-past-'))
  await mkdir(join(folder, 'log'))
  const commits = Array.from({ length: COMMITS }, (_, commit) => ({
    timeMs: 1_700_000_000_000 + commit,
    events: Array.from({ length: EVENTS }, (_event, index) => {
      const n = commit * EVENTS + index
      const at = new Date(1_700_000_000_000 + (n % 100) * 1000).toISOString()
      return { stream: 'sales', partition: 0, json: JSON.stringify({ who: `w${n % 7}`, n, at }) }
    }),
  }))
  const log = await writeLogFixture(join(folder, 'log'), commits, 7, 1)
  sources = { log, lake: { through: 0, files: [] } }
  const syntax = await openSqlSyntax()
  const planned = async (sql: string): Promise<ViewPlan> => {
    const result = await planView({ name: 'v', sql, place: {}, streams: [stream], syntax })
    assert.ok(result.ok)
    return result.plan
  }
  plan = await planned('SELECT who, count(*) AS c, sum(n) AS total FROM sales GROUP BY who')
  ranked = await planned('SELECT n, unnest(range(100)) AS k FROM sales ORDER BY hash(n), n, k')
  syntax.close()
})
after(() => rm(folder, { recursive: true, force: true }))
afterEach(async () => {
  await engine.stop()
  pids = []
})

function open(options: { readonly idleMs?: number; readonly memoryBytes?: number } = {}): void {
  const settings = { memoryBytes: 512 << 20, threads: 2, scratchDir: join(folder, 'scratch'), ...options }
  engine = createPastEngine({ ...settings, onStart: (pid) => pids.push(pid) })
}

function state(cut: number, change: Partial<PastState> = {}): PastState {
  return { view: 'v', version: 'a', plan, slices: [], border: 0, cut, skipped: [], ...change }
}

const request = () => ({ streams: [stream], sources, timeoutMs: 60_000 })

async function count(at: PastState): Promise<number> {
  const statements = [{ sql: 'SELECT coalesce(sum(c), 0)::INTEGER AS n FROM s', limit: 1 }]
  const [answer] = await engine.query({ ...request(), states: { s: at }, statements })
  return (JSON.parse(answer!.json) as { n: number }[])[0]!.n
}

test('it starts with the first request, is nice to others, and goes when nobody asks', async () => {
  open({ idleMs: 200 })
  assert.deepEqual(pids, [])
  assert.equal(await count(state(3)), 3 * EVENTS)
  const [pid = 0] = pids
  assert.ok(getPriority(pid) > 0)
  while (isAlive(pid)) await sleep(20)
  assert.equal(await count(state(5)), 5 * EVENTS)
  assert.equal(pids.length, 2)
})

test('when it is killed, who waits may ask again, and is answered', async () => {
  open()
  await count(state(1))
  const slow = {
    sql: 'SELECT count(*) FROM range(100000) a, range(100000) b WHERE a.range + b.range = 7',
    limit: 1,
  }
  const waits = engine.query({ ...request(), states: {}, statements: [slow] })
  process.kill(pids[0]!, 'SIGKILL')
  await assert.rejects(waits, { code: 'ENGINE_UNAVAILABLE', retryable: true })
  assert.equal(await count(state(2)), 2 * EVENTS)
  assert.equal(pids.length, 2)
})

test('a statement ends at its time and with its signal, and others go on', async () => {
  open()
  const slow = {
    sql: 'SELECT count(*) FROM range(100000) a, range(100000) b WHERE a.range + b.range = 7',
    limit: 1,
  }
  const ask = { ...request(), states: { s: state(4) }, statements: [slow] }
  await assert.rejects(engine.query({ ...ask, timeoutMs: 200 }), { code: 'QUERY_TIMEOUT' })
  const controller = new AbortController()
  const cancelled = engine.query(ask, controller.signal)
  const other = count(state(6))
  setTimeout(() => controller.abort(), 100)
  await assert.rejects(cancelled, { code: 'QUERY_CANCELLED' })
  assert.equal(await other, 6 * EVENTS)
  assert.equal(pids.length, 1)
})

test('rows come in the order of finish, however many threads read them', async () => {
  open()
  const at = state(COMMITS, { plan: ranked })
  const read = { where: {}, order: [], limit: 1_000_000 }
  const all = await engine.read({ ...request(), state: at, read })
  const rows = JSON.parse(all.json) as { n: number; k: number }[]
  assert.equal(rows.length, COMMITS * EVENTS * 100)
  const again = await engine.read({ ...request(), state: { ...at, version: 'b' }, read })
  assert.equal(again.json, all.json)
  const sql = { sql: 'SELECT * FROM v', limit: 1_000_000, system: {} }
  const asked = await engine.sql({ ...request(), cut: COMMITS, states: { v: at }, sql })
  assert.equal(asked.json, all.json)
  assert.deepEqual(asked.views, ['v'])
  const few = await engine.read({ ...request(), state: at, read: { ...read, limit: 7 } })
  assert.deepEqual([JSON.parse(few.json), few.truncated], [rows.slice(0, 7), true])
})

test('late events alone are told from the others by their time', async () => {
  open()
  const before = 1_700_000_000_000 + 30_000
  const late = state(20, { lateOnly: { field: 'at', after: 10, beforeUs: before * 1000 } })
  let expected = 10 * EVENTS
  for (let n = 10 * EVENTS; n < 20 * EVENTS; n++) if (n % 100 < 30) expected++
  assert.equal(await count(late), expected)
})

test('a slice that does not check is named, and states come and go within their memory', async () => {
  open({ memoryBytes: 128 << 20 })
  const slice = { view: 'v', version: 'a', stage: 'main', part: 'main', rows: 1, bytes: 1, checksum: 1 }
  const damaged = { ...slice, path: join(folder, 'nowhere.parquet'), from: 0, to: 3 }
  await assert.rejects(count(state(5, { slices: [damaged], border: 3 })), {
    code: 'SLICE_CORRUPT',
    details: { path: damaged.path },
  })
  for (let cut = 0; cut <= COMMITS; cut++) {
    assert.equal(await count(state(cut)), cut * EVENTS, `at cut ${cut}`)
    assert.equal(
      await count(state(cut, { version: 'b', skipped: [{ commit: 2, index: 3 }] })),
      Math.max(0, cut * EVENTS - (cut >= 2 ? 1 : 0)),
    )
  }
  assert.equal(pids.length, 1)
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
