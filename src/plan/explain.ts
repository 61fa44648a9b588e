/**
 * Explains a plan, as data for people's pages and for programs: which queries run, what is kept for each key, what is exact, and what a
 * tick and a read cost. Pure: from the plan alone, with formulas in place of figures that only the running system
 * knows.
 */

import { unreachable } from '../std/assert.ts'
import { mergeSql } from './merge-rules.ts'
import type { BatchPlan, Column, StagePlan, ViewPlan } from './plan.ts'
import { mergedQuery, mergeQuery, partColumns, partKeyColumns, partNames } from './queries.ts'

export interface Explanation {
  readonly view: string
  readonly streams: readonly string[]
  readonly columns: readonly Column[]
  readonly stages: readonly StageExplanation[]
  readonly finish: {
    readonly sql: string
    /** Output columns by which a lookup reads single groups. */
    readonly lookupColumns: readonly string[]
    readonly ordered: boolean
    readonly limited: boolean
  }
  /** The second definition; all else is then of the speed layer. */
  readonly batch?: BatchExplanation
  readonly exact: readonly string[]
  readonly approximate: readonly { readonly column: string; readonly why: string }[]
  readonly cost: {
    readonly tick: string
    readonly read: string
    readonly lookup: string
    readonly memory: string
  }
}

export interface BatchExplanation {
  /** As it is run over all events up to the boundary. */
  readonly sql: string
  readonly streams: readonly { readonly stream: string; readonly fields: readonly string[] }[]
  readonly files: readonly { readonly path: string; readonly hash: string }[]
  readonly key: readonly string[]
  /** Column → what it is where both layers have the row. */
  readonly merge: Readonly<Record<string, string>>
  readonly approximate: readonly string[]
}

export interface StageExplanation {
  readonly name: string
  readonly kind: StagePlan['kind']
  readonly stream: string
  readonly fields: readonly string[]
  readonly parts: readonly PartExplanation[]
  /** SQL that makes "$merged" from the merged parts, which it names by themselves. */
  readonly mergedSql: string
}

export interface PartExplanation {
  readonly name: string
  /** What one partial row stands for. */
  readonly rowPer: string
  readonly foldSql: string
  /** SQL that merges `partials`, the partial rows of all ranges. */
  readonly mergeSql: string
  readonly columns: readonly Column[]
  /** Rough size of one partial row in memory. */
  readonly bytesPerRow: number
}

export function explainPlan(plan: ViewPlan): Explanation {
  const approximate = new Map(plan.inexact.map(({ column, why }) => [column, why]))
  const stages = plan.stages.map(explainStage)
  return {
    view: plan.view,
    streams: plan.streams,
    columns: plan.columns,
    stages,
    finish: {
      sql: plan.finish.sql,
      lookupColumns: Object.keys(plan.finish.keyColumns),
      ordered: plan.finish.ordered,
      limited: plan.finish.limited,
    },
    ...(plan.batch === undefined ? {} : { batch: explainBatch(plan.batch) }),
    exact: plan.columns.map((column) => column.name).filter((name) => !approximate.has(name)),
    approximate: [...approximate].map(([column, why]) => ({ column, why })),
    cost: explainCost(plan, stages),
  }
}

function explainBatch(batch: BatchPlan): BatchExplanation {
  return {
    sql: batch.boundSql,
    streams: batch.streams.map(({ stream, fields }) => ({ stream, fields })),
    files: batch.files.map(({ path, hash }) => ({ path, hash })),
    key: batch.key.map(({ column }) => column),
    merge: Object.fromEntries(batch.merge.map((rule) => [rule.column, mergeSql(rule)])),
    approximate: batch.approximate,
  }
}

function explainStage(stage: StagePlan): StageExplanation {
  const names = partNames(stage)
  const merged = Object.fromEntries(names.map((name) => [name, `SELECT * FROM ${name}`]))
  return {
    name: stage.name,
    kind: stage.kind,
    stream: stage.source.stream,
    fields: stage.source.fields,
    mergedSql: mergedQuery(stage, merged),
    parts: names.map((name) => {
      const columns = partColumns(stage, name)
      return {
        name,
        rowPer: rowPer(stage, name),
        foldSql: foldSqlOf(stage, name),
        mergeSql: mergeQuery(stage, name, 'SELECT * FROM partials'),
        columns,
        bytesPerRow: columns.reduce((sum, column) => sum + bytesOf(column.type), 0),
      }
    }),
  }
}

function foldSqlOf(stage: StagePlan, part: string): string {
  if (stage.kind === 'rows') return stage.foldSql
  return stage.parts.find((one) => one.name === part)?.foldSql ?? ''
}

function rowPer(stage: StagePlan, part: string): string {
  switch (stage.kind) {
    case 'rows':
      return 'event that passes the filter'
    case 'group': {
      const keys = partKeyColumns(stage, part).length
      if (part === 'main') return keys === 0 ? 'view (there is one group)' : 'group'
      return keys === 1 ? 'distinct value' : 'group and distinct value'
    }
    default:
      return unreachable(stage)
  }
}

function explainCost(plan: ViewPlan, stages: readonly StageExplanation[]): Explanation['cost'] {
  const parts = stages.flatMap((stage) => stage.parts)
  const isRows = plan.stages.some((stage) => stage.kind === 'rows')
  const unit = isRows
    ? 'rows that pass'
    : parts.length === 1
      ? 'groups touched'
      : 'groups and distinct values touched'
  const whole = isRows ? 'rows' : 'groups'
  const sorted = plan.finish.ordered ? `, then a sort of the ${whole}` : ''
  const isLookup = Object.keys(plan.finish.keyColumns).length > 0
  const perGroup = parts.map((part) => `${part.bytesPerRow} × rows of ${part.name}`).join(' + ')
  return {
    tick: `one fold of the new events, ${parts.length} ${parts.length === 1 ? 'query' : 'queries'}; appends one partial row for each of the ${unit}, whatever the size of the view`,
    read: `${whole} in the merged image + partial rows since it, never events${sorted}`,
    lookup: isLookup
      ? `by ${Object.keys(plan.finish.keyColumns).join(', ')}: the image's and the tail's rows of the wanted groups alone`
      : 'reads the whole answer: no output column is a group key kept as it is',
    memory: `about ${perGroup} bytes, for the image and for the partial rows that no slice holds yet`,
  }
}

/** Rough size of a value in DuckDB's memory. */
function bytesOf(type: string): number {
  if (/^(BOOLEAN|U?TINYINT)$/.test(type)) return 1
  if (/^U?SMALLINT$/.test(type)) return 2
  if (/^(U?INTEGER|FLOAT|DATE)$/.test(type)) return 4
  if (/^(UUID|VARCHAR|JSON|BLOB)$/.test(type)) return type === 'UUID' ? 16 : 24
  const decimal = /^DECIMAL\((\d+)/.exec(type)
  if (decimal !== null) return Number(decimal[1]) > 18 ? 16 : 8
  return /^(U?BIGINT|DOUBLE|TIME|TIMESTAMP)/.test(type) ? 8 : 48
}
