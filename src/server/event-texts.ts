/**
 * Events as readers of the log get them when their stream's schema has changed: always in the form of the newest one,
 * whether they come from a line of the hot log, from columns of the lake or from a text that the lake kept. Pure but
 * for reading the catalog once; a stream with one schema needs none of it.
 *
 * Names, order and types are those of the newest schema; what was missing stays missing and null stays null, by the
 * schema under which the event came in. Bounds are not looked at again.
 */

import type { Catalog } from '../catalog/open-catalog.ts'
import { schemaHistory } from '../catalog/streams.ts'
import type { EventTexts } from '../engine/read-events.ts'
import { compileDecoder, type Decoder } from '../ingest/decoder.ts'
import type { CommitSeq } from '../model/cut.ts'
import { type Field, type FieldType, namesOf, type ObjectType, type StreamDef } from '../model/schema.ts'

/** Undefined where every event has the form of the newest schema already. */
export function eventTexts(catalog: Catalog, stream: StreamDef): EventTexts | undefined {
  const history = schemaHistory(catalog).filter((version) => version.stream === stream.name)
  const newest = JSON.stringify(stream.schema)
  if (history.every(({ def }) => JSON.stringify(def.schema) === newest)) return undefined
  const decoder = relaxedDecoder(stream, stream.schema)
  const written = history.map(({ since, def }) => ({
    since,
    schema: nullsAsIn(stream.schema, def.schema),
  }))
  return {
    current: (json) => {
      const decoded = decoder.decode(json)
      return decoded.ok ? decoded.json : json
    },
    schemaAt: (commit: CommitSeq) =>
      (written.findLast(({ since }) => since < commit) ?? written[0])?.schema ?? stream.schema,
  }
}

/** The newest schema, in which a field may be null where it could be under the old one. */
function nullsAsIn(next: ObjectType, old: ObjectType): ObjectType {
  const fields = next.fields.map((field): Field => {
    const before = old.fields.find((candidate) => shareName(candidate, field))
    const { defaultValue: _, ...rest } = field
    const type = before === undefined ? field.type : nullsWithin(field.type, before.type)
    return { ...rest, type, nullable: before?.nullable ?? false }
  })
  return { kind: 'object', fields }
}

function nullsWithin(next: FieldType, old: FieldType): FieldType {
  if (next.kind === 'object' && old.kind === 'object') return nullsAsIn(next, old)
  if (next.kind === 'array' && old.kind === 'array')
    return { ...next, element: nullsWithin(next.element, old.element) }
  if (next.kind === 'map' && old.kind === 'map') return { ...next, value: nullsWithin(next.value, old.value) }
  return next
}

function shareName(a: Field, b: Field): boolean {
  const names = namesOf(b)
  return namesOf(a).some((name) => names.includes(name))
}

/** Takes every value of the type, missing or null, whatever the schema says of bounds. */
function relaxedObject({ fields }: ObjectType): ObjectType {
  return { kind: 'object', fields: fields.map(relaxedField) }
}

function relaxedField({ name, aliases, type }: Field): Field {
  const former = aliases === undefined ? {} : { aliases }
  return { name, ...former, type: relaxed(type), optional: true, nullable: true }
}

function relaxed(type: FieldType): FieldType {
  switch (type.kind) {
    case 'string':
    case 'double':
    case 'uuid':
      return { kind: type.kind }
    case 'integer':
      return { kind: 'integer', bits: type.bits, text: true }
    case 'object':
      return relaxedObject(type)
    case 'array':
      return { kind: 'array', element: relaxed(type.element), elementNullable: true }
    case 'map':
      return { kind: 'map', value: relaxed(type.value), valueNullable: true }
    default:
      return type
  }
}

/**
 * The texts that an event of today would have had under earlier schemas of its stream. A text counts only where nothing
 * is lost on the way, so an event that says more than the old one is no retry of it. The catalog is asked when the
 * first text is.
 */
export function formsBefore(catalog: Catalog, stream: StreamDef): (json: string) => readonly string[] {
  let compiled: { readonly current: Decoder; readonly earlier: readonly Decoder[] } | undefined
  const compile = () => {
    const schemas = new Map(
      schemaHistory(catalog)
        .filter((version) => version.stream === stream.name)
        .map(({ def }) => [JSON.stringify(def.schema), def.schema]),
    )
    schemas.delete(JSON.stringify(stream.schema))
    const earlier = [...schemas.values()].map((schema) =>
      relaxedDecoder(stream, namedBackwards(schema, stream.schema)),
    )
    return { current: relaxedDecoder(stream, stream.schema), earlier }
  }
  return (json) => {
    compiled ??= compile()
    const { current, earlier } = compiled
    const forms = earlier.flatMap((decoder) => {
      const decoded = decoder.decode(json)
      if (!decoded.ok || decoded.json === json) return []
      const again = current.decode(decoded.json)
      return again.ok && again.json === json ? [decoded.json] : []
    })
    return [...new Set(forms)]
  }
}

function relaxedDecoder(stream: StreamDef, schema: ObjectType): Decoder {
  const { id: _id, key: _key, time: _time, ...plain } = stream
  return compileDecoder({ ...plain, schema: relaxedObject(schema) }, { depth: 10_000 })
}

/** The old schema, whose fields are also found under the names that they have now. */
function namedBackwards(old: ObjectType, next: ObjectType): ObjectType {
  const fields = old.fields.map((field): Field => {
    const now = next.fields.find((candidate) => shareName(candidate, field))
    if (now === undefined) return field
    const names = new Set([...namesOf(field), ...namesOf(now)])
    names.delete(field.name)
    const { aliases: _, ...rest } = field
    const type = typeBackwards(field.type, now.type)
    return names.size === 0 ? { ...rest, type } : { ...rest, type, aliases: [...names] }
  })
  return { kind: 'object', fields }
}

function typeBackwards(old: FieldType, next: FieldType): FieldType {
  if (old.kind === 'object' && next.kind === 'object') return namedBackwards(old, next)
  if (old.kind === 'array' && next.kind === 'array')
    return { ...old, element: typeBackwards(old.element, next.element) }
  if (old.kind === 'map' && next.kind === 'map')
    return { ...old, value: typeBackwards(old.value, next.value) }
  return old
}
