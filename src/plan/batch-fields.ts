/**
 * Which columns of a stream a statement may read, told from its syntax tree alone: those whose name stands anywhere in
 * it, and all where a star, a natural join or a whole row is used. Never too few, sometimes more than needed. Pure.
 */

import type { SqlNode } from './sql-syntax.ts'
import { columnNames, isNode, textOf, walk } from './syntax-tree.ts'

export function fieldsNamed(statement: SqlNode, columns: readonly string[]): ReadonlySet<string> {
  const words = new Set<string>()
  const single = new Set<string>()
  const tables = new Set<string>()
  let all = false
  walk(statement, (node) => {
    const names = columnNames(node)?.map((name) => name.toLowerCase())
    for (const name of names ?? []) words.add(name)
    if (names?.length === 1) single.add(names[0]!)
    if (node.class === 'STAR') all = true
    if (node.type === 'JOIN') {
      if (node.ref_type === 'NATURAL') all = true
      for (const name of Array.isArray(node.using_columns) ? node.using_columns : [])
        words.add(String(name).toLowerCase())
    }
    if (isNode(node) && typeof node.type === 'string' && node.class === undefined) {
      for (const name of [textOf(node.alias), textOf(node.table_name)]) tables.add(name.toLowerCase())
      // Columns that get other names here are named by their order.
      if (Array.isArray(node.column_name_alias) && node.column_name_alias.length > 0) all = true
    }
    return undefined
  })
  const wholeRow = [...single].some((name) => tables.has(name))
  return new Set(columns.filter((name) => all || wholeRow || words.has(name.toLowerCase())))
}
