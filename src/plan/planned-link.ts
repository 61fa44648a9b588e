/**
 * A SELECT of the chain with its names resolved and its columns known, and the tools that the steps of planning
 * share. Holds the steps that turn a link of the chain into one: expanding stars, resolving, describing.
 */

import { quoteIdentifier } from '../model/schema.ts'
import { must } from '../std/assert.ts'
import type { FunctionRules } from './function-rules.ts'
import type { Mistakes } from './mistakes.ts'
import type { Column } from './plan.ts'
import { type ResolvedSelect, resolveSelect, type Source, usesColumn } from './resolve-names.ts'
import type { Link } from './select-chain.ts'
import type { SqlNode, SqlSyntax } from './sql-syntax.ts'
import {
  columnNames,
  columnRef,
  contains,
  functionName,
  isExpression,
  nodeOf,
  nodesOf,
  rewrite,
  rewriteChildren,
  selectStatement,
  textOf,
  walk,
} from './syntax-tree.ts'

export interface PlanTools {
  readonly syntax: SqlSyntax
  readonly rules: FunctionRules
  readonly mistakes: Mistakes
  isAggregate(node: SqlNode): boolean
}

export interface PlanStream {
  readonly name: string
  readonly fields: readonly string[]
  readonly columns: readonly Column[]
}

export interface PlannedLink {
  readonly link: Link
  readonly source: Source
  readonly resolved: ResolvedSelect
  /** Names and types of what the SELECT gives, as the user's own SQL has them. */
  readonly outputs: readonly Column[]
  readonly aggregates: boolean
  readonly distinct: boolean
  /** LIMIT and OFFSET as SQL, '' without. */
  readonly limitSql: string
}

/** Plans one link; undefined when a mistake leaves its columns unknown. */
export async function planLink(
  link: Link,
  source: Source,
  isTop: boolean,
  tools: PlanTools,
  /** Whether DuckDB accepts the whole statement; without that the columns are not asked for. */
  binds: boolean,
): Promise<PlannedLink | undefined> {
  const before = tools.mistakes.count
  const items = await expandStars(nodesOf(link.select.select_list), source, tools)
  if (items === undefined) return undefined
  const context = { source, mistakes: tools.mistakes, isAggregate: tools.isAggregate }
  const resolved = resolveSelect(link.select, items, context)
  if (tools.mistakes.count > before) return undefined
  const outputs = binds ? await describeLink(link, source, isTop, tools) : guessOutputs(items)
  if (outputs === undefined) return undefined
  if (outputs.length !== items.length) {
    tools.mistakes.add({
      code: 'VIEW_UNSUPPORTED',
      message: 'a view cannot unnest a struct into columns',
      hint: 'Name the fields of the struct, e.g. s.a, s.b.',
      at: link.select,
    })
    return undefined
  }
  const modifiers = nodesOf(link.select.modifiers)
  return {
    link,
    source,
    resolved,
    outputs,
    aggregates: isAggregating(link.select, resolved, tools),
    distinct: modifiers.some((modifier) => modifier.type === 'DISTINCT_MODIFIER'),
    limitSql: limitSql(modifiers.find((modifier) => modifier.type === 'LIMIT_MODIFIER')),
  }
}

/** Expressions as SQL, in the order given. */
export async function printExpressions(
  expressions: readonly SqlNode[],
  syntax: SqlSyntax,
): Promise<readonly string[]> {
  return Promise.all(
    expressions.map(async (expression) => {
      const sql = await syntax.print(selectStatement([{ ...expression, alias: '' }]))
      return sql.slice('SELECT '.length)
    }),
  )
}

/** Columns of `columns` that the expressions speak of. */
export function columnsUsed(expressions: unknown, columns: Iterable<string>): ReadonlySet<string> {
  const known = new Set(columns)
  const used = new Set<string>()
  walk(expressions, (node) => {
    const name = columnNames(node)?.[0]
    if (name !== undefined && known.has(name)) used.add(name)
    return undefined
  })
  return used
}

export function hasUnnest(expression: SqlNode): boolean {
  return contains(expression, (node) => functionName(node) === 'unnest')
}

function isAggregating(select: SqlNode, resolved: ResolvedSelect, tools: PlanTools): boolean {
  if (resolved.groups.length > 0 || resolved.having !== undefined) return true
  if (resolved.groupAll && resolved.items.some(usesColumn)) return true
  const orders = resolved.orders.map((order) => order.expression)
  return nodesOf(select.group_sets).length > 0 || contains([...resolved.items, ...orders], tools.isAggregate)
}

function limitSql(modifier: SqlNode | undefined): string {
  const part = (word: string, node: SqlNode | undefined): string => {
    const value = nodeOf(node?.value)
    return value === undefined || value.is_null === true ? '' : ` ${word} ${String(value.value)}`
  }
  if (modifier === undefined) return ''
  return part('LIMIT', nodeOf(modifier.limit)) + part('OFFSET', nodeOf(modifier.offset))
}

const SOURCE = '$source'

function sourceRelation(source: Source): Record<string, readonly Column[]> {
  return { [SOURCE]: source.columns.map(({ name, type }) => ({ name, type })) }
}

