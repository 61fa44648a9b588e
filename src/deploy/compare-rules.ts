/**
 * The `expect` rules of a view: checked when a project is loaded, and turned into SQL when two versions are compared.
 * A rule sees one pair of rows and nothing else: it is parsed alone, every function must be one that a view may call,
 * and every name must be a column of `old` or `new`. Pure but for the syntax seam.
 *
 * A column that one version lacks is NULL there, so that a rule may still speak of a column that was removed.
 */

import type { ExpectDef } from '../define/types.ts'
import { RefoldError } from '../model/errors.ts'
import { checkExpressions } from '../plan/check-expressions.ts'
import { FunctionRules } from '../plan/function-rules.ts'
import { Mistakes } from '../plan/mistakes.ts'
import { bindFunctions } from '../plan/own-functions.ts'
import type { Column } from '../plan/plan.ts'
import { firstSentence, printExpressions } from '../plan/planned-link.ts'
import { freeColumns } from '../plan/resolve-names.ts'
import type { SqlNode, SqlSyntax } from '../plan/sql-syntax.ts'
import { columnNames, columnRef, functionName, nodeOf, nodesOf, textOf, walk } from '../plan/syntax-tree.ts'
import { nearestName } from '../std/nearest-name.ts'

const PREFIX = 'SELECT '

/** A rule as SQL over the relations `old` and `new`. */
export interface RuleSql {
  readonly name: string
  readonly sql: string
  /** Columns that it names and one version lacks, as `old.NAME`. */
  readonly missing: readonly string[]
}

export interface RuleColumns {
  readonly old: readonly Column[]
  readonly new: readonly Column[]
}

/** All mistakes in a view's rules; `columns` are those that the view has now. */
export async function ruleMistakes(
  view: string,
  rules: readonly ExpectDef[],
  columns: readonly Column[],
  syntax: SqlSyntax,
): Promise<readonly RefoldError[]> {
  const found: RefoldError[] = []
  for (const rule of rules) {
    for (const { code, message, hint, place } of await mistakesOf(rule, columns, syntax)) {
      const text = `rule "${rule.name}" of view "${view}": ${message}`
      found.push(new RefoldError(code, text, { hint, ...(place === undefined ? {} : { place }) }))
    }
  }
  return found
}

async function mistakesOf(
  rule: ExpectDef,
  columns: readonly Column[],
  syntax: SqlSyntax,
): Promise<readonly RefoldError[]> {
  const { file, line, column } = rule.place
  const mistakes = new Mistakes(PREFIX + rule.when, { file, line, column: column - PREFIX.length })
  const condition = await parseCondition(rule.when, syntax, mistakes)
  if (condition === undefined) return mistakes.errors
  checkExpressions(condition, new FunctionRules(await syntax.functions()), mistakes)
  refuseForms(condition, new FunctionRules(await syntax.functions()), mistakes)
  checkNames(condition, columns, mistakes)
  if (mistakes.found) return mistakes.errors
  const { sql } = await bound(rule.name, condition, { old: columns, new: columns }, syntax)
  try {
    const [type] = await syntax.describe(`SELECT ${sql} FROM "old", "new"`, { old: columns, new: columns })
    if (type?.type !== 'BOOLEAN') {
      mistakes.add({
        code: 'VIEW_EXPECT',
        message: `it gives a value of type ${type?.type ?? 'unknown'}, not true or false`,
        at: PREFIX.length,
      })
    }
  } catch (error) {
    mistakes.add({
      code: 'VIEW_EXPECT',
      message: `it does not bind: ${firstSentence(error)}`,
      at: PREFIX.length,
    })
  }
  return mistakes.errors
}

/** A checked rule over the columns of two versions. */
export async function ruleSql(
  rule: Pick<ExpectDef, 'name' | 'when'>,
  columns: RuleColumns,
  syntax: SqlSyntax,
): Promise<RuleSql> {
  const mistakes = new Mistakes(PREFIX + rule.when, { line: 1, column: 1 - PREFIX.length })
  const condition = await parseCondition(rule.when, syntax, mistakes)
  const rules = new FunctionRules(await syntax.functions())
  if (condition !== undefined) {
    checkExpressions(condition, rules, mistakes)
    refuseForms(condition, rules, mistakes)
    checkNames(condition, undefined, mistakes)
  }
  const [first] = mistakes.errors
  if (first !== undefined || condition === undefined) {
    throw new RefoldError('VIEW_EXPECT', `rule "${rule.name}": ${first?.message ?? 'it is no condition'}`)
  }
  return await bound(rule.name, condition, columns, syntax)
}

