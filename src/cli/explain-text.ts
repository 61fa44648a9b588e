/** The text of `refold explain`, from a plan and, where a server gave it, the state that it holds. No state here. */

import { signatureOf } from '../define/function-def.ts'
import { mergeSql } from '../plan/merge-rules.ts'
import type { Column, GroupStage, StagePlan, ViewPlan } from '../plan/plan.ts'
import { mergeQuery, partColumns, partNames } from '../plan/queries.ts'
import { unreachable } from '../std/assert.ts'
import type { Style } from './colours.ts'
import { grouped } from './ingest-meter.ts'
import { shortVersion } from './query.ts'

export interface Explanation {
  readonly view: string
  readonly version: string
  readonly onError: 'stall' | 'skip'
  readonly plan: ViewPlan
  /** Of a view that runs as lambda: the names of its layers in SQL, and T; 0 before the first batch. */
  readonly layers?: { readonly names: readonly string[]; readonly cut: number }
  readonly state?: {
    readonly cut: number
    readonly groups: number | null
    readonly tailRows: number | null
    readonly slices: number
    readonly sliceRows: number
    readonly sliceBytes: number
  }
}

export function formatExplanation(explanation: Explanation, style: Style): string {
  const { view, version, plan, state } = explanation
  const blocks = [
    `${style.bold(view)} · version ${shortVersion(version)}${state === undefined ? '' : ` · cut ${state.cut}`}`,
    block(
      'columns',
      plan.columns.map(({ name, type }) => `${name} ${style.dim(type)}`),
      style,
    ),
    ...functionBlocks(plan, style),
    ...batchBlocks(plan, style),
    ...plan.stages.flatMap((stage) => stageBlocks(stage, style)),
    block('finish', [...sqlLines(plan.finish.sql), style.dim(orderSentence(plan))], style),
    block('state', stateLines(explanation), style),
    ...layerBlocks(explanation, style),
    block('exact', exactLines(plan), style),
    block('a tick', [tickSentence(plan), errorSentence(explanation.onError)], style),
    block('a read', readLines(plan), style),
  ]
  return `${blocks.join('\n')}\n`
}

function layerBlocks({ layers }: Explanation, style: Style): string[] {
  if (layers === undefined) return []
  const { names, cut } = layers
  const batch = cut === 0 ? 'no batch was published yet' : `batch up to cut ${cut}, speed after it`
  return [block('layers', [batch, `each by itself: ${names.join(', ')}`], style)]
}

/** What its SQL calls that is TypeScript, under the names that the texts below have. */
function functionBlocks({ functions = [] }: ViewPlan, style: Style): string[] {
  const own = functions.filter(({ merges }) => merges === undefined)
  if (own.length === 0) return []
  const lines = own.map(
    (one) => `${signatureOf(one)} ${style.dim(`${one.sqlName}, code ${one.code.slice(0, 12)}`)}`,
  )
  return [block('functions', lines, style)]
}

/** The second definition of a view that has one; what follows it is then the speed layer. */
function batchBlocks({ batch, sql }: ViewPlan, style: Style): string[] {
  if (batch === undefined) return []
  const reads = [
    ...batch.streams.map(({ stream, fields }) => `${stream} (${fields.join(', ')})`),
    ...batch.files.map(({ path, hash }) => `${path} ${style.dim(hash.slice(0, 12))}`),
  ]
  const rules = batch.merge.map((rule) => {
    const approximate = batch.approximate.includes(rule.column) ? ' · exact in the batch layer alone' : ''
    return `${rule.column}: ${mergeSql(rule)}${style.dim(approximate)}`
  })
  return [
    block('batch', ['over everything up to the cut of the last batch', ...asWritten(batch.sql)], style),
    block('batch reads', reads, style),
    block('speed', ['over what came after it', ...asWritten(sql)], style),
    block('merged by', [batch.key.map(({ column }) => column).join(', '), ...rules], style),
  ]
}

function asWritten(sql: string): readonly string[] {
  return sql.trim().split('\n')
}

function stageBlocks(stage: StagePlan, style: Style): string[] {
  const source = `${stage.source.stream} (${stage.source.fields.join(', ')})`
  const parts = partNames(stage).flatMap((part) => {
    const name = part === 'main' || part === 'rows' ? '' : ` ${part}`
    return [
      block(`fold${name}`, sqlLines(foldOf(stage, part)), style),
      block(
        `merge${name}`,
        sqlLines(mergeQuery(stage, part, 'partial rows').replace('(partial rows)', '"partial rows"')),
        style,
      ),
    ]
  })
  return [block(`stage ${stage.name}`, [`reads ${source}`, ...groupingLines(stage)], style), ...parts]
}

