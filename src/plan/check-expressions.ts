/**
 * Refuses, everywhere in a view's statement, the expressions that no view can have: subqueries as values, window
 * functions, parameters, collations, functions that are not decided by the events. Pure; mistakes go to the collector.
 */

import type { FunctionRules } from './function-rules.ts'
import type { Mistakes } from './mistakes.ts'
import type { SqlNode } from './sql-syntax.ts'
import { functionName, isExpression, nodeOf, nodesOf, textOf, walk } from './syntax-tree.ts'

export function checkExpressions(statement: SqlNode, rules: FunctionRules, mistakes: Mistakes): void {
  walk(statement, (node) => {
    if (node.type === 'TABLE_FUNCTION') return false
    if (!isExpression(node)) return undefined
    return checkExpression(node, rules, mistakes)
  })
}

/** False when what is below the expression need not be looked at. */
function checkExpression(node: SqlNode, rules: FunctionRules, mistakes: Mistakes): boolean | undefined {
  switch (node.class) {
    case 'COLUMN_REF':
    case 'CONSTANT':
    case 'COMPARISON':
    case 'CONJUNCTION':
    case 'CAST':
    case 'CASE':
    case 'BETWEEN':
    case 'LAMBDA':
    case 'STAR':
      return undefined
    case 'OPERATOR':
      if (node.type === 'GROUPING_FUNCTION') {
        mistakes.add({
          code: 'VIEW_NOT_YET',
          message: 'a view cannot use GROUPING(), which belongs to ROLLUP, CUBE and GROUPING SETS',
          hint: 'Make one view for each grouping.',
          at: node,
        })
      }
      return undefined
    case 'FUNCTION':
      return checkFunction(node, rules, mistakes)
    case 'SUBQUERY':
      refuseSubquery(node, mistakes)
      return false
    case 'WINDOW':
      mistakes.add({
        code: 'VIEW_NOT_YET',
        message: `a view cannot use the window function "${textOf(node.function_name)}" yet`,
        hint: 'Use GROUP BY, or ORDER BY with LIMIT; or apply the window when you query the view.',
        at: node,
      })
      return false
    case 'PARAMETER':
      mistakes.add({
        code: 'VIEW_UNSUPPORTED',
        message: `a view has no parameters, but uses $${textOf(node.identifier)}`,
        hint: 'Write the value itself, or filter when you read the view.',
        at: mistakes.placeOf(`$${textOf(node.identifier)}`) ?? mistakes.placeOf('?') ?? node,
      })
      return false
    case 'COLLATE':
      mistakes.add({
        code: 'VIEW_UNSUPPORTED',
        message: `a view cannot use the collation "${textOf(node.collation)}"`,
        hint: 'Compare by lower(x), or by another function of the text.',
        at: node,
      })
      return false
    default:
      mistakes.add({
        code: 'VIEW_UNSUPPORTED',
        message: `a view cannot use this form of expression (${String(node.class)})`,
        at: node,
      })
      return false
  }
}

function refuseSubquery(node: SqlNode, mistakes: Mistakes): void {
  const isExists = node.subquery_type === 'EXISTS' || node.subquery_type === 'NOT_EXISTS'
  const isIn = node.subquery_type === 'ANY' || node.subquery_type === 'ALL'
  const what = isExists ? 'EXISTS (SELECT …)' : isIn ? 'IN (SELECT …), ANY or ALL' : 'a subquery as a value'
  mistakes.add({
    code: 'VIEW_NOT_YET',
    message: `a view cannot use ${what}: one event could change rows that it does not belong to`,
    hint: isIn
      ? 'Write the values as IN (1, 2, 3), or list_contains(list, x) for a list; combine views when you query them.'
      : 'Read one stream without subqueries in expressions; combine views when you query them.',
    at: node,
  })
}

function checkFunction(node: SqlNode, rules: FunctionRules, mistakes: Mistakes): boolean | undefined {
  const name = functionName(node) ?? ''
  const children = nodesOf(node.children)
  if (node.is_operator === true) return undefined
  const verdict = rules.verdict(name, children.length, textOf(node.schema))
  switch (verdict.kind) {
    case 'scalar':
    case 'unnest':
      return undefined
    case 'aggregate':
      checkAggregate(name, node, mistakes)
      return undefined
    case 'not-mergeable':
      mistakes.add({
        code: 'VIEW_NOT_MERGEABLE',
        message: `the aggregate "${name}" cannot be combined from the results of parts`,
        hint: verdict.hint,
        at: node,
      })
      return undefined
    case 'volatile':
      mistakes.add({
        code: 'VIEW_VOLATILE',
        message: `the function "${name}" is not decided by the events alone`,
        hint: verdict.hint,
        at: node,
      })
      return undefined
    case 'table':
      mistakes.add({
        code: 'VIEW_UNSUPPORTED',
        message: `"${name}" is a table function, not a value`,
        hint: 'Use a scalar function.',
        at: node,
      })
      return undefined
    case 'forbidden':
      mistakes.add({
        code: 'VIEW_UNSUPPORTED',
        message: `a view cannot call the function "${name}"`,
        hint: 'Use a scalar function of the values of an event.',
        at: node,
      })
      return undefined
    default:
      mistakes.add({
        code: 'VIEW_FUNCTION_UNKNOWN',
        message: `there is no function "${name}"`,
        ...(verdict.nearest === undefined ? {} : { hint: `Did you mean "${verdict.nearest}"?` }),
        at: node,
      })
      return undefined
  }
}

function checkAggregate(name: string, node: SqlNode, mistakes: Mistakes): void {
  const orders = nodesOf(nodeOf(node.order_bys)?.orders)
  if (orders.length > 0) {
    mistakes.add({
      code: 'VIEW_NOT_MERGEABLE',
      message: `the aggregate "${name}" cannot have an ORDER BY`,
      hint: 'None of the aggregates that views can use depends on an order: leave it out.',
      at: node,
    })
  }
  if ((name === 'min' || name === 'max') && nodesOf(node.children).length > 1) {
    mistakes.add({
      code: 'VIEW_NOT_MERGEABLE',
      message: `"${name}" of the ${name === 'min' ? 'smallest' : 'greatest'} n values cannot be combined yet`,
      hint: `Use ${name}(x), or add x to GROUP BY with ORDER BY and LIMIT.`,
      at: node,
    })
  }
}
