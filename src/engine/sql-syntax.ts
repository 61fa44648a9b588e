/**
 * DuckDB as the planner's parser, printer and type checker: the implementation of `SqlSyntax`. It holds one small
 * in-memory database of its own, with one thread and without access to files, so that checking a text can neither
 * read nor change anything. Calls run one after the other on one connection, so that a description's temporary
 * relations never meet another's.
 */

import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import type { Column } from '../plan/plan.ts'
import type { ParseResult, SqlFunction, SqlNode, SqlSyntax } from '../plan/sql-syntax.ts'

export interface DuckDbSyntax extends SqlSyntax {
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

  return {
    parse: (sql) => queued(() => parse(connection, sql)),
    print: (statement) => queued(() => print(connection, statement)),
    describe: (sql, relations) => queued(() => describe(connection, sql, relations)),
    functions() {
      known ??= queued(() => functions(connection))
      return known
    },
    close() {
      connection.closeSync()
      instance.closeSync()
    },
  }
}

async function parse(connection: DuckDBConnection, sql: string): Promise<ParseResult> {
  const answer = JSON.parse(
    String(await scalar(connection, `SELECT json_serialize_sql(${quoteLiteral(sql)})`)),
  )
  if (answer.error) {
    const bytes = Number(answer.position)
    return {
      ok: false,
      message: String(answer.error_message),
      ...(Number.isFinite(bytes) && answer.position !== undefined
        ? { position: characterIndex(sql, bytes) }
        : {}),
    }
  }
  const isAscii = /^[\0-\x7f]*$/.test(sql)
  const toCharacters = (bytes: number): number => (isAscii ? bytes : characterIndex(sql, bytes))
  for (const statement of answer.statements) normaliseLocations(statement, toCharacters)
  return { ok: true, statements: answer.statements }
}

/**
 * DuckDB gives locations in bytes, and 2^64-1 for none, which a JavaScript number cannot hold. Both are put right in
 * place: a character index, or no property.
 */
function normaliseLocations(node: unknown, toCharacters: (bytes: number) => number): void {
  if (Array.isArray(node)) {
    for (const item of node) normaliseLocations(item, toCharacters)
  } else if (typeof node === 'object' && node !== null) {
    const record = node as Record<string, unknown>
    const location = record.query_location
    if (typeof location === 'number') {
      if (Number.isSafeInteger(location)) record.query_location = toCharacters(location)
      else delete record.query_location
    }
    for (const value of Object.values(record)) {
      if (typeof value === 'object') normaliseLocations(value, toCharacters)
    }
  }
}

function characterIndex(sql: string, bytes: number): number {
  return Buffer.from(sql, 'utf8').subarray(0, bytes).toString('utf8').length
}

async function print(connection: DuckDBConnection, statement: SqlNode): Promise<string> {
  const json = JSON.stringify({ error: false, statements: [statement] })
  return String(await scalar(connection, `SELECT json_deserialize_sql(${quoteLiteral(json)})`))
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
