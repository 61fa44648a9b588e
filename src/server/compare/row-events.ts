/**
 * The events that made a row: found by the view's own keys in the past engine, read from log and lake as they were
 * sent. No state; pages by the position of the last event given.
 *
 * The fold's source is run with the positions of its events as a version of its own, so the events are those that the
 * view takes for that row and no others: the same WHERE, the same expressions, by the same engine.
 */

import { createHash } from 'node:crypto'
import { trimmedBeyond } from '../../catalog/trims.ts'
import { serving, type VersionRow } from '../../catalog/versions.ts'
import type { EventPosition } from '../../engine/engine.ts'
import type { PastState } from '../../engine/past.ts'
import { openSqlSyntax } from '../../engine/sql-syntax.ts'
import type { LogEvent } from '../../log/types.ts'
import type { CommitSeq } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import { quoteIdentifier, quoteLiteral } from '../../model/schema.ts'
import type { Column, EventsPlan, ViewPlan } from '../../plan/plan.ts'
import { planView } from '../../plan/plan-view.ts'
import type { RowEventsAnswer, RowEventsRequest } from '../../serve/core-compare.ts'
import { must } from '../../std/assert.ts'
import type { ServerContext } from '../context.ts'
import { eventTexts } from '../event-texts.ts'
import { comparableCut, versionNamed, versionsOf } from './version-pair.ts'

type Key = RowEventsRequest['key']

export async function rowEvents(context: ServerContext, request: RowEventsRequest): Promise<RowEventsAnswer> {
  const { view, key, limit, after, signal } = request
  const row = versionOf(context, view, request.version)
  const cut = comparableCut(context, view, [row.version], request.cut)
  const state = await rowPositions(context, row, cut, key)
  const [counted, found] = await context.past.query({
    states: { made: state },
    statements: [
      { sql: 'SELECT CAST(count(*) AS BIGINT) AS n FROM made', limit: 1 },
      { sql: `SELECT * FROM made WHERE ${afterSql(after)} ORDER BY "commit", "index"`, limit },
    ],
    ...(signal === undefined ? {} : { signal }),
  })
  const positions = JSON.parse(must(found, 'two answers').json) as readonly EventPosition[]
  const total =
    (JSON.parse(must(counted, 'two answers').json) as readonly { readonly n: number }[])[0]?.n ?? 0
  const last = positions.at(-1)
  return {
    view,
    version: row.version,
    cut,
    key,
    total,
    ...(state.border > row.start ? { gone: state.border } : {}),
    events: await eventsAt(context, must(row.plan.streams[0], 'a view reads a stream'), positions),
    ...(found?.truncated === true && last !== undefined ? { next: last } : {}),
  }
}

/** The positions of the events that made a row, as a state: columns `commit` and `index`. */
export async function rowPositions(
  context: ServerContext,
  row: VersionRow,
  cut: CommitSeq,
  key: Key,
): Promise<PastState> {
  const events = await eventsPlan(context, row)
  const condition = conditionOf(row.plan, events, key)
  const trim = trimmedBeyond(context.catalog, row.plan.streams, row.start)
  const border = Math.min(cut, Math.max(row.start, trim?.cut ?? 0))
  const own = { ...context.past.stateAt(row.view, row.version, cut), border }
  return positionsState(own, row, events, condition)
}

function versionOf(context: ServerContext, view: string, asked: string | undefined): VersionRow {
  const known = versionsOf(context, view)
  const text = asked ?? serving(context.catalog)[view] ?? known.at(-1)?.version ?? ''
  return versionNamed(view, known, text)
}

/** Plans of earlier releases do not say which events made a row; the same SQL is planned again for it. */
async function eventsPlan(context: ServerContext, { view, sql, plan }: VersionRow): Promise<EventsPlan> {
  if (plan.events !== undefined) return plan.events
  const syntax = await openSqlSyntax()
  try {
    const place = { line: 1, column: 1 }
    const planned = await planView({ name: view, sql, place, streams: context.streams(), syntax })
    if (planned.ok && planned.plan.events !== undefined) return planned.plan.events
  } finally {
    syntax.close()
  }
  throw new RefoldError('QUERY_FAILED', `the events of rows of view "${view}" cannot be told by its plan`)
}

