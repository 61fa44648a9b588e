/**
 * Refuses in a batch definition what could give other rows when it is run again over the same events: functions of the
 * clock or of chance, samples, aggregates that take whichever value comes first, LIMIT without an order. Everything
 * else of SQL is allowed. Pure; mistakes go to the collector.
 */

import { type FunctionRules, OWN_TIME, valueNames } from './function-rules.ts'
import type { Mistakes } from './mistakes.ts'
import type { SqlNode } from './sql-syntax.ts'
import { columnNames, functionName, isExpression, nodeOf, nodesOf, textOf, walk } from './syntax-tree.ts'

/** Depend on the order in which values come, unless they have an ORDER BY of their own. */
const ordered: ReadonlySet<string> = new Set(
  (
    'any_value arbitrary array_agg first group_concat json_group_array json_group_object json_group_structure last ' +
    'list listagg string_agg'
  ).split(' '),
)

/** Approximations whose result depends on the order of values and on the number of threads. */
const chancy: ReadonlySet<string> = new Set('approx_quantile approx_top_k reservoir_quantile'.split(' '))

/** `columns` are the names that are columns, whatever else they might stand for. */
export function checkReproducible(
  statement: SqlNode,
  columns: ReadonlySet<string>,
  rules: FunctionRules,
  mistakes: Mistakes,
): void {
  walk(statement, (node) => {
    if (isExpression(node)) checkExpression(node, columns, rules, mistakes)
    else checkQuery(node, mistakes)
    return undefined
  })
}

function checkExpression(
  node: SqlNode,
  columns: ReadonlySet<string>,
  rules: FunctionRules,
  mistakes: Mistakes,
): void {
  const names = columnNames(node)
  const word = names?.length === 1 ? names[0]!.toLowerCase() : ''
  if (valueNames.has(word) && !columns.has(word)) {
    refuse(node, `"${word}" is not decided by the events alone`, OWN_TIME, mistakes)
  }
  const name = functionName(node)
  if (name === undefined || node.is_operator === true) return
  const children = nodesOf(node.children)
  const verdict = rules.verdict(name, children.length, textOf(node.schema))
  if (verdict.kind === 'volatile') {
    refuse(node, `the function "${name}" is not decided by the events alone`, verdict.hint, mistakes)
  }
  if (chancy.has(name)) {
    const hint =
      'The batch layer can afford the exact one: use quantile_cont, quantile_disc, or count and ORDER BY.'
    refuse(node, `the result of "${name}" depends on the order in which events are read`, hint, mistakes)
  }
  const hasOrder = nodesOf(nodeOf(node.order_bys)?.orders).length > 0
  if (ordered.has(name) && !hasOrder) {
    const hint = `Say which: ${name}(x ORDER BY ts, _commit, _index).`
    refuse(node, `"${name}" without an ORDER BY takes values in whatever order they come`, hint, mistakes)
  }
}

function checkQuery(node: SqlNode, mistakes: Mistakes): void {
  if (node.sample !== undefined && node.sample !== null) {
    refuse(
      node,
      'a sample takes events by chance',
      'Filter by a hash of a field, e.g. hash(user_id) % 10 = 0.',
      mistakes,
    )
  }
  const modifiers = nodesOf(node.modifiers)
  const isOrdered = modifiers.some(({ type }) => type === 'ORDER_MODIFIER')
  if (isOrdered) return
  for (const modifier of modifiers) {
    const isLimit = modifier.type === 'LIMIT_MODIFIER' || modifier.type === 'LIMIT_PERCENT_MODIFIER'
    const takesFirst = isLimit || nodesOf(modifier.distinct_on_targets).length > 0
    if (!takesFirst) continue
    const what = isLimit ? 'LIMIT' : 'DISTINCT ON'
    refuse(
      modifier,
      `${what} without ORDER BY takes rows by chance`,
      'Order the rows first, down to a column that breaks ties.',
      mistakes,
    )
  }
}

function refuse(node: SqlNode, message: string, hint: string, mistakes: Mistakes): void {
  mistakes.add({ code: 'VIEW_VOLATILE', message, hint, at: node })
}
