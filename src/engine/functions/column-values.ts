/**
 * Columns of DuckDB as values of TypeScript and back, for the types that functions take and give. No state.
 *
 * Numbers, booleans and texts go without an object for each value; a column of numbers without NULL is a typed array
 * of its own, so that nothing that the function does to it reaches DuckDB's memory.
 */

import {
  BIGINT,
  BOOLEAN,
  DATE,
  DECIMAL,
  DOUBLE,
  DuckDBDateValue,
  DuckDBDecimalValue,
  type DuckDBListType,
  DuckDBListValue,
  DuckDBTimestampValue,
  type DuckDBType,
  DuckDBUUIDValue,
  type DuckDBValue,
  type DuckDBVector,
  INTEGER,
  LIST,
  TIMESTAMP,
  UUID,
  VARCHAR,
} from '@duckdb/node-api'
import { type FunctionType, typeText } from '../../define/function-def.ts'
import { utcText } from '../../model/utc-text.ts'
import { canonicalDecimal } from '../../model/value-number.ts'
import { canonicalTimestamp, daysSinceEpoch, isDate, timestampUs } from '../../model/value-time.ts'

/** A column's values; `hasNulls` tells whether one of them is null. */
export interface Column {
  readonly values: ArrayLike<unknown>
  readonly hasNulls: boolean
}

const named: Readonly<Record<string, DuckDBType>> = {
  BOOLEAN,
  INTEGER,
  BIGINT,
  DOUBLE,
  VARCHAR,
  DATE,
  TIMESTAMP,
  UUID,
  // JSON is text under another name.
  JSON: VARCHAR,
}

export function duckdbType({ sql, list }: FunctionType): DuckDBType | DuckDBListType {
  const [, precision, scale] = /^DECIMAL\((\d+),(\d+)\)$/.exec(sql) ?? []
  const element = precision === undefined ? named[sql] : DECIMAL(Number(precision), Number(scale))
  if (element === undefined) throw new Error(`there is no type ${sql}`)
  return list === true ? LIST(element) : element
}

export function readColumn(vector: DuckDBVector, count: number, type: FunctionType): Column {
  if (type.list !== true && (type.sql === 'DOUBLE' || type.sql === 'INTEGER')) {
    return readNumbers(vector, count, type.sql === 'DOUBLE' ? new Float64Array(count) : new Int32Array(count))
  }
  const values = new Array<unknown>(count)
  const read = readerOf(type)
  let hasNulls = false
  for (let row = 0; row < count; row++) {
    const value = vector.getItem(row) as DuckDBValue
    if (value === null) hasNulls = true
    values[row] = value === null ? null : read(value)
  }
  return { values, hasNulls }
}

function readNumbers(vector: DuckDBVector, count: number, numbers: Float64Array | Int32Array): Column {
  for (let row = 0; row < count; row++) {
    const value = vector.getItem(row) as number | null
    if (value === null) return readNullable(vector, count)
    numbers[row] = value
  }
  return { values: numbers, hasNulls: false }
}

function readNullable(vector: DuckDBVector, count: number): Column {
  const values = Array.from({ length: count }, (_, row) => vector.getItem(row) as unknown)
  return { values, hasNulls: true }
}

function readerOf(type: FunctionType): (value: DuckDBValue) => unknown {
  const { list, ...element } = type
  if (list === true) {
    const read = readerOf(element)
    return (value) => (value as DuckDBListValue).items.map((item) => (item === null ? null : read(item)))
  }
  switch (type.form) {
    case 'json':
      return (value) => JSON.parse(value as string) as unknown
    case 'int':
      return (value) => (isSafe(value as bigint) ? Number(value) : String(value))
    case 'number':
      return type.sql === 'BIGINT' ? safeNumber : (value) => value
    case 'text':
      if (type.sql === 'TIMESTAMP') return (value) => shortUtc(Number((value as DuckDBTimestampValue).micros))
      return type.sql === 'VARCHAR' ? (value) => value : (value) => String(value)
    default:
      return (value) => value
  }
}

function isSafe(value: bigint): boolean {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
}

function safeNumber(value: DuckDBValue): number {
  if (isSafe(value as bigint)) return Number(value)
  throw new Error(
    `the integer ${String(value)} is no exact number: declare the argument as BIGINT, or int64()`,
  )
}