function groupingLines(stage: StagePlan): readonly string[] {
  if (stage.kind === 'rows') return ['keeps rows as they are, without grouping']
  const keys = stage.keys.map(({ name, type }) => `${name} ${type}`)
  return [keys.length === 0 ? 'one group over all events' : `grouped by ${keys.join(', ')}`]
}

function foldOf(stage: StagePlan, part: string): string {
  if (stage.kind === 'rows') return stage.foldSql
  return stage.parts.find(({ name }) => name === part)?.foldSql ?? ''
}

function stateLines({ plan, state }: Explanation): readonly string[] {
  const perKey = plan.stages.flatMap((stage) =>
    partNames(stage).map(
      (part) => `${rowOf(stage, part)}: ${partColumns(stage, part).map(columnText).join(', ')}`,
    ),
  )
  if (state === undefined) return perKey
  return [
    ...perKey,
    `now ${grouped(state.groups ?? 0)} groups; ${grouped(state.tailRows ?? 0)} partial rows in the tail, ${grouped(state.sliceRows)} in ${state.slices} slices (${grouped(state.sliceBytes)} bytes)`,
  ]
}

function rowOf(stage: StagePlan, part: string): string {
  switch (stage.kind) {
    case 'rows':
      return 'a row for each row of the view'
    case 'group':
      return part === 'main'
        ? `a row for each ${groupName(stage)}`
        : `${part}, a row for each distinct value of a group`
    default:
      return unreachable(stage)
  }
}

function groupName(stage: GroupStage): string {
  return stage.keys.length === 0 ? 'tick, of the one group' : 'group'
}

function columnText({ name, type }: Column): string {
  return `${name} ${type}`
}

function exactLines(plan: ViewPlan): readonly string[] {
  if (plan.inexact.length === 0) return ['every column']
  const inexact = new Map(plan.inexact.map(({ column, why }) => [column, why]))
  const exact = plan.columns.filter(({ name }) => !inexact.has(name)).map(({ name }) => name)
  return [
    exact.length === 0 ? 'no column' : exact.join(', '),
    ...plan.inexact.map(({ column, why }) => `not exact: ${column}, ${why}`),
  ]
}

function tickSentence(plan: ViewPlan): string {
  const distinct = plan.stages.reduce(
    (sum, stage) => sum + (stage.kind === 'group' ? stage.parts.length - 1 : 0),
    0,
  )
  const rows = plan.stages.some((stage) => stage.kind === 'rows')
  if (rows) return 'appends at most one row for each new event; nothing stored is read'
  const values = distinct === 0 ? '' : ', and one for each of its distinct values'
  return `appends one partial row for each group among the new events${values}; nothing stored is read`
}

function errorSentence(onError: 'stall' | 'skip'): string {
  return onError === 'stall'
    ? 'an event that cannot be folded stops this view before it, and answers say so'
    : 'an event that cannot be folded is left out, with a durable record'
}

function readLines(plan: ViewPlan): readonly string[] {
  const keys = Object.keys(plan.finish.keyColumns)
  const lookup =
    keys.length === 0 || plan.finish.limited
      ? []
      : [`by ${keys.join(', ')}: reads only the partial rows of those groups`]
  const all = plan.finish.limited
    ? 'reads the merged groups and keeps the rows that its LIMIT asks for'
    : 'all rows: reads the merged image and what changed since; no events'
  return [...lookup, all]
}

function orderSentence({ finish }: ViewPlan): string {
  if (finish.limited) return 'rows depend on each other (LIMIT): a change is found by comparing whole answers'
  return finish.ordered ? 'rows have a total order' : 'rows have no order of their own'
}

function block(title: string, lines: readonly string[], style: Style): string {
  const [first = '', ...rest] = lines
  const head = `${style.cyan(title.padEnd(labelWidth))}${first}`
  return [head, ...rest.map((line) => `${' '.repeat(labelWidth)}${line}`)].join('\n')
}

const labelWidth = 12

/** One clause a line, so that a generated query can be read. */
function sqlLines(sql: string): readonly string[] {
  return sql
    .trim()
    .replace(/\s+(FROM|WHERE|GROUP BY|HAVING|ORDER BY|LIMIT|QUALIFY)\b/g, '\n$1')
    .split('\n')
}
