/**
 * The SQL of a view's rows at a cut. An answer over a large view never merges everything again: groups that no tick
 * has touched since the image come from the image as they are; only touched groups are merged. No state; pure text.
 */

import type { CommitSeq } from '../model/cut.ts'
import { quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import type { GroupStage, RowStage, StagePlan, ViewPlan } from '../plan/plan.ts'
import {
  emptyPartQuery,
  finishQuery,
  mergedColumns,
  mergedQuery,
  mergeQuery,
  partColumns,
} from '../plan/queries.ts'
import { must } from '../std/assert.ts'
import type { Generation, Image, ReadSet } from './read-set.ts'

/** Which groups are wanted: all, those that meet a condition on the keys, or those that a relation lists. */
export type Restriction =
  | { readonly kind: 'none' }
  /** SQL over the bare key columns `k0`, `k1`, … */
  | { readonly kind: 'where'; readonly sql: string }
  /** SELECT that gives the key columns, each group once. */
  | { readonly kind: 'groups'; readonly sql: string }

export const ALL_GROUPS: Restriction = { kind: 'none' }

/** SELECT that gives the view's finished rows as of the read set's cut. */
export function viewQuery(readSet: ReadSet, restriction: Restriction = ALL_GROUPS): string {
  return finishQuery(readSet.plan, mergedRelation(readSet, restriction))
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

/** SELECT that gives the keys of the groups that ticks in (from, to] have touched. */
export function touchedGroups(
  stage: GroupStage,
  generations: readonly Generation[],
  from: CommitSeq,
  to: CommitSeq,
): string {
  const keys = columnList(stage.keys)
  const rows = generations
    .filter((generation) => generation.to === undefined || generation.to > from)
    .map(
      (generation) =>
        `SELECT ${keys} FROM ${tableOf(generation, 'main')} WHERE _cut > ${from} AND _cut <= ${to}`,
    )
  return `SELECT DISTINCT ${keys} FROM (${rows.length === 0 ? emptyKeys(stage) : rows.join(' UNION ALL ')})`
}

function rowRelation(readSet: ReadSet, stage: RowStage): string {
  const columns = columnList(stage.columns)
  const files = readSet.slices.map((slice) => quoteLiteral(slice.path))
  const sources = tailRows(readSet, 'rows', columns)
  if (files.length > 0) sources.unshift(`SELECT ${columns} FROM read_parquet([${files.join(', ')}])`)
  return sources.length === 0 ? emptyPartQuery(stage, 'rows') : sources.join(' UNION ALL ')
}

function groupRelation(readSet: ReadSet, stage: GroupStage, restriction: Restriction): string {
  const { image } = readSet
  const touchedSinceImage = readSet.generations.some((generation) => generation.rows > 0)
  if (restriction.kind !== 'none' || stage.keys.length === 0) return mergedFrom(readSet, stage, restriction)
  if (image === undefined) return mergedFrom(readSet, stage, restriction)
  const columns = mergedColumns(stage)
    .map((column) => quoteIdentifier(column.name))
    .join(', ')
  if (!touchedSinceImage) return `SELECT ${columns} FROM ${image.main}`
  const tail = tailRows(readSet, 'main', columnList(partColumns(stage, 'main')))
  return `WITH touched AS MATERIALIZED (SELECT DISTINCT ${columnList(stage.keys)} FROM (${tail.join(' UNION ALL ')}))
    SELECT ${columns} FROM ${image.main} AS i ANTI JOIN touched AS t ON ${sameKeys(stage, 'i', 't')}
    UNION ALL
    SELECT ${columns} FROM (${mergedFrom(readSet, stage, { kind: 'groups', sql: 'SELECT * FROM touched' })})`
}

/** Merges image and generations for the wanted groups. */
function mergedFrom(readSet: ReadSet, stage: GroupStage, restriction: Restriction): string {
  const parts: Record<string, string> = {}
  for (const part of stage.parts) {
    const columns = columnList(partColumns(stage, part.name))
    const sources = tailRows(readSet, part.name, columns).map((sql) => restricted(stage, sql, restriction))
    if (readSet.image !== undefined) {
      const fromImage = `SELECT ${columns} FROM ${imageTable(readSet.image, part.name)}`
      sources.unshift(restricted(stage, fromImage, restriction))
    }
    parts[part.name] = mergeQuery(
      stage,
      part.name,
      sources.length === 0 ? emptyPartQuery(stage, part.name) : sources.join(' UNION ALL '),
    )
  }
  return mergedQuery(stage, parts)
}

function restricted(stage: GroupStage, sql: string, restriction: Restriction): string {
  switch (restriction.kind) {
    case 'none':
      return sql
    case 'where':
      return `SELECT * FROM (${sql}) WHERE ${restriction.sql}`
    case 'groups':
      return `SELECT p.* FROM (${sql}) AS p SEMI JOIN (${restriction.sql}) AS w ON ${sameKeys(stage, 'p', 'w')}`
  }
}

/** One SELECT per generation that is not empty, cut at the read set's cut. */
function tailRows(readSet: ReadSet, part: string, columns: string): string[] {
  return readSet.generations
    .filter((generation) => generation.rows > 0)
    .map((generation) => {
      const open = generation.to === undefined || generation.to > readSet.cut
      const bounds = [
        ...(open ? [`_cut <= ${readSet.cut}`] : []),
        ...(readSet.rowsAfter === undefined ? [] : [`_cut > ${readSet.rowsAfter}`]),
      ]
      return `SELECT ${columns} FROM ${tableOf(generation, part)}${bounds.length === 0 ? '' : ` WHERE ${bounds.join(' AND ')}`}`
    })
}

function sameKeys(stage: GroupStage, left: string, right: string): string {
  return stage.keys
    .map((key) => `${left}.${key.name} IS NOT DISTINCT FROM ${right}.${key.name}`)
    .join(' AND ')
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

function emptyKeys(stage: GroupStage): string {
  return `SELECT ${stage.keys.map((key) => `NULL::${key.type} AS ${key.name}`).join(', ')} WHERE false`
}
