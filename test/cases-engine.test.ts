/**
 * Every accepted case in the real engine, all of them at once: ticks over a log written by hand, a seal between two
 * ticks, ticks after it, and a restart from the slices. After each step every view must give what plain DuckDB gives
 * for the view's own SQL over the events so far.
 *
 * Both sides are asked for their rows as JSON texts made by DuckDB, so nothing of ours formats what is expected.
 */

import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EngineSpec, EngineView } from '../src/engine/engine.ts'
import { LiveCore } from '../src/engine/live-core.ts'
import { openSqlSyntax } from '../src/engine/sql-syntax.ts'
import { quoteIdentifier, type StreamDef } from '../src/model/schema.ts'
import type { ViewPlan } from '../src/plan/plan.ts'
import { planView } from '../src/plan/plan-view.ts'
import { type CaseFile, readCases } from './support/case-file.ts'
import { HandLog } from './support/hand-log.ts'
import { ScratchDuckDb } from './support/scratch-duckdb.ts'

const here = path.join(import.meta.dirname, 'cases')
const stream: StreamDef = JSON.parse(readFileSync(path.join(here, 'streams', 'events.json'), 'utf8'))
const lines = readFileSync(path.join(here, 'streams', 'events.ndjson'), 'utf8')
  .trim()
  .split('\n')
const only = process.env['REFOLD_CASE']
const cases = readCases(path.join(here, 'accepted')).filter(
  (one) => one.events === undefined && (only === undefined || one.name.includes(only)),
)

/** `JSON.rawJSON`, which the compiler's library does not know yet. */
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON

/** Events with every number as it is written: 64 bits and the sign of zero survive. */
const events = lines.map((line) =>
  JSON.parse(line, (_key, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' ? rawJson(context!.source!) : value,
  ),
)

let folder: string
let spec: EngineSpec
let log: HandLog
const plans = new Map<string, ViewPlan>()

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'refold-cases-engine-'))
  for (const name of ['log', 'staging']) mkdirSync(path.join(folder, name))
  log = new HandLog(path.join(folder, 'log'))
  const syntax = await openSqlSyntax()
  for (const one of cases) {
    const name = viewName(one.name)
    const planned = await planView({ name, sql: one.view, place: {}, streams: [stream], syntax })
    assert.ok(planned.ok, one.name)
    plans.set(name, planned.plan)
  }
  syntax.close()
  spec = {
    streams: [stream],
    sources: { log: log.manifest(), lake: { through: 0, files: [] } },
    views: [...plans.values()].map(engineView),
    serving: Object.fromEntries([...plans.keys()].map((name) => [name, `${name}-1`])),
    followed: [],
    settings: {
      memoryBytes: 1 << 30,
      threads: 2,
      scratchDir: path.join(folder, 'scratch'),
      statementTimeoutMs: 60_000,
      heavyStatements: 2,
    },
  }
})

after(() => rmSync(folder, { recursive: true, force: true }))

function viewName(caseName: string): string {
  return caseName.replaceAll('-', '_')
}

function engineView(plan: ViewPlan): EngineView {
  return {
    view: plan.view,
    version: `${plan.view}-1`,
    plan,
    slices: [],
    sealed: 0,
    onError: 'stall',
    skipped: [],
  }
}

test('every accepted case agrees in the engine: ticks, seal, restart', async () => {
  const progress: number[] = []
  const { core } = await LiveCore.start(spec, ({ cut }) => progress.push(cut))
  await agree(core, 0, 'before the first event')
  let sent = 0
  const send = async (engine: LiveCore, count: number, seen: readonly number[]): Promise<number> => {
    const cut = log.commit('events', events.slice(sent, sent + count))
    sent += count
    engine.advance(log.manifest())
    while ((seen.at(-1) ?? -1) < cut) await sleep(2)
    return cut
  }
  for (const count of [1, 5, 14]) await send(core, count, progress)
  await agree(core, sent, 'after three ticks')
  const views = [...plans.keys()].map((view) => ({ view, version: `${view}-1` }))
  const sealed = await core.seal({ views, stagingDir: path.join(folder, 'staging') })
  for (const { view, version, range, slices } of sealed) {
    await core.published({ view, version, sealed: range.to, slices })
  }
  const cut = await send(core, 20, progress)
  await agree(core, sent, 'after a seal and a tick')
  await core.stop()

  const restarted = spec.views.map((view) => {
    const own = sealed.filter((generation) => generation.view === view.view)
    return { ...view, slices: own.flatMap((one) => one.slices), sealed: own.at(-1)?.range.to ?? 0 }
  })
  const seen: number[] = []
  const sources = { ...spec.sources, log: log.manifest() }
  const again = await LiveCore.start({ ...spec, views: restarted, sources }, (one) => seen.push(one.cut))
  while ((seen.at(-1) ?? -1) < cut) await sleep(2)
  await send(again.core, events.length - sent, seen)
  await agree(again.core, sent, 'after a restart from slices')
  await again.core.stop()
})

