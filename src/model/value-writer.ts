/**
 * Checks a parsed JSON value against a field's type and writes its canonical JSON text. One closure per type, made
 * once; state: the fault slot that the closures of one writer share, written only when a value is refused.
 *
 * Canonical: keys of objects in schema order, of maps and of untyped JSON in code unit order; unknown keys dropped;
 * missing keys left out, defaults too; a field that came under a former
 * name has its own; numbers, timestamps and UUIDs in the form of `value-number.ts`,
 * `value-time.ts` and lower case; no white space. Writing the parsed text again gives the same text.
 */

import { unreachable } from '../std/assert.ts'
import type { Field, FieldType, ObjectType } from './schema.ts'
import { integerWriter, numberWriter, stringWriter, writeDecimal } from './value-checks.ts'
import {
  type Fault,
  type FaultSlot,
  refuse,
  refuseType,
  type WriteText,
  within,
  writeString,
} from './value-fault.ts'
import { canonicalJsonNumeral, ExactNumeral } from './value-number.ts'
import { canonicalTimestamp, isDate, timestampFault } from './value-time.ts'

/** Writes values of one type; one at a time. */
export interface ValueWriter {
  /** Canonical JSON text, or undefined when the value is refused; then `fault` says why. */
  write(value: unknown): string | undefined
  fault(): Fault
}

export function compileWriter(type: FieldType): ValueWriter {
  const slot: FaultSlot = { code: 'INTERNAL', clause: '', place: '' }
  const write = writerOf(type, slot)
  return { write, fault: () => ({ ...slot }) }
}

/** The keys of an object one by one, for a caller that also wants to see single values. */
export function compileFields(type: ObjectType): {
  readonly fields: readonly CompiledField[]
  fault(): Fault
} {
  const slot: FaultSlot = { code: 'INTERNAL', clause: '', place: '' }
  return { fields: type.fields.map((field) => compileField(field, slot)), fault: () => ({ ...slot }) }
}

function writerOf(type: FieldType, slot: FaultSlot): WriteText {
  switch (type.kind) {
    case 'boolean':
      return (value) => (typeof value === 'boolean' ? String(value) : refuseType(slot, value, 'a boolean'))
    case 'string':
      return stringWriter(type, slot)
    case 'integer':
      return integerWriter(type, slot)
    case 'double':
      return numberWriter(type, slot)
    case 'decimal':
      return writeDecimal(type.precision, type.scale, slot)
    case 'timestamp':
      return timestampWriter(type.offset === true, slot)
    case 'date':
      return (value) => {
        if (typeof value !== 'string') return refuseType(slot, value, 'a date')
        return isDate(value) ? `"${value}"` : refuse(slot, 'EVENT_FIELD_FORMAT', 'is not a date that exists')
      }
    case 'uuid':
      return uuidWriter(type.version, slot)
    case 'array':
      return arrayWriter(type, slot)
    case 'object':
      return objectWriter(type, slot)
    case 'map':
      return mapWriter(type, slot)
    case 'json':
      return (value) => writeJson(value, slot)
    default:
      return unreachable(type)
  }
}

function timestampWriter(offset: boolean, slot: FaultSlot): WriteText {
  return (value) => {
    if (typeof value !== 'string') return refuseType(slot, value, 'a timestamp')
    const canonical = canonicalTimestamp(value, offset)
    if (canonical !== undefined) return `"${canonical}"`
    return refuse(slot, 'EVENT_FIELD_FORMAT', timestampFault(value, offset))
  }
}

/** As RFC 9562 has it: version 1 to 8 of its variant, or all zeros, or all ones. */
const uuidPattern =
  /^(?:[0-9a-f]{8}-[0-9a-f]{4}-([1-8])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|0{8}-0{4}-0{4}-0{4}-0{12}|f{8}-f{4}-f{4}-f{4}-f{12})$/

function uuidWriter(version: number | undefined, slot: FaultSlot): WriteText {
  const wanted = version === undefined ? undefined : String(version)
  return (value) => {
    if (typeof value !== 'string') return refuseType(slot, value, 'a UUID')
    const canonical = value.toLowerCase()
    const match = uuidPattern.exec(canonical)
    if (match === null) return refuse(slot, 'EVENT_FIELD_FORMAT', 'is not a UUID')
    if (wanted === undefined || match[1] === wanted) return `"${canonical}"`
    return refuse(slot, 'EVENT_FIELD_FORMAT', `is not a UUID of version ${wanted}`)
  }
}

