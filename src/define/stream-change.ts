/**
 * Decides whether a stream may be changed while the log holds events: compares the new definition with every schema
 * under which events lie there, and says of each fault which rule it breaks. Pure.
 *
 * Three rules. `read`: old events can be read under the new schema at all, with the same SQL types or wider ones;
 * this must always hold, because views are folded from the log. `backward`: every old event is one of the new
 * schema. `forward`: every event of the new schema is one of the old. A stream's `compatibility` says which of the
 * two latter ones it asks for.
 */

import type { CommitSeq } from '../model/cut.ts'
import { type ErrorPlace, RefoldError } from '../model/errors.ts'
import { type Compatibility, type Field, namesOf, type StreamDef } from '../model/schema.ts'
import { nearestName } from '../std/nearest-name.ts'
import { typeFaults } from './type-change.ts'

/** A schema under which the log holds events. */
export interface HeldSchema {
  /** It held for the events after this cut. */
  readonly since: CommitSeq
  readonly def: StreamDef
}

export type ChangeRule = 'read' | 'backward' | 'forward'

export interface ChangeFault {
  readonly rule: ChangeRule
  /** Path of the field as older events have it; '' where the stream itself is meant. */
  readonly field: string
  readonly message: string
  readonly hint: string
}

export type AddFault = (rule: ChangeRule, field: string, message: string, hint: string) => void

/** A refused change, with the schemas that it does not fit. */
export interface RefusedChange extends ChangeFault {
  readonly since: readonly CommitSeq[]
}

/** What the stream's compatibility refuses, each fault once however many schemas have it. */
export function refusedChanges(held: readonly HeldSchema[], next: StreamDef): readonly RefusedChange[] {
  const rules = rulesOf(next.compatibility ?? 'backward')
  const found = new Map<string, ChangeFault & { since: CommitSeq[] }>()
  for (const { since, def } of held) {
    for (const fault of changeFaults(def, next)) {
      if (!rules.includes(fault.rule)) continue
      const known = found.get(fault.message)
      if (known === undefined) found.set(fault.message, { ...fault, since: [since] })
      else if (!known.since.includes(since)) known.since.push(since)
    }
  }
  return [...found.values()]
}

/** The same for one schema, as errors; empty when the change is allowed. */
export function checkStreamChange(
  old: StreamDef,
  next: StreamDef,
  place?: ErrorPlace,
): readonly RefoldError[] {
  return refusedChanges([{ since: 0, def: old }], next).map(
    ({ message, hint }) =>
      new RefoldError('STREAM_CHANGED', `stream "${next.name}": ${message}`, {
        hint,
        ...(place === undefined ? {} : { place }),
      }),
  )
}

function rulesOf(compatibility: Compatibility): readonly ChangeRule[] {
  if (compatibility === 'full') return ['read', 'backward', 'forward']
  return compatibility === 'none' ? ['read'] : ['read', compatibility]
}

/** Everything in which events of the two do not fit each other. */
export function changeFaults(old: StreamDef, next: StreamDef): readonly ChangeFault[] {
  const faults: ChangeFault[] = []
  const add: AddFault = (rule, field, message, hint) => faults.push({ rule, field, message, hint })
  faults.push(...partitionFaults(old, next))
  roleFaults(old, next, add)
  fieldFaults(old.schema.fields, next.schema.fields, '', add)
  return faults
}

/** The number of partitions is fixed once a stream is recorded, events or not. */
export function partitionFaults(old: StreamDef, next: StreamDef): readonly ChangeFault[] {
  if (old.partitions === next.partitions) return []
  const message = `the number of partitions changed from ${old.partitions} to ${next.partitions}`
  const hint = `Set partitions back to ${old.partitions}, or declare a stream with another name.`
  return [{ rule: 'read', field: '', message, hint }]
}

/**
 * The key places events, the id tells them apart and the time moves the watermark; what the log holds was placed, told
 * apart and timed by the old field. A stream that had no id or no time gains one: nothing was promised before. (Times
 * of two fields would mix in one watermark that never goes back, and a retry of an event known by its old id would
 * count twice.)
 */
