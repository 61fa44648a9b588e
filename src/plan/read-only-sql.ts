/**
 * The jail for people's SQL: what is not on a list does not run. Works on DuckDB's syntax tree and allows SELECTs over
 * exposed names with every kind of join, window, subquery and CTE; scalar, aggregate and window functions less those
 * that do or tell something beyond their arguments; and three table functions that read nothing. Each exposed name is
 * replaced by a name that only `bindReadOnlySql` gives a meaning, so that no name of a query ever reaches DuckDB's
 * catalog or its file system. Pure but for the syntax seam.
 */

import type { PlannedFunction } from '../define/function-def.ts'
import type { ErrorPlace, RefoldError } from '../model/errors.ts'
import { quoteIdentifier } from '../model/schema.ts'
import { nearestName } from '../std/nearest-name.ts'
import { aggregateMacros, FunctionNames, pureMacros } from './function-rules.ts'
import { Mistakes } from './mistakes.ts'
import { bindFunctions, functionsCalled } from './own-functions.ts'
import type { Column } from './plan.ts'
import type { SqlNode, SqlSyntax } from './sql-syntax.ts'
import { functionName, isExpression, isNode, isRawNumber, nodeOf, nodesOf, textOf } from './syntax-tree.ts'

/** What a query may name. System tables are named `refold.NAME` and listed here without the `refold.`. */
export interface ExposedRelations {
  readonly views: Readonly<Record<string, readonly Column[]>>
  /** Layers of views, as `batch.VIEW` and `speed.VIEW`. */
  readonly layers?: Readonly<Record<string, readonly Column[]>>
  readonly streams: Readonly<Record<string, readonly Column[]>>
  readonly system: Readonly<Record<string, readonly Column[]>>
}

export interface UsedRelation {
  readonly kind: 'view' | 'stream' | 'system'
  readonly name: string
  /** The name that stands for it in the checked SQL. */
  readonly bindName: string
}

export type ReadOnlyResult =
  | {
      readonly ok: true
      readonly sql: string
      readonly used: readonly UsedRelation[]
      /** Functions of the project that the SQL calls, by their names with a hash. */
      readonly functions: readonly PlannedFunction[]
    }
  | { readonly ok: false; readonly mistakes: readonly RefoldError[] }

export interface ReadOnlyRequest {
  readonly sql: string
  /** The SQL's tree, where somebody has parsed it already and put relations of their own into it. */
  readonly statement?: SqlNode
  readonly syntax: SqlSyntax
  readonly relations: ExposedRelations
  /** Where the SQL's first character stands, for SQL in a file. */
  readonly place?: ErrorPlace
}

export async function checkReadOnlySql(request: ReadOnlyRequest): Promise<ReadOnlyResult> {
  const mistakes = new Mistakes(request.sql, request.place ?? { line: 1, column: 1 })
  const statement = request.statement ?? (await parseOne(request, mistakes))
  if (statement === undefined) return { ok: false, mistakes: mistakes.errors }
  const jail = new Jail(request.relations, new FunctionNames(await request.syntax.functions()), mistakes)
  const checked = jail.visit(statement, new Set())
  if (mistakes.found) return { ok: false, mistakes: mistakes.errors }
  const functions = functionsCalled(checked, request.syntax.own)
  const sql = await request.syntax.print(bindFunctions(checked as SqlNode, functions))
  return { ok: true, sql, used: [...jail.used.values()], functions }
}

/** The checked SQL with each used relation bound: `relationSql` gives a SELECT for each `bindName`. */
export function bindReadOnlySql(
  checked: { readonly sql: string; readonly used: readonly UsedRelation[] },
  relationSql: (relation: UsedRelation) => string,
): string {
  if (checked.used.length === 0) return checked.sql
  const ctes = checked.used
    .map((relation) => `${quoteIdentifier(relation.bindName)} AS NOT MATERIALIZED (${relationSql(relation)})`)
    .join(', ')
  const hasCtes = checked.sql.startsWith('WITH ')
  return hasCtes ? `WITH ${ctes}, ${checked.sql.slice('WITH '.length)}` : `WITH ${ctes} ${checked.sql}`
}

async function parseOne(request: ReadOnlyRequest, mistakes: Mistakes): Promise<SqlNode | undefined> {
  const parsed = await request.syntax.parse(request.sql)
  if (!parsed.ok) {
    const isSelectOnly = parsed.message.startsWith('Only SELECT')
    mistakes.add({
      code: isSelectOnly ? 'SQL_FORBIDDEN' : 'SQL_SYNTAX',
      message: isSelectOnly ? 'the SQL is not a SELECT' : `the SQL cannot be parsed: ${parsed.message}`,
      ...(parsed.position === undefined ? {} : { at: parsed.position }),
    })
    return undefined
  }
  if (parsed.statements.length !== 1) {
    mistakes.add({
      code: 'SQL_FORBIDDEN',
      message: `the SQL has ${parsed.statements.length} statements instead of one`,
      hint: 'Send one SELECT at a time.',
    })
    return undefined
  }
  return parsed.statements[0]
}

