/**
 * Resolves the names of one SELECT as DuckDB does, so that what remains speaks only of the columns it reads: stars
 * are expanded, aliases replaced by what they stand for, positions by their item, qualified names by plain ones.
 *
 * DuckDB's rules, which the cases in test/cases hold it to:
 *   SELECT list   a column first, then the alias of an item further left (not inside an aggregate)
 *   WHERE         a column first, then any alias
 *   GROUP BY      a position; a column first, then an alias
 *   HAVING        a grouped column first, then an alias, then a column (inside an aggregate: columns only)
 *   ORDER BY      a position; alone: an alias first; inside an expression: a column first
 */

import { nearestName } from '../std/nearest-name.ts'
import { lambdaFunctions, OWN_TIME, valueNames } from './function-rules.ts'
import type { Mistakes } from './mistakes.ts'
import type { SqlNode } from './sql-syntax.ts'
import {
  childrenOf,
  columnNames,
  columnRef,
  functionName,
  integerConstant,
  nodeOf,
  nodesOf,
  rewriteChildren,
  structuralKey,
  textOf,
} from './syntax-tree.ts'

/** A column that a SELECT reads: the name it sees, and the name it has in what lies below. */
export interface SourceColumn {
  readonly name: string
  readonly actual: string
  readonly type: string
}

export interface Source {
  readonly name: string
  /** For messages: `stream "events"`, `subquery "e"`. */
  readonly title: string
  readonly columns: readonly SourceColumn[]
  /** Names in lower case that columns had before → the columns' names now. */
  readonly former?: ReadonlyMap<string, string>
}

export interface ResolvedOrder {
  readonly type: string
  readonly nullOrder: string
  readonly expression: SqlNode
}

export interface ResolvedSelect {
  readonly items: readonly SqlNode[]
  readonly where: SqlNode | undefined
  readonly groups: readonly SqlNode[]
  readonly groupAll: boolean
  readonly having: SqlNode | undefined
  readonly orders: readonly ResolvedOrder[]
}

export interface ResolveContext {
  readonly source: Source
  readonly mistakes: Mistakes
  readonly isAggregate: (node: SqlNode) => boolean
}

/** Whether an expression uses a column: parameters of lambdas are none. */
export function usesColumn(node: SqlNode): boolean {
  return freeColumns(node, () => false).length > 0
}

/** References to columns in an expression, outside of what `isClosed` says. */
export function freeColumns(
  node: SqlNode,
  isClosed: (node: SqlNode) => boolean,
  lambdaNames: ReadonlySet<string> = new Set(),
): readonly SqlNode[] {
  const names = columnNames(node)
  if (names !== undefined) return lambdaNames.has(names[0]!.toLowerCase()) ? [] : [node]
  if (isClosed(node)) return []
  const takesLambda = lambdaFunctions.has(functionName(node) ?? '')
  return childrenOf(node).flatMap((child) => {
    if (!takesLambda || child.class !== 'LAMBDA') return freeColumns(child, isClosed, lambdaNames)
    const bound = new Set([...lambdaNames, ...lambdaParameters(nodeOf(child.lhs))])
    return freeColumns(nodeOf(child.expr)!, isClosed, bound)
  })
}

/** `items` is the select list with stars already expanded (`expandStars`). */
export function resolveSelect(
  select: SqlNode,
  items: readonly SqlNode[],
  context: ResolveContext,
): ResolvedSelect {
  const aliases: Alias[] = []
  const resolved = items.map((item) => {
    const expression = resolve(item, context, { aliases, aliasInAggregate: false, aliasFirst: notFirst })
    aliases.push({ name: aliasOf(item), expression })
    return { ...expression, alias: '' }
  })
  const scope: Scope = { aliases, aliasInAggregate: true, aliasFirst: notFirst }
  const where = nodeOf(select.where_clause)
  const groups = nodesOf(select.group_expressions).map((group) =>
    resolveGroup(group, resolved, context, scope),
  )
  const groupKeys = new Set(groups.map(structuralKey))
  const having = nodeOf(select.having)
  const havingScope: Scope = {
    aliases,
    aliasInAggregate: false,
    aliasFirst: (column) => column === undefined || !groupKeys.has(structuralKey(column)),
  }
  return {
    items: resolved,
    where: where && resolve(where, context, scope),
    groups,
    groupAll: select.aggregate_handling === 'FORCE_AGGREGATES',
    having: having && resolve(having, context, havingScope),
    orders: nodesOf(select.modifiers)
      .filter((modifier) => modifier.type === 'ORDER_MODIFIER')
      .flatMap((modifier) => nodesOf(modifier.orders))
      .flatMap((order) => resolveOrder(order, items, resolved, context, aliases)),
  }
}

interface Alias {
  readonly name: string
  readonly expression: SqlNode
}

interface Scope {
  readonly aliases: readonly Alias[]
  readonly aliasInAggregate: boolean
  /** Whether an alias wins over the column of the same name (undefined: there is none). */
  readonly aliasFirst: (column: SqlNode | undefined) => boolean
}

const notFirst = (): boolean => false

function aliasOf(item: SqlNode): string {
  const names = columnNames(item)
  return (textOf(item.alias) || names?.at(-1) || '').toLowerCase()
}

function resolveGroup(
  group: SqlNode,
  items: readonly SqlNode[],
  context: ResolveContext,
  scope: Scope,
): SqlNode {
  const position = integerConstant(group)
  if (position !== undefined) return items[position - 1] ?? group
  return { ...resolve(group, context, scope), alias: '' }
}

