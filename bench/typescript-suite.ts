/**
 * Folds in TypeScript over 200,000 keys: how many events a second a worker folds in bulk from lake files, and a live
 * engine by ticks from the hot log, at its catching up and in batches as they come. The same events as for the folds in
 * SQL. No state of its own.
 */

import { fork } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { root } from '../scripts/steps.ts'
import { loadProject } from '../src/define/load.ts'
import type { CodePlace } from '../src/define/logic-modules.ts'
import type { EngineView, Job } from '../src/engine/engine.ts'
import type { ViewPlan } from '../src/plan/plan.ts'
import { planFold } from '../src/plan/plan-fold.ts'
import { keepCode } from '../src/server/code/keep-code.ts'
import { catchUp } from './catch-up.ts'
import { eventsStream, writeHotLog, writeLake } from './fold-inputs.ts'
import type { FoldTask, FoldTime } from './fold-runner.ts'
import { atLeast, type BenchContext, type Measurement, type Suite } from './measurement.ts'
import { median } from './quantiles.ts'

export const typescriptSuite: Suite = { names: ['typescript-bulk', 'typescript-live'], run: measure }

const version = 'b'.repeat(64)
const threads = availableParallelism()
const memoryBytes = 2_000_000_000

/** What the SQL of the other benchmarks says, and the last page. */
const PROJECT = `import { decimal, fold, project, stream } from 'refold'
import { z } from 'zod'
const events = stream('events', {
  schema: z.object({ event_id: z.string(), user_id: z.string(), session_id: z.string(), page: z.string(), revenue: decimal(18, 2), ts: z.iso.datetime() }),
  key: 'user_id', time: 'ts',
})
const stats = fold('stats', {
  from: events, key: 'user_id', reads: ['revenue', 'page'], row: z.object({ events: z.int(), cents: z.int(), page: z.string() }),
  init: () => ({ events: 0, cents: 0, page: '' }),
  step(state, event) {
    state.events++
    state.cents += Math.round(Number(event.revenue) * 100)
    state.page = event.page
    return state
  },
  finish: (state) => state,
})
export default project({ streams: [events], views: [stats] })
`

interface Prepared {
  readonly plan: ViewPlan
  readonly code: CodePlace
}

async function prepare(folder: string): Promise<Prepared> {
  writeFileSync(path.join(folder, 'refold.config.ts'), PROJECT)
  const loaded = await loadProject(folder)
  const fold = loaded.ok ? loaded.project.views[0]?.fold : undefined
  if (fold === undefined) throw new Error('the project with the fold does not load')
  const { code, key, columns, several, merges, stepMs, reads = [] } = fold
  const place = { folder: path.join(folder, 'code'), root: folder }
  await keepCode(place.folder, folder, code)
  const { hash, entry } = code
  const made = { hash, entry, name: 'stats', keys: key, row: columns, several, merges }
  const limits = { stepMs, memoryBytes: 512_000_000 }
  return {
    plan: planFold({ name: 'stats', sql: 'FOLD', stream: eventsStream, code: made, limits, reads }),
    code: place,
  }
}

async function* measure(context: BenchContext): AsyncIterable<Measurement> {
  const folder = path.join(root, '.refold', 'bench', `typescript-${process.pid}`)
  mkdirSync(folder, { recursive: true })
  try {
    const prepared = await prepare(folder)
    if (context.wants('typescript-bulk')) yield await bulk(context, prepared, folder)
    if (context.wants('typescript-live')) yield await live(context, prepared, folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function viewOf(plan: ViewPlan): EngineView {
  return { view: 'stats', version, plan, slices: [], sealed: 0, onError: 'skip', skipped: [] }
}

async function bulk(context: BenchContext, { plan, code }: Prepared, folder: string): Promise<Measurement> {
  const events = context.quick ? 2_000_000 : 10_000_000
  context.say(`writing lake files of ${events} events`)
  const lake = await writeLake(path.join(folder, 'lake'), events)
  const seconds: number[] = []
  for (let round = 0; round < (context.quick ? 1 : 5); round += 1) {
    const tempDir = path.join(folder, `fold-${round}`)
    const job: Job = {
      kind: 'fold',
      view: viewOf(plan),
      streams: [eventsStream],
      sources: { log: { segments: [], durable: lake.through }, lake },
      range: { from: 0, to: lake.through },
      stagingDir: path.join(tempDir, 'staging'),
    }
    seconds.push(await timeOf({ kind: 'fold', job, tempDir, threads, memoryBytes, code }))
  }
  return {
    name: 'typescript-bulk',
    value: Math.round(events / median(seconds)),
    unit: 'events/s',
    gate: atLeast(1_000_000),
    method: `a worker folds ${events} events of 200,000 keys from lake files by a fold in TypeScript, from its start to the synced slice; median of ${seconds.length}`,
  }
}

function timeOf(task: FoldTask): Promise<number> {
  const child = fork(path.join(root, 'bench/fold-runner.ts'), { execArgv: [] })
  return new Promise((resolve, reject) => {
    child.once('message', (time: FoldTime) => resolve(time.seconds))
    child.once('exit', (status) => reject(new Error(`a ${task.kind} run ended with ${status}`)))
    child.send(task)
  })
}

async function live(context: BenchContext, prepared: Prepared, folder: string): Promise<Measurement> {
  const events = context.quick ? 1_000_000 : 4_000_000
  context.say(`writing a hot log of ${events} events`)
  const log = await writeHotLog(path.join(folder, 'hot'), events)
  const seconds: number[] = []
  for (let round = 0; round < (context.quick ? 1 : 3); round += 1) {
    seconds.push(
      await catchUp(viewOf(prepared.plan), log, path.join(folder, `scratch-${round}`), prepared.code),
    )
  }
  return {
    name: 'typescript-live',
    value: Math.round(events / median(seconds)),
    unit: 'events/s',
    gate: atLeast(500_000),
    method: `a live engine ticks through a hot log of ${events} events of 200,000 keys by a fold in TypeScript, from its start to standing at the log's end; median of ${seconds.length}`,
  }
}
