/**
 * Plans a SELECT with GROUP BY, aggregates or DISTINCT: the keys, the partial rows of each part, and the finished
 * expressions over the merged rows. Pure but for the syntax seam.
 *
 * Why it is the user's query: every expression of the SELECT is taken apart from the outside in. What equals a group
 * expression becomes the key; what is an aggregate becomes its merged value; both with DuckDB's own types. Everything
 * else stays as it is and is computed by DuckDB over the merged rows, as it would over the groups.
 */

import { must } from '../std/assert.ts'
import {
  type AggregateCall,
  AggregateRegistry,
  type AggregateValue,
  type PartialDraft,
  withoutMinusZero,
} from './aggregates.ts'
import { foldSource, positionHash, positionList, positionTypes } from './fold-source.ts'
import type { MergeableAggregate } from './function-rules.ts'
import type { Column, DistinctPart, EventsPlan, GroupStage, MainPart, Tally } from './plan.ts'
import {
  columnsUsed,
  type PlannedLink,
  type PlanStream,
  type PlanTools,
  printExpressions,
} from './planned-link.ts'
import type { SqlNode, SqlSyntax } from './sql-syntax.ts'
import { hasOneTextPerValue, hasUnnamedStruct, isFloat, storageType } from './storage-types.ts'
import {
  castTo,
  columnNames,
  functionName,
  mergedRef,
  nodeOf,
  nodesOf,
  rewrite,
  structuralKey,
  textOf,
  walk,
} from './syntax-tree.ts'

/** What a group stage is made of, whether it comes from GROUP BY or from DISTINCT. */
export interface Grouping {
  readonly keys: readonly SqlNode[]
  readonly where: SqlNode | undefined
  /** Everything that will be computed over the groups. */
  readonly finished: readonly SqlNode[]
  /** Names of the columns that the expressions speak of. */
  readonly columns: readonly string[]
  readonly below: readonly PlannedLink[]
}

export type StageEvents = Omit<EventsPlan, 'columns'>

export interface PlannedGroup {
  readonly stage: GroupStage
  /** The keys of each event, with its position. */
  readonly events: StageEvents
  /** Rewrites an expression of the SELECT to one over "$merged". */
  lift(expression: SqlNode): SqlNode
  /** Index of the key that an expression is, when the key is kept as it is. */
  keyOf(expression: SqlNode): number | undefined
  inexactIn(expression: SqlNode): string | undefined
  /** Whether an expression speaks of nothing but keys and aggregates. */
  covers(expression: SqlNode): boolean
}

export async function planGroup(
  grouping: Grouping,
  stream: PlanStream,
  tools: PlanTools,
): Promise<PlannedGroup | undefined> {
  const keys = uniqueExpressions(grouping.keys)
  const keyIndex = new Map(keys.map((key, index) => [structuralKey(key), index]))
  const calls = collectAggregates(grouping.finished, keyIndex, tools)
  const needed = columnsUsed([keys, calls, grouping.where], grouping.columns)
  const source = await foldSource(grouping.below, stream.fields, needed, tools.syntax, true)
  const whereSql = grouping.where && (await printExpressions([grouping.where], tools.syntax))[0]!
  const eventColumns = [...stream.columns, ...positionTypes]
  const types = new TypeReader(tools.syntax, source.fromSql, { $events: eventColumns })

  const keySqls = await printExpressions(keys, tools.syntax)
  const keyColumns = await types.describe(keySqls)
  const aggregates = await readAggregates(calls, types, tools)
  const castTypes = await parseTypes(
    [...keyColumns, ...aggregates].map(({ type }) => type),
    tools.syntax,
  )
  const registry = new AggregateRegistry(tools.mistakes, castTypes)
  const values = new Map<string, AggregateValue>()
  for (const aggregate of aggregates) {
    const value = registry.value(aggregate)
    if (value !== undefined) values.set(structuralKey(aggregate.node), value)
  }
  const storedKeys = keyColumns.map((column, index) => storedKey(column, keys[index]!, index, tools))
  if (tools.mistakes.found) return undefined

  const stage: GroupStage = {
    kind: 'group',
    name: 'group',
    source: { kind: 'stream', stream: stream.name, fields: source.fields, positions: true },
    keys: storedKeys.map(({ name, type }) => ({ name, type })),
    parts: buildParts(storedKeys, registry, source.fromSql, whereSql),
  }
  const keyNode = (index: number): SqlNode => {
    const reference = mergedRef(`k${index}`)
    const type = keyColumns[index]!.type
    return storedKeys[index]!.type === type ? reference : castTo(reference, castTypes.get(type))
  }
  return {
    stage,
    events: await groupEvents(grouping, stream, keys, storedKeys, whereSql, tools),
    lift: (expression) =>
      rewrite(expression, (node) => {
        const key = keyIndex.get(structuralKey(node))
        if (key !== undefined) return keyNode(key)
        const value = tools.isAggregate(node) ? values.get(structuralKey(node)) : undefined
        return value?.expression
      }),
    keyOf(expression) {
      const index = keyIndex.get(structuralKey(expression))
      if (index === undefined || isFloat(keyColumns[index]!.type)) return undefined
      return storedKeys[index]!.type === keyColumns[index]!.type ? index : undefined
    },
    inexactIn: (expression) => inexactIn(expression, keyIndex, values, tools),
    covers: (expression) => covers(expression, keyIndex, tools),
  }
}