async function agree(core: LiveCore, count: number, when: string): Promise<void> {
  const oracle = await ScratchDuckDb.open()
  try {
    await oracle.load(stream, lines.slice(0, count).join('\n'), stream.name)
    for (const one of cases) {
      const plan = plans.get(viewName(one.name))!
      const columns = plan.columns
        .filter(({ name }) => !plan.inexact.some(({ column }) => column === name))
        .map(({ name }) => quoteIdentifier(name))
      const texts = (from: string): string =>
        `SELECT CAST(to_json("$row") AS VARCHAR) AS j FROM (SELECT ${columns.join(', ')} FROM ${from}) AS "$row"`
      const expected = (await oracle.query(texts(`(${one.oracle.replace(/;$/, '')}) AS original`))).rows.map(
        String,
      )
      const request = { sql: texts(quoteIdentifier(plan.view)), limit: 10_000, timeoutMs: 60_000, system: {} }
      const answer = await core.reads.sql(request, new AbortController().signal)
      const actual = (JSON.parse(answer.json) as { readonly j: string }[]).map(({ j }) => j)
      assert.deepEqual(actual.sort(), expected.sort(), `case "${one.name}" ${when}`)
      await lookupsAgree(core, oracle, plan, one, when)
      await deltaAgrees(core, plan.view, `case "${one.name}" ${when}`)
    }
  } finally {
    oracle.close()
  }
}

/** Lookups by the columns that the plan says are keys give as many rows as a filter over all rows. */
async function lookupsAgree(
  core: LiveCore,
  oracle: ScratchDuckDb,
  plan: ViewPlan,
  one: CaseFile,
  when: string,
): Promise<void> {
  for (const column of Object.keys(plan.finish.keyColumns)) {
    const type = plan.columns.find(({ name }) => name === column)?.type ?? ''
    if (!['VARCHAR', 'INTEGER', 'BOOLEAN'].includes(type)) continue
    const name = quoteIdentifier(column)
    const original = one.oracle.replace(/;$/, '')
    const values = await oracle.query(
      `SELECT ${name}, count(*)::INTEGER FROM (${original}) AS original GROUP BY 1 ORDER BY 1 LIMIT 4`,
    )
    for (const [value, count] of values.rows) {
      const where = { [column]: value as string | number | boolean | null }
      const request = { view: plan.view, where, order: [], limit: 1_000, timeoutMs: 60_000 }
      const answer = await core.reads.read(request, new AbortController().signal)
      assert.equal(answer.count, count, `case "${one.name}" ${when}: lookup ${JSON.stringify(where)}`)
    }
  }
}

/** What followers of each view hold: the cut they stand at, and how often each row is there. */
const followers = new Map<string, { cut: number; rows: Map<string, number> }>()

/** Deltas from cut to cut add up to the rows that a read gives. */
async function deltaAgrees(core: LiveCore, view: string, what: string): Promise<void> {
  const follower = followers.get(view) ?? { cut: 0, rows: new Map<string, number>() }
  followers.set(view, follower)
  const signal = new AbortController().signal
  // From cut 0 a delta begins with nothing, also for a view that has a row before the first event.
  if (follower.cut === 0) follower.rows.clear()
  const delta = await core.reads.delta({ view, from: follower.cut }, signal)
  const add = (row: unknown, count: number): void => {
    if (row === undefined) return
    const text = JSON.stringify(row)
    const left = (follower.rows.get(text) ?? 0) + count
    if (left === 0) follower.rows.delete(text)
    else follower.rows.set(text, left)
  }
  const changes = JSON.parse(delta.json) as { readonly old?: unknown; readonly new?: unknown }[]
  for (const change of changes) {
    add(change.old ?? undefined, -1)
    add(change.new ?? undefined, 1)
  }
  follower.cut = delta.to
  const answer = await core.reads.read(
    { view, where: {}, order: [], limit: 10_000, timeoutMs: 60_000 },
    signal,
  )
  const expected = new Map<string, number>()
  for (const row of JSON.parse(answer.json) as unknown[]) {
    const text = JSON.stringify(row)
    expected.set(text, (expected.get(text) ?? 0) + 1)
  }
  assert.deepEqual([...follower.rows].sort(), [...expected].sort(), `${what}: deltas`)
}
