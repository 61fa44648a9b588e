/** Compares two answers: exactly, but for columns whose inexactness is stated, and for an order that nobody asked for. */

import assert from 'node:assert/strict'
import type { Answer, JsonRow } from './scratch-duckdb.ts'

export interface Comparison {
  readonly ordered: boolean
  /** Names of columns that are compared with a relative tolerance. */
  readonly inexact: readonly string[]
}

const TOLERANCE = 1e-9

export function assertSameRows(actual: Answer, expected: Answer, comparison: Comparison, what: string): void {
  const names = expected.columns.map((column) => column.name)
  assert.deepEqual(
    actual.columns.map((column) => column.name),
    names,
    `${what}: names of the columns`,
  )
  const loose = new Set(comparison.inexact.map((name) => names.indexOf(name)))
  const exactText = (row: JsonRow): string =>
    JSON.stringify(row.map((value, index) => (loose.has(index) ? null : value)))
  const arrange = (rows: readonly JsonRow[]): readonly JsonRow[] =>
    comparison.ordered
      ? rows
      : rows.toSorted((a, b) => compare(exactText(a), exactText(b)) || compareLoose(a, b, loose))
  const actualRows = arrange(actual.rows)
  const expectedRows = arrange(expected.rows)
  assert.deepEqual(actualRows.map(exactText), expectedRows.map(exactText), `${what}: rows`)
  for (const [index, row] of actualRows.entries()) {
    for (const column of loose) {
      assertNear(
        row[column],
        expectedRows[index]![column],
        `${what}: row ${index}, column "${names[column]}"`,
      )
    }
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function compareLoose(a: JsonRow, b: JsonRow, loose: ReadonlySet<number>): number {
  for (const column of loose) {
    const difference = Number(a[column]) - Number(b[column])
    if (difference !== 0 && !Number.isNaN(difference)) return difference
  }
  return 0
}

function assertNear(actual: unknown, expected: unknown, what: string): void {
  if (typeof actual !== 'number' || typeof expected !== 'number') {
    assert.deepEqual(actual, expected, what)
    return
  }
  const scale = Math.max(1, Math.abs(actual), Math.abs(expected))
  assert.ok(Math.abs(actual - expected) <= TOLERANCE * scale, `${what}: ${actual} is not near ${expected}`)
}