interface StoredKey extends Column {
  readonly sql: string
}

async function groupEvents(
  grouping: Grouping,
  stream: PlanStream,
  keys: readonly SqlNode[],
  stored: readonly StoredKey[],
  whereSql: string | undefined,
  tools: PlanTools,
): Promise<StageEvents> {
  const used = columnsUsed([keys, grouping.where], grouping.columns)
  const source = await foldSource(grouping.below, stream.fields, used, tools.syntax, true)
  const columns = stored.map((key) => `${key.sql} AS ${key.name}, `).join('')
  const where = whereSql === undefined ? '' : ` WHERE ${whereSql}`
  return { sql: `SELECT ${columns}${positionList} FROM ${source.fromSql}${where}`, fields: source.fields }
}

function storedKey(column: Column, key: SqlNode, index: number, tools: PlanTools): StoredKey {
  const type = storageType(column.type)
  const isKept = type === column.type || hasOneTextPerValue(column.type)
  if (type === undefined || !isKept || hasUnnamedStruct(column.type)) {
    tools.mistakes.add({
      code: 'VIEW_TYPE',
      message: `a view cannot group by a value of type ${column.type}`,
      hint: hasUnnamedStruct(column.type)
        ? 'Name the fields of the struct: {a: x, b: y} instead of (x, y).'
        : 'Group by a cast of it, e.g. to BIGINT, TIMESTAMP or VARCHAR.',
      at: key,
    })
  }
  const sql = withoutMinusZero(column)
  const stored = type ?? column.type
  return { name: `k${index}`, type: stored, sql: stored === column.type ? sql : `CAST(${sql} AS ${stored})` }
}

function uniqueExpressions(expressions: readonly SqlNode[]): readonly SqlNode[] {
  return [...new Map(expressions.map((expression) => [structuralKey(expression), expression])).values()]
}

/** Aggregate calls in the expressions, each once; columns that stand outside of them are mistakes. */
function collectAggregates(
  expressions: readonly SqlNode[],
  keys: ReadonlyMap<string, number>,
  tools: PlanTools,
): readonly SqlNode[] {
  const calls = new Map<string, SqlNode>()
  for (const expression of expressions) {
    walk(expression, (node) => {
      if (node.class === undefined) return undefined
      const key = structuralKey(node)
      if (keys.has(key)) return false
      if (!tools.isAggregate(node)) return undefined
      if (!calls.has(key)) calls.set(key, node)
      return false
    })
  }
  return [...calls.values()]
}

async function readAggregates(
  calls: readonly SqlNode[],
  types: TypeReader,
  tools: PlanTools,
): Promise<readonly AggregateCall[]> {
  const argumentsOf = calls.map((node) => nodesOf(node.children)[0])
  const filters = calls.map((node) => nodeOf(node.filter))
  const printedArguments = await printOptional(argumentsOf, tools.syntax)
  const printedFilters = await printOptional(filters, tools.syntax)
  const given = printedArguments.filter((sql) => sql !== '')
  const described = await types.describe(given)
  const resultTypes = await types.describe(await printExpressions(calls, tools.syntax))
  let next = 0
  return calls.map((node, index) => ({
    node,
    name: aggregateName(node, tools),
    distinct: node.distinct === true,
    argument: printedArguments[index] === '' ? undefined : described[next++],
    filterSql: printedFilters[index]!,
    type: resultTypes[index]!.type,
  }))
}

function aggregateName(node: SqlNode, tools: PlanTools): MergeableAggregate {
  const verdict = tools.rules.verdict(functionName(node) ?? '', 1, textOf(node.schema))
  if (verdict.kind !== 'aggregate') throw new Error(`not a mergeable aggregate: ${functionName(node)}`)
  return verdict.aggregate
}

async function printOptional(nodes: readonly (SqlNode | undefined)[], syntax: SqlSyntax): Promise<string[]> {
  return Promise.all(
    nodes.map(async (node) => (node === undefined ? '' : (await printExpressions([node], syntax))[0]!)),
  )
}

/** Reads the types of expressions over a FROM. */
class TypeReader {
  readonly #syntax: SqlSyntax
  readonly #fromSql: string
  readonly #relations: Readonly<Record<string, readonly Column[]>>

  constructor(syntax: SqlSyntax, fromSql: string, relations: Readonly<Record<string, readonly Column[]>>) {
    this.#syntax = syntax
    this.#fromSql = fromSql
    this.#relations = relations
  }

