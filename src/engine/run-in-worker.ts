/**
 * Runs one job to its end inside a worker's process: opens DuckDB for it and hands it to the job's kind. State: the
 * database and a private folder for spills and copies, both gone when the process is.
 */

import { join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { PlannedFunction } from '../define/function-def.ts'
import type { CodePlace } from '../define/logic-modules.ts'
import { unreachable } from '../std/assert.ts'
import { realFiles } from '../std/files.ts'
import { openDuckDB } from './duckdb.ts'
import type { Job, JobProgress, JobResult } from './engine.ts'
import { EngineFunctions } from './functions/engine-functions.ts'
import { runBatchJob } from './job-batch.ts'
import { runCompactJob } from './job-compact.ts'
import { runFoldJob } from './job-fold.ts'
import { runLakeJob } from './job-lake.ts'
import { runLakeMergeJob } from './job-lake-merge.ts'

export interface WorkerSettings {
  readonly memoryBytes: number
  readonly threads: number
  /** A folder for this job alone. */
  readonly tempDir: string
  /** Where logic in TypeScript is. */
  readonly code?: CodePlace
}

export interface JobContext {
  readonly connection: DuckDBConnection
  readonly tempDir: string
  readonly report: (progress: JobProgress) => void
  readonly threads: number
  readonly code?: CodePlace
}

/** DuckDB, open, and a folder for one job. */
export interface Workplace extends Omit<JobContext, 'report'> {
  /** Makes functions in TypeScript known to DuckDB. */
  useFunctions(functions: readonly PlannedFunction[] | undefined): Promise<void>
  close(): void
}

export async function openWorkplace(settings: WorkerSettings): Promise<Workplace> {
  const { memoryBytes, threads, tempDir, code } = settings
  await realFiles.mkdir(tempDir)
  const spill = join(tempDir, 'spill')
  const database = await openDuckDB({ memoryBytes, threads, tempDir: spill })
  const connection = await database.connect()
  const functions = new EngineFunctions(() => database.connect(), code)
  return {
    connection,
    tempDir,
    threads,
    useFunctions: (wanted) => functions.use(wanted),
    ...(code === undefined ? {} : { code }),
    close() {
      connection.closeSync()
      database.close()
    },
  }
}

/** Runs the one job that a workplace is for, and closes it. */
export async function runJobIn(
  { close, useFunctions, ...workplace }: Workplace,
  job: Job,
  report: (progress: JobProgress) => void,
): Promise<JobResult> {
  try {
    await realFiles.mkdir(job.stagingDir)
    if ('view' in job && typeof job.view === 'object') await useFunctions(job.view.plan.functions)
    return await runKind(job, { ...workplace, report })
  } finally {
    close()
  }
}

export async function runInWorker(
  job: Job,
  settings: WorkerSettings,
  report: (progress: JobProgress) => void,
): Promise<JobResult> {
  return await runJobIn(await openWorkplace(settings), job, report)
}

function runKind(job: Job, context: JobContext): Promise<JobResult> {
  switch (job.kind) {
    case 'lake':
      return runLakeJob(job, context)
    case 'lake-merge':
      return runLakeMergeJob(job, context)
    case 'compact':
      return runCompactJob(job, context)
    case 'batch':
      return runBatchJob(job, context)
    case 'fold':
      return runFoldJob(job, context)
    default:
      return unreachable(job)
  }
}
