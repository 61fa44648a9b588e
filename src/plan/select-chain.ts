/**
 * The shape of a view's statement: a chain of SELECTs, each over the one below, the lowest over a stream. CTEs and
 * subqueries in FROM become links of the chain; everything that is no chain is refused here, with the reason.
 * Pure; mistakes go to the collector.
 */

import type { StreamDef } from '../model/schema.ts'
import { nearestName } from '../std/nearest-name.ts'
import type { Mistakes } from './mistakes.ts'
import type { SqlNode } from './sql-syntax.ts'
import { nodeOf, nodesOf, textOf } from './syntax-tree.ts'

/** One SELECT of the chain. */
export interface Link {
  readonly select: SqlNode
  /** The name by which this SELECT knows what it reads. */
  readonly sourceName: string
  /** Names given to the first columns of what it reads: `FROM events AS e(a, b)`. */
  readonly sourceRenames: readonly string[]
}

export interface SelectChain {
  readonly stream: StreamDef
  /** From the stream upwards; the last is the statement's outermost SELECT. */
  readonly links: readonly [Link, ...Link[]]
}

export interface ChainContext {
  readonly streams: readonly StreamDef[]
  /** Names of the project's views, to tell "not yet" from "unknown". */
  readonly views: readonly string[]
  readonly mistakes: Mistakes
}

interface Cte {
  readonly query: SqlNode
  readonly aliases: readonly string[]
  /** What the CTE's own text may name. */
  readonly scope: Scope
}

type Scope = ReadonlyMap<string, Cte>

/** The chain, or undefined when there is none; then at least one mistake was noted. */
export function selectChain(statement: SqlNode, context: ChainContext): SelectChain | undefined {
  return followQuery(nodeOf(statement.node), new Map(), context)
}

function followQuery(
  node: SqlNode | undefined,
  outer: Scope,
  context: ChainContext,
): SelectChain | undefined {
  switch (node?.type) {
    case 'SELECT_NODE':
      return followSelect(node, scopeOf(node, outer, context), context)
    case 'SET_OPERATION_NODE':
      context.mistakes.add({
        code: 'VIEW_NOT_YET',
        message: `a view cannot combine queries with ${textOf(node.setop_type) || 'a set operation'}`,
        hint: 'Make a view of each query, or say both conditions in one WHERE.',
        at: node,
      })
      return undefined
    case 'RECURSIVE_CTE_NODE':
      context.mistakes.add({
        code: 'VIEW_UNSUPPORTED',
        message: 'a view cannot use a recursive CTE',
        hint: 'Write the view without WITH RECURSIVE.',
        at: node,
      })
      return undefined
    default:
      context.mistakes.add({
        code: 'VIEW_NOT_SELECT',
        message: 'a view must be one SELECT over a stream',
        ...(node === undefined ? {} : { at: node }),
      })
      return undefined
  }
}

function scopeOf(node: SqlNode, outer: Scope, context: ChainContext): Scope {
  const entries = nodesOf(nodeOf(node.cte_map)?.map)
  let scope = outer
  for (const entry of entries) {
    const value = nodeOf(entry.value)
    const query = nodeOf(nodeOf(value?.query)?.node)
    if (value === undefined || query === undefined) {
      context.mistakes.add({
        code: 'VIEW_NOT_SELECT',
        message: `CTE "${textOf(entry.key)}" is not a SELECT`,
        at: node,
      })
      continue
    }
    const aliases = Array.isArray(value.aliases) ? value.aliases.map(String) : []
    scope = new Map(scope).set(textOf(entry.key).toLowerCase(), { query, aliases, scope })
  }
  return scope
}

function followSelect(select: SqlNode, scope: Scope, context: ChainContext): SelectChain | undefined {
  checkClauses(select, context)
  const from = nodeOf(select.from_table)
  if (from?.sample) refuseSample(from, context)
  switch (from?.type) {
    case 'BASE_TABLE':
      return followTable(select, from, scope, context)
    case 'SUBQUERY': {
      const below = followQuery(nodeOf(nodeOf(from.subquery)?.node), scope, context)
      return below && addLink(below, select, textOf(from.alias), renamesOf(from))
    }
    default:
      refuseSource(from, select, context)
      return undefined
  }
}

