/**
 * How the rows of two versions of a view are told apart and compared: which columns pair them, which columns are
 * compared and how, and what differs in the shape itself. Pure: from two plans to SQL expressions.
 *
 * Equal means: for integers and decimals the same number, whatever the types; for columns that a plan calls inexact
 * within the stated tolerance; for everything else the same value, NULL equal to NULL.
 */

import { coversKeys } from '../engine/read-view.ts'
import { quoteIdentifier } from '../model/schema.ts'
import type { Column, ViewPlan } from '../plan/plan.ts'
import type { ShapeChange } from './types.ts'

/** Inexact numbers are equal within this share of the larger one, or of 1 where both are smaller. */
export const TOLERANCE = 1e-9
/** Of whole rows that are compared as a bag, inexact numbers are compared by so many leading digits. */
const DIGITS = 9

/** What can be computed with: exact numbers as whole units of their last digit, and doubles. */
export type NumberKind = { readonly kind: 'units'; readonly scale: number } | { readonly kind: 'double' }

export interface ComparedColumn {
  /** As the new version has it. */
  readonly name: string
  readonly old: Column
  readonly new: Column
  /** Equal within the tolerance. */
  readonly near: boolean
  /** Where both sides are numbers: how differences are computed. */
  readonly number?: NumberKind
}

export interface Pairing {
  /** By key columns; as the one row that each side has; or as bags of whole rows. */
  readonly kind: 'key' | 'single' | 'rows'
  readonly keys: readonly ComparedColumn[]
  /** Columns that both have, keys left out. */
  readonly columns: readonly ComparedColumn[]
  readonly shape: readonly ShapeChange[]
}

export function pairingOf(older: ViewPlan, newer: ViewPlan): Pairing {
  const common = commonColumns(older, newer)
  const shape = shapeChanges(older, newer)
  const keyed = keysOf(older)
  const same = keysOf(newer)
  const isKeyed =
    keyed !== undefined &&
    same !== undefined &&
    keyed.size === same.size &&
    [...keyed].every((name) => same.has(name))
  if (isKeyed && keyed.size > 0) {
    const isKey = (column: ComparedColumn) => same.has(column.name.toLowerCase())
    return {
      kind: 'key',
      keys: common.filter(isKey),
      columns: common.filter((column) => !isKey(column)),
      shape,
    }
  }
  return { kind: isKeyed ? 'single' : 'rows', keys: [], columns: common, shape }
}

/** Names of the columns that tell all rows apart, none for the one row of a view without groups. */
function keysOf(plan: ViewPlan): ReadonlySet<string> | undefined {
  const [stage] = plan.stages
  if (stage === undefined || stage.kind === 'rows' || plan.finish.limited) return undefined
  if (stage.keys.length === 0) return new Set()
  return coversKeys(plan)
    ? new Set(Object.keys(plan.finish.keyColumns).map((name) => name.toLowerCase()))
    : undefined
}

function commonColumns(older: ViewPlan, newer: ViewPlan): readonly ComparedColumn[] {
  const isInexact = (plan: ViewPlan, name: string): boolean =>
    plan.inexact.some(({ column }) => column === name)
  return newer.columns.flatMap((column): ComparedColumn[] => {
    const before = columnNamed(older, column.name)
    if (before === undefined) return []
    const number = commonNumber(before.type, column.type)
    const isDouble = number?.kind === 'double' && before.type !== column.type
    const inexact = isInexact(older, before.name) || isInexact(newer, column.name)
    return [
      {
        ...{
          name: column.name,
          old: before,
          new: column,
          near: number !== undefined && (inexact || isDouble),
        },
        ...(number === undefined ? {} : { number }),
      },
    ]
  })
}

function shapeChanges(older: ViewPlan, newer: ViewPlan): readonly ShapeChange[] {
  const gone = older.columns.filter(({ name }) => columnNamed(newer, name) === undefined)
  return [
    ...gone.map(({ name, type }): ShapeChange => ({ column: name, change: 'removed', old: type })),
    ...newer.columns.flatMap(({ name, type }): ShapeChange[] => {
      const before = columnNamed(older, name)
      if (before === undefined) return [{ column: name, change: 'added', new: type }]
      return before.type === type ? [] : [{ column: name, change: 'retyped', old: before.type, new: type }]
    }),
  ]
}

function columnNamed(plan: ViewPlan, name: string): Column | undefined {
  return plan.columns.find((column) => column.name.toLowerCase() === name.toLowerCase())
}

