/**
 * Events read from typed columns, written again as the canonical JSON text that the log held. Pure: one closure per
 * schema, no state.
 *
 * Why the text is the same byte for byte: the log holds canonical text (keys in schema order, one form for each
 * number, time and string), DuckDB keeps every value exactly, and NULL means "missing" where the field is optional
 * and "null" where it is nullable; schemas that allow both keep the text itself (`lake/event-text.ts`).
 */

import type {
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBListValue,
  DuckDBMapValue,
  DuckDBStructValue,
  DuckDBTimestampValue,
  DuckDBValue,
} from '@duckdb/node-api'
import type { Field, FieldType, ObjectType } from '../model/schema.ts'
import { canonicalJsonNumeral } from '../model/value-number.ts'
import { must, unreachable } from '../std/assert.ts'

export type WriteEvent = (values: readonly DuckDBValue[]) => string

/** Writes an event from the values of its schema's fields, in schema order. */
export function eventWriter(schema: ObjectType): WriteEvent {
  return fieldsWriter(schema.fields)
}

type WriteValue = (value: DuckDBValue) => string

function fieldsWriter(fields: readonly Field[]): WriteEvent {
  const writers = fields.map((field) => ({
    prefix: `${JSON.stringify(field.name)}:`,
    nullable: field.nullable,
    write: valueWriter(field.type),
  }))
  return (values) => {
    let out = ''
    for (let index = 0; index < writers.length; index++) {
      const { prefix, nullable, write } = must(writers[index], 'a writer for each field')
      const value = values[index] ?? null
      if (value === null && !nullable) continue
      out += `${out === '' ? '' : ','}${prefix}${value === null ? 'null' : write(value)}`
    }
    return `{${out}}`
  }
}

function valueWriter(type: FieldType): WriteValue {
  switch (type.kind) {
    case 'boolean':
    case 'integer':
    case 'double':
      return String
    case 'string':
    case 'uuid':
      return (value) => JSON.stringify(String(value))
    case 'decimal':
      return (value) => `"${plainDecimal(value as DuckDBDecimalValue)}"`
    case 'timestamp':
      return (value) => `"${timestampText((value as DuckDBTimestampValue).micros)}"`
    case 'date':
      return (value) => `"${new Date((value as DuckDBDateValue).days * DAY_MS).toISOString().slice(0, 10)}"`
    case 'array': {
      const write = orNull(valueWriter(type.element))
      return (value) => `[${(value as DuckDBListValue).items.map(write).join(',')}]`
    }
    case 'object': {
      const write = fieldsWriter(type.fields)
      const names = type.fields.map(({ name }) => name)
      return (value) => write(names.map((name) => (value as DuckDBStructValue).entries[name] ?? null))
    }
    case 'map': {
      const write = orNull(valueWriter(type.value))
      return (value) => {
        const entries = (value as DuckDBMapValue).entries
        return `{${entries.map((entry) => `${JSON.stringify(String(entry.key))}:${write(entry.value)}`).join(',')}}`
      }
    }
    case 'json':
      return (value) => canonicalJson(String(value))
    default:
      return unreachable(type)
  }
}

const DAY_MS = 86_400_000

function orNull(write: WriteValue): WriteValue {
  return (value) => (value === null ? 'null' : write(value))
}

function plainDecimal({ value, scale }: DuckDBDecimalValue): string {
  if (scale === 0) return String(value)
  const digits = String(value < 0n ? -value : value).padStart(scale + 1, '0')
  const fraction = digits.slice(-scale).replace(/0+$/, '')
  return `${value < 0n ? '-' : ''}${digits.slice(0, -scale)}${fraction === '' ? '' : `.${fraction}`}`
}

function timestampText(micros: bigint): string {
  const rest = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n
  const seconds = new Date(Number((micros - rest) / 1000n)).toISOString().slice(0, 19)
  const fraction = String(rest).padStart(6, '0').replace(/0+$/, '')
  return `${seconds}${fraction === '' ? '' : `.${fraction}`}Z`
}

/** DuckDB prints numbers and escapes in its own way in a JSON value; this gives them back the log's form. */
function canonicalJson(text: string): string {
  const numerals = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g
  return text.replace(numerals, (token) =>
    token.startsWith('"')
      ? JSON.stringify(JSON.parse(token))
      : must(canonicalJsonNumeral(token), 'a number from the log has a canonical form'),
  )
}
