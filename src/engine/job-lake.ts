/**
 * Moves a range of the hot log into the lake: one staged Parquet file per stream. No state beyond tables of the
 * range's commits, which go with the process.
 *
 * What is checked before the file may be published, because the hot segments are deleted afterwards: the frames are
 * walked by their headers; the rows of all files together are as many as the headers say; and in each partition the
 * offsets are dense and end where the last header says.
 */

import { join } from 'node:path'
import type { DuckDBAppender, DuckDBConnection } from '@duckdb/node-api'
import { needsText, textColumn } from '../lake/event-text.ts'
import { watermarkColumn } from '../lake/late-rule.ts'
import { sealRelation } from '../lake/relation.ts'
import type { LakeFile } from '../lake/types.ts'
import { withHeader } from '../log/log-state.ts'
import { createLogReader } from '../log/reader.ts'
import type { CommitSeq, Offset, OffsetVector } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import { quoteIdentifier, quoteLiteral, type StreamDef } from '../model/schema.ts'
import { must } from '../std/assert.ts'
import { queryRows, run } from './duckdb.ts'
import type { Job, JobResult } from './engine.ts'
import { hotFilesOf } from './hot-files.ts'
import { watermarkOf } from './hot-watermarks.ts'
import type { JobContext } from './run-in-worker.ts'
import { copyToParquet } from './staging.ts'

type LakeJob = Extract<Job, { kind: 'lake' }>

export async function runLakeJob(job: LakeJob, context: JobContext): Promise<JobResult> {
  const { connection } = context
  const { range, segments } = job
  const files = await hotFilesOf(segments, range, context.tempDir)
  const commits = await readHeaders(job, connection)
  const names = new Set(
    files.flatMap((file) => Object.keys(file.events ?? commits.offsets)).concat(Object.keys(commits.offsets)),
  )
  const lakeFiles: LakeFile[] = []
  let rows = 0
  for (const name of [...names].sort()) {
    const stream = job.streams.find((candidate) => candidate.name === name)
    if (stream === undefined)
      throw new RefoldError('JOB_FAILED', `the log has events of stream "${name}", which is not known`)
    const file = await writeStream(
      job,
      context,
      stream,
      files.map(({ path }) => path),
      commits.offsets,
    )
    if (file !== undefined) lakeFiles.push(file)
    rows += file?.rows ?? 0
    context.report({ done: rows, total: commits.events })
  }
  if (rows !== commits.events) {
    throw new RefoldError('JOB_FAILED', `the lake files hold ${rows} of ${commits.events} events`)
  }
  return { kind: 'lake', manifest: { through: range.to, files: lakeFiles } }
}

interface Commits {
  readonly events: number
  /** Next offsets at the end of the range, of the streams that it changed. */
  readonly offsets: OffsetVector
}

/** Walks the headers and keeps their ingest times in a table, and in another the watermarks that they store. */
async function readHeaders(job: LakeJob, connection: DuckDBConnection): Promise<Commits> {
  await run(connection, 'CREATE TABLE commit_times (number BIGINT, t BIGINT)')
  await run(connection, 'CREATE TABLE commit_watermarks (stream VARCHAR, number BIGINT, us BIGINT)')
  const appender = await connection.createAppender('commit_times')
  const marks = await connection.createAppender('commit_watermarks')
  const timed = job.streams.filter(({ time }) => time !== undefined).map(({ name }) => name)
  const reader = createLogReader()
  let state = await reader.stateAt(job.segments, job.range.from)
  let events = 0
  let offsets: OffsetVector = {}
  for await (const header of reader.headers(job.segments, job.range)) {
    appender.appendBigInt(BigInt(header.commit))
    appender.appendBigInt(BigInt(header.timeMs))
    appender.endRow()
    state = withHeader(state, header)
    for (const stream of timed) {
      const us = watermarkOf(header, state, stream)
      if (us !== null) appendMark(marks, stream, header.commit, us)
    }
    events += header.events
    offsets = { ...offsets, ...header.offsets }
  }
  appender.closeSync()
  marks.closeSync()
  return { events, offsets }
}

