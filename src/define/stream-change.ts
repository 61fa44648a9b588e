/**
 * Decides whether a stream may be changed while it holds events: every event in the log must still be one of the
 * new schema, read with the same SQL types or wider ones. Pure.
 */

import { type ErrorPlace, RefoldError } from '../model/errors.ts'
import { type Field, type FieldType, type StreamDef, sqlType } from '../model/schema.ts'
import { nearestName } from '../std/nearest-name.ts'

/** Why old events do not fit; empty when they do. */
export function checkStreamChange(
  old: StreamDef,
  next: StreamDef,
  place?: ErrorPlace,
): readonly RefoldError[] {
  const mistakes: RefoldError[] = []
  const refuse = (message: string, hint: string) => {
    const options = place === undefined ? { hint } : { hint, place }
    mistakes.push(new RefoldError('STREAM_CHANGED', `stream "${old.name}": ${message}`, options))
  }
  if (old.partitions !== next.partitions) {
    const hint = `Set partitions back to ${old.partitions}, or declare a stream with another name.`
    refuse(`the number of partitions changed from ${old.partitions} to ${next.partitions}`, hint)
  }
  if (old.key !== next.key) {
    const hint = `Set key back to ${named(old.key)}, or declare a stream with another name.`
    refuse(`the key changed from ${named(old.key)} to ${named(next.key)}`, hint)
  }
  compareFields(old.schema.fields, next.schema.fields, '', refuse)
  return mistakes
}

type Refuse = (message: string, hint: string) => void

function compareFields(old: readonly Field[], next: readonly Field[], prefix: string, refuse: Refuse): void {
  const nextByName = new Map(next.map((field) => [field.name, field]))
  const added = next.filter((field) => !old.some(({ name }) => name === field.name))
  for (const field of old) {
    const path = prefix + field.name
    const successor = nextByName.get(field.name)
    if (successor !== undefined) compareField(field, successor, path, refuse)
    else {
      const renamed = nearestName(
        field.name,
        added.map(({ name }) => name),
      )
      const hint =
        renamed === undefined
          ? 'Keep the field, as .optional() if it comes no more.'
          : `Keep the field; "${renamed}" would be a new one, not its new name.`
      refuse(`field "${path}" was removed, but events in the log have it`, hint)
    }
  }
  for (const field of added) {
    if (field.optional || field.defaultValue !== undefined) continue
    const hint = 'Declare it .optional() or with .default(…).'
    refuse(`field "${prefix + field.name}" is new and required, but events in the log lack it`, hint)
  }
}

function compareField(old: Field, next: Field, path: string, refuse: Refuse): void {
  const couldMiss = old.optional || old.defaultValue !== undefined
  if (couldMiss && !next.optional && next.defaultValue === undefined) {
    refuse(
      `field "${path}" became required, but events in the log may lack it`,
      'Keep .optional() or .default(…).',
    )
  }
  if (old.nullable && !next.nullable) {
    refuse(
      `field "${path}" may no longer be null, but events in the log may have null there`,
      'Keep .nullable().',
    )
  }
  compareTypes(old.type, next.type, path, refuse)
}

function compareTypes(old: FieldType, next: FieldType, path: string, refuse: Refuse): void {
  if (old.kind === 'object' && next.kind === 'object') {
    compareFields(old.fields, next.fields, `${path}.`, refuse)
  } else if (old.kind === 'array' && next.kind === 'array') {
    if (old.elementNullable && !next.elementNullable) nullsGone(`${path}[]`, refuse)
    compareTypes(old.element, next.element, `${path}[]`, refuse)
  } else if (old.kind === 'map' && next.kind === 'map') {
    if (old.valueNullable && !next.valueNullable) nullsGone(`${path}{}`, refuse)
    compareTypes(old.value, next.value, `${path}{}`, refuse)
  } else if (!isSameOrWider(old, next)) {
    const hint = 'Keep the type; add a field with another name for the new one.'
    refuse(
      `field "${path}" changed from ${sqlType(old)} to ${sqlType(next)}, which events in the log may not fit`,
      hint,
    )
  } else compareValues(old, next, path, refuse)
}

function nullsGone(path: string, refuse: Refuse): void {
  refuse(`"${path}" may no longer be null, but events in the log may have null there`, 'Keep .nullable().')
}

/** Whether every canonical text of the old type is one of the new type, bounds aside. */
function isSameOrWider(old: FieldType, next: FieldType): boolean {
  if (old.kind === 'integer' && next.kind === 'integer') return old.bits <= next.bits
  if (old.kind === 'decimal' && next.kind === 'decimal') {
    return next.scale >= old.scale && next.precision - next.scale >= old.precision - old.scale
  }
  if (next.kind === 'json') return old.kind === 'json'
  return old.kind === next.kind
}

/**
 * Bounds and patterns hold for what comes in and are not checked again in the log, so tighter ones are allowed; a
 * value that is taken off a closed list is refused, because readers rely on the list.
 */
function compareValues(old: FieldType, next: FieldType, path: string, refuse: Refuse): void {
  const before = old.kind === 'string' || old.kind === 'integer' ? old.values : undefined
  const after = next.kind === 'string' || next.kind === 'integer' ? next.values : undefined
  if (after === undefined) return
  if (before !== undefined) {
    missingValues(before, after, path, refuse)
    return
  }
  const hint = 'Keep the type open, or add a field with another name.'
  refuse(`field "${path}" became a closed list, but events in the log may have other values`, hint)
}

function missingValues(old: readonly string[], next: readonly string[], path: string, refuse: Refuse): void {
  const gone = old.filter((value) => !next.includes(value)).map((value) => `"${value}"`)
  if (gone.length === 0) return
  refuse(
    `field "${path}" no longer allows ${gone.join(', ')}, but events in the log may have it`,
    'Keep the value.',
  )
}

function named(field: string | undefined): string {
  return field === undefined ? 'none' : `"${field}"`
}
