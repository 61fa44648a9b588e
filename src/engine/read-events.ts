/**
 * Reads events back from the lake as the log held them, in the order of the log. No state; a caller pages by giving
 * the position of the last event that it got.
 */

import type { DuckDBConnection, DuckDBValue } from '@duckdb/node-api'
import { textColumn } from '../lake/event-text.ts'
import { lakeRelation, overlaps } from '../lake/relation.ts'
import type { LakeFile } from '../lake/types.ts'
import type { LogEvent } from '../log/types.ts'
import type { CommitRange, CommitSeq, Offset, Partition } from '../model/cut.ts'
import { type ObjectType, quoteLiteral, type StreamDef } from '../model/schema.ts'
import { queryValue, runCancellable, type StatementOptions } from './duckdb.ts'
import type { EventPosition } from './engine.ts'
import { eventWriter, type WriteEvent } from './event-json.ts'

export interface LakeEventsFilter {
  readonly range?: CommitRange
  readonly partition?: Partition
  /** Offsets from the first up to and without the second. */
  readonly offsets?: { readonly from?: Offset; readonly to?: Offset }
  /** Ingest time in ms, from the first up to and without the second. */
  readonly timeMs?: { readonly from?: number; readonly to?: number }
  /** Only what comes after this event. */
  readonly after?: EventPosition
}

/** For a stream whose schema has changed: how its events get the form of the newest one. */
export interface EventTexts {
  /** An event's text as the log holds it, in the form of the newest schema. */
  current(json: string): string
  /** The newest schema, with null where the schema under which this commit came in has it. */
  schemaAt(commit: CommitSeq): ObjectType
}

export interface LakeEventsOptions extends StatementOptions {
  readonly texts?: EventTexts | undefined
}

/** Up to `limit` events of a stream that the filter lets through. */
export async function readLakeEvents(
  connection: DuckDBConnection,
  stream: StreamDef,
  files: readonly LakeFile[],
  filter: LakeEventsFilter,
  limit: number,
  options: LakeEventsOptions = {},
): Promise<LogEvent[]> {
  let events: LogEvent[] = []
  const inOrder = files
    .filter((file) => file.stream === stream.name && mayHold(file, filter))
    .sort((a, b) => a.from - b.from)
  for (const file of inOrder) {
    if (events.length >= limit) break
    events = events.concat(await readFile(connection, stream, file, filter, limit - events.length, options))
  }
  return events
}

/** The last commit of these files that was taken in at or before a time; undefined when none was. */
export async function lastCommitAt(
  connection: DuckDBConnection,
  files: readonly LakeFile[],
  timeMs: number,
): Promise<CommitSeq | undefined> {
  const candidates = files.filter((file) => file.rows > 0 && (file.times?.ingested[0] ?? timeMs) <= timeMs)
  if (candidates.length === 0) return undefined
  const paths = candidates.map((file) => quoteLiteral(file.path)).join(', ')
  const found = await queryValue(
    connection,
    `SELECT max(_commit) FROM read_parquet([${paths}], union_by_name = true)
     WHERE _ingested_at <= make_timestamp_ms(${timeMs})`,
  )
  return found === null ? undefined : Number(found)
}

function mayHold(file: LakeFile, { range, partition, offsets, after }: LakeEventsFilter): boolean {
  if (range !== undefined && !overlaps(file, range)) return false
  if (after !== undefined && file.to < after.commit) return false
  if (partition === undefined) return true
  const held = file.offsets[partition]
  if (held === undefined || held.from === held.to) return false
  return held.to > (offsets?.from ?? 0) && held.from < (offsets?.to ?? Number.POSITIVE_INFINITY)
}

/**
 * Reads a file window by window: as many commits as the limit should take, then more. A file is sorted by commit and
 * its row groups say which commits they hold, so a page costs what it gives and not what the file has left.
 */
