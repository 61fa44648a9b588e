/** Whether values of a field's old type can be read as its new one, and the other way round. Pure. */

import { type Field, type FieldType, type IntegerType, sqlType } from '../model/schema.ts'
import type { AddFault } from './stream-change.ts'

/** Compares the fields of two objects, below a path. */
export type CompareFields = (old: readonly Field[], next: readonly Field[], within: string) => void

export function typeFaults(
  old: FieldType,
  next: FieldType,
  path: string,
  add: AddFault,
  compareFields: CompareFields,
): void {
  if (old.kind === 'object' && next.kind === 'object') compareFields(old.fields, next.fields, path)
  else if (old.kind === 'array' && next.kind === 'array') {
    nullFaults(old.elementNullable, next.elementNullable, `${path}[]`, add)
    typeFaults(old.element, next.element, `${path}[]`, add, compareFields)
  } else if (old.kind === 'map' && next.kind === 'map') {
    nullFaults(old.valueNullable, next.valueNullable, `${path}{}`, add)
    typeFaults(old.value, next.value, `${path}{}`, add, compareFields)
  } else if (!isSameOrWider(old, next)) {
    const hint = 'Keep the type; add a field with another name for the new one.'
    const types = `${sqlType(old)} to ${sqlType(next)}`
    add('read', path, `field "${path}" changed from ${types}, which events in the log may not fit`, hint)
  } else {
    valueFaults(old, next, path, add)
    if (sqlType(old) === sqlType(next)) return
    const fact = `field "${path}" takes ${sqlType(next)} now, which readers of older schemas read as ${sqlType(old)}`
    add('forward', path, fact, 'Keep the type; add a field with another name for the new one.')
  }
}

function nullFaults(old: boolean, next: boolean, path: string, add: AddFault): void {
  if (old && !next) {
    const fact = `"${path}" may no longer be null, but events in the log may have null there`
    add('backward', path, fact, 'Keep .nullable().')
  } else if (!old && next) {
    add(
      'forward',
      path,
      `"${path}" may now be null, which readers of older schemas do not expect`,
      'Leave out .nullable().',
    )
  }
}

/** Whether every value of the old type is one of the new type, read exactly; bounds aside. */
function isSameOrWider(old: FieldType, next: FieldType): boolean {
  if (old.kind === 'integer' && next.kind === 'integer') return old.bits <= next.bits
  if (old.kind === 'integer' && next.kind === 'decimal') {
    // Lake files of both types are read together, as DuckDB's common type of the two: it must lose nothing either.
    const digits = old.bits === 32 ? 10 : 19
    return next.precision - next.scale >= digitsOf(old) && next.scale + digits <= 38
  }
  if (old.kind === 'decimal' && next.kind === 'decimal') {
    return next.scale >= old.scale && next.precision - next.scale >= old.precision - old.scale
  }
  return old.kind === next.kind
}

/** Digits of the largest value that the integer may have. */
function digitsOf({ bits, minimum, maximum, values }: IntegerType): number {
  const most = bits === 32 ? 10 : 19
  const edges = values ?? (minimum === undefined || maximum === undefined ? undefined : [minimum, maximum])
  if (edges === undefined) return most
  return Math.min(most, Math.max(...edges.map((edge) => edge.replace('-', '').length)))
}

/**
 * Bounds and patterns hold for what comes in and are not checked again in the log, so tighter ones are allowed; a
 * value that is taken off a closed list is a fault, because readers rely on the list.
 */
function valueFaults(old: FieldType, next: FieldType, path: string, add: AddFault): void {
  const before = listOf(old)
  const after = listOf(next)
  if (before === undefined && after === undefined) return
  const gone = before?.filter((value) => after !== undefined && !after.includes(value)) ?? []
  const more = after?.filter((value) => before !== undefined && !before.includes(value)) ?? []
  if (before === undefined) {
    const fact = `field "${path}" became a closed list, but events in the log may have other values`
    add('backward', path, fact, 'Keep the type open, or add a field with another name.')
  } else if (gone.length > 0) {
    const fact = `field "${path}" no longer allows ${quoted(gone)}, but events in the log may have it`
    add('backward', path, fact, 'Keep the value.')
  }
  if (after === undefined) {
    const fact = `field "${path}" takes any value now, and readers of older schemas expect ${quoted(before ?? [])}`
    add('forward', path, fact, 'Keep the list closed.')
  } else if (more.length > 0) {
    const fact = `field "${path}" takes ${quoted(more)} now, which readers of older schemas do not expect`
    add('forward', path, fact, 'Keep the list as it is.')
  }
}

function listOf(type: FieldType): readonly string[] | undefined {
  return type.kind === 'string' || type.kind === 'integer' ? type.values : undefined
}

function quoted(values: readonly string[]): string {
  return values.map((value) => `"${value}"`).join(', ')
}