function roleFaults(old: StreamDef, next: StreamDef, add: AddFault): void {
  for (const role of ['key', 'id', 'time'] as const) {
    const before = old[role]
    const after = next[role]
    if (before === after || (before === undefined && role !== 'key')) continue
    const field = next.schema.fields.find(({ name }) => name === after)
    if (field !== undefined && before !== undefined && namesOf(field).includes(before)) continue
    const hint = `Set ${role} back to ${named(before)}, or declare a stream with another name.`
    add('read', before ?? '', `the ${role} changed from ${named(before)} to ${named(after)}`, hint)
  }
}

function fieldFaults(old: readonly Field[], next: readonly Field[], prefix: string, add: AddFault): void {
  const matched = new Set<Field>()
  for (const field of old) {
    const successor = successorOf(field, next)
    if (successor === undefined) removedFault(field, old, next, prefix, add)
    else {
      matched.add(successor)
      compareField(field, successor, prefix, add)
    }
  }
  for (const field of next) {
    if (matched.has(field) || field.optional || field.defaultValue !== undefined) continue
    const hint = 'Declare it .optional() or with .default(…).'
    const path = prefix + field.name
    add('backward', path, `field "${path}" is new and required, but events in the log lack it`, hint)
  }
}

/** The field that has the name of the old one, now or as a former name. */
function successorOf(field: Field, next: readonly Field[]): Field | undefined {
  return (
    next.find(({ name }) => name === field.name) ??
    next.find((candidate) => candidate.aliases?.includes(field.name))
  )
}

function removedFault(
  field: Field,
  old: readonly Field[],
  next: readonly Field[],
  prefix: string,
  add: AddFault,
): void {
  const path = prefix + field.name
  const added = next.filter(({ name }) => !old.some((other) => other.name === name)).map(({ name }) => name)
  const renamed = nearestName(field.name, added) ?? (added.length === 1 ? added[0] : undefined)
  const hint =
    renamed === undefined
      ? 'Keep the field, as .optional() if it comes no more.'
      : `Keep the field; if "${renamed}" is its new name, say so: aliases: { '${prefix}${renamed}': '${field.name}' }.`
  add('backward', path, `field "${path}" was removed, but events in the log have it`, hint)
  if (!field.optional && field.defaultValue === undefined) {
    const fact = `field "${path}" was removed, but readers of older schemas ask for it`
    add('forward', path, fact, 'Keep the field.')
  }
}

function compareField(old: Field, next: Field, prefix: string, add: AddFault): void {
  const path = prefix + old.name
  const couldMiss = old.optional || old.defaultValue !== undefined
  const canMiss = next.optional || next.defaultValue !== undefined
  if (couldMiss && !canMiss) {
    const fact = `field "${path}" became required, but events in the log may lack it`
    add('backward', path, fact, 'Keep .optional() or .default(…).')
  }
  if (!couldMiss && canMiss) {
    const fact = `field "${path}" may now be missing, but readers of older schemas ask for it`
    add('forward', path, fact, 'Keep it required.')
  }
  if (old.nullable && !next.nullable) {
    const fact = `field "${path}" may no longer be null, but events in the log may have null there`
    add('backward', path, fact, 'Keep .nullable().')
  }
  if (!old.nullable && next.nullable) {
    const fact = `field "${path}" may now be null, which readers of older schemas do not expect`
    add('forward', path, fact, 'Leave out .nullable(); let the field be missing.')
  }
  if (old.name !== next.name) lostNames(old, next, path, add)
  typeFaults(old.type, next.type, path, add, (before, after, within) =>
    fieldFaults(before, after, `${within}.`, add),
  )
}

/** Producers and events that still use the old names must go on being understood. */
function lostNames(old: Field, next: Field, path: string, add: AddFault): void {
  const fact = `field "${path}" has the new name "${next.name}", which readers of older schemas do not know`
  add('forward', path, fact, 'Keep the name.')
  for (const name of old.aliases ?? []) {
    if (namesOf(next).includes(name)) continue
    const hint = `Add "${name}" to the former names of "${next.name}".`
    add(
      'backward',
      path,
      `field "${path}" was called "${name}" before, which is no longer among its names`,
      hint,
    )
  }
}

function named(field: string | undefined): string {
  return field === undefined ? 'none' : `"${field}"`
}
