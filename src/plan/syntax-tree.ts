/**
 * Tools over DuckDB's syntax tree: walking, rewriting, comparing and building nodes. Pure functions; nodes are never
 * changed in place. An expression is a node with a `class`; selects and tables have only a `type`.
 */

import type { SqlNode } from './sql-syntax.ts'

export function isNode(value: unknown): value is SqlNode {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isExpression(value: unknown): value is SqlNode {
  return isNode(value) && typeof value.class === 'string'
}

export function nodeOf(value: unknown): SqlNode | undefined {
  return isNode(value) ? value : undefined
}

export function nodesOf(value: unknown): readonly SqlNode[] {
  return Array.isArray(value) ? value.filter(isNode) : []
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** Character index in the SQL text, where DuckDB gave one. */
export function locationOf(node: SqlNode): number | undefined {
  return typeof node.query_location === 'number' ? node.query_location : undefined
}

/** The first location at or below a node: operators made by the parser have none of their own. */
export function nearestLocation(value: unknown): number | undefined {
  if (Array.isArray(value)) {
    for (const item of value) {
      const found = nearestLocation(item)
      if (found !== undefined) return found
    }
    return undefined
  }
  if (!isNode(value)) return undefined
  return locationOf(value) ?? nearestLocation(Object.values(value))
}

/** Names of a column reference, or undefined for anything else. */
export function columnNames(node: SqlNode): readonly string[] | undefined {
  if (node.class !== 'COLUMN_REF' || !Array.isArray(node.column_names)) return undefined
  return node.column_names.map(String)
}

/** Name of a function call in lower case, or undefined for anything else. */
export function functionName(node: SqlNode): string | undefined {
  return node.class === 'FUNCTION' ? textOf(node.function_name).toLowerCase() : undefined
}

/** An integer constant, as positions in GROUP BY and ORDER BY are. */
export function integerConstant(node: SqlNode): number | undefined {
  if (node.class !== 'CONSTANT') return undefined
  const value = nodeOf(node.value)
  return typeof value?.value === 'number' && nodeOf(value.type)?.id !== 'BOOLEAN' ? value.value : undefined
}

/** Calls `visit` on every node at or below `value`, outermost first; `visit` returns false to stay out of a node. */
export function walk(value: unknown, visit: (node: SqlNode) => boolean | undefined): void {
  if (Array.isArray(value)) {
    for (const item of value) walk(item, visit)
  } else if (isNode(value)) {
    if (visit(value) === false) return
    for (const child of Object.values(value)) {
      if (typeof child === 'object') walk(child, visit)
    }
  }
}

/** The expressions directly below a node. */
export function childrenOf(node: SqlNode): readonly SqlNode[] {
  const children: SqlNode[] = []
  for (const value of Object.values(node)) {
    walk(value, (child) => {
      if (!isExpression(child)) return undefined
      children.push(child)
      return false
    })
  }
  return children
}

/** Whether some expression at or below `value` satisfies `test`. */
export function contains(value: unknown, test: (node: SqlNode) => boolean): boolean {
  let found = false
  walk(value, (node) => {
    if (!found && isExpression(node) && test(node)) found = true
    return !found
  })
  return found
}

/**
 * Rebuilds an expression from the outside in. `replace` gives the node that stands instead, or undefined to go on
 * into the children. The replacement keeps the place's alias, because some functions name their results by it.
 */
export function rewrite(node: SqlNode, replace: (node: SqlNode) => SqlNode | undefined): SqlNode {
  const replaced = replace(node)
  if (replaced !== undefined) return { ...replaced, alias: node.alias ?? '' }
  return rewriteChildren(node, replace)
}

export function rewriteChildren(node: SqlNode, replace: (node: SqlNode) => SqlNode | undefined): SqlNode {
  const copy: SqlNode = {}
  for (const [name, value] of Object.entries(node)) copy[name] = rewriteValue(value, replace)
  return copy
}

function rewriteValue(value: unknown, replace: (node: SqlNode) => SqlNode | undefined): unknown {
  if (Array.isArray(value)) return value.map((item) => rewriteValue(item, replace))
  if (isExpression(value)) return rewrite(value, replace)
  if (isNode(value) && !isRawNumber(value)) return rewriteChildren(value, replace)
  return value
}

/** Numbers that keep their source text are frozen objects of the JSON library; they are passed on as they are. */
export function isRawNumber(value: SqlNode): boolean {
  return Object.getPrototypeOf(value) === null
}

/** Equal for expressions that are the same but for places and the outermost alias. */
export function structuralKey(node: SqlNode): string {
  return JSON.stringify({ ...node, alias: '' }, (name, value: unknown) =>
    name === 'query_location' ? undefined : value,
  )
}

export function columnRef(...names: string[]): SqlNode {
  return { class: 'COLUMN_REF', type: 'COLUMN_REF', alias: '', column_names: names }
}

/** A column of the merged rows; qualified, so that no alias of the user's can be meant. */
export function mergedRef(name: string): SqlNode {
  return columnRef('$merged', name)
}

export function castTo(child: SqlNode, castType: unknown): SqlNode {
  return { class: 'CAST', type: 'OPERATOR_CAST', alias: '', child, cast_type: castType, try_cast: false }
}

export function call(name: string, children: readonly SqlNode[], isOperator = false): SqlNode {
  return {
    class: 'FUNCTION',
    type: 'FUNCTION',
    alias: '',
    function_name: name,
    schema: '',
    children: children.map((child) => ({ ...child, alias: '' })),
    filter: null,
    order_bys: { type: 'ORDER_MODIFIER', orders: [] },
    distinct: false,
    is_operator: isOperator,
    export_state: false,
    catalog: '',
  }
}

/** A statement that selects these expressions from nothing: the form in which single expressions are printed. */
export function selectStatement(selectList: readonly SqlNode[]): SqlNode {
  return {
    node: {
      type: 'SELECT_NODE',
      modifiers: [],
      cte_map: { map: [] },
      select_list: selectList,
      from_table: { type: 'EMPTY', alias: '', sample: null },
      where_clause: null,
      group_expressions: [],
      group_sets: [],
      aggregate_handling: 'STANDARD_HANDLING',
      having: null,
      sample: null,
      qualify: null,
    },
    named_param_map: [],
  }
}