/** As `Date.toISOString` writes it, and with six digits where it has them. */
function shortUtc(us: number): string {
  return utcText(us).replace(/000Z$/, 'Z')
}

/** Writes results; throws an error that says which one is not what was declared. */
export function writeColumn(vector: DuckDBVector, results: ArrayLike<unknown>, type: FunctionType): void {
  const write = writerOf(type)
  for (let row = 0; row < results.length; row++) {
    const value = results[row]
    if (value === null) vector.setItem(row, null)
    else {
      const made = write(value)
      if (made === undefined) throw new Error(wrongResult(value, type))
      vector.setItem(row, made)
    }
  }
  vector.flush()
}

function wrongResult(value: unknown, type: FunctionType): string {
  if (value === undefined) return 'it gave undefined: return null where the result is NULL'
  if (value instanceof Promise) return 'it gave a promise: a function answers at once'
  return `it gave ${shown(value)}, which is no ${typeText(type)}`
}

function shown(value: unknown): string {
  const text = typeof value === 'bigint' ? `${value}n` : (JSON.stringify(value) ?? typeof value)
  return text.length > 100 ? `${text.slice(0, 100)}…` : text
}

/** Undefined where a value is not of the type. */
function writerOf(type: FunctionType): (value: unknown) => DuckDBValue | undefined {
  const { list, ...element } = type
  if (list === true) {
    const write = writerOf(element)
    return (value) => {
      if (!Array.isArray(value) && !ArrayBuffer.isView(value)) return undefined
      const items = Array.from(value as ArrayLike<unknown>, (item) => (item === null ? null : write(item)))
      return items.includes(undefined) ? undefined : new DuckDBListValue(items as DuckDBValue[])
    }
  }
  const [, precision, scale] = /^DECIMAL\((\d+),(\d+)\)$/.exec(type.sql) ?? []
  if (precision !== undefined) return (value) => decimalOf(value, Number(precision), Number(scale))
  switch (type.sql) {
    case 'BOOLEAN':
      return (value) => (typeof value === 'boolean' ? value : undefined)
    case 'DOUBLE':
      return (value) => (typeof value === 'number' ? value : undefined)
    case 'INTEGER':
      return (value) =>
        Number.isInteger(value) && Math.abs(value as number) <= 2 ** 31 - 1 ? (value as number) : undefined
    case 'BIGINT':
      return bigintOf
    case 'DATE':
      return (value) => (typeof value === 'string' && isDate(value) ? dateOf(value) : undefined)
    case 'TIMESTAMP':
      return timestampOf
    case 'UUID':
      return uuidOf
    case 'JSON':
      return (value) => JSON.stringify(value) as string | undefined
    default:
      return (value) => (typeof value === 'string' ? value : undefined)
  }
}

function bigintOf(value: unknown): bigint | undefined {
  const isNumber = typeof value === 'number' && Number.isSafeInteger(value)
  const isText = typeof value === 'string' && /^-?\d{1,19}$/.test(value)
  if (!isNumber && !isText && typeof value !== 'bigint') return undefined
  const made = BigInt(value as bigint | number | string)
  return BigInt.asIntN(64, made) === made ? made : undefined
}

function decimalOf(value: unknown, precision: number, scale: number): DuckDBDecimalValue | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined
  const text = canonicalDecimal(String(value), precision, scale)
  if (text === undefined) return undefined
  const [whole = '', part = ''] = text.split('.')
  return new DuckDBDecimalValue(BigInt(whole + part.padEnd(scale, '0')), precision, scale)
}

function dateOf(text: string): DuckDBDateValue {
  const [year, month, day] = text.split('-').map(Number)
  return new DuckDBDateValue(daysSinceEpoch(year ?? 0, month ?? 0, day ?? 0))
}

function timestampOf(value: unknown): DuckDBTimestampValue | undefined {
  if (value instanceof Date)
    return Number.isNaN(value.getTime()) ? undefined : timestampOf(value.toISOString())
  const text = typeof value === 'string' ? canonicalTimestamp(value, true) : undefined
  return text === undefined ? undefined : new DuckDBTimestampValue(BigInt(timestampUs(text)))
}

function uuidOf(value: unknown): DuckDBUUIDValue | undefined {
  if (typeof value !== 'string' || !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value))
    return undefined
  return DuckDBUUIDValue.fromUint128(BigInt(`0x${value.replaceAll('-', '')}`))
}
