/**
 * DuckDB as the planner's parser, printer and type checker: the implementation of `SqlSyntax`. It holds one small
 * in-memory database of its own, with one thread and without access to files, so that checking a text can neither
 * read nor change anything. Calls run one after the other on one connection, so that a description's temporary
 * relations never meet another's.
 */

import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import type { PlannedFunction } from '../define/function-def.ts'
import { quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import type { Column } from '../plan/plan.ts'
import type { ParseResult, SqlFunction, SqlNode, SqlSyntax } from '../plan/sql-syntax.ts'
import { FunctionFailed } from './functions/call-function.ts'
import { scalarFunction } from './functions/engine-functions.ts'

export interface DuckDbSyntax extends SqlSyntax {
  withFunctions(functions: readonly PlannedFunction[]): DuckDbSyntax
  close(): void
}

/** Opens the checker's own database; a few milliseconds, a few megabytes. */
export async function openSqlSyntax(): Promise<DuckDbSyntax> {
  const instance = await DuckDBInstance.create(':memory:', {
    threads: '1',
    memory_limit: '256MB',
    enable_external_access: 'false',
  })
  const connection = await instance.connect()
  await connection.run("SET TimeZone = 'UTC'")
  await connection.run('SET lock_configuration = true')

  let last: Promise<unknown> = Promise.resolve()
  function queued<T>(task: () => Promise<T>): Promise<T> {
    const result = last.then(task)
    last = result.catch(() => undefined)
    return result
  }
  let known: Promise<readonly SqlFunction[]> | undefined
  const stubs = new Set<string>()

  return syntaxOf([])

  function syntaxOf(own: readonly PlannedFunction[]): DuckDbSyntax {
    for (const planned of own) {
      if (!stubs.has(planned.sqlName)) connection.registerScalarFunction(scalarFunction(planned, notHere))
      stubs.add(planned.sqlName)
    }
    return { ...syntaxWith(own), own, withFunctions: syntaxOf }
  }

  function syntaxWith(own: readonly PlannedFunction[]): Omit<DuckDbSyntax, 'own' | 'withFunctions'> {
    return {
      parse: (sql) => queued(() => parse(connection, sql)),
      print: (statement) => queued(() => print(connection, statement)),
      describe: (sql, relations) =>
        queued(() => withMacros(connection, own, () => describe(connection, sql, relations))),
      rows: (sql) => queued(() => textRows(connection, sql)),
      functions() {
        known ??= queued(() => functions(connection))
        return known.then((all) => [...all, ...own.flatMap(asFunctions)])
      },
      close() {
        connection.closeSync()
        instance.closeSync()
      },
    }
  }
}

/** Nothing is computed where texts are only looked at. */
function notHere(): never {
  throw new FunctionFailed('functions in TypeScript are not called while SQL is planned')
}

function asFunctions({ name, sqlName }: PlannedFunction): readonly SqlFunction[] {
  return [name.toLowerCase(), sqlName].map((one) => ({ name: one, kind: 'scalar', stability: 'CONSISTENT' }))
}

/** Plain names as macros, for one description: two projects may mean different functions by one name. */
async function withMacros<T>(
  connection: DuckDBConnection,
  own: readonly PlannedFunction[],
  task: () => Promise<T>,
): Promise<T> {
  if (own.length === 0) return task()
  try {
    for (const planned of own) await connection.run(macroSql(planned))
    return await task()
  } finally {
    for (const { name } of own) await connection.run(`DROP MACRO IF EXISTS temp.${quoteIdentifier(name)}`)
  }
}

/** For a connection: a function by its plain name. */
export function macroSql({ name, sqlName, args }: PlannedFunction): string {
  const given = args.map((_, index) => `a${index + 1}`).join(', ')
  return `CREATE OR REPLACE TEMP MACRO ${quoteIdentifier(name)}(${given}) AS ${quoteIdentifier(sqlName)}(${given})`
}

async function parse(connection: DuckDBConnection, sql: string): Promise<ParseResult> {
  const text = String(await scalar(connection, `SELECT json_serialize_sql(${quoteLiteral(sql)})`))
  const answer = parseLossless(text) as Answer
  if (answer.error) {
    return {
      ok: false,
      message: String(answer.error_message),
      ...(answer.position === undefined
        ? {}
        : { position: [...sql].slice(0, Number(answer.position)).join('').length }),
    }
  }
  const isAscii = Buffer.byteLength(sql) === sql.length
  const toCharacters = (bytes: number): number => (isAscii ? bytes : characterIndex(sql, bytes))
  for (const statement of answer.statements) normaliseLocations(statement, toCharacters)
  return { ok: true, statements: answer.statements }
}

interface Answer {
  readonly error: boolean
  readonly error_message?: string
  readonly position?: string
  readonly statements: readonly SqlNode[]
}

/** Numbers that JavaScript would print otherwise than DuckDB did (1.0, 2^64-1, …) stay as their text. */
function parseLossless(text: string): unknown {
  // A DOUBLE beyond its range is printed as Infinity, which is no JSON.
  const json = text.replaceAll(/"value":(-?)Infinity/g, '"value":"$1Infinity"')
  return JSON.parse(json, (_key, value: unknown, context?: { source?: string }) => {
    if (typeof value !== 'number' || context?.source === undefined) return value
    return String(value) === context.source && Number.isSafeInteger(value) ? value : rawJson(context.source)
  })
}

/** `JSON.rawJSON`, which the compiler's library does not know yet. */
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON

/**
 * DuckDB gives locations in bytes (the place of a parse error in code points), and 2^64-1 for none. They are put
 * right in place: a character index, or no property.
 */
function normaliseLocations(node: unknown, toCharacters: (bytes: number) => number): void {
  if (Array.isArray(node)) {
    for (const item of node) normaliseLocations(item, toCharacters)
  } else if (typeof node === 'object' && node !== null) {
    const record = node as SqlNode
    const location = record.query_location
    if (typeof location === 'number') record.query_location = toCharacters(location)
    else delete record.query_location
    for (const value of Object.values(record)) normaliseLocations(value, toCharacters)
  }
}

function characterIndex(sql: string, bytes: number): number {
  return Buffer.from(sql, 'utf8').subarray(0, bytes).toString('utf8').length
}

async function print(connection: DuckDBConnection, statement: SqlNode): Promise<string> {
  const json = JSON.stringify({ error: false, statements: [withTypedDoubles(statement)] })
  return String(await scalar(connection, `SELECT json_deserialize_sql(${quoteLiteral(json)})`))
}

/** DuckDB prints the DOUBLE 1e3 as 1000.0, which reads as a DECIMAL; a cast of its text keeps value and type. */
function withTypedDoubles(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withTypedDoubles)
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) === null) return value
  const node = value as { readonly class?: unknown; readonly value?: unknown }
  if (node.class !== 'CONSTANT') {
    return Object.fromEntries(Object.entries(node).map(([name, part]) => [name, withTypedDoubles(part)]))
  }
  const constant = node.value as { readonly type?: { readonly id?: unknown }; readonly value?: unknown }
  if (constant.type?.id !== 'DOUBLE') return node
  const text = { type: { id: 'VARCHAR', type_info: null }, is_null: false, value: doubleText(constant.value) }
  return {
    ...node,
    class: 'CAST',
    type: 'OPERATOR_CAST',
    child: { ...node, alias: '', value: text },
    cast_type: { id: 'DOUBLE', type_info: null },
    try_cast: false,
  }
}

