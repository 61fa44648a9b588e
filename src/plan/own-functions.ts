/**
 * Functions of a project in a syntax tree: calls by their plain names are put under the names that have a hash, and
 * what DuckDB says of them is put into the user's words. Pure.
 */

import { type PlannedFunction, signatureOf } from '../define/function-def.ts'
import type { SqlNode } from './sql-syntax.ts'
import { functionName, isNode, isRawNumber, textOf, walk } from './syntax-tree.ts'

/** The tree with every call renamed; places stay. */
export function bindFunctions<T>(tree: T, functions: readonly PlannedFunction[]): T {
  if (functions.length === 0) return tree
  const named = new Map(functions.map((one) => [one.name.toLowerCase(), one.sqlName]))
  return rename(tree, named) as T
}

function rename(value: unknown, named: ReadonlyMap<string, string>): unknown {
  if (Array.isArray(value)) return value.map((item) => rename(item, named))
  if (!isNode(value) || isRawNumber(value)) return value
  const copy: SqlNode = {}
  for (const [key, part] of Object.entries(value)) copy[key] = rename(part, named)
  const own = isOwnCall(value) ? named.get(functionName(value) ?? '') : undefined
  // The column is named by the call as it was written, unless it has a name.
  if (own !== undefined) copy.function_name = own
  return copy
}

function isOwnCall(node: SqlNode): boolean {
  return node.class === 'FUNCTION' && node.is_operator !== true && textOf(node.schema) === ''
}

/** Those of the functions that a tree calls, by either name. */
export function functionsCalled(
  tree: unknown,
  functions: readonly PlannedFunction[],
): readonly PlannedFunction[] {
  const called = new Set<string>()
  if (functions.length > 0) {
    walk(tree, (node) => {
      if (isOwnCall(node)) called.add(functionName(node) ?? '')
      return undefined
    })
  }
  return functions.filter(({ name, sqlName }) => called.has(name.toLowerCase()) || called.has(sqlName))
}

/** A hint for a text that DuckDB does not bind because of arguments of a function of the project. */
export function argumentsHint(message: string, functions: readonly PlannedFunction[]): string | undefined {
  const wanted = functionNamed(message, functions)
  return wanted && `It is declared as ${signatureOf(wanted)}; cast the arguments, or change its declaration.`
}

/** Where the function whose arguments do not fit is called first; DuckDB does not say it. */
export function placeOfArguments(
  message: string,
  sql: string,
  functions: readonly PlannedFunction[],
): number | undefined {
  const wanted = functionNamed(message, functions)
  return wanted && new RegExp(`(?<![\\w$])${wanted.name}\\s*\\(`, 'i').exec(sql)?.index
}

function functionNamed(message: string, functions: readonly PlannedFunction[]): PlannedFunction | undefined {
  const [, name] = /(?:argument types '|Macro function |Macro )"?([A-Za-z0-9_$]+)"?\(/.exec(message) ?? []
  return functions.find((one) => one.sqlName === name || one.name.toLowerCase() === name?.toLowerCase())
}
