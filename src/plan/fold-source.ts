/**
 * The part of a fold below its stage: selects that look at one event at a time, nested as in the user's SQL, each
 * giving only the columns that the next needs. Pure but for printing.
 */

import { quoteIdentifier } from '../model/schema.ts'
import type { Column } from './plan.ts'
import { columnsUsed, hasUnnest, type PlannedLink, printExpressions, subquery } from './planned-link.ts'
import type { SqlSyntax } from './sql-syntax.ts'

/** Columns of "$events" that say where an event stands, where a fold asks for them. */
export const positionTypes: readonly Column[] = [
  { name: '$commit', type: 'BIGINT' },
  { name: '$index', type: 'INTEGER' },
]

/** The position columns in a select list. */
export const positionList = positionTypes.map(({ name }) => quoteIdentifier(name)).join(', ')

/**
 * A hash of an event's position, the same for all time: SQL over the position columns. It is a few operations on
 * integers, because every fold computes it for every event; the products fit for 2^40 commits. As a sum modulo 2 of
 * such hashes costs half of what an ordinary sum does, that is what folds keep.
 */
export const positionHash = 'xor("$commit" * 4194319, "$index" * CAST(7919 AS BIGINT))'

export interface FoldSource {
  /** What stands after FROM. */
  readonly fromSql: string
  /** Top-level fields of the stream that are read. */
  readonly fields: readonly string[]
}

/**
 * `needed` are the columns that the stage reads from the topmost of `links`, or from the stream without links. With
 * `positions` every row also carries the position of its event.
 */
export async function foldSource(
  links: readonly PlannedLink[],
  streamFields: readonly string[],
  needed: ReadonlySet<string>,
  syntax: SqlSyntax,
  positions = false,
): Promise<FoldSource> {
  const top = links.at(-1)
  if (top === undefined) {
    return { fromSql: '"$events"', fields: streamFields.filter((field) => needed.has(field)) }
  }
  const { items, where } = top.resolved
  const kept = items.flatMap((item, index) => {
    const name = top.outputs[index]!.name
    return needed.has(name) || hasUnnest(item) ? [{ item, name }] : []
  })
  const actual = top.source.columns.map((column) => column.actual)
  const used = columnsUsed([kept.map(({ item }) => item), where], actual)
  const below = await foldSource(links.slice(0, -1), streamFields, used, syntax, positions)
  const printed = await printExpressions(
    kept.map(({ item }) => item),
    syntax,
  )
  const columns = printed.map((sql, index) => `${sql} AS ${quoteIdentifier(kept[index]!.name)}`)
  if (positions) columns.push(positionList)
  const list = columns.length === 0 ? '1 AS "$one"' : columns.join(', ')
  const [condition] = where === undefined ? [] : await printExpressions([where], syntax)
  const whereSql = condition === undefined ? '' : ` WHERE ${condition}`
  return {
    fromSql: subquery(`SELECT ${list} FROM ${below.fromSql}${whereSql}`, '$rows'),
    fields: below.fields,
  }
}