function doubleText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

async function describe(
  connection: DuckDBConnection,
  sql: string,
  relations: Readonly<Record<string, readonly Column[]>>,
): Promise<readonly Column[]> {
  const names = Object.keys(relations)
  try {
    for (const [name, columns] of Object.entries(relations)) {
      const definitions = columns.map((column) => `${quoteIdentifier(column.name)} ${column.type}`)
      await connection.run(
        `CREATE OR REPLACE TEMP TABLE ${quoteIdentifier(name)} (${definitions.join(', ')})`,
      )
    }
    const reader = await connection.runAndReadAll(`DESCRIBE ${sql}`)
    return reader.getRowObjects().map((row) => ({
      name: String(row.column_name),
      type: String(row.column_type),
    }))
  } finally {
    for (const name of names) await connection.run(`DROP TABLE IF EXISTS temp.${quoteIdentifier(name)}`)
  }
}

async function textRows(
  connection: DuckDBConnection,
  sql: string,
): Promise<readonly (readonly (string | null)[])[]> {
  const reader = await connection.runAndReadAll(`SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (${sql})`)
  return reader.getRows() as unknown as readonly (readonly (string | null)[])[]
}

async function functions(connection: DuckDBConnection): Promise<readonly SqlFunction[]> {
  const reader = await connection.runAndReadAll(
    'SELECT DISTINCT function_name AS name, function_type AS kind, stability FROM duckdb_functions() ORDER BY ALL',
  )
  return reader.getRowObjects() as unknown as readonly SqlFunction[]
}

async function scalar(connection: DuckDBConnection, sql: string): Promise<unknown> {
  const reader = await connection.runAndReadAll(sql)
  return reader.getRows()[0]?.[0]
}
