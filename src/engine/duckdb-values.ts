/**
 * DuckDB's values as plain JavaScript, without losing anything: integers beyond 32 bits as bigint, decimals,
 * timestamps, dates, UUIDs and everything without a JavaScript form as the text that DuckDB prints. No state.
 */

import {
  DuckDBArrayValue,
  DuckDBListValue,
  DuckDBMapValue,
  type DuckDBMaterializedResult,
  DuckDBStructValue,
  type DuckDBValue,
} from '@duckdb/node-api'

export type SqlValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly SqlValue[]
  | { readonly [key: string]: SqlValue }

export type SqlRow = Readonly<Record<string, SqlValue>>

/** All rows of a finished statement. */
export function exactRows(result: DuckDBMaterializedResult): SqlRow[] {
  const names = result.deduplicatedColumnNames()
  const rows: SqlRow[] = []
  for (let chunkIndex = 0; chunkIndex < result.chunkCount; chunkIndex++) {
    const chunk = result.getChunk(chunkIndex)
    for (const values of chunk.getRows()) {
      rows.push(Object.fromEntries(names.map((name, column) => [name, exactValue(values[column] ?? null)])))
    }
  }
  return rows
}

export function exactValue(value: DuckDBValue): SqlValue {
  if (value === null || typeof value !== 'object') return value
  if (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue)
    return value.items.map(exactValue)
  if (value instanceof DuckDBStructValue) {
    return Object.fromEntries(Object.entries(value.entries).map(([key, entry]) => [key, exactValue(entry)]))
  }
  if (value instanceof DuckDBMapValue) {
    return value.entries.map((entry) => ({ key: exactValue(entry.key), value: exactValue(entry.value) }))
  }
  return value.toString()
}
