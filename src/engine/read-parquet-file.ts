/**
 * Reads somebody's Parquet file as events: one line of JSON a row, in the file's order, from any row on. Exact: no
 * value passes through a float that was none. DuckDB builds the lines column by column, so nothing is parsed here.
 *
 *   integers            digits                      DECIMAL             string, or a number where `asNumber` says so
 *   FLOAT, DOUBLE       shortest number; NaN and infinities leave the key out
 *   TIMESTAMP[TZ]       string, UTC, `…Z`, microseconds
 *   DATE, TIME, UUID, ENUM, VARCHAR, INTERVAL       string
 *   BLOB                string, base64              LIST, STRUCT, MAP   array, object, object by key
 *
 * A NULL leaves its key out, except where `nullable` names the column. State: one DuckDB instance, closed at the end
 * of the iteration, also when the caller leaves it early.
 */

import { stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import {
  type DuckDBConnection,
  type DuckDBListType,
  type DuckDBMapType,
  type DuckDBStructType,
  type DuckDBType,
  DuckDBTypeId,
} from '@duckdb/node-api'
import { RefoldError } from '../model/errors.ts'
import { quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import { type DuckDB, openDuckDB } from './duckdb.ts'

export interface ReadParquetOptions {
  /** Rows to leave out at the beginning. */
  readonly fromRow: number
  /** Columns whose NULL is written as `null`. */
  readonly nullable: ReadonlySet<string>
  /** Top-level DECIMAL columns that are written as numbers, for streams that take a double there. */
  readonly asNumber: ReadonlySet<string>
  /** Top-level columns whose value is written as a string whatever it is. */
  readonly asText: ReadonlySet<string>
}

export interface ParquetRows {
  readonly rows: number
  readonly columns: readonly string[]
  /** Lines of JSON without their line ends, a few thousand at a time. */
  readonly lines: AsyncGenerator<readonly string[], void, undefined>
}

const readerMemoryBytes = 512_000_000

export async function readParquetFile(path: string, options: ReadParquetOptions): Promise<ParquetRows> {
  await stat(path)
  const duckdb = await openDuckDB({
    memoryBytes: readerMemoryBytes,
    threads: 1,
    tempDir: tmpdir(),
  })
  try {
    const connection = await duckdb.connect()
    await connection.run('SET preserve_insertion_order = true')
    const file = quoteLiteral(escapeGlob(path))
    const counted = await connection.runAndReadAll(`SELECT count(*)::VARCHAR FROM read_parquet(${file})`)
    const described = await connection.runAndReadAll(`SELECT * FROM read_parquet(${file}) LIMIT 0`)
    const names = described.columnNames()
    const members = described
      .columnTypes()
      .map((type, index) => memberSql(names[index]!, type, options))
      .join(', ')
    const sql = `SELECT '{' || concat_ws(',', ${members}) || '}' FROM read_parquet(${file}, file_row_number = true)
      WHERE file_row_number >= ${options.fromRow}`
    return {
      rows: Number(counted.getRows()[0]![0]),
      columns: names,
      lines: streamLines(duckdb, connection, sql, path),
    }
  } catch (error) {
    duckdb.close()
    throw unreadable(path, error)
  }
}

async function* streamLines(
  duckdb: DuckDB,
  connection: DuckDBConnection,
  sql: string,
  path: string,
): AsyncGenerator<readonly string[], void, undefined> {
  try {
    const result = await connection.stream(sql)
    for (;;) {
      const chunk = await result.fetchChunk()
      if (chunk === null || chunk.rowCount === 0) return
      yield chunk.getColumnValues(0) as readonly string[]
    }
  } catch (error) {
    throw unreadable(path, error)
  } finally {
    connection.closeSync()
    duckdb.close()
  }
}

/** `"key":value` as SQL text, NULL where the key is left out. */
function memberSql(name: string, type: DuckDBType, options: ReadParquetOptions): string {
  const column = quoteIdentifier(name)
  const key = quoteLiteral(`${JSON.stringify(name)}:`)
  const value = options.asText.has(name)
    ? textSql(column, type)
    : options.asNumber.has(name) && type.typeId === DuckDBTypeId.DECIMAL
      ? `${column}::VARCHAR`
      : valueSql(column, type)
  return options.nullable.has(name) ? `${key} || coalesce(${value}, 'null')` : `${key} || ${value}`
}

/** A value's JSON as VARCHAR; NULL for NULL. */
function valueSql(sql: string, type: DuckDBType, depth = 0): string {
  switch (type.typeId) {
    case DuckDBTypeId.BOOLEAN:
    case DuckDBTypeId.TINYINT:
    case DuckDBTypeId.SMALLINT:
    case DuckDBTypeId.INTEGER:
    case DuckDBTypeId.BIGINT:
    case DuckDBTypeId.HUGEINT:
    case DuckDBTypeId.UTINYINT:
    case DuckDBTypeId.USMALLINT:
    case DuckDBTypeId.UINTEGER:
    case DuckDBTypeId.UBIGINT:
    case DuckDBTypeId.UHUGEINT:
      return `(${sql})::VARCHAR`
    case DuckDBTypeId.FLOAT:
    case DuckDBTypeId.DOUBLE:
      return `CASE WHEN isfinite(${sql}) THEN (${sql})::DOUBLE::VARCHAR END`
    case DuckDBTypeId.LIST: {
      const item = `v${depth}`
      const inner = valueSql(item, (type as DuckDBListType).valueType, depth + 1)
      const items = `list_transform(${sql}, lambda ${item}: coalesce(${inner}, 'null'))`
      return `('[' || array_to_string(${items}, ',') || ']')`
    }
    case DuckDBTypeId.STRUCT: {
      const struct = type as DuckDBStructType
      const members = struct.entryNames.map((name, index) => {
        const inner = valueSql(`(${sql}).${quoteIdentifier(name)}`, struct.entryTypes[index]!, depth)
        return `${quoteLiteral(`${JSON.stringify(name)}:`)} || ${inner}`
      })
      return `CASE WHEN (${sql}) IS NOT NULL THEN '{' || concat_ws(',', ${members.join(', ')}) || '}' END`
    }
    case DuckDBTypeId.MAP: {
      const map = type as DuckDBMapType
      const entry = `v${depth}`
      const key = textSql(`${entry}.key`, map.keyType)
      const inner = `coalesce(${valueSql(`${entry}.value`, map.valueType, depth + 1)}, 'null')`
      const members = `list_transform(map_entries(${sql}), lambda ${entry}: ${key} || ':' || ${inner})`
      return `('{' || array_to_string(${members}, ',') || '}')`
    }
    default:
      return type.alias === 'JSON' ? `(${sql})::VARCHAR` : textSql(sql, type)
  }
}

/** A value as a JSON string. */
function textSql(sql: string, type: DuckDBType): string {
  switch (type.typeId) {
    case DuckDBTypeId.TIMESTAMP:
    case DuckDBTypeId.TIMESTAMP_S:
    case DuckDBTypeId.TIMESTAMP_MS:
    case DuckDBTypeId.TIMESTAMP_NS:
    case DuckDBTypeId.TIMESTAMP_TZ:
      return `strftime((${sql})::TIMESTAMP, '"%Y-%m-%dT%H:%M:%S.%fZ"')`
    case DuckDBTypeId.BLOB:
      return `'"' || base64(${sql}) || '"'`
    default:
      return `to_json((${sql})::VARCHAR)::VARCHAR`
  }
}

/** DuckDB takes a path for a pattern; here it is one file, whatever letters its name has. */
function escapeGlob(path: string): string {
  return path.replace(/[*?[]/g, (character) => `[${character}]`)
}

function unreadable(path: string, cause: unknown): RefoldError {
  const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
  return new RefoldError('CLI_FILE_UNREADABLE', `file "${path}" cannot be read as Parquet: ${reason}`, {
    cause,
  })
}
