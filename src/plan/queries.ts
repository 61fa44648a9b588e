/**
 * The SQL texts by which an engine executes a plan: pure functions from plans and the SQL of their inputs to SQL.
 * No state. Every text is one SELECT that may stand as a subquery, a CTE's body or the source of a COPY.
 *
 *   foldQuery     events of a range            → partial rows of one part
 *   mergeQuery    partial rows of many ranges  → partial rows of one part, one row per key (distinct: per key and value)
 *   mergedQuery   merged partial rows of each part → "$merged": one row per group
 *   finishQuery   "$merged"                    → the view's rows
 *
 * Why merging in any grouping gives the same: every aggregate that combines partial rows is associative and
 * commutative and ignores NULL, and each text casts to the part's declared types, so merged rows are partial rows.
 */

import { quoteIdentifier } from '../model/schema.ts'
import { must, unreachable } from '../std/assert.ts'
import { positionHash } from './fold-source.ts'
import type {
  CodeFold,
  Column,
  DistinctPart,
  GroupStage,
  MainPart,
  PartialColumn,
  StagePlan,
  ViewPlan,
} from './plan.ts'

/** Names of a stage's parts, in order: `main`, `d0`, …, or `rows` for a row stage. */
export function partNames(stage: StagePlan): readonly string[] {
  switch (stage.kind) {
    case 'group':
      return stage.parts.map((part) => part.name)
    case 'rows':
      return ['rows']
    default:
      return unreachable(stage)
  }
}

/** Columns of a part's partial rows with their exact types, all of which Parquet keeps. Keys come first. */
export function partColumns(stage: StagePlan, partName: string): readonly Column[] {
  if (stage.kind === 'rows') return stage.columns
  const part = partOf(stage, partName)
  switch (part.kind) {
    case 'main':
      return [...stage.keys, ...part.aggregates.map(({ name, type }) => ({ name, type }))]
    case 'distinct':
      return [...stage.keys, part.value, { name: 'n', type: 'BIGINT' }]
    default:
      return unreachable(part)
  }
}

/** Columns by which a part's partial rows are sorted and unique after a merge. A row stage has none: it is a bag. */
export function partKeyColumns(stage: StagePlan, partName: string): readonly Column[] {
  if (stage.kind === 'rows') return []
  const part = partOf(stage, partName)
  return part.kind === 'distinct' ? [...stage.keys, part.value] : stage.keys
}

/** A SELECT with the part's columns and no rows. */
export function emptyPartQuery(stage: StagePlan, partName: string): string {
  const columns = partColumns(stage, partName).map(
    ({ name, type }) => `CAST(NULL AS ${type}) AS ${quoteIdentifier(name)}`,
  )
  return `SELECT ${columns.join(', ')} WHERE false`
}

/** Column definitions for CREATE TABLE. */
export function partColumnDefinitions(stage: StagePlan, partName: string): string {
  return partColumns(stage, partName)
    .map(({ name, type }) => `${quoteIdentifier(name)} ${type}`)
    .join(', ')
}

/** Partial rows of one part; `eventsSql` gives the schema fields named in the stage's source. */
export function foldQuery(stage: StagePlan, partName: string, eventsSql: string): string {
  return `WITH "$events" AS NOT MATERIALIZED (${eventsSql}) ${foldSql(stage, partName)}`
}

/** How two parts of a stage are folded in one pass over the events, where the plan says how. */
export interface FoldTogether {
  readonly distinct: string
  /** Partial rows that both parts follow from. */
  foldQuery(eventsSql: string): string
  /** Partial rows of a part, as `foldQuery` gives them, from a relation with those rows. */
  partQuery(part: string, rowsSql: string): string
}

export function foldTogether(stage: StagePlan): FoldTogether | undefined {
  if (stage.kind === 'rows') return undefined
  const [main, distinct] = stage.parts
  const { tally } = main
  if (distinct?.withMainSql === undefined || tally === undefined) return undefined
  // All events behind one such row have its value, so how often that occurs is how many events they are.
  const columns = `${names([...stage.keys, distinct.value])}, ${quoteIdentifier(tally.count)} AS n`
  return {
    distinct: distinct.name,
    foldQuery: (eventsSql) => `WITH "$events" AS NOT MATERIALIZED (${eventsSql}) ${distinct.withMainSql}`,
    partQuery: (part, rowsSql) =>
      part === main.name
        ? mergeMainQuery(stage, main, rowsSql)
        : `SELECT ${columns} FROM (${rowsSql}) WHERE ${quoteIdentifier(distinct.value.name)} IS NOT NULL`,
  }
}

