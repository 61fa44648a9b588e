/**
 * Totals against a source of truth: rows matched by key, columns compared exactly within their tolerance. Pure; it
 * works in steps, so that whoever runs it can do other things in between.
 *
 * Numbers are compared as decimals, never as floats: 1.50 equals 1.5, and a difference of exactly the tolerance
 * passes. A total passes when it is within the absolute or the relative bound, whichever is wider. A row that only one
 * side has is a difference, whatever the tolerance.
 */

import type { ToleranceDef } from '../define/types.ts'
import { RefoldError } from '../model/errors.ts'
import { canonicalTimestamp } from '../model/value-time.ts'
import type { Column } from '../plan/plan.ts'
import { nearestName } from '../std/nearest-name.ts'
import {
  type Exact,
  isAtMost,
  magnitude,
  multiply,
  parseExact,
  shortText,
  subtract,
  ZERO,
} from './exact-decimal.ts'

/** A value as its source spells it; numbers are their digits. */
export type Cell = null | boolean | string

export type TotalsRow = Readonly<Record<string, Cell>>

export interface TotalsRequest {
  /** Of the check's SQL. */
  readonly columns: readonly Column[]
  readonly rows: readonly TotalsRow[]
  /** Columns that the truth does not need are left out of the comparison. */
  readonly truth: readonly TotalsRow[]
  readonly key: readonly string[]
  readonly tolerance: Readonly<Record<string, ToleranceDef>>
}

export interface TotalsComparison {
  /** Rows by key, of both sides together. */
  readonly keys: number
  readonly differing: number
  /** Rows that only one side has. */
  readonly notInTruth: number
  readonly onlyInTruth: number
  /** A few of the differences. */
  readonly samples: readonly TotalsDifference[]
}

/** A column that differs in one row, or a row that one side lacks. */
export type TotalsDifference = { readonly key?: TotalsRow } & (
  | {
      readonly column: string
      readonly result: Cell
      readonly truth: Cell
      /** Result minus truth, and the bound; for numbers. */
      readonly difference?: string
      readonly allowed?: string
    }
  | { readonly missing: 'truth'; readonly result: TotalsRow }
  | { readonly missing: 'result'; readonly truth: TotalsRow }
)

const SAMPLES = 10
const ROWS_A_STEP = 500

/** Throws CHECK_TRUTH when the truth cannot be compared at all. Each `yield` is a place to stop for a moment. */
export function* compareTotals(request: TotalsRequest): Generator<undefined, TotalsComparison> {
  const { columns, rows, truth, key, tolerance } = request
  requireColumns(columns, truth)
  const keyColumns = columns.filter(({ name }) => key.includes(name))
  const totals = columns
    .filter(({ name }) => !key.includes(name))
    .map((column) => ({ ...column, bound: boundOf(tolerance[column.name]) }))
  const byKey = new Map<string, { readonly row: TotalsRow; seen: boolean }>()
  for (const [index, row] of truth.entries()) {
    if (index % ROWS_A_STEP === ROWS_A_STEP - 1) yield
    const text = keyOf(keyColumns, row, `row ${index + 1} of the truth`)
    if (byKey.has(text)) throw twice('the truth', keyColumns, row)
    byKey.set(text, { row, seen: false })
  }
  const found = { differing: 0, notInTruth: 0, onlyInTruth: 0 }
  const samples: TotalsDifference[] = []
  const sample = (what: TotalsDifference) => samples.length < SAMPLES && samples.push(what)
  const own = new Set<string>()
  for (const [index, row] of rows.entries()) {
    if (index % ROWS_A_STEP === ROWS_A_STEP - 1) yield
    const text = keyOf(keyColumns, row, `row ${index + 1} of the SQL`)
    if (own.has(text)) throw twice('the SQL', keyColumns, row)
    own.add(text)
    const other = byKey.get(text)
    const named = key.length === 0 ? {} : { key: picked(row, key) }
    if (other === undefined) {
      found.notInTruth++
      sample({
        ...named,
        missing: 'truth',
        result: picked(
          row,
          totals.map(({ name }) => name),
        ),
      })
      continue
    }
    other.seen = true
    const differences = totals.flatMap((column) => differenceOf(column, row, other.row))
    if (differences.length > 0) found.differing++
    for (const difference of differences) sample({ ...named, ...difference })
  }
  let looked = 0
  for (const { row, seen } of byKey.values()) {
    if (++looked % ROWS_A_STEP === 0) yield
    if (seen) continue
    found.onlyInTruth++
    const named = key.length === 0 ? {} : { key: picked(row, key) }
    sample({
      ...named,
      missing: 'result',
      truth: picked(
        row,
        totals.map(({ name }) => name),
      ),
    })
  }
  return { keys: own.size + found.onlyInTruth, ...found, samples }
}

export function isNumeric(type: string): boolean {
  return /^(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|REAL|DOUBLE|DECIMAL(\(.*\))?)$/i.test(type)
}

