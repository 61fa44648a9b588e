/**
 * Reads of one view: filters by column equality, an order and a limit over the view's rows at the read set's cut.
 * Equality on untouched group keys is pushed below the merge, so that a lookup merges only the groups it wants.
 * No state; builds SQL and runs it.
 */

import type { DuckDBConnection } from '@duckdb/node-api'
import { RefoldError } from '../model/errors.ts'
import { type JsonValue, quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import type { Column, ViewPlan } from '../plan/plan.ts'
import { runCancellable } from './duckdb.ts'
import type { Rows, ViewRead } from './engine.ts'
import { ALL_GROUPS, keyHash, type Restriction, soleStage, viewQuery } from './merged-relation.ts'
import type { ReadSet } from './read-set.ts'
import { resultColumns, rowTexts } from './rows-json.ts'

export async function readView(
  connection: DuckDBConnection,
  readSet: ReadSet,
  request: ViewRead,
  signal: AbortSignal,
): Promise<Rows> {
  const { plan } = readSet
  const rows = viewQuery(readSet, keyRestriction(plan, request.where))
  return await readRows(connection, plan, rows, request, signal)
}

/** A reader's request over a SELECT of finished rows. */
export async function readRows(
  connection: DuckDBConnection,
  plan: ViewPlan,
  rows: string,
  request: ViewRead,
  signal: AbortSignal,
): Promise<Rows> {
  const result = await runCancellable(connection, filteredRows(plan, rows, request), {
    timeoutMs: request.timeoutMs,
    signal,
  })
  return limitedRows(rowTexts(result), resultColumns(result), request.limit)
}

/** Joins row texts to one JSON array, one row fewer than was asked of DuckDB when the limit cut the answer. */
export function limitedRows(rows: string[], columns: readonly Column[], limit: number): Rows {
  const truncated = rows.length > limit
  if (truncated) rows.length = limit
  return { columns, json: `[${rows.join(',')}]`, count: rows.length, truncated }
}

/** The condition on group keys that these column equalities make, or no restriction where none is a key. */
export function keyRestriction(plan: ViewPlan, where: ViewRead['where']): Restriction {
  if (plan.finish.limited) return ALL_GROUPS
  const stage = soleStage(plan)
  if (stage.kind === 'rows') return ALL_GROUPS
  const known = new Map<string, JsonValue>()
  for (const [name, value] of Object.entries(where)) {
    const key = plan.finish.keyColumns[columnNamed(plan, name).name]
    if (key !== undefined) known.set(key, value)
  }
  if (known.size === 0) return ALL_GROUPS
  const keys = stage.keys.filter((key) => known.has(key.name))
  // With all keys known the hash alone finds the group through the image's index; the outer filter compares the keys.
  if (keys.length === stage.keys.length) {
    return {
      kind: 'where',
      sql: `_h = ${keyHash(keys.map((key) => literal(key, known.get(key.name) ?? null)))}`,
    }
  }
  const conditions = keys.map((key) => equality(quoteIdentifier(key.name), key, known.get(key.name) ?? null))
  return { kind: 'where', sql: conditions.join(' AND ') }
}

/** A reader's filters, order and limit over a SELECT of the view's finished rows, one row more than the limit. */
export function filteredRows(
  plan: ViewPlan,
  rows: string,
  request: Pick<ViewRead, 'where' | 'order' | 'limit'>,
): string {
  const conditions = Object.entries(request.where).map(([name, value]) =>
    equality(quoteIdentifier(columnNamed(plan, name).name), columnNamed(plan, name), value),
  )
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`
  return `SELECT * FROM (${rows})${where}${orderBy(plan, request)} LIMIT ${request.limit + 1}`
}

/**
 * The view's own order stands unless the reader asks for another. Without either, rows come in the order of the keys
 * (or of all columns), so that the same state always gives the same bytes.
 */
function orderBy(plan: ViewPlan, request: Pick<ViewRead, 'order'>): string {
  const asked = request.order.map(
    ({ column, descending }) =>
      `${quoteIdentifier(columnNamed(plan, column).name)}${descending ? ' DESC' : ''}`,
  )
  if (asked.length === 0 && plan.finish.ordered) return ''
  const keys = Object.keys(plan.finish.keyColumns).map(quoteIdentifier)
  const rest = coversKeys(plan) ? keys : plan.columns.map((column) => quoteIdentifier(column.name))
  return ` ORDER BY ${[...asked, ...rest].join(', ')}`
}

/** Whether the output's key columns tell every group from every other. */
export function coversKeys(plan: ViewPlan): boolean {
  const stage = plan.stages[0]
  if (stage === undefined || stage.kind === 'rows' || stage.keys.length === 0) return false
  if (plan.finish.several === true) return false
  return new Set(Object.values(plan.finish.keyColumns)).size === stage.keys.length
}

function equality(expression: string, column: Column, value: JsonValue): string {
  return value === null ? `${expression} IS NULL` : `${expression} = ${literal(column, value)}`
}

function literal(column: Column, value: JsonValue): string {
  if (value === null) return `CAST(NULL AS ${column.type})`
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value)
  return `CAST(${quoteLiteral(text)} AS ${column.type})`
}

function columnNamed(plan: ViewPlan, name: string): Column {
  const column = plan.columns.find((candidate) => candidate.name.toLowerCase() === name.toLowerCase())
  if (column !== undefined) return column
  const names = plan.columns.map((candidate) => `"${candidate.name}"`).join(', ')
  throw new RefoldError('COLUMN_UNKNOWN', `view "${plan.view}" has no column "${name}"`, {
    hint: `Its columns are ${names}.`,
  })
}
