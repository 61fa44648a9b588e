/**
 * Whether the two definitions of a view fit each other: the same columns with the same types, a key by which the speed
 * definition groups, and for every other column a merge rule that fits its type and is associative. Pure but for the
 * syntax seam.
 */

import type { BatchDef, MergeDef, SourcePlace } from '../define/types.ts'
import { type ErrorCode, type ErrorPlace, RefoldError } from '../model/errors.ts'
import { quoteIdentifier } from '../model/schema.ts'
import { nearestName } from '../std/nearest-name.ts'
import { FunctionRules } from './function-rules.ts'
import { type Counterexample, counterexample } from './merge-property.ts'
import { mergeSql } from './merge-rules.ts'
import { placeInFile } from './mistakes.ts'
import type { BatchPlan, Column, MergeRule, ViewPlan } from './plan.ts'
import { firstSentence } from './planned-link.ts'
import type { SqlNode, SqlSyntax } from './sql-syntax.ts'
import { hasOneTextPerValue, hasUnnamedStruct, storageType } from './storage-types.ts'
import { columnNames, functionName, isExpression, locationOf, nodesOf, textOf, walk } from './syntax-tree.ts'

export interface LayerRequest {
  readonly view: string
  readonly batch: BatchDef
  readonly speed: ViewPlan
  readonly speedPlace: SourcePlace
  /** Of the batch SQL. */
  readonly columns: readonly Column[]
  readonly syntax: SqlSyntax
}

export type LayerResult =
  | ({ readonly ok: true } & Pick<BatchPlan, 'key' | 'merge'>)
  | { readonly ok: false; readonly mistakes: readonly RefoldError[] }

type Refuse = (code: ErrorCode, message: string, place: ErrorPlace, hint?: string) => void

export async function checkLayers(request: LayerRequest): Promise<LayerResult> {
  const mistakes: RefoldError[] = []
  const refuse: Refuse = (code, message, place, hint) => {
    mistakes.push(new RefoldError(code, message, { place, ...(hint === undefined ? {} : { hint }) }))
  }
  checkColumns(request, refuse)
  checkSpeed(request, refuse)
  const key = keyOf(request, refuse)
  checkNames(request, refuse)
  if (mistakes.length > 0) return { ok: false, mistakes }
  const merge = await rulesOf(request, key, refuse)
  if (mistakes.length > 0) return { ok: false, mistakes }
  await checkAssociative(request, key, merge, refuse)
  return mistakes.length > 0 ? { ok: false, mistakes } : { ok: true, key, merge }
}

function checkColumns({ view, batch, speed, columns }: LayerRequest, refuse: Refuse): void {
  const list = (of: readonly Column[]) => of.map(({ name, type }) => `${name} ${type}`).join(', ')
  const texts = (of: readonly Column[]) => of.map(({ name, type }) => `${name} ${type}`).sort()
  const names = new Set(columns.map(({ name }) => name))
  if (names.size !== columns.length) {
    const twice = columns.find(({ name }, index) => columns.findIndex((one) => one.name === name) !== index)
    const message = `two columns of the batch SQL of view "${view}" are named "${twice?.name}"`
    refuse('VIEW_COLUMN_DUPLICATE', message, batch.sqlPlace)
    return
  }
  if (JSON.stringify(texts(columns)) !== JSON.stringify(texts(speed.columns))) {
    const other = speed.columns.find(({ name, type }) =>
      columns.some((one) => one.name === name && one.type !== type),
    )
    const hint =
      other === undefined
        ? 'Give both the same columns, named with AS.'
        : `Cast "${other.name}" in one of them, e.g. CAST(… AS ${other.type}) AS ${quoteIdentifier(other.name)} in the batch SQL.`
    const message =
      `the two definitions of view "${view}" have other columns: ` +
      `batch has (${list(columns)}), speed has (${list(speed.columns)})`
    refuse('VIEW_LAYERS', message, batch.sqlPlace, hint)
    return
  }
  for (const { name, type } of columns) {
    const stored = storageType(type)
    const isKept = stored !== undefined && !hasUnnamedStruct(type)
    if (isKept) continue
    const message = `column "${name}" of the batch SQL of view "${view}" has the type ${type}, which cannot be stored`
    refuse('VIEW_TYPE', message, batch.sqlPlace, 'Cast it to a type that is kept exactly, e.g. VARCHAR.')
  }
}

