/**
 * The oracle of the law tests: the user's own SQL, run by plain DuckDB in one go over events that the test kept
 * itself. It shares no code with Refold. State: one in-memory DuckDB.
 */

import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'

export type Cell = string | null

export class Oracle {
  readonly #connection: DuckDBConnection
  readonly #table: string

  private constructor(connection: DuckDBConnection, table: string) {
    this.#connection = connection
    this.#table = table
  }

  /** `columns` is the column list of CREATE TABLE. */
  static async create(table: string, columns: string): Promise<Oracle> {
    const connection = await (await DuckDBInstance.create(':memory:')).connect()
    await connection.run(`SET TimeZone = 'UTC'`)
    await connection.run(`CREATE TABLE ${table} (${columns})`)
    return new Oracle(connection, table)
  }

  /** Adds events, as objects with one key per column; a missing key is NULL. */
  async insert(events: readonly Readonly<Record<string, unknown>>[]): Promise<void> {
    for (let start = 0; start < events.length; start += 500) {
      const rows = events.slice(start, start + 500)
      const names = [...new Set(rows.flatMap((row) => Object.keys(row)))]
      const values = rows.map((row) => `(${names.map((name) => literal(row[name])).join(', ')})`)
      await this.#connection.run(
        `INSERT INTO ${this.#table} (${names.join(', ')}) VALUES ${values.join(', ')}`,
      )
    }
  }

  /** The rows of a query, every cell as DuckDB's own text. */
  async rows(sql: string): Promise<Cell[][]> {
    const described = await this.#connection.runAndReadAll(`DESCRIBE ${sql}`)
    const names = described.getRows().map((row) => String(row[0]))
    const cells = names.map((name) => `CAST("${name}" AS VARCHAR)`)
    const result = await this.#connection.runAndReadAll(`SELECT ${cells.join(', ')} FROM (${sql})`)
    return result.getRows().map((row) => row.map((cell) => (cell === null ? null : String(cell))))
  }

  /** For changes of the kept events. */
  async run(sql: string): Promise<void> {
    await this.#connection.run(sql)
  }

  close(): void {
    this.#connection.closeSync()
  }
}

/** A row of an HTTP answer as DuckDB's texts, for comparing; `columns` states DuckDB's types. */
export function cellsOf(
  row: Readonly<Record<string, unknown>>,
  columns: readonly { name: string; type: string }[],
): Cell[] {
  return columns.map(({ name, type }) => {
    const value = row[name]
    if (value === null || value === undefined) return null
    if (type === 'TIMESTAMP') return String(value).replace('T', ' ').replace('Z', '')
    if (type === 'DOUBLE' && typeof value === 'number')
      return Number.isInteger(value) ? `${value}.0` : String(value)
    return typeof value === 'object' ? JSON.stringify(value) : String(value)
  })
}

/** Rows in one order, so that two bags can be compared. */
export function sorted(rows: readonly Cell[][]): Cell[][] {
  return [...rows].sort((a, b) => {
    const [left, right] = [JSON.stringify(a), JSON.stringify(b)]
    return left < right ? -1 : left > right ? 1 : 0
  })
}

function literal(value: unknown): string {
  if (value === undefined || value === null) return 'NULL'
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return `'${String(value).replaceAll("'", "''")}'`
}
