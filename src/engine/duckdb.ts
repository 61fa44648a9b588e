/**
 * DuckDB as every engine process opens it: in memory, everything that could change a result pinned, errors turned
 * into `RefoldError`s, statements with a time limit and a signal. Holds no state beside the instance it gives out.
 *
 * Pinned, because a result must not depend on the machine or on the order of arrival: time zone UTC, calendar,
 * collation (binary), null and sort order, division, and no extension that is not built in. Insertion order is not
 * preserved: no query of ours relies on it, and without it DuckDB keeps no batches back in memory.
 * Files are not cached in DuckDB: the system's page cache does that, and a hot segment grows under the reader.
 */

import { type DuckDBConnection, DuckDBInstance, type DuckDBMaterializedResult } from '@duckdb/node-api'
import { RefoldError } from '../model/errors.ts'
import { quoteLiteral } from '../model/schema.ts'
import { type Clock, systemClock } from '../std/clock.ts'
import { exactRows, type SqlRow } from './duckdb-values.ts'
import { failureIn } from './functions/logic-failures.ts'

export interface DuckDBOptions {
  readonly memoryBytes: number
  readonly threads: number
  /** Folder for spilled data. */
  readonly tempDir: string
  /** When given, DuckDB opens no file outside of these folders (and `tempDir`), and its settings are locked. */
  readonly jail?: readonly string[]
}

export interface DuckDB {
  /** A connection with the session's settings pinned. */
  connect(): Promise<DuckDBConnection>
  close(): void
}

const sessionSettings = [`SET TimeZone = 'UTC'`, `SET Calendar = 'gregorian'`]

const globalSettings = [
  `SET GLOBAL default_collation = ''`,
  `SET GLOBAL default_null_order = 'nulls_last'`,
  `SET GLOBAL default_order = 'ascending'`,
  'SET GLOBAL integer_division = false',
  'SET GLOBAL ieee_floating_point_ops = true',
  'SET GLOBAL scalar_subquery_error_on_multiple_rows = true',
  'SET GLOBAL enable_external_file_cache = false',
]

export async function openDuckDB(options: DuckDBOptions): Promise<DuckDB> {
  const instance = await DuckDBInstance.create(':memory:', {
    memory_limit: `${Math.floor(options.memoryBytes)}B`,
    threads: String(options.threads),
    temp_directory: options.tempDir,
    preserve_insertion_order: 'false',
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
    allow_community_extensions: 'false',
  })
  const first = await instance.connect()
  for (const setting of globalSettings) await first.run(setting)
  if (options.jail !== undefined) {
    const folders = [...options.jail, options.tempDir].map(quoteLiteral).join(', ')
    await first.run(`SET GLOBAL allowed_directories = [${folders}]`)
    await first.run('SET GLOBAL enable_external_access = false')
  }
  first.closeSync()
  return {
    async connect() {
      const connection = await instance.connect()
      for (const setting of sessionSettings) await connection.run(setting)
      return connection
    },
    close: () => instance.closeSync(),
  }
}

export interface StatementOptions {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  readonly clock?: Clock
}

/** Runs a statement to its end; throws a `RefoldError`. */
export async function run(connection: DuckDBConnection, sql: string): Promise<DuckDBMaterializedResult> {
  try {
    return await connection.run(sql)
  } catch (error) {
    throw duckdbError(error)
  }
}

/** Runs a SELECT and gives its rows as plain objects: integers beyond 32 bits as bigint, decimals as strings. */
export async function queryRows(
  connection: DuckDBConnection,
  sql: string,
  options: StatementOptions = {},
): Promise<SqlRow[]> {
  return exactRows(await runCancellable(connection, sql, options))
}

/** A SELECT of one row with one column. */
export async function queryValue(connection: DuckDBConnection, sql: string): Promise<SqlRow[string]> {
  const row = (await queryRows(connection, sql))[0]
  return row === undefined ? null : (Object.values(row)[0] ?? null)
}

/** DuckDB forgets an interrupt that comes before the statement began on its thread, so it is repeated. */
const INTERRUPT_AGAIN_MS = 10

/** Runs a statement that ends when its time is up or `signal` aborts. The connection serves one call at a time. */
export async function runCancellable(
  connection: DuckDBConnection,
  sql: string,
  options: StatementOptions = {},
): Promise<DuckDBMaterializedResult> {
  const { timeoutMs, signal, clock = systemClock } = options
  if (signal?.aborted) throw new RefoldError('QUERY_CANCELLED', 'The query was cancelled before it began.')
  let reason: 'cancelled' | 'timeout' | undefined
  let ended = false
  const stop = (why: 'cancelled' | 'timeout'): void => {
    if (ended) return
    reason ??= why
    connection.interrupt()
    clock.after(INTERRUPT_AGAIN_MS, () => stop(why))
  }
  const onAbort = (): void => stop('cancelled')
  signal?.addEventListener('abort', onAbort, { once: true })
  const cancelTimer = timeoutMs === undefined ? undefined : clock.after(timeoutMs, () => stop('timeout'))
  try {
    return await connection.run(sql)
  } catch (error) {
    if (reason === 'timeout' && isInterrupt(error)) {
      throw new RefoldError('QUERY_TIMEOUT', `The query did not end within ${timeoutMs} ms.`)
    }
    throw duckdbError(error)
  } finally {
    ended = true
    cancelTimer?.()
    signal?.removeEventListener('abort', onAbort)
  }
}

const noSpace = /No space left on device|Disk quota exceeded|not enough space on the disk/i

/** The `RefoldError` for what DuckDB threw; a `RefoldError` passes unchanged. */
export function duckdbError(error: unknown): RefoldError {
  if (error instanceof RefoldError) return error
  const message = error instanceof Error ? error.message : String(error)
  const failure = failureIn(message)
  if (failure !== undefined) return failure
  if (isInterrupt(error)) return new RefoldError('QUERY_CANCELLED', 'The query was cancelled.')
  if (/^Out of Memory Error|could not allocate|failed to (allocate|pin|offload)/i.test(message)) {
    return new RefoldError('ENGINE_MEMORY', firstLine(message), { cause: error })
  }
  if (noSpace.test(message)) return new RefoldError('DISK_FULL', firstLine(message), { cause: error })
  return new RefoldError('QUERY_FAILED', firstLine(message), { cause: error })
}

function isInterrupt(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('INTERRUPT Error')
}

function firstLine(message: string): string {
  return message.split('\n', 1)[0] ?? message
}
