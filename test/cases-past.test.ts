/**
 * Every accepted case in the past engine: states at cuts before, between and after slices, made by the chain that the
 * server would choose, from superseded slices, and from the log alone. Each must give what plain DuckDB gives for the
 * view's own SQL over the events up to that cut. REFOLD_SEED sets the seed.
 *
 * Both sides are asked for their rows as JSON texts made by DuckDB, so nothing of ours formats what is expected.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import type { Job, LogSources, SliceInfo } from '../src/engine/engine.ts'
import type { PastState } from '../src/engine/past.ts'
import { PastCore } from '../src/engine/past-core.ts'
import { runInWorker } from '../src/engine/run-in-worker.ts'
import { openSqlSyntax } from '../src/engine/sql-syntax.ts'
import { quoteIdentifier, type StreamDef } from '../src/model/schema.ts'
import type { ViewPlan } from '../src/plan/plan.ts'
import { planView } from '../src/plan/plan-view.ts'
import { partNames } from '../src/plan/queries.ts'
import { sliceChain } from '../src/run/slice-chain.ts'
import { type CaseFile, readCases } from './support/case-file.ts'
import { ScratchDuckDb } from './support/scratch-duckdb.ts'
import { seededRandom } from './support/seeded-random.ts'
import { writeLogFixture } from './support/written-log.ts'

const SEED = Number(process.env['REFOLD_SEED'] ?? randomBytes(4).readUInt32LE())
const here = path.join(import.meta.dirname, 'cases')
const stream: StreamDef = JSON.parse(readFileSync(path.join(here, 'streams', 'events.json'), 'utf8'))
/** Without negative zeros: Parquet files of DuckDB keep no sign of zero where a column has both. */
const lines = readFileSync(path.join(here, 'streams', 'events.ndjson'), 'utf8')
  .trim()
  .replaceAll('-0.0', '0.0')
  .split('\n')
const only = process.env['REFOLD_CASE']
const cases = readCases(path.join(here, 'accepted')).filter(
  (one) => one.events === undefined && (only === undefined || one.name.includes(only)),
)
const random = seededRandom(SEED)

let folder: string
let core: PastCore
let sources: LogSources
/** Events up to each cut. */
const upTo: number[] = [0]
const plans = new Map<string, ViewPlan>()
const oracles = new Map<number, ScratchDuckDb>()

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'refold-cases-past-'))
  for (const name of ['log', 'staging']) mkdirSync(path.join(folder, name))
  while (upTo.at(-1)! < lines.length)
    upTo.push(Math.min(lines.length, upTo.at(-1)! + 1 + Math.floor(random() * 8)))
  const commits = upTo.slice(1).map((end, commit) => ({
    timeMs: 1_700_000_000_000 + commit,
    events: lines
      .slice(upTo[commit], end)
      .map((json, index) => ({ stream: stream.name, partition: index % stream.partitions, json })),
  }))
  const log = await writeLogFixture(path.join(folder, 'log'), commits, 3, stream.partitions)
  const syntax = await openSqlSyntax()
  for (const one of cases) {
    const planned = await planView({ name: 'v', sql: one.view, place: {}, streams: [stream], syntax })
    assert.ok(planned.ok, one.name)
    plans.set(one.name, planned.plan)
  }
  syntax.close()
  // The first commits are in the lake, the others are hot.
  const through = 3 * (1 + Math.floor(random() * (log.segments.length - 1)))
  const lake = await work({
    ...{ kind: 'lake', streams: [stream], segments: log, range: { from: 0, to: through } },
    stagingDir: path.join(folder, 'staging'),
  })
  assert.ok(lake.kind === 'lake')
  sources = { log, lake: lake.manifest }
  core = await PastCore.open({
    memoryBytes: 1 << 30,
    threads: 2,
    scratchDir: path.join(folder, 'scratch'),
  })
})

after(() => {
  for (const oracle of oracles.values()) oracle.close()
  rmSync(folder, { recursive: true, force: true })
})

