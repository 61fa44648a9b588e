/**
 * Aggregates over all events of a range as a state that the past engine can make: a plan of our own over the stream of
 * a view, told from the view's versions by what it computes. Pure.
 */

import { createHash } from 'node:crypto'
import type { PastState } from '../../engine/past.ts'
import type { CommitRange } from '../../model/cut.ts'
import { quoteIdentifier } from '../../model/schema.ts'
import type { PartialColumn, ViewPlan } from '../../plan/plan.ts'
import { must } from '../../std/assert.ts'

export interface Counting extends PartialColumn {
  /** Aggregate over the events. */
  readonly sql: string
}

/** One row with these columns. `own` says stream and version; its slices are not used. */
export function countingState(
  own: PastState,
  range: CommitRange,
  fields: readonly string[],
  columns: readonly Counting[],
): PastState {
  const { view, streams, stages } = own.plan
  const list = columns.map(({ sql, name, type }) => `CAST(${sql} AS ${type}) AS ${quoteIdentifier(name)}`)
  const foldSql = `SELECT ${list.join(', ')} FROM "$events"`
  const { kind, stream } = must(stages[0], 'a plan has a stage').source
  const plan: ViewPlan = {
    ...{ format: 1, view, sql: '', streams, inexact: [] },
    columns: columns.map(({ name, type }) => ({ name, type })),
    stages: [
      {
        ...{ kind: 'group', name: 'count', keys: [] },
        source: { kind, stream, fields },
        parts: [
          { kind: 'main', name: 'main', foldSql, aggregates: columns.map(({ sql: _, ...column }) => column) },
        ],
      },
    ],
    finish: {
      sql: `SELECT ${columns.map(({ name }) => quoteIdentifier(name)).join(', ')} FROM "$merged"`,
      ...{ ordered: false, limited: false, keyColumns: {} },
    },
  }
  const asked = createHash('sha256').update(foldSql).digest('hex')
  const { lateOnly: _, ...rest } = own
  return {
    ...rest,
    version: `${own.version} count ${asked}`,
    plan,
    slices: [],
    border: range.from,
    cut: range.to,
  }
}
