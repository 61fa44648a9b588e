/**
 * Runs the batch definition of a view with two over everything up to a cut, for all streams that it reads, and stages
 * its rows as one slice. No state. The lake files that it reads are held against their checksums first: a batch puts
 * right what was damaged, and must not spread it.
 */

import { splitRange } from '../lake/relation.ts'
import type { LakeFile } from '../lake/types.ts'
import { RefoldError } from '../model/errors.ts'
import { quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import { BATCH_PART } from '../plan/batch-columns.ts'
import type { BatchPlan } from '../plan/plan.ts'
import { must } from '../std/assert.ts'
import { sumFile } from '../std/file-sum.ts'
import { batchSliceQuery } from './batch-layer.ts'
import { batchQuery } from './batch-sql.ts'
import { queryRows } from './duckdb.ts'
import type { Job, JobResult } from './engine.ts'
import { hotFilesOf } from './hot-files.ts'
import { soleStage } from './merged-relation.ts'
import { copyPath } from './reference-files.ts'
import type { JobContext } from './run-in-worker.ts'
import { slicePath } from './slice-path.ts'
import { copyToParquet } from './staging.ts'

type BatchJob = Extract<Job, { kind: 'batch' }>

export async function runBatchJob(job: BatchJob, context: JobContext): Promise<JobResult> {
  const { plan, view, version } = job.view
  const batch = must(plan.batch, `view ${view} has a batch definition`)
  const files = lakeFilesOf(job, batch)
  for (const file of files) await checkLakeFile(file)
  for (const file of batch.files) await checkCopy(job.copies, file)
  const events = files.reduce((sum, file) => sum + file.rows, 0)
  context.report({ done: 0, total: events })
  const rows = await boundQuery(job, context)
  const path = slicePath(job.stagingDir, job.view, BATCH_PART, job.range)
  const staged = await copyToParquet(context.connection, batchSliceQuery(plan, batch, rows), path)
  await checkKeys(job, batch, context, path)
  context.report({ done: events, total: events })
  const { from, to } = job.range
  const slice = { view, version, stage: soleStage(plan).name, part: BATCH_PART, from, to, path, ...staged }
  return { kind: 'batch', slices: [slice], events }
}

function lakeFilesOf({ sources, range }: BatchJob, batch: BatchPlan): readonly LakeFile[] {
  const { lake } = splitRange(range, sources.lake)
  const names = new Set(batch.streams.map(({ stream }) => stream))
  return sources.lake.files.filter(
    (file) => names.has(file.stream) && file.from < lake.to && file.to > lake.from,
  )
}

async function checkLakeFile({ path, bytes, checksum }: LakeFile): Promise<void> {
  const sum = await sumFile(path).catch(() => undefined)
  if (sum?.bytes === bytes && sum.checksum === checksum) return
  throw new RefoldError('LAKE_CORRUPT', `lake file "${path}" does not match its checksum`)
}

async function checkCopy(copies: string, { hash, path }: BatchPlan['files'][number]): Promise<void> {
  const copy = copyPath(copies, hash, path)
  const sum = await sumFile(copy).catch(() => undefined)
  if (sum !== undefined) return
  const message = `the copy of the reference file "${path}" that the version keeps is gone: "${copy}"`
  throw new RefoldError('VIEW_FILE', message, {
    hint: 'Deploy the view again from a project folder that has the file.',
  })
}

async function boundQuery(job: BatchJob, context: JobContext): Promise<string> {
  const { range, sources, streams, copies, view } = job
  const { hot } = splitRange(range, sources.lake)
  const hotFiles = (await hotFilesOf(sources.log, hot, context.tempDir)).map(({ path }) => path)
  const { plan, skipped } = view
  return batchQuery({ plan, streams, range, lake: sources.lake, hotFiles, copies, skipped })
}

/** Rows of both layers meet by their key: one that comes twice has no partner of its own. */
async function checkKeys(
  { view }: BatchJob,
  { key }: BatchPlan,
  { connection }: JobContext,
  path: string,
): Promise<void> {
  const names = key.map(({ column }) => quoteIdentifier(column)).join(', ')
  const [twice] = await queryRows(
    connection,
    `SELECT to_json(t) AS key FROM (SELECT ${names} FROM read_parquet(${quoteLiteral(path)})
     GROUP BY ${names} HAVING count(*) > 1 ORDER BY ${names} LIMIT 1) AS t`,
  )
  if (twice === undefined) return
  throw new RefoldError(
    'VIEW_KEY_TWICE',
    `the batch SQL of view "${view.view}" gives more than one row with the key ${String(twice['key'])}`,
  )
}
