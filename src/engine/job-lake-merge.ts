/**
 * Merges neighbouring lake files of one stream into one staged file with the same rows in the same order. No state.
 *
 * What is checked, because the inputs are deleted afterwards: the bytes of every input against its checksum; that rows
 * and a sum of hashes over all columns are those of the inputs; and that offsets are dense in each partition.
 */

import { join } from 'node:path'
import { textColumn } from '../lake/event-text.ts'
import { watermarkColumn } from '../lake/late-rule.ts'
import { systemColumns } from '../lake/relation.ts'
import type { LakeFile } from '../lake/types.ts'
import { RefoldError } from '../model/errors.ts'
import { quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import { assert, must } from '../std/assert.ts'
import { sumFile } from '../std/file-sum.ts'
import { queryRows } from './duckdb.ts'
import type { Job, JobResult } from './engine.ts'
import { offsetRanges } from './job-lake.ts'
import type { JobContext } from './run-in-worker.ts'
import { copyToParquet } from './staging.ts'

type LakeMergeJob = Extract<Job, { kind: 'lake-merge' }>

export async function runLakeMergeJob(job: LakeMergeJob, context: JobContext): Promise<JobResult> {
  const { connection } = context
  const { inputs } = job
  const first = must(inputs[0], 'there are files to merge')
  const last = must(inputs.at(-1), 'there are files to merge')
  for (const [index, file] of inputs.entries()) {
    const before = inputs[index - 1]
    assert(before === undefined || before.to <= file.from, 'files that are merged are in order')
    assert(sameNames(file.fields, first.fields), 'files that are merged have the same columns')
    await checkInput(file)
    context.report({ done: index, total: inputs.length })
  }
  const { from } = first
  const { to } = last
  const path = join(job.stagingDir, `lake-merge-${first.stream}-${from}-${to}-${process.pid}.parquet`)
  const select = columnsOf(first)
  const all = `SELECT ${select} FROM read_parquet(${list(inputs)}, union_by_name = true)`
  const staged = await copyToParquet(connection, `${all} ORDER BY _commit, _index`, path)
  const wanted = await contentOf(context, all)
  const found = await contentOf(context, `SELECT ${select} FROM read_parquet(${quoteLiteral(path)})`)
  if (wanted !== found || staged.rows !== inputs.reduce((sum, { rows }) => sum + rows, 0)) {
    throw new RefoldError('JOB_FAILED', `the merged lake file "${path}" does not hold what its inputs hold`)
  }
  const ends = last.offsets.map((range) => range.to)
  const offsets = await offsetRanges(connection, first.stream, path, ends)
  const times = timesOf(inputs)
  const file = { stream: first.stream, from, to, path, ...staged, offsets, fields: first.fields }
  return { kind: 'lake-merge', file: { ...file, ...(times === undefined ? {} : { times }) } }
}

async function checkInput({ path, bytes, checksum }: LakeFile): Promise<void> {
  const found = await sumFile(path)
  if (found.bytes === bytes && found.checksum === checksum) return
  throw new RefoldError('JOB_FAILED', `lake file "${path}" does not match its checksum, and is not merged`, {
    hint: 'Run `refold lake check`, and put the file back from a backup.',
  })
}

/** The fields in the first file's order, then the system columns, then watermark and text of the event. */
function columnsOf({ fields }: LakeFile): string {
  const names = [
    ...fields.filter((name) => name !== textColumn && name !== watermarkColumn),
    ...systemColumns.map(({ name }) => name),
    ...[watermarkColumn, textColumn].filter((name) => fields.includes(name)),
  ]
  return names.map(quoteIdentifier).join(', ')
}

/** Count and sum of hashes of the rows; their order is no part of it. */
async function contentOf({ connection }: JobContext, rows: string): Promise<string> {
  const sum = 'coalesce(sum(CAST(hash(each) AS HUGEINT)), 0)'
  const [row] = await queryRows(
    connection,
    `SELECT concat_ws(' ', count(*), ${sum}) AS content FROM (${rows}) AS each`,
  )
  return String(row?.['content'])
}

function timesOf(files: readonly LakeFile[]): LakeFile['times'] {
  const times = files.flatMap((file) => (file.times === undefined ? [] : [file.times]))
  if (times.length < files.length) return undefined
  const ingested = span(times.map((time) => time.ingested))
  const events = times.flatMap((time) => (time.events === undefined ? [] : [time.events]))
  return events.length === 0 ? { ingested } : { ingested, events: span(events) }
}

function span(ranges: readonly (readonly [number, number])[]): readonly [number, number] {
  return [Math.min(...ranges.map(([low]) => low)), Math.max(...ranges.map(([, high]) => high))]
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name) => b.includes(name))
}

function list(files: readonly LakeFile[]): string {
  return `[${files.map(({ path }) => quoteLiteral(path)).join(', ')}]`
}