function followTable(
  select: SqlNode,
  from: SqlNode,
  scope: Scope,
  context: ChainContext,
): SelectChain | undefined {
  const name = textOf(from.table_name)
  const alias = textOf(from.alias) || name
  if (from.at_clause) {
    context.mistakes.add({
      code: 'VIEW_UNSUPPORTED',
      message: `stream "${name}" cannot be read AT a version in a view`,
      hint: 'A view folds the whole stream; ask for an earlier cut when you read the view.',
      at: from,
    })
  }
  if (textOf(from.schema_name) !== '' || textOf(from.catalog_name) !== '') {
    const full = [from.catalog_name, from.schema_name, name].map(textOf).filter((part) => part !== '')
    context.mistakes.add({
      code: 'VIEW_STREAM_UNKNOWN',
      message: `a view cannot read "${full.join('.')}": streams have no schema`,
      hint: `Write the name of a stream alone${streamList(context)}.`,
      at: from,
    })
    return undefined
  }
  const cte = scope.get(name.toLowerCase())
  if (cte !== undefined) {
    const below = followQuery(cte.query, cte.scope, context)
    return (
      below &&
      addLink(below, select, alias, [...renamesOf(from), ...cte.aliases.slice(renamesOf(from).length)])
    )
  }
  const stream = context.streams.find((candidate) => candidate.name.toLowerCase() === name.toLowerCase())
  if (stream !== undefined) {
    return { stream, links: [{ select, sourceName: alias, sourceRenames: renamesOf(from) }] }
  }
  refuseTable(name, from, scope, context)
  return undefined
}

function addLink(
  below: SelectChain,
  select: SqlNode,
  sourceName: string,
  sourceRenames: readonly string[],
): SelectChain {
  return { stream: below.stream, links: [...below.links, { select, sourceName, sourceRenames }] }
}

function renamesOf(from: SqlNode): readonly string[] {
  return Array.isArray(from.column_name_alias) ? from.column_name_alias.map(String) : []
}

function streamList(context: ChainContext): string {
  return context.streams.length === 0 ? '' : `: ${context.streams.map(({ name }) => name).join(', ')}`
}

function refuseTable(name: string, from: SqlNode, scope: Scope, context: ChainContext): void {
  const isView = context.views.some((view) => view.toLowerCase() === name.toLowerCase())
  if (isView) {
    context.mistakes.add({
      code: 'VIEW_NOT_YET',
      message: `view "${name}" cannot be read by another view yet`,
      hint: `Write the SELECT of "${name}" as a CTE over its stream.`,
      at: from,
    })
    return
  }
  if (/[./\\*:]/.test(name)) {
    context.mistakes.add({
      code: 'VIEW_UNSUPPORTED',
      message: `a view cannot read the file "${name}"`,
      hint: 'Bring the file in with `refold ingest FILE --stream STREAM` and read the stream.',
      at: from,
    })
    return
  }
  const nearest = nearestName(name, [...context.streams.map((stream) => stream.name), ...scope.keys()])
  context.mistakes.add({
    code: 'VIEW_STREAM_UNKNOWN',
    message: `there is no stream "${name}"`,
    hint:
      nearest === undefined
        ? `The streams are${streamList(context) || ': none'}.`
        : `Did you mean "${nearest}"?`,
    at: from,
  })
}

function refuseSample(node: SqlNode, context: ChainContext): void {
  context.mistakes.add({
    code: 'VIEW_UNSUPPORTED',
    message: 'a view cannot use TABLESAMPLE: the sample would differ from fold to fold',
    hint: 'Choose events by their content, e.g. WHERE hash(user_id) % 10 = 0.',
    at: node,
  })
}

