/**
 * The past engine inside its process: one DuckDB, the states it holds, and questions over them. State: the database
 * and its tables; nothing of it outlives the process.
 */

import { mkdirSync, rmSync } from 'node:fs'
import { quoteIdentifier } from '../model/schema.ts'
import { ConnectionPool } from './connection-pool.ts'
import { type DuckDB, openDuckDB, run, runCancellable } from './duckdb.ts'
import type { Rows } from './engine.ts'
import { EngineFunctions } from './functions/engine-functions.ts'
import type { PastQuery, PastRequest, PastSqlRead, PastState, PastViewRead } from './past.ts'
import type { PastCalls, PastSettings } from './past-protocol.ts'
import { type Deadline, deadlineOf, leftMs, PastTables } from './past-tables.ts'
import { readSql, type SqlContext } from './read-sql.ts'
import { filteredRows, limitedRows } from './read-view.ts'
import { resultColumns, rowTexts } from './rows-json.ts'

/** Share of the memory in which states are kept for later requests. */
const TABLES_SHARE = 0.4

export class PastCore {
  readonly #db: DuckDB
  readonly #connections: ConnectionPool
  readonly #functions: EngineFunctions
  readonly #tables: PastTables
  readonly #scratchDir: string

  private constructor(db: DuckDB, settings: PastSettings) {
    this.#db = db
    this.#scratchDir = settings.scratchDir
    this.#connections = new ConnectionPool(() => db.connect())
    this.#functions = new EngineFunctions(() => db.connect(), settings.code)
    this.#tables = new PastTables(this.#connections, settings, settings.memoryBytes * TABLES_SHARE)
  }

  static async open(settings: PastSettings): Promise<PastCore> {
    const { memoryBytes, threads, scratchDir } = settings
    rmSync(scratchDir, { recursive: true, force: true })
    mkdirSync(scratchDir, { recursive: true })
    const db = await openDuckDB({ memoryBytes, threads, tempDir: scratchDir })
    return new PastCore(db, settings)
  }

  /** On a connection of its own, so that its temporary views and tables meet nobody else's. */
  async query(request: PastQuery, signal: AbortSignal): Promise<PastCalls['query']['result']> {
    const deadline = deadlineOf(request.timeoutMs, signal)
    await this.#useFunctions(request, Object.values(request.states))
    return await this.#tables.holding(request, deadline, async (rowsOf) => {
      const states = Object.entries(request.states)
      const views = await Promise.all(
        states.map(async ([name, state]) => [name, await rowsOf(state)] as const),
      )
      const connection = await this.#db.connect()
      try {
        for (const [name, rows] of views) {
          await run(connection, `CREATE TEMP VIEW ${quoteIdentifier(name)} AS ${rows}`)
        }
        const answers: Rows[] = []
        for (const { sql, limit } of request.statements) {
          const bounded = isSelect(sql) ? `SELECT * FROM (${sql}) LIMIT ${limit + 1}` : sql
          const result = await runCancellable(connection, bounded, limits(deadline))
          answers.push(limitedRows(rowTexts(result), resultColumns(result), limit))
        }
        return answers
      } finally {
        connection.closeSync()
      }
    })
  }

  async #useFunctions(request: PastRequest, states: readonly PastState[]): Promise<void> {
    for (const { plan } of states) await this.#functions.use(plan.functions)
    await this.#functions.use(request.functions)
  }

  async read(request: PastViewRead, signal: AbortSignal): Promise<PastCalls['read']['result']> {
    const { state, read } = request
    const deadline = deadlineOf(request.timeoutMs, signal)
    await this.#useFunctions(request, [state])
    return await this.#tables.holding(request, deadline, async (rowsOf) => {
      const sql = filteredRows(state.plan, await rowsOf(state), read)
      return await this.#connections.use(async (connection) => {
        const result = await runCancellable(connection, sql, limits(deadline))
        return limitedRows(rowTexts(result), resultColumns(result), read.limit)
      })
    })
  }

  async sql(request: PastSqlRead, signal: AbortSignal): Promise<PastCalls['sql']['result']> {
    const deadline = deadlineOf(request.timeoutMs, signal)
    await this.#useFunctions(request, Object.values(request.states))
    return await this.#tables.holding(request, deadline, (rowsOf) =>
      this.#connections.use(async (connection) => {
        const context: SqlContext = {
          streams: new Map(request.streams.map((stream) => [stream.name, stream])),
          sources: request.sources,
          views: Object.entries(request.states).map(([name, state]) => ({
            name,
            columns: state.plan.columns,
            rows: () => rowsOf(state),
          })),
          cut: request.cut,
          scratchDir: this.#scratchDir,
          useFunctions: (functions) => this.#functions.use(functions),
          refused: request.refused ?? {},
        }
        const read = { ...request.sql, timeoutMs: leftMs(deadline) }
        const answer = await readSql(connection, context, read, signal)
        return { ...answer.rows, views: [...answer.views] }
      }),
    )
  }
}

function limits(deadline: Deadline): { readonly timeoutMs: number; readonly signal: AbortSignal } {
  return { timeoutMs: leftMs(deadline), signal: deadline.signal }
}

function isSelect(sql: string): boolean {
  return /^\s*(SELECT|WITH|FROM|VALUES)\b/i.test(sql)
}
