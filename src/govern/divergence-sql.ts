/**
 * The SQL that holds a batch against what was served at its cut. Pure text over relations that the past engine binds:
 * `served` and `computed`, rows of both sides, and where the view holds late events back `late`, the merged rows of the
 * late events alone that the batch is the first to take.
 *
 * Merged rows are compared, before `finish`, because there each group has one row with all that the fold kept of it. Of
 * a view with two definitions the finished rows are: its batch has no others.
 */

import { quoteIdentifier } from '../model/schema.ts'
import type { BatchPlan, StagePlan, ViewPlan } from '../plan/plan.ts'
import { must } from '../std/assert.ts'
import { keysOf } from './verify-plans.ts'
import { differenceSql } from './verify-sql.ts'

export type DivergenceCause =
  /** Both sides fold the same events in the same way, and the rows differ: what was served was damaged. */
  | 'damage'
  /** Late events that the speed layer had held back. */
  | 'late'
  /** Only columns that are declared approximate differ. */
  | 'approximate'
  /** The two definitions give different rows. */
  | 'definition'

/** Table of the rows that differ: keys, `$what`, `$cause`. */
export function differingTable(plan: ViewPlan, hasLate: boolean): string {
  const { batch } = plan
  const sql = batch === undefined ? mergedDiffering(plan, hasLate) : definedDiffering(plan, batch)
  return `CREATE OR REPLACE TEMP TABLE differing AS ${sql}`
}

export const countsQuery =
  'SELECT "$what" AS what, "$cause" AS cause, CAST(count(*) AS BIGINT) AS n FROM differing GROUP BY ALL ORDER BY ALL'

/** The first rows, damage before what was to be expected. */
export const sampleQuery = `SELECT * FROM differing ORDER BY CASE "$cause" WHEN 'damage' THEN 0 ELSE 1 END, rowid`

function mergedDiffering(plan: ViewPlan, hasLate: boolean): string {
  const stage = must(plan.stages[0], 'a plan has a stage')
  const found = differenceSql(stage, 'SELECT * FROM served', 'SELECT * FROM computed')
  const keys = keysOf(stage).map(({ name }) => quoteIdentifier(name))
  const late = hasLate ? lateJoin(stage, keys) : { join: '', isLate: 'false' }
  const columns = [
    ...keys.map((key) => `d.${key}`),
    `${whatSql(stage)} AS "$what"`,
    `CASE WHEN ${late.isLate} THEN 'late' ELSE 'damage' END AS "$cause"`,
  ]
  return `SELECT ${columns.join(', ')} FROM (${found}) AS d${late.join}`
}

function whatSql(stage: StagePlan): string {
  if (stage.kind === 'rows') {
    return `CASE WHEN d."$served" = 0 THEN 'added' WHEN d."$right" = 0 THEN 'removed' ELSE 'changed' END`
  }
  if (stage.parts[0].tally === undefined) return `'changed'`
  return `CASE WHEN d."$served" IS NULL THEN 'added' WHEN d."$right" IS NULL THEN 'removed' ELSE 'changed' END`
}

/** A group differs by late events when it lacks exactly those. */
function lateJoin(
  stage: StagePlan,
  keys: readonly string[],
): { readonly join: string; readonly isLate: string } {
  const same = keys.map((key) => `CAST(l.${key} AS VARCHAR) IS NOT DISTINCT FROM d.${key}`)
  const join = ` LEFT JOIN (SELECT *, true AS "$there" FROM late) AS l ON ${['true', ...same].join(' AND ')}`
  if (stage.kind === 'rows') return { join, isLate: 'coalesce(l."$there", false) AND d."$served" = 0' }
  const { tally } = stage.parts[0]
  if (tally === undefined) return { join, isLate: 'coalesce(l."$there", false)' }
  const [count, positions] = [`l.${quoteIdentifier(tally.count)}`, `l.${quoteIdentifier(tally.positions)}`]
  const isLate =
    `coalesce(l."$there", false) AND coalesce(d."$right", 0) - coalesce(d."$served", 0) = ${count} ` +
    `AND d."$positions" = CAST(CAST(${positions} AS BIGINT) AS VARCHAR)`
  return { join, isLate }
}

function definedDiffering({ columns }: ViewPlan, batch: BatchPlan): string {
  const keys = batch.key.map(({ column }) => quoteIdentifier(column))
  const approximate = new Set(batch.approximate)
  const values = columns.filter(({ name }) => !batch.key.some(({ column }) => column === name))
  const differs = (names: typeof values) =>
    [
      'false',
      ...names.map(({ name }) => `s.${quoteIdentifier(name)} IS DISTINCT FROM c.${quoteIdentifier(name)}`),
    ]
      .map((text) => `(${text})`)
      .join(' OR ')
  const there = (name: string) => `(SELECT *, true AS "$there" FROM ${name})`
  const on = ['true', ...keys.map((key) => `s.${key} IS NOT DISTINCT FROM c.${key}`)].join(' AND ')
  const missing = 's."$there" IS NULL OR c."$there" IS NULL'
  const exact = values.filter(({ name }) => !approximate.has(name))
  const selected = [
    ...keys.map((key) => `CAST(CASE WHEN c."$there" THEN c.${key} ELSE s.${key} END AS VARCHAR) AS ${key}`),
    `CASE WHEN s."$there" IS NULL THEN 'added' WHEN c."$there" IS NULL THEN 'removed' ELSE 'changed' END AS "$what"`,
    `CASE WHEN ${missing} OR ${differs(exact)} THEN 'definition' ELSE 'approximate' END AS "$cause"`,
  ]
  return (
    `SELECT ${selected.join(', ')} FROM ${there('served')} AS s FULL JOIN ${there('computed')} AS c ON ${on} ` +
    `WHERE ${missing} OR ${differs(values)}`
  )
}