async function work(job: Job) {
  return await runInWorker(job, { memoryBytes: 1e9, threads: 2, tempDir: path.join(folder, 'job') }, () => {})
}

async function oracleAt(cut: number): Promise<ScratchDuckDb> {
  const known = oracles.get(cut)
  if (known !== undefined) return known
  const oracle = await ScratchDuckDb.open()
  await oracle.load(stream, lines.slice(0, upTo[cut]).join('\n'), stream.name)
  oracles.set(cut, oracle)
  return oracle
}

test(`every accepted case agrees at cuts of the past (seed ${SEED})`, async () => {
  const last = upTo.length - 1
  const borders = [1 + Math.floor(random() * (last - 3)), last - 1]
  const cuts = [0, borders[0]! - 1, borders[0]!, borders[0]! + 1, last - 1, last]
  const offset = Math.floor(random() * 4)
  for (const [index, one] of cases.entries()) {
    const plan = plans.get(one.name)!
    const slices = index % 4 === offset ? await slicesOf(plan, borders) : []
    for (const cut of [cuts[index % cuts.length]!, Math.floor(random() * (last + 1))]) {
      const chain = sliceChain(slices, partNames(plan.stages[0]!), 0, cut)
      if (slices.length > 0) assert.equal(chain.border, borders.filter((border) => border <= cut).at(-1) ?? 0)
      await agrees(one, { ...state(plan, cut), ...chain })
    }
  }
})

/** Two ranges, and what merges them; the first three together are what a compaction leaves. */
async function slicesOf(plan: ViewPlan, borders: readonly number[]): Promise<readonly SliceInfo[]> {
  const stagingDir = path.join(folder, 'staging')
  const view = { view: 'v', version: `v${random()}`, plan, slices: [], sealed: 0 } as const
  const engineView = { ...view, onError: 'stall', skipped: [] } as const
  const all: SliceInfo[] = []
  for (const range of [
    { from: 0, to: borders[0]! },
    { from: borders[0]!, to: borders[1]! },
  ]) {
    const folded = await work({
      ...{ kind: 'fold', view: engineView, streams: [stream], sources, range, stagingDir },
    })
    assert.ok(folded.kind === 'fold')
    all.push(...folded.slices)
  }
  const merged = await work({ kind: 'compact', view: engineView, inputs: all, stagingDir })
  assert.ok(merged.kind === 'compact')
  return [...all, ...merged.slices]
}

function state(plan: ViewPlan, cut: number): PastState {
  return { view: 'v', version: plan.sql, plan, slices: [], border: 0, cut, skipped: [] }
}

async function agrees(one: CaseFile, at: PastState): Promise<void> {
  const columns = at.plan.columns
    .filter(({ name }) => !at.plan.inexact.some(({ column }) => column === name))
    .map(({ name }) => quoteIdentifier(name))
  const texts = (from: string): string =>
    `SELECT CAST(to_json("$row") AS VARCHAR) AS j FROM (SELECT ${columns.join(', ')} FROM ${from}) AS "$row"`
  const oracle = await oracleAt(at.cut)
  const expected = (await oracle.query(texts(`(${one.oracle.replace(/;$/, '')}) AS original`))).rows.map(
    String,
  )
  const request = { streams: [stream], sources, timeoutMs: 60_000 }
  const statements = [{ sql: texts('"state"'), limit: 10_000 }]
  const signal = new AbortController().signal
  const [answer] = await core.query({ ...request, states: { state: at }, statements }, signal)
  const actual = (JSON.parse(answer!.json) as { readonly j: string }[]).map(({ j }) => j)
  const ordered = at.plan.finish.ordered && /ORDER BY/i.test(one.oracle)
  const order = (rows: string[]) => (ordered ? rows : rows.sort())
  const what = `case "${one.name}" at cut ${at.cut}, slices up to ${at.border}`
  assert.deepEqual(order(actual), order(expected), what)
}
