/**
 * Rows of a DuckDB result as JSON text, the same bytes for the same values: integers of any width as plain digits,
 * decimals as strings, doubles as JSON numbers (not-finite ones as strings), timestamps as ISO 8601 in UTC with as many
 * digits of a second as are needed, nested values as JSON. No state.
 */

import type { DuckDBMaterializedResult, DuckDBType, DuckDBValue } from '@duckdb/node-api'
import {
  DuckDBArrayValue,
  DuckDBDateValue,
  DuckDBListValue,
  DuckDBMapValue,
  DuckDBStructValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTypeId,
  DuckDBUUIDValue,
} from '@duckdb/node-api'
import type { Column } from '../plan/plan.ts'

/** Names and DuckDB type names of a result. */
export function resultColumns(result: DuckDBMaterializedResult): Column[] {
  const types = result.columnTypes()
  return result.columnNames().map((name, index) => ({ name, type: String(types[index]) }))
}

/** One JSON object text per row. */
export function rowTexts(result: DuckDBMaterializedResult): string[] {
  const names = result.columnNames().map((name) => `${JSON.stringify(name)}:`)
  const types = result.columnTypes()
  return resultRows(result).map((row) => {
    const cells = row.map((value, index) => `${names[index]}${valueText(value, types[index])}`)
    return `{${cells.join(',')}}`
  })
}

/** All rows of a finished statement as DuckDB's values. */
export function resultRows(result: DuckDBMaterializedResult): DuckDBValue[][] {
  const rows: DuckDBValue[][] = []
  for (let chunk = 0; chunk < result.chunkCount; chunk++) {
    for (const row of result.getChunk(chunk).getRows()) rows.push(row)
  }
  return rows
}

/** One value as JSON text. `type` is needed where the JS value does not tell, as for JSON columns. */
export function valueText(value: DuckDBValue, type: DuckDBType | undefined): string {
  if (value === null) return 'null'
  switch (typeof value) {
    case 'string':
      return type?.typeId === DuckDBTypeId.VARCHAR && type.alias === 'JSON' ? value : JSON.stringify(value)
    case 'number':
      return Number.isFinite(value) ? numberText(value) : JSON.stringify(String(value))
    case 'bigint':
      return value.toString()
    case 'boolean':
      return value ? 'true' : 'false'
    default:
      return objectText(value, type)
  }
}

function numberText(value: number): string {
  return Object.is(value, -0) ? '-0.0' : JSON.stringify(value)
}

function objectText(
  value: Exclude<DuckDBValue, null | string | number | bigint | boolean>,
  type: DuckDBType | undefined,
): string {
  if (value instanceof DuckDBTimestampValue || value instanceof DuckDBTimestampTZValue)
    return timestampText(value.micros)
  if (value instanceof DuckDBTimestampMillisecondsValue) return timestampText(value.millis * 1_000n)
  if (value instanceof DuckDBTimestampSecondsValue) return timestampText(value.seconds * 1_000_000n)
  if (value instanceof DuckDBTimestampNanosecondsValue) return JSON.stringify(String(value))
  if (value instanceof DuckDBDateValue || value instanceof DuckDBUUIDValue)
    return JSON.stringify(String(value))
  if (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue) {
    const element = type !== undefined && 'valueType' in type ? (type.valueType as DuckDBType) : undefined
    return `[${value.items.map((item) => valueText(item, element)).join(',')}]`
  }
  if (value instanceof DuckDBStructValue) {
    const types = type !== undefined && 'entryTypes' in type ? (type.entryTypes as readonly DuckDBType[]) : []
    const cells = Object.entries(value.entries).map(
      ([name, item], index) => `${JSON.stringify(name)}:${valueText(item, types[index])}`,
    )
    return `{${cells.join(',')}}`
  }
  if (value instanceof DuckDBMapValue) {
    const element = type !== undefined && 'valueType' in type ? (type.valueType as DuckDBType) : undefined
    const cells = value.entries.map(
      (entry) => `${JSON.stringify(String(entry.key))}:${valueText(entry.value, element)}`,
    )
    return `{${cells.join(',')}}`
  }
  return JSON.stringify(String(value))
}

/** Microseconds since the epoch as ISO 8601 in UTC. Years outside 0001 to 9999 take DuckDB's own spelling. */
export function timestampText(micros: bigint): string {
  const milliseconds = Number(micros / 1_000n) - (micros % 1_000n < 0n ? 1 : 0)
  const date = new Date(milliseconds)
  if (Number.isNaN(date.getTime())) return JSON.stringify(new DuckDBTimestampValue(micros).toString())
  const seconds = date.toISOString().slice(0, -5)
  const fraction = Number(((micros % 1_000_000n) + 1_000_000n) % 1_000_000n)
  if (fraction === 0) return `"${seconds}Z"`
  return `"${seconds}.${String(fraction).padStart(6, '0').replace(/0+$/, '')}Z"`
}