/** The one expression of `when`, or undefined after a mistake. */
async function parseCondition(
  when: string,
  syntax: SqlSyntax,
  mistakes: Mistakes,
): Promise<SqlNode | undefined> {
  const parsed = await syntax.parse(PREFIX + when)
  if (!parsed.ok) {
    const at = parsed.position === undefined ? {} : { at: parsed.position }
    mistakes.add({ code: 'VIEW_EXPECT', message: `it cannot be parsed: ${parsed.message}`, ...at })
    return undefined
  }
  const select = nodeOf(parsed.statements[0]?.node)
  const items = nodesOf(select?.select_list)
  const isAlone =
    parsed.statements.length === 1 &&
    select?.type === 'SELECT_NODE' &&
    items.length === 1 &&
    nodeOf(select.from_table)?.type === 'EMPTY' &&
    [select.where_clause, select.having, select.qualify, select.sample].every((part) => !part) &&
    [select.modifiers, select.group_expressions, nodeOf(select.cte_map)?.map].every(
      (part) => nodesOf(part).length === 0,
    )
  if (isAlone) return items[0]
  mistakes.add({
    code: 'VIEW_EXPECT',
    message: 'it is more than one condition',
    hint: 'Write one condition, as after WHERE: no FROM, no WHERE and no commas.',
    at: PREFIX.length,
  })
  return undefined
}

/** What a view may use over many events, and a condition over one pair of rows may not. */
function refuseForms(condition: SqlNode, rules: FunctionRules, mistakes: Mistakes): void {
  walk(condition, (node) => {
    const name = functionName(node)
    const verdict =
      name === undefined || node.is_operator === true
        ? undefined
        : rules.verdict(name, 1, textOf(node.schema))
    if (verdict?.kind === 'aggregate' || verdict?.kind === 'unnest') {
      mistakes.add({
        code: 'VIEW_EXPECT',
        message: `it calls "${name}", which looks at more than one pair of rows`,
        hint: 'Compare the columns of the one old row and the one new row.',
        at: node,
      })
    }
    if (node.class === 'STAR') {
      mistakes.add({
        code: 'VIEW_EXPECT',
        message: 'it uses a star',
        hint: 'Name each column: old.total, new.total.',
        at: node,
      })
      return false
    }
    return undefined
  })
}

function sideOf(names: readonly string[]): 'old' | 'new' | undefined {
  const side = names[0]?.toLowerCase()
  return names.length > 1 && (side === 'old' || side === 'new') ? side : undefined
}

function find(columns: readonly Column[], name: string): Column | undefined {
  return columns.find((column) => column.name.toLowerCase() === name.toLowerCase())
}

/** Without `columns` only the sides are checked. */
function checkNames(condition: SqlNode, columns: readonly Column[] | undefined, mistakes: Mistakes): void {
  for (const node of freeColumns(condition, () => false)) {
    const names = columnNames(node) ?? []
    const side = sideOf(names)
    if (side === undefined) {
      mistakes.add({
        code: 'VIEW_EXPECT',
        message: `"${names.join('.')}" is neither a column of old nor one of new`,
        hint: `Write old.${names[0]} or new.${names[0]}.`,
        at: node,
      })
    } else if (side === 'new' && columns !== undefined && find(columns, names[1]!) === undefined) {
      const known = columns.map((column) => column.name)
      const near = nearestName(names[1]!, known)
      mistakes.add({
        code: 'VIEW_EXPECT',
        message: `the view has no column "${names[1]}"`,
        hint: near === undefined ? `Its columns are ${known.join(', ')}.` : `Did you mean "${near}"?`,
        at: node,
      })
    }
  }
}

const NULL_VALUE: SqlNode = {
  class: 'CONSTANT',
  type: 'VALUE_CONSTANT',
  alias: '',
  value: { type: { id: 'NULL', type_info: null }, is_null: true },
}

async function bound(
  name: string,
  condition: SqlNode,
  columns: RuleColumns,
  syntax: SqlSyntax,
): Promise<RuleSql> {
  const free = new Set(freeColumns(condition, () => false))
  const missing = new Set<string>()
  const bind = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(bind)
    const node = nodeOf(value)
    if (node === undefined || Object.getPrototypeOf(node) === null) return value
    if (!free.has(node))
      return Object.fromEntries(Object.entries(node).map(([key, part]) => [key, bind(part)]))
    const [, column, ...path] = columnNames(node) ?? []
    const side = sideOf(columnNames(node) ?? [])!
    const found = find(columns[side], column ?? '')
    if (found !== undefined) return { ...columnRef(side, found.name, ...path), alias: node.alias ?? '' }
    missing.add(`${side}.${column}`)
    return { ...NULL_VALUE, alias: node.alias ?? '' }
  }
  const own = bindFunctions(bind(condition) as SqlNode, syntax.own)
  const [sql] = await printExpressions([own], syntax)
  return { name, sql: `(${sql})`, missing: [...missing] }
}
