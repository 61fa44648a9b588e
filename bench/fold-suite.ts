/**
 * Bulk folds: the rate of a fold of lake files against the plain DuckDB query over the same files, and the rate at
 * which a live engine catches up on events that are still in the hot log. No state of its own.
 */

import { fork } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { root } from '../scripts/steps.ts'
import type { EngineView, Job } from '../src/engine/engine.ts'
import type { LakeManifest } from '../src/lake/types.ts'
import type { ViewPlan } from '../src/plan/plan.ts'
import { catchUp } from './catch-up.ts'
import { eventsStream, planUserStats, writeHotLog, writeLake } from './fold-inputs.ts'
import type { FoldTask, FoldTime } from './fold-runner.ts'
import { atLeast, type BenchContext, type Measurement, type Suite } from './measurement.ts'
import { median } from './quantiles.ts'

export const foldSuite: Suite = { names: ['bulk-fold-ratio', 'hot-catch-up'], run: measureFolds }

const version = 'a'.repeat(64)
const threads = availableParallelism()
const memoryBytes = 2_000_000_000

async function* measureFolds(context: BenchContext): AsyncIterable<Measurement> {
  const folder = path.join(root, '.refold', 'bench', `folds-${process.pid}`)
  mkdirSync(folder, { recursive: true })
  try {
    const plan = await planUserStats()
    if (context.wants('bulk-fold-ratio')) yield* bulkFold(context, plan, folder)
    if (context.wants('hot-catch-up')) yield* hotCatchUp(context, plan, folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function viewOf(plan: ViewPlan): EngineView {
  return { view: 'user_stats', version, plan, slices: [], sealed: 0, onError: 'stall', skipped: [] }
}

async function* bulkFold(context: BenchContext, plan: ViewPlan, folder: string): AsyncIterable<Measurement> {
  const events = context.quick ? 10_000_000 : 20_000_000
  context.say(`writing lake files of ${events} events`)
  const lake = await writeLake(path.join(folder, 'lake'), events)
  const plainSql = `SELECT user_id, count(*) AS total_events, sum(revenue) AS total_revenue
    FROM read_parquet([${lake.files.map((file) => `'${file.path}'`).join(', ')}]) GROUP BY user_id`
  const plain: number[] = []
  const folds: number[] = []
  for (let round = 0; round < (context.quick ? 3 : 7); round += 1) {
    plain.push(await timeOf({ kind: 'plain', sql: plainSql, threads, memoryBytes }))
    const tempDir = path.join(folder, `fold-${round}`)
    folds.push(
      await timeOf({ kind: 'fold', job: foldJob(plan, lake, tempDir), tempDir, threads, memoryBytes }),
    )
  }
  const rate = (seconds: number) => `${(events / seconds / 1e6).toFixed(1)} M events/s`
  yield {
    name: 'bulk-fold-ratio',
    value: Math.round((median(plain) / median(folds)) * 100) / 100,
    unit: 'times',
    gate: atLeast(0.8),
    method:
      `${events} events over 200,000 keys in ${lake.files.length} Parquet files, fresh processes in turn, median of ${folds.length}: ` +
      `fold with its sorted and synced slice ${rate(median(folds))}, plain DuckDB query ${rate(median(plain))}`,
  }
}

function foldJob(plan: ViewPlan, lake: LakeManifest, tempDir: string): Job {
  return {
    kind: 'fold',
    view: viewOf(plan),
    streams: [eventsStream],
    sources: { log: { segments: [], durable: lake.through }, lake },
    range: { from: 0, to: lake.through },
    stagingDir: path.join(tempDir, 'staging'),
  }
}

function timeOf(task: FoldTask): Promise<number> {
  const child = fork(path.join(root, 'bench/fold-runner.ts'), { execArgv: [] })
  return new Promise((resolve, reject) => {
    child.once('message', (time: FoldTime) => resolve(time.seconds))
    child.once('exit', (code) => reject(new Error(`a ${task.kind} run ended with ${code}`)))
    child.send(task)
  })
}

async function* hotCatchUp(
  context: BenchContext,
  plan: ViewPlan,
  folder: string,
): AsyncIterable<Measurement> {
  const events = context.quick ? 6_000_000 : 10_000_000
  context.say(`writing a hot log of ${events} events`)
  const log = await writeHotLog(path.join(folder, 'hot'), events)
  const seconds: number[] = []
  for (let round = 0; round < 3; round += 1) {
    seconds.push(await catchUp(viewOf(plan), log, path.join(folder, `scratch-${round}`)))
  }
  yield {
    name: 'hot-catch-up',
    value: Math.round(events / median(seconds)),
    unit: 'events/s',
    gate: atLeast(3_000_000),
    method: `a live engine without slices, from its start to standing at the log's end: ${events} events of 150 bytes in ${log.segments.length} hot segments, one view with 200,000 keys; median of ${seconds.length}`,
  }
}
