/**
 * A plain DuckDB for tests: the oracle that runs a user's own SQL, and the place where reference folds run. It shares
 * nothing with `engine/` but the library, and is opened with the same time zone. State: one in-memory database.
 */

import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type DuckDBConnection, DuckDBInstance, type Json } from '@duckdb/node-api'
import { quoteIdentifier, quoteLiteral, type StreamDef, sqlType } from '../../src/model/schema.ts'

export type JsonRow = readonly Json[]

export interface Answer {
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  /** Values in the library's lossless JSON form. */
  readonly rows: readonly JsonRow[]
}

let scratchFiles = 0

export class ScratchDuckDb {
  readonly #instance: DuckDBInstance
  readonly #connection: DuckDBConnection

  private constructor(instance: DuckDBInstance, connection: DuckDBConnection) {
    this.#instance = instance
    this.#connection = connection
  }

  static async open(): Promise<ScratchDuckDb> {
    const instance = await DuckDBInstance.create(':memory:', { threads: '1' })
    const connection = await instance.connect()
    await connection.run("SET TimeZone = 'UTC'")
    return new ScratchDuckDb(instance, connection)
  }

  async run(sql: string): Promise<void> {
    await this.#connection.run(sql)
  }

  async query(sql: string): Promise<Answer> {
    const reader = await this.#connection.runAndReadAll(sql)
    const names = reader.columnNames()
    const types = reader.columnTypes().map(String)
    return {
      columns: names.map((name, index) => ({ name, type: types[index]! })),
      rows: reader.getRowsJson(),
    }
  }

  /** DuckDB's own type names of a SELECT's columns. */
  async describe(sql: string): Promise<Answer['columns']> {
    const reader = await this.#connection.runAndReadAll(`DESCRIBE ${sql}`)
    return reader.getRowsJson().map(([name, type]) => ({ name: String(name), type: String(type) }))
  }

  /** Makes the stream's table from NDJSON text, in order; `position` is the row's place, from 0. */
  async load(stream: StreamDef, ndjson: string, table: string, position?: string): Promise<void> {
    const file = path.join(tmpdir(), `refold-scratch-${process.pid}-${scratchFiles++}.ndjson`)
    const fields = stream.schema.fields
    const columns = fields.map((field) => `${quoteLiteral(field.name)}: ${quoteLiteral(sqlType(field.type))}`)
    const list = fields.map((field) => quoteIdentifier(field.name)).join(', ')
    const extra = position === undefined ? '' : `, row_number() OVER () - 1 AS ${quoteIdentifier(position)}`
    await writeFile(file, ndjson)
    try {
      await this.run(
        `CREATE TABLE ${quoteIdentifier(table)} AS SELECT ${list}${extra} FROM read_json(${quoteLiteral(file)}, format = 'newline_delimited', columns = {${columns.join(', ')}})`,
      )
    } finally {
      await rm(file, { force: true })
    }
  }

  close(): void {
    this.#connection.closeSync()
    this.#instance.closeSync()
  }
}