/** Its rows are merged one by one, so none may depend on others, and their order is the reader's. */
function checkSpeed({ view, speed, speedPlace }: LayerRequest, refuse: Refuse): void {
  if (speed.stages[0]?.kind !== 'group' || speed.stages[0].keys.length === 0) {
    const message = `the speed SQL of view "${view}" does not group by a key`
    refuse('VIEW_LAYERS', message, speedPlace, 'Give it a GROUP BY of the columns of `key`.')
  } else if (speed.finish.limited) {
    const message = `the speed SQL of view "${view}" has a LIMIT or a DISTINCT over its groups`
    const hint = 'Leave it out: rows of both layers are merged by key; limit them when you read the view.'
    refuse('VIEW_LAYERS', message, speedPlace, hint)
  } else if (speed.finish.ordered) {
    const message = `the speed SQL of view "${view}" has an ORDER BY`
    refuse('VIEW_LAYERS', message, speedPlace, 'Leave it out, and order the rows when you read the view.')
  }
}

function keyOf({ view, batch, speed }: LayerRequest, refuse: Refuse): BatchPlan['key'] {
  const stage = speed.stages[0]
  if (stage?.kind !== 'group' || stage.keys.length === 0) return []
  const known = speed.columns.map(({ name }) => name)
  const key = batch.key.flatMap((column) => {
    const stageKey = speed.finish.keyColumns[column]
    if (stageKey !== undefined) return [{ column, key: stageKey }]
    const isColumn = known.includes(column)
    const message = isColumn
      ? `"${column}" of the key of view "${view}" is no column by which the speed SQL groups`
      : `view "${view}" has no column "${column}", which is a part of its key`
    const near = isColumn ? undefined : nearestName(column, known)
    const groups = Object.keys(speed.finish.keyColumns).map((name) => `"${name}"`)
    const hint =
      near === undefined
        ? groups.length === 0
          ? 'Put the expressions of its GROUP BY into its select list; cast floats and HUGEINT there.'
          : `It groups by ${groups.join(', ')}.`
        : `Did you mean "${near}"?`
    refuse('VIEW_LAYERS', message, batch.keyPlace, hint)
    return []
  })
  if (key.length < batch.key.length) return key
  const missing = stage.keys.filter(({ name }) => !key.some((one) => one.key === name))
  if (missing.length > 0) {
    const outputs = Object.entries(speed.finish.keyColumns)
    const names = missing.map(({ name }) => outputs.find(([, one]) => one === name)?.[0])
    const shown = names.flatMap((name) => (name === undefined ? [] : [`"${name}"`]))
    const message = `the key of view "${view}" leaves out columns by which the speed SQL groups`
    const hint =
      shown.length === 0
        ? 'Group by columns of the key alone, and put each of them into the select list as it is.'
        : `Add ${shown.join(', ')} to the key, or group by fewer columns.`
    refuse('VIEW_LAYERS', message, batch.keyPlace, hint)
  }
  for (const { column } of key) {
    const type = speed.columns.find(({ name }) => name === column)?.type ?? ''
    if (hasOneTextPerValue(type)) continue
    refuse('VIEW_TYPE', `view "${view}" cannot have a key of type ${type}`, batch.keyPlace)
  }
  const order = stage.keys.map(({ name }) => name)
  return key.sort((a, b) => order.indexOf(a.key) - order.indexOf(b.key))
}

/** Rules and approximate columns name columns that are there; no column is without a rule. */
function checkNames({ view, batch, speed }: LayerRequest, refuse: Refuse): void {
  const known = speed.columns.map(({ name }) => name)
  const values = known.filter((name) => !batch.key.includes(name))
  const unknown = (name: string, what: string, place: ErrorPlace) => {
    const near = nearestName(name, values)
    const hint = near === undefined ? `There are: ${values.join(', ')}.` : `Did you mean "${near}"?`
    refuse('VIEW_MERGE', `view "${view}" has no column "${name}" beside its key, and ${what}`, place, hint)
  }
  for (const name of Object.keys(batch.merge)) {
    if (!values.includes(name)) unknown(name, 'a merge rule for it', batch.mergePlace)
  }
  for (const name of batch.approximate) {
    if (!values.includes(name)) unknown(name, 'calls it approximate', batch.approximatePlace)
  }
  const without = values.filter((name) => !Object.hasOwn(batch.merge, name))
  if (without.length > 0) {
    const names = without.map((name) => `"${name}"`).join(', ')
    const message = `view "${view}" does not say how both values of ${names} become one`
    const hint = `Add to \`merge\`, e.g. { ${without[0]}: 'add' }: add, replace, min, max or { sql }.`
    refuse('VIEW_MERGE', message, batch.mergePlace, hint)
  }
}