/** Forms of expression that compute from what they are given. */
const allowedClasses: ReadonlySet<string> = new Set(
  (
    'BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION LAMBDA OPERATOR ' +
    'POSITIONAL_REFERENCE STAR SUBQUERY WINDOW'
  ).split(' '),
)

/** Queries, tables in FROM, modifiers, and the directions of ORDER BY. */
const allowedTypes: ReadonlySet<string> = new Set(
  (
    'SELECT_NODE SET_OPERATION_NODE BASE_TABLE EMPTY EXPRESSION_LIST JOIN SUBQUERY TABLE_FUNCTION ' +
    'DISTINCT_MODIFIER LIMIT_MODIFIER LIMIT_PERCENT_MODIFIER ORDER_MODIFIER ASCENDING DESCENDING ORDER_DEFAULT'
  ).split(' '),
)

const allowedTableFunctions: ReadonlySet<string> = new Set(['generate_series', 'range', 'unnest'])

/** Functions that act, wait, or tell of sessions, settings, catalogs or SQL texts. */
const deniedFunctions: ReadonlySet<string> = new Set(
  (
    'combine create_sort_key currval current_catalog current_connection_id current_database current_query ' +
    'current_query_id current_role current_schema current_schemas current_setting current_transaction_id ' +
    'current_user error finalize get_block_size getenv getvariable in_search_path json_deserialize_sql ' +
    'json_execute_serialized_sql json_serialize_plan json_serialize_sql nextval parse_duckdb_log_message query ' +
    'query_table session_user setseed sleep_ms stats txid_current user version write_log'
  ).split(' '),
)

/** Parts of a node that hold types and constants: nothing in them is computed. */
const inertParts: ReadonlySet<string> = new Set(['cast_type', 'value', 'sample'])

/** One check of one statement: what it used and what is wrong with it. */
class Jail {
  readonly used = new Map<string, UsedRelation>()
  readonly #relations: ExposedRelations
  readonly #functions: FunctionNames
  readonly #mistakes: Mistakes

  constructor(relations: ExposedRelations, functions: FunctionNames, mistakes: Mistakes) {
    this.#relations = relations
    this.#functions = functions
    this.#mistakes = mistakes
  }

  /** Rebuilds a value of the tree with its names bound; `ctes` are the names that the query itself defines. */
  visit(value: unknown, ctes: ReadonlySet<string>): unknown {
    if (Array.isArray(value)) return value.map((item) => this.visit(item, ctes))
    if (!isNode(value) || isRawNumber(value)) return value
    const node: SqlNode = value
    if (isExpression(value)) return this.#visitExpression(value, ctes)
    if (typeof node.type === 'string') return this.#visitTyped(node, node.type, ctes)
    return this.#visitParts(node, ctes)
  }

