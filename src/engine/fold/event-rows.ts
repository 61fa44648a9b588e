/**
 * Events on their way from DuckDB to functions: as SQL that writes an event's position and fields as a JSON array, and
 * as a function that makes the event of such an array. No state.
 *
 * Why not the log's own text: it has neither defaults nor the names that fields have now, lake files have no text, and
 * ticks and bulk folds shall give functions exactly the same. So both read the one relation over lake and hot log.
 * What a function gets is what the schema's type says: integers beyond 2^53 as strings, decimals as strings in their
 * shortest form, times as ISO 8601 in UTC.
 */

import { type Field, type FieldType, quoteIdentifier, type StreamDef } from '../../model/schema.ts'
import { exactIntegerJson } from '../../plan/queries.ts'
import { must, unreachable } from '../../std/assert.ts'

/** `[commit, index, value, …]` of each event, as one expression over a relation with positions. */
export function eventJsonSql(fields: readonly Field[]): string {
  const values = fields.map(({ name, type }) => jsonSql(quoteIdentifier(name), type, 0))
  return `json_array("$commit", "$index"${values.map((value) => `, ${value}`).join('')})`
}

/** The fields of a stream by name, in the order of the names. */
export function fieldsOf(stream: StreamDef, names: readonly string[]): readonly Field[] {
  return names.map((name) => {
    const own = stream.schema.fields.find((field) => field.name === name)
    return must(own, `stream "${stream.name}" has the field "${name}"`)
  })
}

/** The value in a form that DuckDB's JSON writer keeps exact. */
function jsonSql(value: string, type: FieldType, depth: number): string {
  switch (type.kind) {
    case 'integer':
      return type.bits === 32 ? value : exactIntegerJson(value)
    case 'decimal':
    case 'timestamp':
    case 'uuid':
    case 'date':
      return `CAST(${value} AS VARCHAR)`
    case 'boolean':
    case 'string':
    case 'double':
    case 'json':
      return value
    case 'array': {
      const inner = `e${depth}`
      const element = jsonSql(inner, type.element, depth + 1)
      return element === inner ? value : `list_transform(${value}, lambda ${inner}: ${element})`
    }
    case 'object': {
      const inner = `e${depth}`
      const entries = type.fields.map((field) => {
        const member = `${inner}.${quoteIdentifier(field.name)}`
        return `${quoteIdentifier(field.name)} := ${jsonSql(member, field.type, depth + 1)}`
      })
      return `list_transform([${value}], lambda ${inner}: CASE WHEN ${inner} IS NULL THEN NULL ELSE struct_pack(${entries.join(', ')}) END)[1]`
    }
    case 'map': {
      const inner = `e${depth}`
      const member = jsonSql(`${inner}."value"`, type.value, depth + 1)
      return `map_from_entries(list_transform(map_entries(${value}), lambda ${inner}: struct_pack("key" := ${inner}."key", "value" := ${member})))`
    }
    default:
      return unreachable(type)
  }
}

type Read = (value: unknown) => unknown

/** An event as functions see it. */
export type EventObject = Readonly<Record<string, unknown>>

const POSITION_COLUMNS = 2

/**
 * Makes events of rows. The code is written out field by field, because objects that are made by one literal have
 * one shape, and everything that reads them is several times quicker for it.
 */
export function compileEvents(fields: readonly Field[]): (row: readonly unknown[]) => EventObject {
  const reads = fields.map(({ type }) => reader(type))
  const body: string[] = []
  const members: string[] = []
  fields.forEach((field, at) => {
    const raw = `row[${at + POSITION_COLUMNS}]`
    const value = reads[at] === undefined ? raw : `(${raw} === null ? null : reads[${at}](${raw}))`
    const name = JSON.stringify(field.name)
    if (isLeftOut(field)) body.push(`if (${raw} !== null) event[${name}] = ${value}`)
    else members.push(`[${name}]: ${value}`)
  })
  const source = `return (row) => { const event = { ${members.join(', ')} }; ${body.join('; ')}; return event }`
  return new Function('reads', source)(reads) as (row: readonly unknown[]) => EventObject
}

/** The value of one field as functions see it. */
export function compileValue(type: FieldType): Read {
  const read = reader(type)
  return read === undefined ? (value) => value : (value) => (value === null ? null : read(value))
}

function isLeftOut(field: Field): boolean {
  return field.optional && !field.nullable && field.defaultValue === undefined
}

/** Undefined where the JSON value is the value. */
function reader(type: FieldType): Read | undefined {
  switch (type.kind) {
    case 'boolean':
    case 'string':
    case 'double':
    case 'uuid':
    case 'date':
    case 'json':
    case 'integer':
      return undefined
    case 'decimal':
      return (value) => shortDecimal(String(value))
    case 'timestamp':
      return (value) => isoTime(String(value))
    case 'array': {
      const read = reader(type.element)
      return read && ((value) => (value as unknown[]).map((one) => (one === null ? null : read(one))))
    }
    case 'object':
      return objectReader(type.fields)
    case 'map': {
      const read = reader(type.value)
      return (
        read &&
        ((value) =>
          Object.fromEntries(
            Object.entries(value as object).map(([key, one]) => [key, one === null ? null : read(one)]),
          ))
      )
    }
    default:
      return unreachable(type)
  }
}

function objectReader(fields: readonly Field[]): Read {
  const readers = fields.map((field) => ({
    name: field.name,
    read: reader(field.type),
    leftOut: isLeftOut(field),
  }))
  return (value) => {
    const given = value as Readonly<Record<string, unknown>>
    const object: Record<string, unknown> = {}
    for (const { name, read, leftOut } of readers) {
      const one = given[name] ?? null
      if (one === null && leftOut) continue
      object[name] = one === null || read === undefined ? one : read(one)
    }
    return object
  }
}

/** `2024-05-01 10:00:00.5`, as DuckDB writes it, as the log has it. */
function isoTime(text: string): string {
  return `${text.slice(0, 10)}T${text.slice(11)}Z`
}

function shortDecimal(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}
