/**
 * The late events of a range as a state that the past engine can make: a plan of our own over the stream of a view,
 * with a row for each late event. Pure.
 */

import { createHash } from 'node:crypto'
import type { PastState } from '../../engine/past.ts'
import type { CommitRange } from '../../model/cut.ts'
import { quoteIdentifier, quoteLiteral } from '../../model/schema.ts'
import type { Column, EventsPlan, ViewPlan } from '../../plan/plan.ts'
import { must } from '../../std/assert.ts'

const columns: readonly (Column & { readonly as: string })[] = [
  { name: 'c0', type: 'BIGINT', as: 'commit' },
  { name: 'c1', type: 'INTEGER', as: 'index' },
  { name: 'c2', type: 'BIGINT', as: 'us' },
  { name: 'c3', type: 'BIGINT', as: 'mark' },
  { name: 'c4', type: 'VARCHAR', as: 'rows' },
]

/**
 * Columns `commit`, `index`, `us` (event time), `mark` (watermark, both in µs) and `rows`: the keys of the view's rows
 * that the event belongs to as JSON, NULL where they cannot be told. `own` says stream and version.
 */
export function lateEventsState(own: PastState, { from, to }: CommitRange, time: string): PastState {
  const { view, streams, stages, events, reads } = own.plan
  const { kind, stream } = must(stages[0], 'a plan has a stage').source
  const keys = events === undefined || Object.keys(events.columns).length === 0 ? undefined : events
  const foldSql = `SELECT e."$commit" AS c0, e."$index" AS c1, epoch_us(e.${quoteIdentifier(time)}) AS c2, epoch_us(e."$watermark") AS c3, ${
    keys === undefined ? 'CAST(NULL AS VARCHAR) AS c4 FROM "$events" AS e' : withRows(keys)
  }`
  const plan: ViewPlan = {
    ...{ format: 1, view, sql: '', streams, inexact: [] },
    ...(reads === undefined ? {} : { reads }),
    columns: columns.map(({ as, type }) => ({ name: as, type })),
    stages: [
      {
        ...{ kind: 'rows', name: 'rows', foldSql },
        source: { kind, stream, fields: [...new Set([time, ...(keys?.fields ?? [])])], positions: true },
        columns: columns.map(({ name, type }) => ({ name, type })),
      },
    ],
    finish: {
      sql: `SELECT ${columns.map(({ name, as }) => `${name} AS ${quoteIdentifier(as)}`).join(', ')} FROM "$merged" ORDER BY c0, c1`,
      ...{ ordered: true, limited: false, keyColumns: {} },
    },
  }
  const asked = createHash('sha256').update(foldSql).digest('hex')
  const { lateOnly: _, batch: __, ...rest } = own
  return {
    ...rest,
    version: `${own.version} late ${asked}`,
    plan,
    slices: [],
    border: from,
    cut: to,
    onlyLate: true,
  }
}

function withRows({ sql, columns: names }: EventsPlan): string {
  const values = Object.entries(names).map(
    ([name, own]) => `${quoteLiteral(name)}, CAST(${quoteIdentifier(own)} AS VARCHAR)`,
  )
  const rows = `CAST(to_json(list(DISTINCT json_object(${values.join(', ')}))) AS VARCHAR)`
  return (
    `coalesce(x.r, '[]') AS c4 FROM "$events" AS e LEFT JOIN (SELECT "$commit" AS c, "$index" AS i, ${rows} AS r ` +
    `FROM (${sql}) GROUP BY ALL) AS x ON x.c = e."$commit" AND x.i = e."$index"`
  )
}
