/**
 * The plan of a view whose logic is TypeScript: one stage whose partial rows are, for each key, the state as JSON text
 * and the rows that `finish` made of it. Pure.
 *
 * `foldSql` passes on what "$events" gives, which for such a stage are the partial rows that the functions made of a
 * range's events; everything after the fold is SQL as for any other view.
 */

import type { PlannedFunction } from '../define/function-def.ts'
import { type Field, type FieldType, quoteIdentifier, type StreamDef, sqlType } from '../model/schema.ts'
import { must } from '../std/assert.ts'
import { positionList } from './fold-source.ts'
import type { CodeFold, CodeLimits, Column, GroupStage, PartialColumn, ViewPlan } from './plan.ts'
import { fieldsRead } from './planned-stream.ts'
import { mergeFunction } from './queries.ts'

export interface FoldPlanRequest {
  readonly name: string
  /** What stands for the logic where other views have their SQL. */
  readonly sql: string
  readonly stream: StreamDef
  readonly code: CodeFold
  readonly limits: CodeLimits
  /** Fields of the stream that functions get beside the key's; left out: all. */
  readonly reads?: readonly string[]
  readonly late?: 'hold'
}

export function planFold({ name, sql, stream, code, limits, reads, late }: FoldPlanRequest): ViewPlan {
  const fieldOf = (key: string): Field =>
    must(
      stream.schema.fields.find((field) => field.name === key),
      `stream "${stream.name}" has the field "${key}"`,
    )
  const keyFields = code.keys.map(fieldOf)
  const keys = keyFields.map(({ type }, index) => ({ name: `k${index}`, type: sqlType(type) }))
  const fields = stream.schema.fields
    .map((field) => field.name)
    .filter((field) => reads === undefined || reads.includes(field) || code.keys.includes(field))
  const aggregates = partialColumns(code)
  const names = [...keys, ...aggregates].map((column) => quoteIdentifier(column.name)).join(', ')
  const stage: GroupStage = {
    kind: 'group',
    name: 'fold',
    source: {
      kind: 'stream',
      stream: stream.name,
      fields,
      positions: true,
      ...(late === undefined ? {} : { late }),
    },
    keys,
    parts: [
      {
        kind: 'main',
        name: 'main',
        foldSql: `SELECT ${names} FROM "$events"`,
        aggregates,
        tally: { count: 'events', positions: 'positions' },
      },
    ],
    code,
  }
  const columns: readonly Column[] = [
    ...keyFields.map((field) => ({ name: field.name, type: sqlType(field.type) })),
    ...code.row.map((field) => ({ name: field.name, type: sqlType(field.type) })),
  ]
  const made = {
    format: 1 as const,
    view: name,
    sql,
    streams: [stream.name],
    columns,
    stages: [stage],
    finish: {
      sql: finishSql(keyFields, code.row),
      ordered: false,
      limited: false,
      keyColumns: Object.fromEntries(keyFields.map((field, index) => [field.name, `k${index}`])),
      ...(code.several ? { several: true as const } : {}),
    },
    inexact: [],
    events: eventsPlan(keyFields),
    limits,
    ...(code.merges ? { functions: [mergePlanned(code, keyFields)] } : {}),
  }
  return { ...made, reads: fieldsRead(made, [stream]) }
}

/** `merge` as SQL calls it, with states and a key as JSON text. */
function mergePlanned(code: CodeFold, keys: readonly Field[]): PlannedFunction {
  const text = { sql: 'VARCHAR', form: 'text' } as const
  return {
    name: code.name,
    sqlName: mergeFunction(code),
    code: code.hash,
    args: [text, text],
    returns: text,
    nulls: 'pass',
    merges: { keys, row: code.row, several: code.several },
  }
}

/** The type of the rows that a partial row holds. */
export function rowsType(row: readonly Field[]): FieldType {
  return { kind: 'array', element: { kind: 'object', fields: row }, elementNullable: false }
}

function partialColumns({ row, merges }: CodeFold): readonly PartialColumn[] {
  const merge = merges ? 'code' : 'latest'
  const empty = sqlType(rowsType(row))
  return [
    { name: 'events', type: 'BIGINT', merge: 'sum', emptySql: '0' },
    { name: 'positions', type: 'BIGINT', merge: 'bit_xor', emptySql: '0' },
    { name: 'at', type: 'BIGINT', merge: 'max', emptySql: '0' },
    { name: 'state', type: 'VARCHAR', merge, emptySql: `''` },
    { name: 'rows', type: empty, merge, emptySql: `CAST([] AS ${empty})` },
  ]
}

function finishSql(keyFields: readonly Field[], row: readonly Field[]): string {
  const keys = keyFields.map((field, index) => `"k${index}" AS ${quoteIdentifier(field.name)}`)
  const columns = row.map(({ name }) => `r.${quoteIdentifier(name)} AS ${quoteIdentifier(name)}`)
  const inner = keyFields.map((_, index) => `"k${index}"`)
  return (
    `SELECT ${[...keys, ...columns].join(', ')} ` +
    `FROM (SELECT ${[...inner, 'unnest("rows") AS r'].join(', ')} FROM "$merged")`
  )
}

function eventsPlan(keyFields: readonly Field[]): NonNullable<ViewPlan['events']> {
  const keys = keyFields.map((field, index) => `${quoteIdentifier(field.name)} AS "k${index}"`)
  return {
    sql: `SELECT ${positionList}, ${keys.join(', ')} FROM "$events"`,
    fields: keyFields.map((field) => field.name),
    columns: Object.fromEntries(keyFields.map((field, index) => [field.name, `k${index}`])),
  }
}

/** What the identity has of a fold in place of SQL. The name of the view is no part of it, the code is. */
export function printedFold(code: CodeFold, stream: string): string {
  const { hash, entry, name, keys, row, several, merges } = code
  return `${PRINTED}${JSON.stringify({ stream, hash, entry, name, keys, row, several, merges })}`
}

export type PrintedFold = CodeFold & { readonly stream: string }

const PRINTED = 'FOLD '

/** What `printedFold` wrote; undefined for SQL. */
export function printedParts(text: string): PrintedFold | undefined {
  return text.startsWith(`${PRINTED}{`) ? (JSON.parse(text.slice(PRINTED.length)) as PrintedFold) : undefined
}
