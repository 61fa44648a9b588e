/**
 * The events that functions see, made of texts as DuckDB gives them (`event-batch.ts`). No state.
 *
 * What a function gets is what the schema's type says: integers beyond 2^53 as strings, decimals as strings in their
 * shortest form, times as ISO 8601 in UTC.
 */

import type { Field, FieldType, StreamDef } from '../../model/schema.ts'
import { must, unreachable } from '../../std/assert.ts'
import { NULL_TEXT, type OpenBatch } from './event-batch.ts'

/** The fields of a stream by name, in the order of the names. */
export function fieldsOf(stream: StreamDef, names: readonly string[]): readonly Field[] {
  return names.map((name) => {
    const own = stream.schema.fields.find((field) => field.name === name)
    return must(own, `stream "${stream.name}" has the field "${name}"`)
  })
}

type Read = (value: unknown) => unknown

/** An event as functions see it. */
export type EventObject = Readonly<Record<string, unknown>>

/**
 * Makes the event of a row of columns. The code is written out field by field, because objects that are made by one
 * literal have one shape, and everything that reads them is several times quicker for it.
 */
export function compileEvents(
  fields: readonly Field[],
): (columns: OpenBatch['columns'], row: number) => EventObject {
  const reads = fields.map(({ type }) => textReader(type))
  const body: string[] = []
  const members: string[] = []
  fields.forEach((field, at) => {
    const text = `t${at}`
    body.push(`const ${text} = columns[${at}][row]`)
    const read = reads[at] === undefined ? text : `reads[${at}](${text})`
    const value = mayBeNull(field) ? `${text} === NULL_TEXT ? null : ${read}` : read
    const name = JSON.stringify(field.name)
    if (isLeftOut(field)) body.push(`const has${at} = ${text} !== NULL_TEXT`)
    members.push(isLeftOut(field) ? `...(has${at} ? { [${name}]: ${read} } : none)` : `[${name}]: ${value}`)
  })
  const source = `const none = {}; return (columns, row) => { ${body.join('; ')}; return { ${members.join(', ')} } }`
  const made = new Function('reads', 'NULL_TEXT', source) as (
    ...given: unknown[]
  ) => (columns: OpenBatch['columns'], row: number) => EventObject
  return made(reads, NULL_TEXT)
}

/** The value of one field as functions see it, from its text; null stays null. */
export function compileValue(type: FieldType): (text: unknown) => unknown {
  const read = textReader(type)
  return (text) => (text === null ? null : read === undefined ? text : read(String(text)))
}

function mayBeNull({ nullable, optional, defaultValue }: Field): boolean {
  return nullable || (optional && defaultValue === undefined)
}

function isLeftOut(field: Field): boolean {
  return field.optional && !field.nullable && field.defaultValue === undefined
}

/** Undefined where the text is the value. */
function textReader(type: FieldType): ((text: string) => unknown) | undefined {
  switch (type.kind) {
    case 'string':
    case 'uuid':
    case 'date':
      return undefined
    case 'boolean':
      return (text) => text === 'true'
    case 'integer':
      return type.bits === 32 ? Number : exactInteger
    case 'double':
      return Number
    case 'decimal':
      return shortDecimal
    case 'timestamp':
      return isoTime
    case 'json':
      return (text) => JSON.parse(text) as unknown
    case 'array':
    case 'object':
    case 'map': {
      const read = reader(type)
      return (text) => {
        const value = JSON.parse(text) as unknown
        return read === undefined || value === null ? value : read(value)
      }
    }
    default:
      return unreachable(type)
  }
}

function exactInteger(text: string): number | string {
  const value = Number(text)
  // Written anew: a part of a long text would keep all of that in memory.
  return Number.isSafeInteger(value) ? value : String(BigInt(text))
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
  const last = text.charCodeAt(text.length - 1)
  return last === ZERO && text.includes('.') ? text.replace(/\.?0+$/, '') : text
}

const ZERO = 48
