/**
 * How the streams of a project differ from those that run: field by field and setting by setting, in sentences. That
 * a change is allowed was decided before. Pure.
 */

import { type Field, type FieldType, type StreamDef, sqlType } from '../model/schema.ts'
import type { Reason, StreamChange } from './types.ts'

/** New and changed streams in the project's order, then removed ones. */
export function streamChanges(
  running: readonly StreamDef[],
  wanted: readonly StreamDef[],
): readonly StreamChange[] {
  const changed = wanted.flatMap((next): readonly StreamChange[] => {
    const old = running.find(({ name }) => name === next.name)
    if (old === undefined) {
      const fields = next.schema.fields.length
      return [{ stream: next.name, change: 'new', reasons: [schema(`it has ${fields} fields`)] }]
    }
    if (JSON.stringify(old) === JSON.stringify(next)) return []
    return [{ stream: next.name, change: 'changed', reasons: streamReasons(old, next) }]
  })
  const removed = running
    .filter(({ name }) => !wanted.some((stream) => stream.name === name))
    .map(({ name }): StreamChange => {
      const text = 'the project no longer has it; its events stay in the log'
      return { stream: name, change: 'removed', reasons: [{ what: 'setting', text }] }
    })
  return [...changed, ...removed]
}

function streamReasons(old: StreamDef, next: StreamDef): readonly Reason[] {
  const reasons = [...fieldsReasons(old.schema.fields, next.schema.fields, ''), ...settingsReasons(old, next)]
  return reasons.length > 0 ? reasons : [schema('the order of its fields changed')]
}

function fieldsReasons(old: readonly Field[], next: readonly Field[], prefix: string): readonly Reason[] {
  const reasons: Reason[] = []
  const gone = new Set(old.map(({ name }) => name))
  for (const field of next) {
    const path = `field "${prefix}${field.name}"`
    const former = (field.aliases ?? []).find((name) => old.some((candidate) => candidate.name === name))
    const same = old.find(({ name }) => name === field.name)
    const before = same ?? old.find(({ name }) => name === former)
    if (before === undefined) {
      reasons.push(schema(`${path} of type ${sqlType(field.type)} is new`))
      continue
    }
    gone.delete(before.name)
    if (same === undefined) reasons.push(schema(`${path} is the new name of "${prefix}${before.name}"`))
    reasons.push(...fieldReasons(before, field, path, `${prefix}${field.name}`))
  }
  for (const name of gone) reasons.push(schema(`field "${prefix}${name}" is gone`))
  return reasons
}

function fieldReasons(old: Field, next: Field, path: string, name: string): readonly Reason[] {
  const texts: string[] = []
  if (old.optional !== next.optional)
    texts.push(next.optional ? 'may now be missing' : 'may no longer be missing')
  if (old.nullable !== next.nullable) texts.push(next.nullable ? 'may now be null' : 'may no longer be null')
  if (differ(old.defaultValue, next.defaultValue))
    texts.push(`has the default ${shown(next.defaultValue)} instead of ${shown(old.defaultValue)}`)
  if (differ(old.aliases, next.aliases) && next.aliases !== undefined && old.name === next.name)
    texts.push(`is also read from ${next.aliases.map((alias) => `"${alias}"`).join(', ')}`)
  if (differ(old.aliases, next.aliases) && next.aliases === undefined) texts.push('lost its former names')
  const inner = innerFields(old.type, next.type)
  if (inner === undefined && differ(old.type, next.type)) texts.push(typeChange(old.type, next.type))
  const own = texts.map((text) => schema(`${path} ${text}`))
  return inner === undefined
    ? own
    : [...own, ...fieldsReasons(inner.old, inner.next, `${name}${inner.within}.`)]
}

/** The fields within both types, where both are objects or lists or maps of objects. */
function innerFields(
  old: FieldType,
  next: FieldType,
): { readonly old: readonly Field[]; readonly next: readonly Field[]; readonly within: string } | undefined {
  if (old.kind === 'object' && next.kind === 'object')
    return { old: old.fields, next: next.fields, within: '' }
  const deeper =
    old.kind === 'array' && next.kind === 'array'
      ? { inner: innerFields(old.element, next.element), within: '[]' }
      : old.kind === 'map' && next.kind === 'map'
        ? { inner: innerFields(old.value, next.value), within: '{}' }
        : undefined
  return deeper?.inner === undefined
    ? undefined
    : { ...deeper.inner, within: deeper.within + deeper.inner.within }
}

function typeChange(old: FieldType, next: FieldType): string {
  const [before, after] = [sqlType(old), sqlType(next)]
  if (before !== after) return `changed its type from ${before} to ${after}`
  const values = (type: FieldType) =>
    type.kind === 'string' || type.kind === 'integer' ? type.values : undefined
  const added = (values(next) ?? []).filter((value) => !(values(old) ?? []).includes(value))
  if (values(old) !== undefined && values(next) === undefined) return 'takes any value now'
  if (values(old) !== undefined && added.length > 0)
    return `also takes ${added.map((value) => `"${value}"`).join(', ')}`
  return 'has other bounds for what comes in'
}

/** Every setting beside name and schema, by its own name. */
function settingsReasons(old: StreamDef, next: StreamDef): readonly Reason[] {
  const before = old as unknown as Readonly<Record<string, unknown>>
  const after = next as unknown as Readonly<Record<string, unknown>>
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])]
  return names
    .filter((name) => name !== 'name' && name !== 'schema' && differ(before[name], after[name]))
    .map((name) => ({
      what: 'setting',
      text: `${name} changed from ${shown(before[name])} to ${shown(after[name])}`,
    }))
}

function schema(text: string): Reason {
  return { what: 'schema', text }
}

function differ(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) !== JSON.stringify(b)
}

function shown(value: unknown): string {
  return value === undefined ? 'none' : JSON.stringify(value)
}