/** The part's fold over a relation named "$events" that the caller has bound already. */
export function foldSql(stage: StagePlan, partName: string): string {
  return stage.kind === 'rows' ? stage.foldSql : partOf(stage, partName).foldSql
}

/** Combines partial rows (`partialsSql` gives the part's columns). A stage without keys always gives one main row. */
export function mergeQuery(stage: StagePlan, partName: string, partialsSql: string): string {
  if (stage.kind === 'rows') return `SELECT ${names(stage.columns)} FROM (${partialsSql})`
  const part = partOf(stage, partName)
  switch (part.kind) {
    case 'main':
      return mergeMainQuery(stage, part, partialsSql)
    case 'distinct': {
      const keys = names([...stage.keys, part.value])
      return `SELECT ${keys}, CAST(sum(n) AS BIGINT) AS n FROM (${partialsSql}) GROUP BY ${keys}`
    }
    default:
      return unreachable(part)
  }
}

/** The rows of "$merged". `partSql` gives for each part its merged rows, as `mergeQuery` does. */
export function mergedQuery(stage: StagePlan, partSql: Readonly<Record<string, string>>): string {
  const sqlOf = (part: string): string => must(partSql[part], `merged rows of part "${part}" are given`)
  if (stage.kind === 'rows') return sqlOf('rows')
  const [main, ...distinct] = stage.parts
  if (distinct.length === 0) return sqlOf(main.name)
  const columns = ['m.*']
  const joins: string[] = []
  for (const part of distinct) {
    for (const result of part.results) {
      columns.push(`CAST(${resultSql(part, result)} AS ${result.type}) AS ${quoteIdentifier(result.name)}`)
    }
    joins.push(joinDistinct(stage.keys, part, sqlOf(part.name)))
  }
  return `SELECT ${columns.join(', ')} FROM (${sqlOf(main.name)}) AS m ${joins.join(' ')}`
}

/** Columns of "$merged". */
export function mergedColumns(stage: StagePlan): readonly Column[] {
  if (stage.kind === 'rows') return stage.columns
  const [main, ...distinct] = stage.parts
  return [
    ...partColumns(stage, main.name),
    ...distinct.flatMap((part) => part.results.map(({ name, type }) => ({ name, type }))),
  ]
}

/** The view's rows; `mergedSql` gives the rows of "$merged" for the plan's last stage. */
export function finishQuery(plan: ViewPlan, mergedSql: string): string {
  return `WITH "$merged" AS NOT MATERIALIZED (${mergedSql}) ${plan.finish.sql}`
}

/**
 * One row over partial rows of a part: `events`, how many were folded into them, and `positions`, the sum modulo 2 of
 * the hashes of their positions as text. Undefined for parts, and for plans of earlier releases, that do not say.
 */
export function tallyQuery(stage: StagePlan, partName: string, partialsSql: string): string | undefined {
  const tally = (count: string, positions: string) =>
    `SELECT CAST(coalesce(${count}, 0) AS BIGINT) AS events, ` +
    `CAST(coalesce(bit_xor(${positions}), 0) AS VARCHAR) AS positions FROM (${partialsSql})`
  if (stage.kind === 'rows') {
    const positioned = stage.columns.some(({ name }) => name === '$commit')
    return positioned ? tally('count(*)', positionHash) : undefined
  }
  const main = stage.parts[0]
  if (partName !== main.name || main.tally === undefined) return undefined
  return tally(`sum(${quoteIdentifier(main.tally.count)})`, quoteIdentifier(main.tally.positions))
}

function partOf(stage: GroupStage, partName: string): MainPart | DistinctPart {
  return must(
    stage.parts.find((part) => part.name === partName),
    `stage "${stage.name}" has a part "${partName}"`,
  )
}

function names(columns: readonly Column[]): string {
  return columns.map(({ name }) => quoteIdentifier(name)).join(', ')
}