function arrayWriter(type: Extract<FieldType, { kind: 'array' }>, slot: FaultSlot): WriteText {
  const write = writerOf(type.element, slot)
  const { elementNullable, minItems = 0, maxItems = Number.POSITIVE_INFINITY } = type
  return (value) => {
    if (!Array.isArray(value)) return refuseType(slot, value, 'an array')
    if (value.length < minItems || value.length > maxItems) {
      const limit = value.length < minItems ? `fewer than ${minItems}` : `more than ${maxItems}`
      return refuse(slot, 'EVENT_FIELD_RANGE', `has ${limit} elements`)
    }
    let out = '['
    for (let index = 0; index < value.length; index++) {
      const element: unknown = value[index]
      const text = element === null ? writeNull(elementNullable, slot) : write(element)
      if (text === undefined) return within(slot, String(index))
      out += index === 0 ? text : `,${text}`
    }
    return `${out}]`
  }
}

function objectWriter(type: ObjectType, slot: FaultSlot): WriteText {
  const fields = type.fields.map((field) => compileField(field, slot))
  return (value) => {
    if (!isObject(value)) return refuseType(slot, value, 'an object')
    let out = ''
    for (const { name, prefix, find, write } of fields) {
      const text = write(find(value))
      if (text === undefined) return within(slot, name)
      if (text !== '') out += out === '' ? prefix + text : `,${prefix}${text}`
    }
    return `{${out}}`
  }
}

/** One key of an object, compiled. */
export interface CompiledField {
  readonly name: string
  /** The key with its colon. */
  readonly prefix: string
  /** The value in an object, under whichever of its names it has; undefined where it is missing. */
  readonly find: (object: Readonly<Record<string, unknown>>) => unknown
  /** Gives '' for a key that is rightly missing. */
  readonly write: WriteText
}

function compileField(field: Field, slot: FaultSlot): CompiledField {
  const { name, nullable } = field
  const mayMiss = field.optional || field.defaultValue !== undefined
  const writeValue = writerOf(field.type, slot)
  const write: WriteText = (value) => {
    if (value === undefined) {
      return mayMiss ? '' : refuse(slot, 'EVENT_FIELD_MISSING', 'is missing')
    }
    if (value === twoValues) {
      return refuse(slot, 'EVENT_FIELD_TWICE', 'is there under two of its names, with different values')
    }
    return value === null ? writeNull(nullable, slot) : writeValue(value)
  }
  return { name, prefix: `${JSON.stringify(name)}:`, find: finder(field, write), write }
}

/** Stands for the values of a field that an object has under several names, where they differ. */
const twoValues = Symbol('two values')

function finder(field: Field, write: WriteText): CompiledField['find'] {
  const { name, aliases } = field
  const own = ownFinder(name)
  if (aliases === undefined) return own
  const finders = aliases.map(ownFinder)
  return (object) => {
    let found = own(object)
    for (const find of finders) {
      const other = find(object)
      if (other === undefined) continue
      if (found === undefined) found = other
      else if (write(found) !== write(other)) return twoValues
    }
    return found
  }
}

/** Every object has some names from its prototype. */
function ownFinder(name: string): CompiledField['find'] {
  if (name in Object.prototype) return (object) => (Object.hasOwn(object, name) ? object[name] : undefined)
  return (object) => object[name]
}

function mapWriter(type: Extract<FieldType, { kind: 'map' }>, slot: FaultSlot): WriteText {
  const write = writerOf(type.value, slot)
  return (value) => {
    if (!isObject(value)) return refuseType(slot, value, 'an object')
    return writeKeys(value, slot, (member) =>
      member === null ? writeNull(type.valueNullable, slot) : write(member),
    )
  }
}

function writeJson(value: unknown, slot: FaultSlot): string | undefined {
  if (typeof value === 'string') return writeString(value, slot)
  if (typeof value === 'number' || value instanceof ExactNumeral) {
    const source = typeof value === 'number' ? String(value) : value.source
    const text = canonicalJsonNumeral(source)
    return text ?? refuse(slot, 'EVENT_FIELD_RANGE', 'is a number that needs more digits than a double keeps')
  }
  if (typeof value === 'boolean' || value === null) return String(value)
  if (Array.isArray(value)) {
    const parts: string[] = []
    for (let index = 0; index < value.length; index++) {
      const text = writeJson(value[index], slot)
      if (text === undefined) return within(slot, String(index))
      parts.push(text)
    }
    return `[${parts.join(',')}]`
  }
  if (isObject(value)) return writeKeys(value, slot, (member) => writeJson(member, slot))
  return refuseType(slot, value, 'a JSON value')
}

function writeKeys(
  value: Readonly<Record<string, unknown>>,
  slot: FaultSlot,
  write: (member: unknown) => string | undefined,
): string | undefined {
  const parts: string[] = []
  for (const key of Object.keys(value).sort()) {
    const name = writeString(key, slot)
    const text = name === undefined ? undefined : write(value[key])
    if (text === undefined) return within(slot, key)
    parts.push(`${name}:${text}`)
  }
  return `{${parts.join(',')}}`
}

function writeNull(nullable: boolean, slot: FaultSlot): string | undefined {
  return nullable ? 'null' : refuse(slot, 'EVENT_FIELD_NULL', 'is null')
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof ExactNumeral)
  )
}