function refuseSource(from: SqlNode | undefined, select: SqlNode, context: ChainContext): void {
  const at = from ?? select
  const add = (
    code: 'VIEW_NOT_YET' | 'VIEW_UNSUPPORTED' | 'VIEW_NOT_SELECT',
    message: string,
    hint: string,
  ): void => context.mistakes.add({ code, message, hint, at: from?.type === 'EMPTY' ? select : at })
  switch (from?.type) {
    case 'JOIN': {
      const lateral = [from.left, from.right].some((side) => nodeOf(side)?.type === 'TABLE_FUNCTION')
      add(
        'VIEW_NOT_YET',
        `a view cannot join yet (${joinName(from)})`,
        lateral
          ? 'To get a row for each element write unnest(list) in the SELECT list of a subquery.'
          : 'Read one stream; put what the join would add into the event, or join views when you query them.',
      )
      return
    }
    case 'TABLE_FUNCTION': {
      const name = textOf(nodeOf(from.function)?.function_name)
      add(
        'VIEW_UNSUPPORTED',
        `a view cannot read from the table function "${name}"`,
        `Read a stream${streamList(context)}.`,
      )
      return
    }
    case 'EXPRESSION_LIST':
    case 'COLUMN_DATA':
      add('VIEW_NOT_SELECT', 'a view cannot be made of VALUES alone', `Read a stream${streamList(context)}.`)
      return
    case 'PIVOT':
      add(
        'VIEW_UNSUPPORTED',
        'a view cannot use PIVOT: its columns would depend on the events',
        "Write one column for each value, e.g. count(*) FILTER (WHERE kind = 'a').",
      )
      return
    case 'SHOW_REF':
      add('VIEW_NOT_SELECT', 'a view cannot be made of DESCRIBE, SHOW or SUMMARIZE', 'Write a SELECT.')
      return
    default:
      add(
        'VIEW_NOT_SELECT',
        'a view must read a stream',
        `Add FROM with one of the streams${streamList(context)}.`,
      )
  }
}

function joinName(from: SqlNode): string {
  const reference = textOf(from.ref_type)
  if (reference === 'ASOF' || reference === 'POSITIONAL' || reference === 'CROSS') return `${reference} JOIN`
  return `${textOf(from.join_type) || 'INNER'} JOIN`
}

/** Clauses of one SELECT that no view can have. */
function checkClauses(select: SqlNode, context: ChainContext): void {
  if (select.sample) refuseSample(select, context)
  if (select.qualify) {
    context.mistakes.add({
      code: 'VIEW_NOT_YET',
      message: 'a view cannot use QUALIFY: it needs window functions',
      hint: 'Use GROUP BY with HAVING, or ORDER BY with LIMIT.',
      at: nodeOf(select.qualify) ?? select,
    })
  }
  const sets = Array.isArray(select.group_sets) ? select.group_sets : []
  const groups = nodesOf(select.group_expressions)
  const isPlain =
    sets.length === 0 || (sets.length === 1 && Array.isArray(sets[0]) && sets[0].length === groups.length)
  if (!isPlain) {
    context.mistakes.add({
      code: 'VIEW_NOT_YET',
      message: 'a view cannot use GROUPING SETS, ROLLUP or CUBE',
      hint: 'Make one view for each grouping.',
      at: groups[0] ?? select,
    })
  }
  for (const modifier of nodesOf(select.modifiers)) checkModifier(modifier, context)
}

function checkModifier(modifier: SqlNode, context: ChainContext): void {
  const limits = [modifier.limit, modifier.offset].map(nodeOf).filter((node) => node !== undefined)
  if (modifier.type === 'LIMIT_PERCENT_MODIFIER') {
    context.mistakes.add({
      code: 'VIEW_UNSUPPORTED',
      message: 'a view cannot LIMIT to a percentage',
      hint: 'Give LIMIT a number of rows.',
      ...(limits[0] === undefined ? {} : { at: limits[0] }),
    })
    return
  }
  for (const limit of limits) {
    if (limit.class === 'CONSTANT') continue
    context.mistakes.add({
      code: 'VIEW_UNSUPPORTED',
      message: 'LIMIT and OFFSET of a view must be constants',
      hint: 'Give LIMIT a number of rows.',
      at: limit,
    })
  }
  const targets = nodesOf(modifier.distinct_on_targets)
  if (modifier.type === 'DISTINCT_MODIFIER' && targets.length > 0) {
    context.mistakes.add({
      code: 'VIEW_NOT_YET',
      message: 'a view cannot use DISTINCT ON: which row stays would depend on the order of events',
      hint: 'Use GROUP BY with min() or max() for the other columns.',
      at: targets[0]!,
    })
  }
}