/** Equality on the stage's columns that the row's columns are. */
function conditionOf(plan: ViewPlan, events: EventsPlan, key: Key): string {
  const conditions = Object.entries(key).map(([name, value]) => {
    const column = Object.keys(events.columns).find((known) => known.toLowerCase() === name.toLowerCase())
    if (column === undefined) throw unknownKey(plan, events, name)
    const own = must(stageColumn(plan, must(events.columns[column], 'a column of the stage')), 'it is there')
    if (value === null) return `${quoteIdentifier(own.name)} IS NULL`
    return `${quoteIdentifier(own.name)} = CAST(${quoteLiteral(value)} AS ${own.type})`
  })
  return conditions.length === 0 ? 'true' : conditions.join(' AND ')
}

function stageColumn(plan: ViewPlan, name: string): Column | undefined {
  const stage = plan.stages[0]
  const columns = stage?.kind === 'group' ? stage.keys : stage?.columns
  return columns?.find((column) => column.name === name)
}

function unknownKey(plan: ViewPlan, events: EventsPlan, name: string): RefoldError {
  const isColumn = plan.columns.some((column) => column.name.toLowerCase() === name.toLowerCase())
  const names = Object.keys(events.columns)
  const fact = isColumn
    ? `column "${name}" of view "${plan.view}" does not say which events made a row`
    : `view "${plan.view}" has no column "${name}"`
  const hint =
    names.length === 0
      ? 'No column of this view does; ask without a key for all its events.'
      : `These do: ${names.join(', ')}.`
  return new RefoldError('COLUMN_UNKNOWN', fact, { hint })
}

/** The positions of the events as a version of its own, told from others by what it asks for. */
function positionsState(own: PastState, row: VersionRow, events: EventsPlan, condition: string): PastState {
  const foldSql = `SELECT DISTINCT "$commit" AS c0, "$index" AS c1 FROM (${events.sql}) WHERE ${condition}`
  const source = { ...must(row.plan.stages[0], 'a plan has a stage').source, fields: events.fields }
  const plan: ViewPlan = {
    ...{ format: 1, view: row.view, sql: '', streams: row.plan.streams, inexact: [] },
    ...(row.plan.reads === undefined ? {} : { reads: row.plan.reads }),
    columns: [
      { name: 'commit', type: 'BIGINT' },
      { name: 'index', type: 'INTEGER' },
    ],
    stages: [
      {
        ...{ kind: 'rows', name: 'rows', foldSql },
        source: { ...source, positions: true },
        columns: [
          { name: 'c0', type: 'BIGINT' },
          { name: 'c1', type: 'INTEGER' },
        ],
      },
    ],
    finish: {
      sql: 'SELECT c0 AS "commit", c1 AS "index" FROM "$merged" ORDER BY 1, 2',
      ...{ ordered: true, limited: false, keyColumns: {} },
    },
  }
  const asked = createHash('sha256').update(foldSql).digest('hex')
  return { ...own, version: `${row.version} events ${asked}`, plan, slices: [] }
}

function afterSql(after: EventPosition | undefined): string {
  if (after === undefined) return 'true'
  const { commit, index } = after
  return `("commit" > ${commit} OR ("commit" = ${commit} AND "index" > ${index}))`
}

/** The events as they were sent, in the order of the positions. */
export async function eventsAt(
  context: ServerContext,
  name: string,
  positions: readonly EventPosition[],
): Promise<readonly LogEvent[]> {
  const stream = must(
    context.streams().find((candidate) => candidate.name === name),
    `stream "${name}" is there`,
  )
  const texts = eventTexts(context.catalog, stream)
  const current = (event: LogEvent) =>
    texts === undefined ? event : { ...event, json: texts.current(event.json) }
  return await context.pins.with(async (sources) => {
    const { through } = sources.lake
    const cold = positions.filter(({ commit }) => commit <= through)
    const events = [...(await context.lakeEvents.at(sources, stream, cold, texts))]
    const hot = Map.groupBy(
      positions.filter(({ commit }) => commit > through),
      ({ commit }) => commit,
    )
    for (const [commit, wanted] of hot) {
      const indexes = new Set(wanted.map(({ index }) => index))
      for await (const event of context.reader.events(sources.log, { from: commit - 1, to: commit })) {
        if (event.stream === name && indexes.has(event.index)) events.push(current(event))
      }
    }
    return events
  })
}
