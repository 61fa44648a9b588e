/**
 * The finishing SELECTs: over the merged rows of a stage, and over those again where the user's SQL has more SELECTs
 * on top. Every order that is asked for is made total, so that a LIMIT always takes the same rows. Pure but for
 * printing and parsing.
 *
 * The tie-breakers are not in the user's SQL. Where its ORDER BY leaves rows equal, DuckDB may give them in any order;
 * here the group's keys (for rows: all columns) decide, ascending, NULLs last. A LIMIT without ORDER BY takes the
 * first rows in that order.
 */

import { quoteIdentifier } from '../model/schema.ts'
import { must } from '../std/assert.ts'
import type { Column } from './plan.ts'
import { type PlannedLink, type PlanTools, printExpressions } from './planned-link.ts'
import type { ResolvedOrder } from './resolve-names.ts'
import type { SqlNode, SqlSyntax } from './sql-syntax.ts'
import { columnNames, nodeOf, nodesOf } from './syntax-tree.ts'

export interface FinishOrder extends ResolvedOrder {
  /** Position of the output that it is, from 1; only where DISTINCT allows nothing else. */
  readonly position?: number
}

export interface FinishParts {
  /** Expressions over "$merged" in the order of the outputs. */
  readonly items: readonly SqlNode[]
  /** The type an item has already, where that is known: then it is not cast. */
  readonly types: readonly (string | undefined)[]
  readonly outputs: readonly Column[]
  readonly having: SqlNode | undefined
  readonly orders: readonly FinishOrder[]
  /** Columns of "$merged" that break ties. */
  readonly tieBreakers: readonly string[]
  readonly distinct: boolean
  readonly limitSql: string
}

/** The SELECT over "$merged". */
export async function stageFinishSql(parts: FinishParts, syntax: SqlSyntax): Promise<string> {
  const printed = await printExpressions(parts.items, syntax)
  const columns = printed.map((sql, index) => {
    const { name, type } = parts.outputs[index]!
    const typed = parts.types[index] === type ? sql : `CAST(${sql} AS ${type})`
    return `${typed} AS ${quoteIdentifier(name)}`
  })
  const having =
    parts.having === undefined ? '' : ` WHERE ${(await printExpressions([parts.having], syntax))[0]}`
  const distinct = parts.distinct ? 'DISTINCT ' : ''
  return `SELECT ${distinct}${columns.join(', ')} FROM "$merged"${having}${await orderSql(parts, syntax)}${parts.limitSql}`
}

async function orderSql(parts: FinishParts, syntax: SqlSyntax): Promise<string> {
  if (parts.orders.length === 0 && parts.limitSql === '') return ''
  // A constant decides no order, and a number would be taken for a position.
  const orders = parts.orders.filter((order) => order.expression.class !== 'CONSTANT')
  const printed = await printExpressions(
    orders.map((order) => order.expression),
    syntax,
  )
  const terms = orders.map((order, index) => `${order.position ?? printed[index]}${direction(order)}`)
  const ties = parts.distinct
    ? parts.outputs.map((_, index) => `${index + 1}`)
    : parts.tieBreakers.map((name) => `"$merged".${quoteIdentifier(name)}`)
  const all = [...new Set([...terms, ...ties])]
  return all.length === 0 ? '' : ` ORDER BY ${all.join(', ')}`
}

function direction(order: ResolvedOrder): string {
  const way = order.type === 'DESCENDING' ? ' DESC' : ''
  if (order.nullOrder === 'ORDER_DEFAULT' || order.nullOrder === '') return way
  return `${way} ${order.nullOrder.replaceAll('_', ' ')}`
}

/** The user's SELECTs above the stage, each as written, over the finished rows of the one below. */
export async function outerFinishSql(
  belowSql: string,
  links: readonly PlannedLink[],
  tools: PlanTools,
): Promise<string> {
  let sql = belowSql
  for (const planned of links) {
    const parsed = await tools.syntax.parse(sql)
    if (!parsed.ok) throw new Error(`a finish query does not parse: ${parsed.message}`)
    const { select, sourceName, sourceRenames } = planned.link
    const from = {
      type: 'SUBQUERY',
      alias: sourceName,
      sample: null,
      subquery: must(parsed.statements[0], 'a SELECT was parsed'),
      column_name_alias: sourceRenames,
    }
    const node = { ...select, cte_map: { map: [] }, from_table: from, modifiers: totalOrder(planned) }
    sql = await tools.syntax.print({ node, named_param_map: [] })
  }
  return sql
}

function totalOrder(planned: PlannedLink): readonly SqlNode[] {
  const modifiers = nodesOf(planned.link.select.modifiers)
  if (modifiers.every((modifier) => modifier.type === 'DISTINCT_MODIFIER')) return modifiers
  const own = modifiers.find((modifier) => modifier.type === 'ORDER_MODIFIER')
  const isAll = nodesOf(own?.orders).some((order) => nodeOf(order.expression)?.class === 'STAR')
  const ties = isAll ? [] : planned.outputs.map((_, index) => positionOrder(index + 1))
  const order = { type: 'ORDER_MODIFIER', orders: [...nodesOf(own?.orders), ...ties] }
  const others = modifiers.filter((modifier) => modifier !== own)
  return [
    ...others.filter((modifier) => modifier.type === 'DISTINCT_MODIFIER'),
    order,
    ...others.filter((modifier) => modifier.type !== 'DISTINCT_MODIFIER'),
  ]
}

function positionOrder(position: number): SqlNode {
  return {
    type: 'ORDER_DEFAULT',
    null_order: 'ORDER_DEFAULT',
    expression: {
      class: 'CONSTANT',
      type: 'VALUE_CONSTANT',
      alias: '',
      value: { type: { id: 'INTEGER', type_info: null }, is_null: false, value: position },
    },
  }
}

/** Carries facts about columns of the stage through the SELECTs above it: output name → fact. */
export function throughLinks<T>(
  facts: Readonly<Record<string, T>>,
  links: readonly PlannedLink[],
  reads: (expression: SqlNode, facts: Readonly<Record<string, T>>) => T | undefined,
): Readonly<Record<string, T>> {
  let current = facts
  for (const planned of links) {
    const next: Record<string, T> = {}
    planned.resolved.items.forEach((item, index) => {
      const fact = reads(item, current)
      if (fact !== undefined) next[planned.outputs[index]!.name] = fact
    })
    current = next
  }
  return current
}

/** The fact of a column passed on untouched. */
export function passedOn<T>(expression: SqlNode, facts: Readonly<Record<string, T>>): T | undefined {
  const names = columnNames(expression)
  return names?.length === 1 ? facts[names[0]!] : undefined
}
