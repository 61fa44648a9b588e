/**
 * A view whose SQL calls a function in TypeScript for every event, beside the same view in SQL alone: events a second
 * that a worker folds in bulk from lake files, and that a live engine ticks through from the hot log. No gate: it says
 * what a function costs. No state of its own.
 */

import { fork } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { root } from '../scripts/steps.ts'
import { plannedFunction } from '../src/define/function-def.ts'
import { loadProject } from '../src/define/load.ts'
import type { CodePlace } from '../src/define/logic-modules.ts'
import type { EngineView, Job } from '../src/engine/engine.ts'
import { openSqlSyntax } from '../src/engine/sql-syntax.ts'
import type { LakeManifest } from '../src/lake/types.ts'
import type { ViewPlan } from '../src/plan/plan.ts'
import { planView } from '../src/plan/plan-view.ts'
import { keepCode } from '../src/server/code/keep-code.ts'
import { catchUp } from './catch-up.ts'
import { eventsStream, writeHotLog, writeLake } from './fold-inputs.ts'
import type { FoldTask, FoldTime } from './fold-runner.ts'
import type { BenchContext, Measurement, Suite } from './measurement.ts'
import { median } from './quantiles.ts'

export const functionSuite: Suite = { names: ['function-bulk', 'function-live'], run: measure }

const version = 'c'.repeat(64)
const threads = availableParallelism()
const memoryBytes = 2_000_000_000

const PROJECT = `import { fn, project } from 'refold'
const weights = [0.4, -1.2, 0.7, 0.1]
const risk = fn('risk', {
  args: ['DOUBLE', 'DOUBLE'], returns: 'DOUBLE',
  call: (amount, length) => 1 / (1 + Math.exp(-(weights[0]! * amount + weights[1]! * length + weights[2]! * amount * length + weights[3]!))),
})
export default project({ streams: [], functions: [risk] })
`
const inTypeScript = 'risk(revenue::DOUBLE, length(page)::DOUBLE)'
const inSql =
  '(1 / (1 + exp(-(0.4 * revenue::DOUBLE - 1.2 * length(page) + 0.7 * revenue::DOUBLE * length(page) + 0.1))))'
const viewSql = (score: string) =>
  `SELECT user_id, count(*) AS events, max(${score}) AS worst FROM events GROUP BY user_id`

interface Prepared {
  readonly called: ViewPlan
  readonly plain: ViewPlan
  readonly code: CodePlace
}

async function prepare(folder: string): Promise<Prepared> {
  writeFileSync(path.join(folder, 'refold.config.ts'), PROJECT)
  const loaded = await loadProject(folder)
  if (!loaded.ok) throw loaded.mistakes[0]
  const functions = loaded.project.functions ?? []
  const place = { folder: path.join(folder, 'code'), root: folder }
  for (const { code } of functions) await keepCode(place.folder, folder, code)
  const opened = await openSqlSyntax()
  const plan = async (sql: string): Promise<ViewPlan> => {
    const syntax = opened.withFunctions(functions.map(plannedFunction))
    const planned = await planView({ name: 'risks', sql, place: {}, streams: [eventsStream], syntax })
    if (!planned.ok) throw planned.mistakes[0]
    return planned.plan
  }
  try {
    return { called: await plan(viewSql(inTypeScript)), plain: await plan(viewSql(inSql)), code: place }
  } finally {
    opened.close()
  }
}

async function* measure(context: BenchContext): AsyncIterable<Measurement> {
  const folder = path.join(root, '.refold', 'bench', `function-${process.pid}`)
  mkdirSync(folder, { recursive: true })
  try {
    const prepared = await prepare(folder)
    if (context.wants('function-bulk')) yield await bulk(context, prepared, folder)
    if (context.wants('function-live')) yield await live(context, prepared, folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function viewOf(plan: ViewPlan): EngineView {
  return { view: 'risks', version, plan, slices: [], sealed: 0, onError: 'stall', skipped: [] }
}

/** Median seconds of the same work with both plans, which take turns. */
async function both(
  rounds: number,
  { called, plain }: Prepared,
  timed: (plan: ViewPlan, name: string) => Promise<number>,
): Promise<{ readonly called: number; readonly plain: number }> {
  const [ours, theirs]: [number[], number[]] = [[], []]
  for (let round = 0; round < rounds; round += 1) {
    ours.push(await timed(called, `called-${round}`))
    theirs.push(await timed(plain, `plain-${round}`))
  }
  return { called: median(ours), plain: median(theirs) }
}

async function bulk(context: BenchContext, prepared: Prepared, folder: string): Promise<Measurement> {
  const events = context.quick ? 2_000_000 : 10_000_000
  const rounds = context.quick ? 1 : 3
  context.say(`writing lake files of ${events} events`)
  const lake = await writeLake(path.join(folder, 'lake'), events)
  const seconds = await both(rounds, prepared, (plan, name) =>
    foldTime(plan, prepared.code, lake, path.join(folder, name)),
  )
  return {
    name: 'function-bulk',
    value: Math.round(events / seconds.called),
    unit: 'events/s',
    method: `a worker folds ${events} events of 200,000 keys from lake files by SQL that calls a function in TypeScript for each; the same in SQL alone: ${rate(events, seconds.plain)} events/s; median of ${rounds}`,
  }
}

function rate(events: number, seconds: number): string {
  return Math.round(events / seconds).toLocaleString('en-US')
}

function foldTime(plan: ViewPlan, code: CodePlace, lake: LakeManifest, tempDir: string): Promise<number> {
  const job: Job = {
    kind: 'fold',
    view: viewOf(plan),
    streams: [eventsStream],
    sources: { log: { segments: [], durable: lake.through }, lake },
    range: { from: 0, to: lake.through },
    stagingDir: path.join(tempDir, 'staging'),
  }
  const task: FoldTask = { kind: 'fold', job, tempDir, threads, memoryBytes, code }
  const child = fork(path.join(root, 'bench/fold-runner.ts'), { execArgv: [] })
  return new Promise((resolve, reject) => {
    child.once('message', (time: FoldTime) => resolve(time.seconds))
    child.once('exit', (status) => reject(new Error(`a fold ended with ${status}`)))
    child.send(task)
  })
}

async function live(context: BenchContext, prepared: Prepared, folder: string): Promise<Measurement> {
  const events = context.quick ? 500_000 : 3_000_000
  const rounds = context.quick ? 1 : 3
  context.say(`writing a hot log of ${events} events`)
  const log = await writeHotLog(path.join(folder, 'hot'), events)
  const seconds = await both(rounds, prepared, (plan, name) =>
    catchUp(viewOf(plan), log, path.join(folder, `scratch-${name}`), prepared.code),
  )
  return {
    name: 'function-live',
    value: Math.round(events / seconds.called),
    unit: 'events/s',
    method: `a live engine ticks through a hot log of ${events} events of 200,000 keys by SQL that calls a function in TypeScript for each; the same in SQL alone: ${rate(events, seconds.plain)} events/s; median of ${rounds}`,
  }
}
