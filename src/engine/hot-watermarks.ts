/**
 * The watermarks that the commits of a hot range store, as SQL: a list that is looked up by a commit's number, written
 * out while it is short and kept in a file otherwise. No state.
 *
 * A frame's header names the watermark only where it rose, so each commit's is the greatest up to it, beginning with
 * the state before the range. A frame that does not count late events is of an earlier release and gets none.
 */

import { writeFileSync } from 'node:fs'
import type { WatermarkSql } from '../lake/late-rule.ts'
import type { StateValues } from '../log/frame.ts'
import type { ByteRange } from '../log/log-cursor.ts'
import { withHeader } from '../log/log-state.ts'
import { createLogReader } from '../log/reader.ts'
import type { CommitHeader, LogManifest } from '../log/types.ts'
import type { CommitRange } from '../model/cut.ts'
import { quoteLiteral } from '../model/schema.ts'

/** A longer list would make the statement slow to parse. */
const INLINE_COMMITS = 500

export interface HotWatermarks {
  /** Of each stream by name. */
  readonly sql: (stream: string) => WatermarkSql
  /** The state at the end of the range, from which the next one may go on. */
  readonly end: StateValues | undefined
}

/** What a reader that follows the log knows already. */
export interface KnownLog {
  /** The state at the beginning of the range. */
  readonly before?: StateValues | undefined
  /** Where the range's frames are. */
  readonly bytes?: ByteRange
}

/** `file(stream)` names a file that may be written and stays as long as the SQL is used. */
export async function hotWatermarks(
  log: LogManifest,
  range: CommitRange,
  streams: readonly string[],
  file: (stream: string) => string,
  { before, bytes }: KnownLog = {},
): Promise<HotWatermarks> {
  if (streams.length === 0 || range.to <= range.from) return { sql: () => noWatermark, end: before }
  const marks = new Map(streams.map((stream) => [stream, [] as (number | null)[]]))
  const reader = createLogReader()
  let state = before ?? (await reader.stateAt(log, range.from))
  const headers = bytes === undefined ? reader.headers(log, range) : reader.headersWithin(bytes)
  for await (const header of headers) {
    state = withHeader(state, header)
    for (const [stream, list] of marks) list.push(watermarkOf(header, state, stream))
  }
  const lists = new Map([...marks].map(([stream, list]) => [stream, listSql(list, () => file(stream))]))
  const sql =
    (stream: string): WatermarkSql =>
    (commit) =>
      `make_timestamp((${lists.get(stream) ?? '[NULL::BIGINT]'})[${commit} - ${range.from}])`
  return { sql, end: state }
}

/** For events that are not hot: lake files have watermarks of their own. */
export const noWatermark: WatermarkSql = () => 'CAST(NULL AS TIMESTAMP)'

/** Microseconds; null: the commit has no event of the stream, or says nothing of lateness. */
export function watermarkOf(header: CommitHeader, after: StateValues, stream: string): number | null {
  if (header.late?.[stream] === undefined) return null
  return after.watermarksUs[stream] ?? null
}

/** The list is dense, since commits are. */
function listSql(marks: readonly (number | null)[], file: () => string): string {
  if (marks.length === 0) return '[NULL::BIGINT]'
  if (marks.length <= INLINE_COMMITS) return `[${marks.map((us) => us ?? 'NULL').join(',')}]::BIGINT[]`
  const path = file()
  writeFileSync(path, marks.map((us, index) => `${index},${us ?? ''}\n`).join(''))
  const columns = "{'n': 'BIGINT', 'us': 'BIGINT'}"
  return (
    `SELECT list(us ORDER BY n) FROM read_csv(${quoteLiteral(path)}, columns = ${columns}, header = false, ` +
    "auto_detect = false, delim = ',')"
  )
}