function sourceTable(source: Source): SqlNode {
  return {
    type: 'BASE_TABLE',
    alias: source.name,
    sample: null,
    schema_name: '',
    table_name: SOURCE,
    column_name_alias: [],
    catalog_name: '',
    at_clause: null,
  }
}

async function describeLink(
  link: Link,
  source: Source,
  isTop: boolean,
  tools: PlanTools,
): Promise<readonly Column[]> {
  const select = { ...link.select, cte_map: { map: [] }, from_table: sourceTable(source) }
  const sql = await tools.syntax.print({ node: select, named_param_map: [] })
  // As a subquery, because there DuckDB tells columns of the same name apart.
  return tools.syntax.describe(isTop ? sql : `SELECT * FROM (${sql})`, sourceRelation(source))
}

/** Names of the columns as far as they can be told without DuckDB: so that more mistakes are found in one go. */
function guessOutputs(items: readonly SqlNode[]): readonly Column[] | undefined {
  const names = items.map((item) => textOf(item.alias) || columnNames(item)?.at(-1) || '')
  return names.includes('') ? undefined : names.map((name) => ({ name, type: 'VARCHAR' }))
}

/** The select list with every star replaced by the columns it stands for; undefined after a mistake. */
async function expandStars(
  items: readonly SqlNode[],
  source: Source,
  tools: PlanTools,
): Promise<readonly SqlNode[] | undefined> {
  const expanded: SqlNode[] = []
  for (const written of items) {
    const item = (await unpackStars(written, source, tools)) ?? written
    const star = outermostStar(item)
    if (star === undefined) {
      expanded.push(item)
      continue
    }
    const isWhole = star === item || star.columns !== true
    const names = await starNames(isWhole ? item : star, source, tools)
    if (names === undefined) return undefined
    for (const name of names) {
      expanded.push(
        isWhole
          ? starColumn(star, name, source)
          : rewrite(item, (node) => (node === star ? columnRef(name) : undefined)),
      )
    }
  }
  return expanded
}

function outermostStar(item: SqlNode): SqlNode | undefined {
  let star: SqlNode | undefined
  walk(item, (node) => {
    if (star === undefined && isExpression(node) && node.class === 'STAR') star = node
    return star === undefined
  })
  return star
}

/** DuckDB itself says which columns a star stands for. */
async function starNames(
  star: SqlNode,
  source: Source,
  tools: PlanTools,
): Promise<readonly string[] | undefined> {
  const statement = selectStatement([{ ...star, alias: '' }])
  const select = { ...must(nodeOf(statement.node), 'a select'), from_table: sourceTable(source) }
  try {
    const sql = await tools.syntax.print({ ...statement, node: select })
    return (await tools.syntax.describe(sql, sourceRelation(source))).map((column) => column.name)
  } catch (error) {
    tools.mistakes.add({ code: 'VIEW_INVALID', message: firstSentence(error), at: star })
    return undefined
  }
}

function starColumn(star: SqlNode, name: string, source: Source): SqlNode {
  const same = (other: unknown): boolean => textOf(other).toLowerCase() === name.toLowerCase()
  const replaced = nodesOf(star.replace_list).find((entry) => same(entry.key))
  if (replaced !== undefined) return { ...must(nodeOf(replaced.value), 'a replacement'), alias: name }
  const renamed = nodesOf(star.rename_list).find((entry) => same(entry.value))
  if (renamed !== undefined) return { ...columnRef(textOf(nodeOf(renamed.key)?.column)), alias: name }
  // `address.*` gives the fields of a struct.
  const relation = textOf(star.relation_name)
  const isField = relation !== '' && relation.toLowerCase() !== source.name.toLowerCase()
  return isField ? columnRef(relation, name) : columnRef(name)
}

/** `coalesce(*COLUMNS(…))`: the columns become arguments of the call; undefined when there is nothing to unpack. */
async function unpackStars(item: SqlNode, source: Source, tools: PlanTools): Promise<SqlNode | undefined> {
  let unpack: SqlNode | undefined
  walk(item, (node) => {
    if (node.type === 'OPERATOR_UNPACK') unpack ??= node
    return unpack === undefined
  })
  const star = unpack && outermostStar(unpack)
  if (star === undefined) return undefined
  const names = await starNames(star, source, tools)
  const columns = names?.map((name) => ({ ...columnRef(name), alias: name })) ?? []
  const spliced = (node: SqlNode): SqlNode =>
    rewriteChildren(
      {
        ...node,
        children: nodesOf(node.children).flatMap((child) => (child === unpack ? columns : [child])),
      },
      replace,
    )
  const replace = (node: SqlNode): SqlNode | undefined =>
    nodesOf(node.children).includes(unpack!) ? spliced(node) : undefined
  return rewrite(item, replace)
}

/** What DuckDB says, without its class of error and without the lines that show the place. */
export function firstSentence(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return (text.split('\n')[0] ?? text)
    .replace(/^\w+ Error: /, '')
    .replaceAll(/\s+/g, ' ')
    .trim()
}

/** A relation in FROM under a name, for SQL made from parts. */
export function subquery(sql: string, name: string): string {
  return `(${sql}) AS ${quoteIdentifier(name)}`
}