function resolveOrder(
  order: SqlNode,
  items: readonly SqlNode[],
  resolved: readonly SqlNode[],
  context: ResolveContext,
  aliases: readonly Alias[],
): readonly ResolvedOrder[] {
  const expression = nodeOf(order.expression)
  if (expression === undefined) return []
  const made = (node: SqlNode): ResolvedOrder => ({
    type: textOf(order.type),
    nullOrder: textOf(order.null_order),
    expression: { ...node, alias: '' },
  })
  if (expression.class === 'STAR') return resolved.map(made)
  const position = integerConstant(expression)
  if (position !== undefined) {
    const item = resolved[position - 1]
    if (item !== undefined) return [made(item)]
    context.mistakes.add({
      code: 'VIEW_INVALID',
      message: `ORDER BY names column ${position} of ${resolved.length}`,
      hint: 'Name a column of the select list by its position or its alias.',
      at: expression,
    })
    return []
  }
  const names = columnNames(expression)
  if (names?.length === 1) {
    const index = items.findIndex((item) => aliasOf(item) === names[0]!.toLowerCase())
    if (index >= 0) return [made(resolved[index]!)]
  }
  return [made(resolve(expression, context, { aliases, aliasInAggregate: false, aliasFirst: notFirst }))]
}

function resolve(
  node: SqlNode,
  context: ResolveContext,
  scope: Scope,
  lambdaNames: ReadonlySet<string> = new Set(),
): SqlNode {
  const names = columnNames(node)
  if (names !== undefined) {
    if (lambdaNames.has(names[0]!.toLowerCase())) return node
    const place = node.query_location === undefined ? {} : { query_location: node.query_location }
    return { ...resolveColumn(node, names, context, scope), alias: node.alias ?? '', ...place }
  }
  // Subqueries and windows are refused already; their names are another matter.
  if (node.class === 'SUBQUERY' || node.class === 'WINDOW') return node
  const inner = context.isAggregate(node) && !scope.aliasInAggregate ? { ...scope, aliases: [] } : scope
  const takesLambda = lambdaFunctions.has(functionName(node) ?? '')
  if (!takesLambda) return rewriteChildren(node, (child) => resolve(child, context, inner, lambdaNames))
  const children = nodesOf(node.children).map((child) => {
    if (child.class !== 'LAMBDA') return resolve(child, context, inner, lambdaNames)
    const bound = new Set([...lambdaNames, ...lambdaParameters(nodeOf(child.lhs))])
    return { ...child, expr: resolve(nodeOf(child.expr)!, context, inner, bound) }
  })
  return { ...node, children }
}

function lambdaParameters(parameters: SqlNode | undefined): readonly string[] {
  if (parameters === undefined) return []
  const names = columnNames(parameters)
  if (names !== undefined) return [names[0]!.toLowerCase()]
  return nodesOf(parameters.children).flatMap(lambdaParameters)
}

function resolveColumn(
  node: SqlNode,
  names: readonly string[],
  context: ResolveContext,
  scope: Scope,
): SqlNode {
  const { source, mistakes } = context
  const find = (name: string | undefined): SourceColumn | undefined =>
    source.columns.find((column) => column.name.toLowerCase() === name?.toLowerCase())
  const isQualified = names.length > 1 && names[0]!.toLowerCase() === source.name.toLowerCase()
  const qualified = isQualified ? find(names[1]) : undefined
  if (qualified !== undefined) return columnRef(qualified.actual, ...names.slice(2))
  const plain = find(names[0])
  const column = plain && columnRef(plain.actual, ...names.slice(1))
  const alias =
    names.length === 1 ? scope.aliases.find(({ name }) => name === names[0]!.toLowerCase()) : undefined
  if (alias !== undefined && (column === undefined || scope.aliasFirst(column))) return alias.expression
  if (column !== undefined) return column
  if (names.length === 1 && names[0]!.toLowerCase() === source.name.toLowerCase()) {
    mistakes.add({
      code: 'VIEW_UNSUPPORTED',
      message: `"${names[0]}" names ${source.title} as a whole, which is no value`,
      hint: 'Name the fields you need, e.g. {a: a, b: b}.',
      at: node,
    })
    return node
  }
  const single = names.length === 1 ? names[0]!.toLowerCase() : ''
  if (valueNames.has(single) && source.former?.has(single) !== true) {
    mistakes.add({
      code: 'VIEW_VOLATILE',
      message: `"${single}" is not decided by the events alone`,
      hint: OWN_TIME,
      at: node,
    })
    return node
  }
  const wanted = (isQualified ? names.slice(1) : names).join('.')
  mistakes.add({
    code: 'VIEW_COLUMN_UNKNOWN',
    message: `${source.title} has no column "${wanted}"`,
    hint: hintForColumn(isQualified ? names[1]! : names[0]!, context, scope),
    at: node,
  })
  return node
}

const systemColumns = /^(_partition|_offset|_commit|_index|_ingested_at|rowid)$/i

function hintForColumn(name: string, context: ResolveContext, scope: Scope): string {
  if (systemColumns.test(name))
    return "Where an event stands in the log is no part of it: use the event's own fields."
  const renamed = context.source.former?.get(name.toLowerCase())
  if (renamed !== undefined) return `It is called "${renamed}" now.`
  const known = context.source.columns.map((column) => column.name)
  const aliases = scope.aliases.map((alias) => alias.name).filter((alias) => alias !== '')
  const nearest = nearestName(name, [...known, ...aliases])
  return nearest === undefined ? `Its columns are: ${known.join(', ')}.` : `Did you mean "${nearest}"?`
}