  #visitParts(node: SqlNode, ctes: ReadonlySet<string>): SqlNode {
    const copy: SqlNode = {}
    for (const [name, part] of Object.entries(node)) {
      copy[name] = inertParts.has(name) && !isReplaceEntry(node) ? part : this.visit(part, ctes)
    }
    return copy
  }

  #visitExpression(node: SqlNode, ctes: ReadonlySet<string>): SqlNode {
    if (!allowedClasses.has(String(node.class))) {
      const what =
        node.class === 'PARAMETER' ? 'a parameter' : `this form of expression (${String(node.class)})`
      this.#forbid(node, `a query cannot use ${what}`)
    }
    if (node.class === 'FUNCTION' || node.class === 'WINDOW') this.#checkFunction(node)
    if (node.class === 'CONSTANT') return node
    return this.#visitParts(node, ctes)
  }

  #checkFunction(node: SqlNode): void {
    const name = textOf(node.function_name).toLowerCase()
    const schema = textOf(node.schema)
    const isOwn = (schema === '' || schema === 'main') && ['', 'system'].includes(textOf(node.catalog))
    if (node.is_operator === true && isOwn) return
    if (!isOwn || deniedFunctions.has(name)) {
      this.#forbid(node, `a query cannot call the function "${[schema, name].filter(Boolean).join('.')}"`)
      return
    }
    const isMacro = pureMacros.has(name) || aggregateMacros.has(name) || name === 'ago'
    if (isMacro || name === 'unnest' || this.#functions.isA(name, 'scalar', 'aggregate')) return
    if (this.#functions.has(name)) {
      this.#forbid(node, `a query cannot call the function "${name}"`)
      return
    }
    const nearest = nearestName(name, this.#functions.all())
    this.#mistakes.add({
      code: 'SQL_NAME_UNKNOWN',
      message: `there is no function "${name}"`,
      hint: nearest === undefined ? 'Correct the name of the function.' : `Did you mean "${nearest}"?`,
      at: node,
    })
  }

  #visitTyped(node: SqlNode, type: string, ctes: ReadonlySet<string>): SqlNode {
    if (!allowedTypes.has(type)) {
      this.#forbid(node, `a query cannot use ${forbiddenForm(type)}`)
      return node
    }
    if (node.at_clause) this.#forbid(node, 'a query cannot use AT', 'Add after=CUT to the request instead.')
    if (type === 'BASE_TABLE') return this.#bindTable(node, ctes)
    if (type === 'TABLE_FUNCTION') return this.#visitTableFunction(node, ctes)
    if (nodeOf(node.cte_map) === undefined) return this.#visitParts(node, ctes)
    return this.#visitQuery(node, ctes)
  }

  /** Each CTE sees those before it; the rest of the query sees them all. */
  #visitQuery(node: SqlNode, outer: ReadonlySet<string>): SqlNode {
    const { cte_map: map, ...rest } = node
    const entries: SqlNode[] = []
    let ctes = outer
    for (const entry of nodesOf(nodeOf(map)?.map)) {
      const name = textOf(entry.key)
      if (name.startsWith('$'))
        this.#forbid(node, `a CTE cannot be named "${name}"`, 'Begin the name with a letter.')
      entries.push(this.#visitCte(entry, ctes))
      ctes = new Set([...ctes, name.toLowerCase()])
    }
    return { ...this.#visitParts(rest, ctes), cte_map: { map: entries } }
  }

  #visitCte(entry: SqlNode, ctes: ReadonlySet<string>): SqlNode {
    const value = nodeOf(entry.value)
    return { ...entry, value: value && this.#visitParts(value, ctes) }
  }

  #visitTableFunction(node: SqlNode, ctes: ReadonlySet<string>): SqlNode {
    const call = nodeOf(node.function)
    const name = call && functionName(call)
    if (
      call === undefined ||
      name === undefined ||
      !allowedTableFunctions.has(name) ||
      textOf(call.schema) !== ''
    ) {
      this.#forbid(node, `a query cannot read from the table function "${name ?? ''}"`, undefined)
      return node
    }
    return { ...node, function: this.#visitParts(call, ctes) }
  }

  #bindTable(node: SqlNode, ctes: ReadonlySet<string>): SqlNode {
    const name = textOf(node.table_name)
    const schema = textOf(node.schema_name).toLowerCase()
    const catalog = textOf(node.catalog_name)
    if (schema === '' && catalog === '' && ctes.has(name.toLowerCase())) return node
    const relation = catalog === '' ? this.#find(name, schema) : undefined
    if (relation === undefined) {
      this.#refuseTable(node, name, [catalog, schema].filter((part) => part !== '').join('.'))
      return node
    }
    this.used.set(relation.bindName, relation)
    const alias = textOf(node.alias) || name
    return { ...node, alias, schema_name: '', catalog_name: '', table_name: relation.bindName }
  }

  #find(name: string, schema: string): UsedRelation | undefined {
    const { views, streams, system, layers = {} } = this.#relations
    const among = (
      kind: UsedRelation['kind'],
      names: Readonly<Record<string, unknown>>,
      wanted = name,
    ): UsedRelation | undefined => {
      const found = Object.keys(names).find((key) => key.toLowerCase() === wanted.toLowerCase())
      return found === undefined ? undefined : { kind, name: found, bindName: `$${kind}:${found}` }
    }
    if (schema === 'refold') return among('system', system)
    if (schema === 'batch' || schema === 'speed') return among('view', layers, `${schema}.${name}`)
    return schema === '' ? (among('view', views) ?? among('stream', streams)) : undefined
  }

  #refuseTable(node: SqlNode, name: string, qualifier: string): void {
    const { views, streams, system, layers = {} } = this.#relations
    const full = qualifier === '' ? name : `${qualifier}.${name}`
    if (!['', 'refold', 'batch', 'speed'].includes(qualifier)) {
      this.#forbid(node, `a query cannot read "${full}"`)
      return
    }
    if (qualifier === '' && /[./\\*:]/.test(name)) {
      this.#forbid(node, `a query cannot read the file "${name}"`)
      return
    }
    const known = [
      ...Object.keys(views),
      ...Object.keys(streams),
      ...Object.keys(layers),
      ...Object.keys(system).map((key) => `refold.${key}`),
    ]
    const nearest = nearestName(full, known)
    this.#mistakes.add({
      code: 'SQL_NAME_UNKNOWN',
      message: `there is no view or stream "${full}"`,
      ...(nearest === undefined ? {} : { hint: `Did you mean "${nearest}"?` }),
      at: node,
    })
  }

  #forbid(node: SqlNode, message: string, hint?: string): void {
    this.#mistakes.add({ code: 'SQL_FORBIDDEN', message, at: node, ...(hint === undefined ? {} : { hint }) })
  }
}

/** Entries of `REPLACE (…)` and of CTE maps have a `value` that is an expression or a query, no constant. */
function isReplaceEntry(node: SqlNode): boolean {
  return 'key' in node
}

function forbiddenForm(type: string): string {
  switch (type) {
    case 'RECURSIVE_CTE_NODE':
      return 'WITH RECURSIVE'
    case 'PIVOT':
      return 'PIVOT or UNPIVOT'
    case 'SHOW_REF':
      return 'DESCRIBE, SHOW or SUMMARIZE'
    default:
      return `this form of query (${type})`
  }
}