/** A file of JSON may leave a member out of a row: what no row has is taken for a mistake. */
function requireColumns(columns: readonly Column[], truth: readonly TotalsRow[]): void {
  if (truth.length === 0) return
  for (const { name } of columns) {
    if (truth.some((row) => Object.hasOwn(row, name))) continue
    const there = new Set(truth.slice(0, ROWS_A_STEP).flatMap((row) => Object.keys(row)))
    const near = nearestName(name, there)
    const hint =
      near === undefined
        ? `It has ${[...there].join(', ')}.`
        : `Did you mean "${near}"? Name it alike on both sides.`
    throw new RefoldError('CHECK_TRUTH', `the truth has no column "${name}"`, { hint })
  }
}

interface Bound {
  readonly absolute: Exact
  readonly relative: Exact
}

function boundOf(tolerance: ToleranceDef | undefined): Bound {
  return {
    absolute: parseExact(tolerance?.absolute ?? '0') ?? ZERO,
    relative: parseExact(tolerance?.relative ?? '0') ?? ZERO,
  }
}

function differenceOf(
  column: Column & { readonly bound: Bound },
  row: TotalsRow,
  truthRow: TotalsRow,
): readonly Extract<TotalsDifference, { readonly column: string }>[] {
  const { name, type, bound } = column
  const result = row[name] ?? null
  const truth = truthRow[name] ?? null
  const shown = { column: name, result, truth }
  if (result === null || truth === null) return result === truth ? [] : [shown]
  if (!isNumeric(type)) return normal(type, result) === normal(type, truth) ? [] : [shown]
  const [a, b] = [parseExact(String(result)), parseExact(String(truth))]
  if (b === undefined && !isNotFinite(truth)) throw noNumber(name, truth)
  // Infinity and NaN have no digits: they equal themselves alone.
  if (a === undefined || b === undefined) return String(result) === String(truth) ? [] : [shown]
  const difference = subtract(a, b)
  const size = magnitude(difference)
  const relative = multiply(bound.relative, magnitude(b))
  const allowed = isAtMost(relative, bound.absolute) ? bound.absolute : relative
  if (isAtMost(size, allowed)) return []
  return [{ ...shown, difference: shortText(difference), allowed: shortText(allowed) }]
}

function noNumber(column: string, value: Cell): RefoldError {
  return new RefoldError(
    'CHECK_TRUTH',
    `the truth has ${JSON.stringify(value)} in column "${column}", which is no number`,
  )
}

function isNotFinite(value: Cell): boolean {
  return typeof value === 'string' && /^-?(NaN|Infinity|inf)$/i.test(value)
}

function keyOf(columns: readonly Column[], row: TotalsRow, what: string): string {
  const parts = columns.map(({ name, type }) => {
    const value = row[name] ?? null
    if (value === null) return null
    if (!isNumeric(type)) return normal(type, value)
    const decimal = parseExact(String(value))
    if (decimal === undefined && !isNotFinite(value)) {
      throw new RefoldError(
        'CHECK_TRUTH',
        `${what} has ${JSON.stringify(value)} in key "${name}", which is no number`,
      )
    }
    return decimal === undefined ? String(value) : shortText(decimal)
  })
  return JSON.stringify(parts)
}

/** One spelling for each value, where a type has several. */
function normal(type: string, value: Cell): string {
  const text = String(value)
  switch (type) {
    case 'BOOLEAN':
      return text.toLowerCase()
    case 'DATE':
      // Drivers and JSON give a day as its midnight.
      return text.replace(/[T ]00:00(:00(\.0+)?)?(Z|[+-]00(:?00)?)?$/, '')
    case 'TIMESTAMP':
    case 'TIMESTAMP WITH TIME ZONE':
      return timestamp(text) ?? text
    default:
      return text
  }
}

function timestamp(text: string): string | undefined {
  const iso = text.replace(/^(\d{4}-\d{2}-\d{2}) /, '$1T').replace(/([+-]\d{2})$/, '$1:00')
  const dated = /^\d{4}-\d{2}-\d{2}$/.test(iso) ? `${iso}T00:00:00` : iso
  return canonicalTimestamp(/(Z|[+-]\d{2}:\d{2})$/.test(dated) ? dated : `${dated}Z`, true)
}

function picked(row: TotalsRow, names: readonly string[]): TotalsRow {
  return Object.fromEntries(names.map((name) => [name, row[name] ?? null]))
}

function twice(side: string, columns: readonly Column[], row: TotalsRow): RefoldError {
  const names = columns.map(({ name }) => name)
  if (names.length === 0) {
    const hint = 'Name the columns that tell rows apart: `key: […]`.'
    return new RefoldError('CHECK_TRUTH', `${side} has more than one row, and the check has no key`, { hint })
  }
  const shown = names.map((name) => `${name} ${JSON.stringify(row[name] ?? null)}`).join(', ')
  const hint = 'Sum the rows up, or add the column that tells them apart to `key`.'
  return new RefoldError('CHECK_TRUTH', `${side} has two rows for ${shown}`, { hint })
}
