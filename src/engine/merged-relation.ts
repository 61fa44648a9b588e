/**
 * The SQL of a view's rows at a cut. An answer over a large view never merges everything again: groups that no tick
 * has touched since the image come from the image as they are; only touched groups are merged. No state; pure text.
 */

import type { CommitSeq } from '../model/cut.ts'
import { quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import { combinedQuery } from '../plan/merge-rules.ts'
import type { Column, GroupStage, RowStage, StagePlan, ViewPlan } from '../plan/plan.ts'
import {
  emptyPartQuery,
  finishQuery,
  mergedColumns,
  mergedQuery,
  mergeQuery,
  partColumns,
} from '../plan/queries.ts'
import { must, unreachable } from '../std/assert.ts'
import type { BatchLayer, Generation, Image, ReadSet } from './read-set.ts'

/**
 * Which groups are wanted. Tables carry `_h`, a hash of the keys, because joining on one integer is several times
 * quicker than on texts. Two keys with one hash do no harm: `groups` may let in a group too many, and whoever uses it
 * takes the same groups on both sides.
 */
export type Restriction =
  | { readonly kind: 'none' }
  /** SQL over the bare key columns `k0`, `k1`, … and, where all keys are known, over `_h`. */
  | { readonly kind: 'where'; readonly sql: string }
  /** SELECT that gives `_h`. */
  | { readonly kind: 'groups'; readonly sql: string }
  /** A few hashes, as SQL expressions: the image is asked through its index, the tail by a join. */
  | { readonly kind: 'hashes'; readonly expressions: readonly string[] }

export const ALL_GROUPS: Restriction = { kind: 'none' }

/** SELECT that gives the view's finished rows as of the read set's cut. */
export function viewQuery(readSet: ReadSet, restriction: Restriction = ALL_GROUPS): string {
  const { plan, batchLayer } = readSet
  const rows = finishQuery(plan, mergedRelation(readSet, restriction))
  if (plan.batch === undefined || batchLayer === undefined) return rows
  return combinedQuery(plan, plan.batch, batchLayerRows(plan, batchLayer, restriction), rows)
}

/** SELECT that gives the relation "$merged" which `finish` reads. */
export function mergedRelation(readSet: ReadSet, restriction: Restriction): string {
  const stage = soleStage(readSet.plan)
  return stage.kind === 'rows' ? rowRelation(readSet, stage) : groupRelation(readSet, stage, restriction)
}

/** Plans have one stage today; the graph's later stages will be read through their own images. */
export function soleStage(plan: ViewPlan): StagePlan {
  return must(plan.stages[0], 'a plan has a stage')
}

/** SELECT that gives `_h` of the groups that ticks in (from, to] have touched. */
export function touchedGroups(generations: readonly Generation[], from: CommitSeq, to: CommitSeq): string {
  const rows = generations
    .filter((generation) => generation.to === undefined || generation.to > from)
    .map(
      (generation) => `SELECT _h FROM ${tableOf(generation, 'main')} WHERE _cut > ${from} AND _cut <= ${to}`,
    )
  return rows.length === 0
    ? 'SELECT 0::UBIGINT AS _h WHERE false'
    : `SELECT DISTINCT _h FROM (${rows.join(' UNION ALL ')})`
}

/** SQL of `_h` for rows that have the stage's key columns. */
export function hashColumn(stage: StagePlan): string {
  return keyHash(stage.kind === 'rows' ? [] : stage.keys.map((key) => key.name))
}

/** SQL of the hash of keys, given as expressions of exactly the keys' types: equal values of other types differ. */
export function keyHash(keys: readonly string[]): string {
  return keys.length === 0 ? '0::UBIGINT' : `hash(${keys.join(', ')})`
}

/** SELECT of the layer's rows under the names of the view's columns. */
function batchLayerRows(plan: ViewPlan, layer: BatchLayer, restriction: Restriction): string {
  const columns = batchLayerColumns(plan).map(
    ({ column, table }) => `${quoteIdentifier(table)} AS ${quoteIdentifier(column.name)}`,
  )
  const source = { table: layer.table, conditions: [], indexed: layer.indexed }
  return selectFrom(source, columns.join(', '), restriction)
}

/** Which column of a batch layer's table holds which of the view: keys have the names that they have in the stage. */
export function batchLayerColumns({
  columns,
  batch,
}: ViewPlan): readonly { column: Column; table: string }[] {
  return columns.map((column, index) => {
    const key = batch?.key.find((one) => one.column === column.name)
    return { column, table: key?.key ?? `v${index}` }
  })
}

function rowRelation(readSet: ReadSet, stage: RowStage): string {
  const columns = columnList(stage.columns)
  const files = readSet.slices.map((slice) => quoteLiteral(slice.path))
  const sources = tailSources(readSet, 'rows').map((source) => selectFrom(source, columns, ALL_GROUPS))
  if (files.length > 0) sources.unshift(`SELECT ${columns} FROM read_parquet([${files.join(', ')}])`)
  return sources.length === 0 ? emptyPartQuery(stage, 'rows') : sources.join(' UNION ALL ')
}

function groupRelation(readSet: ReadSet, stage: GroupStage, restriction: Restriction): string {
  const { image } = readSet
  if (restriction.kind !== 'none' || stage.keys.length === 0 || image === undefined) {
    return mergedFrom(readSet, stage, restriction)
  }
  const columns = columnList(mergedColumns(stage))
  const tail = tailSources(readSet, 'main').map((source) => selectFrom(source, '_h', ALL_GROUPS))
  if (tail.length === 0) return `SELECT ${columns} FROM ${image.main}`
  return `WITH touched AS MATERIALIZED (SELECT DISTINCT _h FROM (${tail.join(' UNION ALL ')}))
    SELECT ${columns} FROM ${image.main} AS i ANTI JOIN touched AS t ON i._h = t._h
    UNION ALL
    SELECT ${columns} FROM (${mergedFrom(readSet, stage, { kind: 'groups', sql: 'SELECT _h FROM touched' })})`
}

/** Merges image and generations for the wanted groups. */
function mergedFrom(readSet: ReadSet, stage: GroupStage, restriction: Restriction): string {
  const parts: Record<string, string> = {}
  for (const part of stage.parts) {
    const columns = columnList(partColumns(stage, part.name))
    const sources = tailSources(readSet, part.name)
    if (readSet.image !== undefined)
      sources.unshift({
        table: imageTable(readSet.image, part.name),
        conditions: [],
        indexed: part.kind === 'main',
      })
    const rows = sources.map((source) => selectFrom(source, columns, restriction))
    parts[part.name] = mergeQuery(
      stage,
      part.name,
      rows.length === 0 ? emptyPartQuery(stage, part.name) : rows.join(' UNION ALL '),
    )
  }
  return mergedQuery(stage, parts)
}

interface Source {
  readonly table: string
  readonly conditions: readonly string[]
  readonly indexed: boolean
}

/** The generations that are not empty, cut at the read set's cut. */
function tailSources(readSet: ReadSet, part: string): Source[] {
  return readSet.generations
    .filter((generation) => generation.rows > 0)
    .map((generation) => {
      const open = generation.to === undefined || generation.to > readSet.cut
      const conditions = [
        ...(open ? [`_cut <= ${readSet.cut}`] : []),
        ...(readSet.rowsAfter === undefined ? [] : [`_cut > ${readSet.rowsAfter}`]),
      ]
      return { table: tableOf(generation, part), conditions, indexed: false }
    })
}

function selectFrom(source: Source, columns: string, restriction: Restriction): string {
  const { join, condition } = restrictionSql(source, restriction)
  const conditions = [...source.conditions, ...condition]
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`
  return `SELECT ${columns} FROM ${source.table}${join}${where}`
}

function restrictionSql(
  source: Source,
  restriction: Restriction,
): { join: string; condition: readonly string[] } {
  switch (restriction.kind) {
    case 'none':
      return { join: '', condition: [] }
    case 'where':
      return { join: '', condition: [restriction.sql] }
    case 'groups':
      return { join: semiJoin(restriction.sql), condition: [] }
    case 'hashes': {
      // Without an index a list is compared value by value with every row, and a join hashes it once.
      const list = restriction.expressions.join(', ')
      return source.indexed
        ? { join: '', condition: [`_h IN (${list})`] }
        : { join: semiJoin(`SELECT unnest([${list}]) AS _h`), condition: [] }
    }
    default:
      return unreachable(restriction)
  }
}

function semiJoin(groupsSql: string): string {
  return ` AS p SEMI JOIN (${groupsSql}) AS w ON p._h = w._h`
}

function columnList(columns: readonly { readonly name: string }[]): string {
  return columns.map((column) => quoteIdentifier(column.name)).join(', ')
}

function tableOf(generation: Generation, part: string): string {
  return must(generation.tables[part], `a generation has a table for part ${part}`)
}

function imageTable(image: Image, part: string): string {
  return part === 'main' ? image.main : must(image.distinct[part], `an image has a table for part ${part}`)
}
