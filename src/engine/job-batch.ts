/**
 * Runs the batch definition of a view with two over everything up to a cut, for all streams that it reads, and stages
 * its rows as one slice. No state. The lake files that it reads are held against their checksums first: a batch puts
 * right what was damaged, and must not spread it.
 */

import { logRelation, splitRange } from '../lake/relation.ts'
import type { LakeFile } from '../lake/types.ts'
import { RefoldError } from '../model/errors.ts'
import { quoteIdentifier, quoteLiteral, type StreamDef } from '../model/schema.ts'
import { BATCH_PART } from '../plan/batch-columns.ts'
import type { BatchPlan, BatchStream } from '../plan/plan.ts'
import { plannedStream } from '../plan/planned-stream.ts'
import { bindReadOnlySql } from '../plan/read-only-sql.ts'
import { must } from '../std/assert.ts'
import { sumFile } from '../std/file-sum.ts'
import { batchSliceQuery } from './batch-layer.ts'
import { queryRows } from './duckdb.ts'
import type { Job, JobResult } from './engine.ts'
import { hotFilesOf } from './hot-files.ts'
import { soleStage } from './merged-relation.ts'
import { copyPath, referenceSql } from './reference-files.ts'
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
  const rows = await boundQuery(job, batch, context)
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

async function boundQuery(job: BatchJob, batch: BatchPlan, context: JobContext): Promise<string> {
  const { hot } = splitRange(job.range, job.sources.lake)
  const hotFiles = (await hotFilesOf(job.sources.log, hot, context.tempDir)).map(({ path }) => path)
  const relations = new Map([
    ...batch.streams.map((one) => [one.bindName, streamSql(job, one, hotFiles)] as const),
    ...batch.files.map((one) => [one.bindName, referenceSql(one, job.copies)] as const),
  ])
  const used = [...relations.keys()].map(
    (bindName) => ({ kind: 'stream', name: bindName, bindName }) as const,
  )
  return bindReadOnlySql({ sql: batch.boundSql, used }, ({ bindName }) =>
    must(relations.get(bindName), `${bindName} is bound`),
  )
}

/** Events that the version leaves out are left out of both layers. */
function streamSql(
  job: BatchJob,
  { stream, fields, system }: BatchStream,
  hotFiles: readonly string[],
): string {
  const running = must(
    job.streams.find(({ name }) => name === stream),
    `stream "${stream}" is among the job's`,
  )
  const planned: StreamDef = plannedStreamOf(job, running)
  const own = soleStage(job.view.plan).source.stream === stream
  const skipped = job.view.skipped.filter(
    ({ commit }) => own && commit > job.range.from && commit <= job.range.to,
  )
  const sources = { lake: job.sources.lake, hotFiles }
  return logRelation(planned, fields, job.range, sources, { system, skipped })
}

/** `plannedStream` keeps one stream for each plan; a batch reads several. */
function plannedStreamOf({ view }: BatchJob, running: StreamDef): StreamDef {
  return plannedStream({ ...view.plan }, running)
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