function appendMark(marks: DuckDBAppender, stream: string, commit: CommitSeq, us: number): void {
  marks.appendVarchar(stream)
  marks.appendBigInt(BigInt(commit))
  marks.appendBigInt(BigInt(us))
  marks.endRow()
}

async function writeStream(
  job: LakeJob,
  { connection }: JobContext,
  stream: StreamDef,
  paths: readonly string[],
  offsets: OffsetVector,
): Promise<LakeFile | undefined> {
  const { from, to } = job.range
  const path = join(job.stagingDir, `lake-${stream.name}-${from}-${to}-${process.pid}.parquet`)
  // Commits are dense, so a list in their order is an array by number: no join, and the lines keep streaming.
  const ingestTime = (commit: string): string =>
    `make_timestamp_ms((SELECT list(t ORDER BY number) FROM commit_times)[${commit} - ${from}])`
  const ofStream = `(SELECT * FROM commit_watermarks WHERE stream = ${quoteLiteral(stream.name)})`
  const watermark = (commit: string): string =>
    'make_timestamp((SELECT list(us ORDER BY t.number) FROM commit_times AS t ' +
    `LEFT JOIN ${ofStream} AS w ON w.number = t.number)[${commit} - ${from}])`
  const events = sealRelation(stream, paths, job.range, { ingestTime, watermark })
  const staged = await copyToParquet(connection, events, path)
  if (staged.rows === 0) return undefined
  const ends = offsets[stream.name] ?? []
  const fields = stream.schema.fields.map((field) => field.name)
  const eventTimes = await timesOf(connection, stream, path)
  return {
    stream: stream.name,
    from,
    to,
    path,
    ...staged,
    offsets: await offsetRanges(connection, stream.name, path, ends),
    fields: [
      ...fields,
      ...(stream.time === undefined ? [] : [watermarkColumn]),
      ...(needsText(stream.schema) ? [textColumn] : []),
    ],
    times: eventTimes,
  }
}

/** First and last times; the file's statistics have them, so nothing is read for it. */
async function timesOf(
  connection: DuckDBConnection,
  stream: StreamDef,
  path: string,
): Promise<NonNullable<LakeFile['times']>> {
  const time = stream.time === undefined ? 'NULL::TIMESTAMP' : quoteIdentifier(stream.time)
  const [row] = await queryRows(
    connection,
    `SELECT epoch_ms(min(_ingested_at)) AS i0, epoch_ms(max(_ingested_at)) AS i1, ` +
      `epoch_us(min(${time})) AS e0, epoch_us(max(${time})) AS e1 FROM read_parquet(${quoteLiteral(path)})`,
  )
  const ingested = [Number(row?.['i0']), Number(row?.['i1'])] as const
  const first = row?.['e0']
  if (first === null || first === undefined) return { ingested }
  return { ingested, events: [Number(first), Number(row?.['e1'])] }
}

/** Offsets of a staged file by partition, which are dense and end where they must. */
export async function offsetRanges(
  connection: DuckDBConnection,
  stream: string,
  path: string,
  ends: readonly Offset[],
): Promise<LakeFile['offsets']> {
  const found = await queryRows(
    connection,
    `SELECT _partition AS p, min(_offset) AS low, max(_offset) AS high, count(*) AS n ` +
      `FROM read_parquet(${quoteLiteral(path)}) GROUP BY ALL`,
  )
  const ranges = ends.map((end) => ({ from: end, to: end }))
  for (const row of found) {
    const partition = Number(row['p'])
    const from = Number(row['low'])
    const to = Number(row['high']) + 1
    if (to - from !== Number(row['n']) || to !== ends[partition]) {
      throw new RefoldError(
        'JOB_FAILED',
        `stream "${stream}" partition ${partition} has ${row['n']} events in offsets ${from} to ${to}, and the log ends at ${ends[partition]}`,
      )
    }
    must(ranges[partition], `partition ${partition} is in the headers`)
    ranges[partition] = { from, to }
  }
  return ranges
}