async function rulesOf(
  request: LayerRequest,
  key: BatchPlan['key'],
  refuse: Refuse,
): Promise<readonly MergeRule[]> {
  const rules: MergeRule[] = []
  for (const column of request.speed.columns) {
    if (key.some((one) => one.column === column.name)) continue
    const def = request.batch.merge[column.name]
    if (def === undefined) continue
    const rule: MergeRule =
      def.kind === 'sql'
        ? { column: column.name, kind: 'sql', sql: def.sql }
        : { column: column.name, kind: def.kind }
    if (await checkRule(request, column, def, rule, refuse)) rules.push(rule)
  }
  return rules
}

const addable = /^(U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|FLOAT|DOUBLE|DECIMAL\(.*\)|INTERVAL)$/

/** A type that has an order; nested ones are ordered by what is in them. */
const unordered = /^(JSON|MAP\()|\bMAP\(|^BIT$/

async function checkRule(
  request: LayerRequest,
  column: Column,
  def: MergeDef,
  rule: MergeRule,
  refuse: Refuse,
): Promise<boolean> {
  const { view, batch } = request
  const what = `the merge rule of column "${column.name}" of view "${view}"`
  if (def.kind === 'add' && !addable.test(column.type)) {
    const hint = "'add' is for numbers and intervals; use 'replace', 'min', 'max' or { sql }."
    refuse('VIEW_MERGE', `${what} adds values of type ${column.type}`, batch.mergePlace, hint)
    return false
  }
  if ((def.kind === 'min' || def.kind === 'max') && unordered.test(column.type)) {
    const hint = "Use 'replace' or { sql }."
    refuse(
      'VIEW_MERGE',
      `${what} compares values of type ${column.type}, which have no order`,
      batch.mergePlace,
      hint,
    )
    return false
  }
  return def.kind !== 'sql' || (await checkExpression(request, column, def, rule, what, refuse))
}

async function checkExpression(
  request: LayerRequest,
  column: Column,
  { sql, place }: Extract<MergeDef, { kind: 'sql' }>,
  rule: MergeRule,
  what: string,
  refuse: Refuse,
): Promise<boolean> {
  const { syntax, speed } = request
  const parsed = await syntax.parse(`SELECT ${sql}`)
  const [statement, ...more] = parsed.ok ? parsed.statements : []
  const items = nodesOf((statement?.node as SqlNode | undefined)?.select_list)
  if (
    !parsed.ok ||
    statement === undefined ||
    more.length > 0 ||
    items.length !== 1 ||
    !isPlainSelect(statement)
  ) {
    const why = parsed.ok ? 'it is not one expression' : parsed.message
    refuse('VIEW_MERGE', `${what} cannot be parsed: ${why}`, place)
    return false
  }
  const wrong = await wrongPart(items[0], syntax)
  if (wrong !== undefined) {
    const at = placeInFile(sql, place, offsetIn(wrong.node))
    refuse(
      'VIEW_MERGE',
      `${what} ${wrong.why}`,
      at,
      `Write an expression over batch.${column.name} and speed.${column.name}.`,
    )
    return false
  }
  try {
    const sides = { batch: speed.columns, speed: speed.columns }
    const [bound] = await syntax.describe(`SELECT ${mergeSql(rule)} AS value FROM batch, speed`, sides)
    const [cast] = await syntax.describe(
      `SELECT CAST(${mergeSql(rule)} AS ${column.type}) AS value FROM batch, speed`,
      sides,
    )
    if (bound !== undefined && cast?.type === column.type && isNear(bound.type, column.type)) return true
    refuse(
      'VIEW_MERGE',
      `${what} gives a value of type ${bound?.type}, and the column has the type ${column.type}`,
      place,
      `Cast it: CAST(${sql} AS ${column.type}).`,
    )
  } catch (error) {
    refuse('VIEW_MERGE', `${what} does not bind: ${firstSentence(error)}`, place)
  }
  return false
}

/** Sums and products of a type are of a wider one of its kind: they are cast back, and what does not fit is an error. */
function isNear(given: string, wanted: string): boolean {
  if (given === wanted) return true
  const kind = (type: string) =>
    /^U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)$/.test(type)
      ? 'integer'
      : type.startsWith('DECIMAL(')
        ? 'decimal'
        : type
  return given === '"NULL"' || given === 'NULL' || kind(given) === kind(wanted)
}

function isPlainSelect(statement: SqlNode): boolean {
  const node = statement.node as SqlNode | undefined
  const from = node?.from_table as SqlNode | undefined
  return (
    node?.type === 'SELECT_NODE' &&
    from?.type === 'EMPTY' &&
    !node.where_clause &&
    nodesOf(node.modifiers).length === 0
  )
}

/** `SELECT ` stands before the expression. */
function offsetIn(node: SqlNode): number | undefined {
  const at = locationOf(node)
  return at === undefined ? undefined : Math.max(0, at - 'SELECT '.length)
}

async function wrongPart(
  item: SqlNode | undefined,
  syntax: SqlSyntax,
): Promise<{ readonly node: SqlNode; readonly why: string } | undefined> {
  const rules = new FunctionRules(await syntax.functions())
  let found: { readonly node: SqlNode; readonly why: string } | undefined
  walk(item, (node) => {
    if (found !== undefined || !isExpression(node)) return undefined
    const names = columnNames(node)?.map((name) => name.toLowerCase())
    const name = functionName(node)
    if (names !== undefined && !(names.length >= 2 && (names[0] === 'batch' || names[0] === 'speed'))) {
      found = { node, why: `uses "${names.join('.')}", which says neither batch nor speed` }
    } else if (
      node.class === 'SUBQUERY' ||
      node.class === 'WINDOW' ||
      node.class === 'STAR' ||
      node.class === 'PARAMETER'
    ) {
      found = { node, why: 'is no expression over one row of each layer' }
    } else if (name !== undefined && node.is_operator !== true) {
      const isOwn = syntax.own.some((one) => one.name.toLowerCase() === name)
      const verdict = rules.verdict(name, nodesOf(node.children).length, textOf(node.schema))
      if (isOwn) found = { node, why: `calls "${name}", a function in TypeScript, which a merge cannot` }
      else if (verdict.kind !== 'scalar')
        found = { node, why: `calls "${name}", which is no function of its arguments alone` }
    }
    return undefined
  })
  return found
}

async function checkAssociative(
  { view, batch, speed, syntax }: LayerRequest,
  key: BatchPlan['key'],
  merge: readonly MergeRule[],
  refuse: Refuse,
): Promise<void> {
  const keys = key.map(({ column }) => column)
  for (const rule of merge) {
    const def = batch.merge[rule.column]
    if (def?.kind !== 'sql') continue
    try {
      const found = await counterexample(speed.columns, keys, merge, rule, syntax)
      if (found !== undefined) refuse('VIEW_MERGE', associativeText(view, found), def.place, KEEP_PARTS)
    } catch (error) {
      const what = `the merge rule of column "${rule.column}" of view "${view}"`
      refuse('VIEW_MERGE', `${what} fails on every row that was tried: ${firstSentence(error)}`, def.place)
    }
  }
}

const KEEP_PARTS =
  'Keep what can be merged, such as a sum and a count, in columns of their own, and compute this one from them: ' +
  '(batch.total + speed.total) / (batch.n + speed.n).'

function associativeText(view: string, { column, rows, left, right }: Counterexample): string {
  const values = rows.map(([name, value]) => `${name} = ${value ?? 'NULL'}`).join(', ')
  return (
    `the merge rule of column "${column}" of view "${view}" is not associative: with ${values} ` +
    `merging a and b first gives ${left ?? 'NULL'}, merging b and c first gives ${right ?? 'NULL'}`
  )
}
