/**
 * The first event with which two versions differ in a row: found by halving the row's events, each half judged by both
 * versions rebuilt up to there. No state.
 *
 * What is found: a row that is equal up to the event before and differs with it. Where a row differs, agrees again and
 * differs once more, it may be any of these places; where it differs once and for all, it is the first.
 */

import { readVersion } from '../../catalog/versions.ts'
import { pairingOf } from '../../deploy/compare-columns.ts'
import { rowDiffersQuery } from '../../deploy/compare-sql.ts'
import { exactValues } from '../../deploy/exact-values.ts'
import type { ComparedRow, CompareSummary, NamedEvent } from '../../deploy/types.ts'
import type { EventPosition } from '../../engine/engine.ts'
import type { PastState } from '../../engine/past.ts'
import type { CommitSeq, VersionId } from '../../model/cut.ts'
import type { JsonValue } from '../../model/schema.ts'
import { must } from '../../std/assert.ts'
import type { ServerContext } from '../context.ts'
import { eventsAt, rowPositions } from './row-events.ts'

type Key = Readonly<Record<string, string | null>>

/** The summary with the first event of its first `rows` rows that events or logic make differ. */
export async function withFirstEvents(
  context: ServerContext,
  summary: CompareSummary,
  rows: number,
  signal?: AbortSignal,
): Promise<CompareSummary> {
  if (summary.pairing === 'rows') return summary
  const sample: ComparedRow[] = []
  let left = rows
  for (const row of summary.sample) {
    const wanted = left > 0 && (row.cause === 'logic' || row.cause === 'events')
    if (wanted) left--
    const first = wanted ? await firstDifference(context, summary, keyOf(summary, row), signal) : undefined
    sample.push(first === undefined ? row : { ...row, first })
  }
  return { ...summary, sample }
}

function keyOf(summary: CompareSummary, row: ComparedRow): Key {
  const values = (row.new ?? row.old) as Readonly<Record<string, JsonValue>>
  const text = (value: JsonValue | undefined): string | null => {
    if (value === undefined || value === null) return null
    return typeof value === 'object' ? JSON.stringify(value) : String(value)
  }
  return Object.fromEntries(
    summary.key.map((name) => [name, text(values[name] ?? (row.old as typeof values)?.[name])]),
  )
}

/** Undefined when the row is the same at the cut, or differs before its first event. */
export async function firstDifference(
  context: ServerContext,
  compared: {
    readonly view: string
    readonly from: VersionId
    readonly to: VersionId
    readonly cut: CommitSeq
  },
  key: Key,
  signal?: AbortSignal,
): Promise<NamedEvent | undefined> {
  const { view, from, to, cut } = compared
  const older = must(readVersion(context.catalog, view, from), 'the old version is there')
  const newer = must(readVersion(context.catalog, view, to), 'the new version is there')
  const pairing = pairingOf(older.plan, newer.plan)
  const asking = signal === undefined ? {} : { signal }
  const positions: Readonly<Record<string, PastState>> = {
    made_old: await rowPositions(context, older, cut, key),
    made_new: await rowPositions(context, newer, cut, key),
  }
  const events = '(SELECT * FROM made_old UNION SELECT * FROM made_new)'
  const ask = async (states: typeof positions, sql: string): Promise<Readonly<Record<string, JsonValue>>> => {
    const [answer] = await context.past.query({ states, statements: [{ sql, limit: 1 }], ...asking })
    const [row] = exactValues(must(answer, 'one answer').json) as unknown as Readonly<
      Record<string, JsonValue>
    >[]
    return row ?? {}
  }
  const eventAt = async (place: number): Promise<EventPosition> => {
    const sql = `SELECT * FROM ${events} ORDER BY "commit", "index" LIMIT 1 OFFSET ${place}`
    const { commit, index } = await ask(positions, sql)
    return { commit: Number(commit), index: Number(index) }
  }
  const differsWith = async (last: EventPosition): Promise<boolean> => {
    const later = await ask(
      positions,
      `SELECT to_json(list("index")) AS later FROM ${events} WHERE "commit" = ${last.commit} AND "index" > ${last.index}`,
    )
    const left = (
      typeof later['later'] === 'string' ? JSON.parse(later['later']) : (later['later'] ?? [])
    ) as number[]
    const upTo = (version: VersionId): PastState => {
      const state = context.past.stateAt(view, version, last.commit)
      // Slices that hold the events to leave out do not serve.
      const before = context.past.stateAt(view, version, last.commit - 1)
      const skipped = [...state.skipped, ...left.map((index) => ({ commit: last.commit, index }))]
      return left.length === 0 ? state : { ...before, cut: last.commit, skipped }
    }
    const states = { old_rows: upTo(from), new_rows: upTo(to) }
    return (await ask(states, rowDiffersQuery(pairing, key)))['differs'] === true
  }
  const { n } = await ask(positions, `SELECT CAST(count(*) AS BIGINT) AS n FROM ${events}`)
  let [low, high] = [0, Number(n) - 1]
  if (high < 0 || !(await differsWith(await eventAt(high)))) return undefined
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (await differsWith(await eventAt(middle))) high = middle
    else low = middle + 1
  }
  const position = await eventAt(low)
  const stream = must(newer.plan.streams[0], 'a view reads a stream')
  const [event] = await eventsAt(context, stream, [position])
  if (event === undefined) return undefined
  const { partition, offset, commit, index, timeMs, json } = event
  const time = new Date(timeMs).toISOString()
  return { stream, partition, offset, commit, index, time, event: exactValues(json) }
}
