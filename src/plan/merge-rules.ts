/**
 * The rows of a view with two definitions, as SQL: rows of the batch layer and of the speed layer with the same key
 * are one row, its columns merged by their rules. Pure text.
 *
 * A row that one layer alone has is taken as it is. The rules are applied with the batch's value on the left and the
 * speed's on the right, because the speed layer's events all come after the batch's.
 */

import { quoteIdentifier } from '../model/schema.ts'
import { must } from '../std/assert.ts'
import type { BatchPlan, Column, MergeRule, ViewPlan } from './plan.ts'

/** Tells a row that is there from one that is not: any column of it may be NULL. */
const PRESENT = '"$here"'

/** SELECT that gives the view's rows; both inputs give its columns under their names. */
export function combinedQuery(
  plan: Pick<ViewPlan, 'columns'>,
  batch: Pick<BatchPlan, 'key' | 'merge'>,
  batchRows: string,
  speedRows: string,
): string {
  const on = batch.key.map(({ column }) => {
    const name = quoteIdentifier(column)
    return `batch.${name} IS NOT DISTINCT FROM speed.${name}`
  })
  const columns = plan.columns.map((column) => combinedColumn(column, batch))
  return (
    `SELECT ${columns.join(', ')} FROM (SELECT *, true AS ${PRESENT} FROM (${batchRows})) AS batch ` +
    `FULL JOIN (SELECT *, true AS ${PRESENT} FROM (${speedRows})) AS speed ON ${on.join(' AND ')}`
  )
}

function combinedColumn({ name, type }: Column, batch: Pick<BatchPlan, 'key' | 'merge'>): string {
  const own = quoteIdentifier(name)
  if (batch.key.some(({ column }) => column === name)) {
    return `CASE WHEN speed.${PRESENT} THEN speed.${own} ELSE batch.${own} END AS ${own}`
  }
  const rule = must(
    batch.merge.find(({ column }) => column === name),
    `column ${name} has a merge rule`,
  )
  return (
    `CASE WHEN batch.${PRESENT} IS NULL THEN speed.${own} WHEN speed.${PRESENT} IS NULL THEN batch.${own} ` +
    `ELSE CAST(${mergeSql(rule)} AS ${type}) END AS ${own}`
  )
}

/** What a column is where both layers have the row. NULL is no value: the other layer's stands. */
export function mergeSql(rule: MergeRule): string {
  const own = quoteIdentifier(rule.column)
  const [left, right] = [`batch.${own}`, `speed.${own}`]
  switch (rule.kind) {
    case 'add':
      return `coalesce(${left} + ${right}, ${left}, ${right})`
    case 'replace':
      return `coalesce(${right}, ${left})`
    case 'min':
      return `least(${left}, ${right})`
    case 'max':
      return `greatest(${left}, ${right})`
    default:
      return `(${rule.sql})`
  }
}
