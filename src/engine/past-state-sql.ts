/**
 * The SQL of a version's finished rows at a cut: slices up to a border, and a fold of the events after it, merged and
 * finished by the plan's own queries. Pure text.
 *
 * Why it equals what the live engine answers: the plan is the same, merging is associative, and finishing makes every
 * order total; where the border between slices and folded events stands changes nothing.
 */

import type { LateRule, WatermarkSql } from '../lake/late-rule.ts'
import { logRelation, positionNames } from '../lake/relation.ts'
import type { CommitRange } from '../model/cut.ts'
import { quoteIdentifier, quoteLiteral, type StreamDef } from '../model/schema.ts'
import { combinedQuery } from '../plan/merge-rules.ts'
import type { StagePlan } from '../plan/plan.ts'
import {
  emptyPartQuery,
  finishQuery,
  foldQuery,
  mergedQuery,
  mergeQuery,
  partColumns,
  partNames,
} from '../plan/queries.ts'
import type { LogSources } from './engine.ts'
import { soleStage } from './merged-relation.ts'
import type { PastState } from './past.ts'

/** Where a state's events come from. */
export interface StateSources {
  readonly lake: LogSources['lake']
  /** They hold the hot log's events of (border, cut]. */
  readonly hotFiles: readonly string[]
  /** Of the hot commits, for states that ask which events are late. */
  readonly watermark: WatermarkSql
  /** SELECT of the partial rows of (border, cut], where functions in TypeScript made them. */
  readonly folded?: string
  /** SELECT of the batch layer's rows, of a view with two definitions that has some. */
  readonly batchRows?: string
}

export function stateQuery(state: PastState, stream: StreamDef, sources: StateSources): string {
  const stage = soleStage(state.plan)
  const { from, to } = rangeRead(state)
  const events = from < to ? (sources.folded ?? stateEvents(state, stage, stream, sources)) : undefined
  const parts: Record<string, string> = {}
  for (const part of partNames(stage)) {
    const partials = [
      ...sliceRows(state, stage, part),
      ...(events === undefined ? [] : [`SELECT * FROM (${foldQuery(stage, part, events)})`]),
    ]
    const rows = partials.length === 0 ? emptyPartQuery(stage, part) : partials.join(' UNION ALL ')
    parts[part] = mergeQuery(stage, part, rows)
  }
  const { plan } = state
  const rows = finishQuery(plan, mergedQuery(stage, parts))
  const { batchRows } = sources
  if (plan.batch === undefined || batchRows === undefined) return rows
  return combinedQuery(plan, plan.batch, batchRows, rows)
}

/** The commits whose events a state folds. */
export function rangeRead({ border, cut, alsoLate }: PastState): CommitRange {
  return { from: border, to: Math.max(cut, alsoLate?.to ?? cut) }
}

/** What a state takes of late events; undefined: they are like the others. */
export function lateTaken(state: PastState): Pick<LateRule, 'take' | 'after'> | undefined {
  if (state.onlyLate === true) return { take: 'only', after: state.border }
  if (soleStage(state.plan).source.late !== 'hold') return undefined
  const after = state.batch?.cut ?? 0
  return state.cut > after ? { take: 'out', after } : undefined
}

function sliceRows(state: PastState, stage: StagePlan, part: string): string[] {
  const files = state.slices.filter((slice) => slice.stage === stage.name && slice.part === part)
  if (files.length === 0) return []
  const columns = partColumns(stage, part).map(
    ({ name, type }) => `CAST(${quoteIdentifier(name)} AS ${type}) AS ${quoteIdentifier(name)}`,
  )
  const paths = files.map(({ path }) => quoteLiteral(path)).join(', ')
  return [`SELECT ${columns.join(', ')} FROM read_parquet([${paths}])`]
}

/** SELECT of the events that are folded after the border. */
export function stateEvents(
  state: PastState,
  stage: StagePlan,
  stream: StreamDef,
  { lake, hotFiles, watermark }: StateSources,
): string {
  const { border, cut, lateOnly, alsoLate } = state
  const { fields, positions = false } = stage.source
  const relation = (range: CommitRange, fields: readonly string[], late = lateTaken(state)) => {
    const skipped = state.skipped.filter(({ commit }) => commit > range.from && commit <= range.to)
    const rule = late === undefined ? {} : { late: { ...late, watermark } }
    return logRelation(stream, fields, range, { lake, hotFiles }, { skipped, positions, ...rule })
  }
  const columns = [...fields, ...(positions ? positionNames : [])].map(quoteIdentifier)
  const list = columns.length === 0 ? 'true AS _event' : columns.join(', ')
  if (alsoLate !== undefined) {
    const late = relation(alsoLate, fields, { take: 'only', after: alsoLate.from })
    return `(${relation({ from: border, to: cut }, fields)}) UNION ALL (SELECT ${list} FROM (${late}))`
  }
  if (lateOnly === undefined) return relation({ from: border, to: cut }, fields)
  const from = Math.min(cut, Math.max(border, lateOnly.after))
  const late =
    `SELECT ${list} FROM (${relation({ from, to: cut }, [...new Set([...fields, lateOnly.field])])}) ` +
    `WHERE ${quoteIdentifier(lateOnly.field)} < make_timestamp(${lateOnly.beforeUs})`
  return from > border ? `(${relation({ from: border, to: from }, fields)}) UNION ALL (${late})` : late
}
