/**
 * Compares what a view answers, row by row, with the same SQL run in one go by plain DuckDB over the events as they
 * were sent. It shares nothing with the code that it judges: the rows come from the public HTTP API, the expected
 * ones from DuckDB alone. No state beside the connection it is given.
 */

import { writeFileSync } from 'node:fs'
import type { DuckDBConnection } from '@duckdb/node-api'

export interface Agreement {
  readonly view: string
  readonly exact: boolean
  readonly rows: number
  /** Rows that only the view has, and rows that only the plain query has. */
  readonly surplus: number
  readonly missing: number
  /** The first few of them. */
  readonly examples: readonly string[]
}

/**
 * `sql` is the view's own text over relations that exist in the connection; `answers` are bodies of HTTP answers that
 * together have the view's rows; `file` is a scratch file. Rows are compared as bags, or in order when `ordered`.
 */
export async function compareView(
  connection: DuckDBConnection,
  view: { readonly name: string; readonly sql: string; readonly ordered?: boolean },
  answers: readonly string[],
  file: string,
): Promise<Agreement> {
  const columns = await describe(connection, view.sql)
  writeFileSync(file, answers.join('\n'))
  const fields = columns.map(({ name, type }) => `"${name}" ${type}`).join(', ')
  const names = columns.map(({ name }) => `"${name}"`).join(', ')
  const place = view.ordered === true ? ', row_number() OVER () AS place' : ''
  await connection.run(`CREATE OR REPLACE TEMP TABLE expected AS SELECT *${place} FROM (${view.sql})`)
  await connection.run(`CREATE OR REPLACE TEMP TABLE answered AS SELECT ${names}${place} FROM (
    SELECT unnest(rows, recursive := true) FROM read_json('${file}', format = 'unstructured',
      columns = {"rows": 'STRUCT(${fields})[]'}, maximum_object_size = 2000000000))`)
  const surplus = await difference(connection, 'answered', 'expected')
  const missing = await difference(connection, 'expected', 'answered')
  const [total] = await rowsOf(connection, 'SELECT count(*)::INTEGER AS n FROM expected')
  return {
    view: view.name,
    exact: surplus.count === 0 && missing.count === 0,
    rows: Number(total?.['n'] ?? 0),
    surplus: surplus.count,
    missing: missing.count,
    examples: [
      ...surplus.examples.map((row) => `only in the view: ${row}`),
      ...missing.examples.map((row) => `only in the plain query: ${row}`),
    ],
  }
}

async function describe(
  connection: DuckDBConnection,
  sql: string,
): Promise<readonly { readonly name: string; readonly type: string }[]> {
  const rows = await rowsOf(connection, `DESCRIBE ${sql}`)
  return rows.map((row) => ({ name: String(row['column_name']), type: String(row['column_type']) }))
}

async function difference(
  connection: DuckDBConnection,
  left: string,
  right: string,
): Promise<{ readonly count: number; readonly examples: readonly string[] }> {
  const sql = `FROM ${left} EXCEPT ALL FROM ${right}`
  const [total] = await rowsOf(connection, `SELECT count(*)::INTEGER AS n FROM (${sql})`)
  const examples = await rowsOf(connection, `FROM (${sql}) ORDER BY ALL LIMIT 3`)
  return { count: Number(total?.['n'] ?? 0), examples: examples.map((row) => JSON.stringify(row)) }
}

export async function rowsOf(
  connection: DuckDBConnection,
  sql: string,
): Promise<readonly Record<string, unknown>[]> {
  const reader = await connection.runAndReadAll(sql)
  return reader.getRowObjectsJson()
}