export function numberKind(type: string): NumberKind | undefined {
  if (type === 'DOUBLE' || type === 'FLOAT') return { kind: 'double' }
  const decimal = /^DECIMAL\(\d+,(\d+)\)$/.exec(type)
  if (decimal !== null) return { kind: 'units', scale: Number(decimal[1]) }
  return /^U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)$/.test(type) ? { kind: 'units', scale: 0 } : undefined
}

/** Units of the finer scale, or doubles when one side is a double. */
export function commonNumber(a: string, b: string): NumberKind | undefined {
  const left = numberKind(a)
  const right = numberKind(b)
  if (left === undefined || right === undefined) return undefined
  if (left.kind === 'double' || right.kind === 'double') return { kind: 'double' }
  return { kind: 'units', scale: Math.max(left.scale, right.scale) }
}

/** A column of a relation. */
export function cell(relation: string, column: Column): string {
  return `${quoteIdentifier(relation)}.${quoteIdentifier(column.name)}`
}

/** Whether two cells are equal: true or false, never NULL. The relations stand for the versions of the column. */
export function sameCells(column: ComparedColumn, older: string, newer: string): string {
  const a = cell(older, column.old)
  const b = cell(newer, column.new)
  if (column.near) return nearSql(`CAST(${a} AS DOUBLE)`, `CAST(${b} AS DOUBLE)`)
  return `${plainForm(column, a, column.old.type)} IS NOT DISTINCT FROM ${plainForm(column, b, column.new.type)}`
}

/** Whether two cells of one version are equal. */
export function sameWithin(column: Column, near: boolean, a: string, b: string): string {
  const [left, right] = [cell(a, column), cell(b, column)]
  return near
    ? nearSql(`CAST(${left} AS DOUBLE)`, `CAST(${right} AS DOUBLE)`)
    : `${left} IS NOT DISTINCT FROM ${right}`
}

/** Within the tolerance; both are DOUBLEs. */
export function nearSql(a: string, b: string): string {
  const near = `abs(${a} - ${b}) <= ${TOLERANCE} * greatest(1, abs(${a}), abs(${b}))`
  return `(${a} IS NOT DISTINCT FROM ${b} OR coalesce(isfinite(${a}) AND isfinite(${b}) AND ${near}, false))`
}

/** A value in the form in which it can be joined on: equal values have equal forms. */
export function comparableForm(column: ComparedColumn, sql: string, type: string): string {
  if (!column.near) return plainForm(column, sql, type)
  const double = `CAST(${sql} AS DOUBLE)`
  const digits = `${DIGITS - 1} - CAST(floor(log10(abs(${double}))) AS INTEGER)`
  return `CASE WHEN ${double} = 0 OR NOT isfinite(${double}) THEN ${double} ELSE round(${double}, ${digits}) END`
}

function plainForm(column: ComparedColumn, sql: string, type: string): string {
  if (column.old.type === column.new.type) return sql
  const number = numberKind(type)
  const text = `CAST(${sql} AS VARCHAR)`
  if (column.number?.kind !== 'units' || number?.kind !== 'units' || number.scale === 0) return text
  // 0.50 and .50 are one number, and so are 2.00 and 2.
  return String.raw`regexp_replace(regexp_replace(${text}, '^(-?)\.', '\10.'), '\.?0+$', '')`
}

/** A number as whole units of `scale` in a HUGEINT, or as a DOUBLE; NULL where it does not fit. */
export function amount(sql: string, type: string, wanted: NumberKind): string {
  if (wanted.kind === 'double') return `CAST(${sql} AS DOUBLE)`
  const own = numberKind(type)
  const scale = own?.kind === 'units' ? own.scale : 0
  const units =
    scale === 0 ? `TRY_CAST(${sql} AS HUGEINT)` : `CAST(replace(CAST(${sql} AS VARCHAR), '.', '') AS HUGEINT)`
  return wanted.scale === scale
    ? units
    : `TRY(${units} * CAST(1${'0'.repeat(wanted.scale - scale)} AS HUGEINT))`
}

/** New minus old; NULL where one is NULL or the difference does not fit. */
export function differenceSql(column: ComparedColumn, older: string, newer: string): string | undefined {
  const { number } = column
  if (number === undefined) return undefined
  const before = amount(cell(older, column.old), column.old.type, number)
  const now = amount(cell(newer, column.new), column.new.type, number)
  return number.kind === 'double' ? `(${now} - ${before})` : `TRY(${now} - ${before})`
}