async function readFile(
  connection: DuckDBConnection,
  stream: StreamDef,
  file: LakeFile,
  filter: LakeEventsFilter,
  limit: number,
  options: LakeEventsOptions,
): Promise<LogEvent[]> {
  const { range, after } = filter
  const end = Math.min(file.to, range?.to ?? file.to)
  let from = Math.max(file.from, range?.from ?? 0, (after?.commit ?? 0) - 1)
  let commits = Math.ceil((1.25 * limit * (file.to - file.from)) / file.rows)
  let events: LogEvent[] = []
  while (from < end && events.length < limit) {
    const window = { from, to: Math.min(end, from + commits) }
    const inWindow = { ...filter, range: window }
    const rest = limit - events.length
    events = events.concat(await readWindow(connection, stream, file, inWindow, rest, options))
    from = window.to
    commits *= 4
  }
  return events
}

async function readWindow(
  connection: DuckDBConnection,
  stream: StreamDef,
  file: LakeFile,
  filter: LakeEventsFilter,
  limit: number,
  options: LakeEventsOptions,
): Promise<LogEvent[]> {
  const hasText = file.fields.includes(textColumn)
  const write = hasText ? textWriter(options.texts) : valuesWriter(stream, options.texts)
  const source = hasText
    ? `SELECT ${textColumn}, _partition, _offset, _commit, _index, _ingested_at FROM read_parquet(${quoteLiteral(file.path)})`
    : lakeRelation(stream, 'all', [file], undefined, { system: true, defaults: false })
  const sql =
    `SELECT * REPLACE (epoch_ms(_ingested_at) AS _ingested_at) FROM (${source}) ` +
    `WHERE ${conditions(filter).join(' AND ')} ORDER BY _commit, _index LIMIT ${Math.floor(limit)}`
  const result = await runCancellable(connection, sql, options)
  const events: LogEvent[] = []
  for (let chunk = 0; chunk < result.chunkCount; chunk++) {
    for (const row of result.getChunk(chunk).getRows()) {
      const [partition, offset, commit, index, timeMs] = row.slice(-5).map(Number)
      events.push({
        ...{ commit: commit ?? 0, index: index ?? 0, stream: stream.name },
        ...{ partition: partition ?? 0, offset: offset ?? 0, timeMs: timeMs ?? 0 },
        json: write(row, commit ?? 0),
      })
    }
  }
  return events
}

type WriteRow = (values: readonly DuckDBValue[], commit: CommitSeq) => string

function textWriter(texts: EventTexts | undefined): WriteRow {
  return (values) => texts?.current(String(values[0])) ?? String(values[0])
}

/** NULL is "missing" or null by the schema under which the event came in. */
function valuesWriter(stream: StreamDef, texts: EventTexts | undefined): WriteRow {
  if (texts === undefined) return eventWriter(stream.schema)
  const writers = new Map<ObjectType, WriteEvent>()
  return (values, commit) => {
    const schema = texts.schemaAt(commit)
    const write = writers.get(schema) ?? eventWriter(schema)
    writers.set(schema, write)
    return write(values)
  }
}

function conditions({ range, partition, offsets, timeMs, after }: LakeEventsFilter): string[] {
  const time = (ms: number): string => `make_timestamp_ms(${Math.ceil(ms)})`
  return [
    'true',
    ...(range === undefined ? [] : [`_commit > ${range.from} AND _commit <= ${range.to}`]),
    ...(partition === undefined ? [] : [`_partition = ${partition}`]),
    ...(offsets?.from === undefined ? [] : [`_offset >= ${offsets.from}`]),
    ...(offsets?.to === undefined ? [] : [`_offset < ${offsets.to}`]),
    ...(timeMs?.from === undefined ? [] : [`_ingested_at >= ${time(timeMs.from)}`]),
    ...(timeMs?.to === undefined ? [] : [`_ingested_at < ${time(timeMs.to)}`]),
    ...(after === undefined
      ? []
      : [`_commit >= ${after.commit}`, `(_commit, _index) > (${after.commit}, ${after.index})`]),
  ]
}