function mergeMainQuery(stage: GroupStage, part: MainPart, partialsSql: string): string {
  if (stage.code?.merges === true) return mergeByCode(stage, part, stage.code, partialsSql)
  const keys = stage.keys.map(({ name }) => quoteIdentifier(name))
  const merged = part.aggregates.map(
    (column) =>
      `CAST(${mergeSql(column, keys.length === 0)} AS ${column.type}) AS ${quoteIdentifier(column.name)}`,
  )
  const grouping = keys.length === 0 ? '' : ` GROUP BY ${keys.join(', ')}`
  return `SELECT ${[...keys, ...merged].join(', ')} FROM (${partialsSql})${grouping}`
}

/** Most groups have one partial row, which stays as it is; the functions see the others' states in their order. */
function mergeByCode(stage: GroupStage, part: MainPart, code: CodeFold, partialsSql: string): string {
  const keys = names(stage.keys)
  const byCode = part.aggregates.filter(({ merge }) => merge === 'code')
  const others = part.aggregates.filter(({ merge }) => merge !== 'code')
  const plain = others.map(
    (column) => `CAST(${mergeSql(column, false)} AS ${column.type}) AS ${quoteIdentifier(column.name)}`,
  )
  const alone = byCode.map(({ name }) => `${quoteIdentifier(name)} := any_value(${quoteIdentifier(name)})`)
  const type = `STRUCT(${byCode.map(({ name, type }) => `${quoteIdentifier(name)} ${type}`).join(', ')})`
  const states = 'CAST(to_json(list("state" ORDER BY "at")) AS VARCHAR)'
  const merged = `${quoteIdentifier(mergeFunction(code))}(${states}, CAST(json_array(${keyTexts(stage)}) AS VARCHAR))`
  const both = `CASE WHEN count(*) = 1 THEN struct_pack(${alone.join(', ')}) ELSE CAST(CAST(${merged} AS JSON) AS ${type}) END`
  const columns = part.aggregates.map(({ name, merge }) =>
    merge === 'code' ? `"$m".${quoteIdentifier(name)}` : quoteIdentifier(name),
  )
  return (
    `SELECT ${keys}, ${columns.join(', ')} FROM (SELECT ${keys}, ${plain.join(', ')}, ${both} AS "$m" ` +
    `FROM (${partialsSql}) GROUP BY ${keys})`
  )
}

/** Keys as texts, as the functions of a fold get them from events too. */
export function keyTexts(stage: GroupStage): string {
  return stage.keys.map(({ name }) => `CAST(${quoteIdentifier(name)} AS VARCHAR)`).join(', ')
}

/** A BIGINT as a JSON number where a double is exact, else as a text. */
export function exactIntegerJson(value: string): string {
  return (
    `CASE WHEN ${value} BETWEEN -9007199254740991 AND 9007199254740991 THEN to_json(${value}) ` +
    `ELSE to_json(CAST(${value} AS VARCHAR)) END`
  )
}

/** The SQL function that merges states of a fold, which the engine registers. */
export function mergeFunction({ hash, name }: CodeFold): string {
  return `merge$${name.toLowerCase()}$${hash.slice(0, 16)}`
}

function mergeSql(column: PartialColumn, alwaysOneRow: boolean): string {
  const value = quoteIdentifier(column.name)
  const merged = column.merge === 'latest' ? `arg_max(${value}, "at")` : `${column.merge}(${value})`
  return alwaysOneRow ? `coalesce(${merged}, ${column.emptySql})` : merged
}

/** A group without distinct values has no row in the joined part, so each result falls back to its empty value. */
function resultSql(part: DistinctPart, result: DistinctPart['results'][number]): string {
  return `coalesce(${part.name}.${quoteIdentifier(result.name)}, ${result.emptySql})`
}

/** Null-safe equality on the keys stays a hash join in DuckDB. */
function joinDistinct(keys: readonly Column[], part: DistinctPart, sql: string): string {
  const results = part.results.map((result) => `${result.sql} AS ${quoteIdentifier(result.name)}`)
  if (keys.length === 0) return `CROSS JOIN (SELECT ${results.join(', ')} FROM (${sql})) AS ${part.name}`
  const rows = `SELECT ${names(keys)}, ${results.join(', ')} FROM (${sql}) GROUP BY ${names(keys)}`
  const on = keys.map(
    ({ name }) => `m.${quoteIdentifier(name)} IS NOT DISTINCT FROM ${part.name}.${quoteIdentifier(name)}`,
  )
  return `LEFT JOIN (${rows}) AS ${part.name} ON ${on.join(' AND ')}`
}