  /** For each expression its SQL as `name` and its type. */
  async describe(expressions: readonly string[]): Promise<readonly Column[]> {
    if (expressions.length === 0) return []
    const list = expressions.map((sql, index) => `${sql} AS x${index}`).join(', ')
    const columns = await this.#syntax.describe(`SELECT ${list} FROM ${this.#fromSql}`, this.#relations)
    return expressions.map((name, index) => ({ name, type: columns[index]!.type }))
  }
}

/** Type names as the syntax tree has them in casts. Every sum may be cast to HUGEINT. */
export async function parseTypes(
  types: readonly string[],
  syntax: SqlSyntax,
): Promise<ReadonlyMap<string, unknown>> {
  const names = [...new Set([...types, 'HUGEINT'])].filter((type) => !hasUnnamedStruct(type))
  const parsed = await syntax.parse(`SELECT ${names.map((name) => `CAST(NULL AS ${name})`).join(', ')}`)
  if (!parsed.ok) throw new Error(`types do not parse: ${parsed.message}`)
  const select = must(nodeOf(parsed.statements[0]?.node), 'a SELECT was parsed')
  const casts = nodesOf(select.select_list)
  return new Map(names.map((name, index) => [name, casts[index]?.cast_type]))
}

function buildParts(
  keys: readonly StoredKey[],
  registry: AggregateRegistry,
  fromSql: string,
  whereSql: string | undefined,
): readonly [MainPart, ...DistinctPart[]] {
  const keyList = keys.map((key) => `${key.sql} AS ${key.name}`)
  const positions = (count: number): string =>
    count === 0 ? '' : ` GROUP BY ${Array.from({ length: count }, (_, index) => index + 1).join(', ')}`
  const { partials, tally } = withTally(registry.partials)
  const partialList = partials.map((partial) => `${partial.sql} AS ${partial.name}`)
  const list = [...keyList, ...partialList].join(', ')
  const where = whereSql === undefined ? '' : ` WHERE ${whereSql}`
  const main: MainPart = {
    kind: 'main',
    name: 'main',
    foldSql: `SELECT ${list} FROM ${fromSql}${where}${positions(keys.length)}`,
    aggregates: partials.map(({ sql: _, ...column }) => column),
    tally,
  }
  const distinct = registry.distinct.map((draft, index): DistinctPart => {
    const value = withoutMinusZero(draft.argument)
    const stored = draft.storage === draft.argument.type ? value : `CAST(${value} AS ${draft.storage})`
    const conditions = [
      whereSql,
      draft.filterSql === '' ? undefined : draft.filterSql,
      `${draft.argument.name} IS NOT NULL`,
    ]
    const condition = conditions
      .filter((part) => part !== undefined)
      .map((part) => `(${part})`)
      .join(' AND ')
    const columns = [...keyList, `${stored} AS v`, 'count(*) AS n'].join(', ')
    const taken = draft.filterSql === '' ? stored : `CASE WHEN ${draft.filterSql} THEN ${stored} END`
    const withMain = [...keyList, `${taken} AS v`, ...partialList].join(', ')
    const withMainSql = `SELECT ${withMain} FROM ${fromSql}${where}${positions(keys.length + 1)}`
    return {
      kind: 'distinct',
      name: draft.name,
      foldSql: `SELECT ${columns} FROM ${fromSql} WHERE ${condition}${positions(keys.length + 1)}`,
      ...(index === 0 ? { withMainSql } : {}),
      value: { name: 'v', type: draft.storage },
      results: draft.results,
    }
  })
  return [main, ...distinct]
}

/** A count that the view asks for anyway is the tally's too. */
function withTally(own: readonly PartialDraft[]): {
  readonly partials: readonly PartialDraft[]
  readonly tally: Tally
} {
  const count = { name: 'events', type: 'BIGINT', merge: 'sum', emptySql: '0', sql: 'count(*)' } as const
  const known = own.find(({ sql }) => sql === count.sql)
  const sql = `bit_xor(${positionHash})`
  const positions = { name: 'positions', type: 'BIGINT', merge: 'bit_xor', emptySql: '0', sql } as const
  const partials = [...own, ...(known === undefined ? [count] : []), positions]
  return { partials, tally: { count: (known ?? count).name, positions: positions.name } }
}

function inexactIn(
  expression: SqlNode,
  keys: ReadonlyMap<string, number>,
  values: ReadonlyMap<string, AggregateValue>,
  tools: PlanTools,
): string | undefined {
  let why: string | undefined
  walk(expression, (node) => {
    if (node.class === undefined) return undefined
    if (keys.has(structuralKey(node))) return false
    if (tools.isAggregate(node)) why ??= values.get(structuralKey(node))?.inexact
    return undefined
  })
  return why
}

function covers(expression: SqlNode, keys: ReadonlyMap<string, number>, tools: PlanTools): boolean {
  let covered = true
  walk(expression, (node) => {
    if (node.class === undefined) return undefined
    if (keys.has(structuralKey(node)) || tools.isAggregate(node)) return false
    covered &&= columnNames(node) === undefined
    return undefined
  })
  return covered
}
