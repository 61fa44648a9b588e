/**
 * For tests: random schemas, and events of them as canonical JSON text, made without the code that reads or writes
 * them elsewhere. No state.
 */

import fc from 'fast-check'
import type { Field, FieldType, StreamDef } from '../../src/model/schema.ts'

export const streamArbitrary: fc.Arbitrary<StreamDef> = fc
  .array(fieldArbitrary(2), { minLength: 1, maxLength: 6 })
  .map((fields) => ({
    ...{ name: 'events', schema: { kind: 'object', fields: named(fields) }, partitions: 4 },
    ...{ dedupe: { timeMs: 0, count: 0 }, latenessMs: 0 },
  }))

/** Canonical text of an event of the schema. */
export function eventArbitrary(fields: readonly Field[]): fc.Arbitrary<string> {
  const members = fields.map((field) => {
    const choices = [valueArbitrary(field.type)]
    if (field.nullable) choices.push(fc.constant('null'))
    if (field.optional || field.defaultValue !== undefined) choices.push(fc.constant(''))
    return fc.oneof(...choices).map((text) => (text === '' ? '' : `${JSON.stringify(field.name)}:${text}`))
  })
  return fc.tuple(...members).map((texts) => `{${texts.filter((text) => text !== '').join(',')}}`)
}

function fieldArbitrary(depth: number): fc.Arbitrary<Omit<Field, 'name'>> {
  return fc.record({ type: typeArbitrary(depth), optional: fc.boolean(), nullable: fc.boolean() })
}

const oddNames = ['plain', 'two words', 'quo"te', "apo'strophe", 'select', 'é', 'dot.ted', 'back\\slash']

function named(fields: readonly Omit<Field, 'name'>[]): Field[] {
  return fields.map((field, index) => ({ ...field, name: `${oddNames[index % oddNames.length]}${index}` }))
}

function typeArbitrary(depth: number): fc.Arbitrary<FieldType> {
  const scalars: fc.Arbitrary<FieldType>[] = [
    fc.constantFrom<FieldType>(
      { kind: 'boolean' },
      { kind: 'string' },
      { kind: 'integer', bits: 32 },
      { kind: 'integer', bits: 64 },
      { kind: 'double' },
      { kind: 'timestamp' },
      { kind: 'date' },
      { kind: 'uuid' },
      { kind: 'json' },
    ),
    fc
      .tuple(fc.integer({ min: 1, max: 38 }), fc.integer({ min: 0, max: 38 }))
      .map(([precision, scale]) => ({ kind: 'decimal', precision, scale: Math.min(precision, scale) })),
  ]
  if (depth === 0) return fc.oneof(...scalars)
  const nested: fc.Arbitrary<FieldType>[] = [
    fc
      .record({ element: typeArbitrary(depth - 1), elementNullable: fc.boolean() })
      .map((array) => ({ kind: 'array', ...array })),
    fc
      .array(fieldArbitrary(depth - 1), { minLength: 1, maxLength: 3 })
      .map((fields) => ({ kind: 'object', fields: named(fields) })),
    fc
      .record({ value: typeArbitrary(depth - 1), valueNullable: fc.boolean() })
      .map((map) => ({ kind: 'map', ...map })),
  ]
  return fc.oneof(
    { weight: 3, arbitrary: fc.oneof(...scalars) },
    { weight: 2, arbitrary: fc.oneof(...nested) },
  )
}

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.constantFrom(
    '',
    '\u0000',
    '\u001f\u007f',
    '\u2028',
    '"\\/',
    '😀',
    'null',
    '2024-01-01',
    '1',
    ',"events":',
  ),
)

function valueArbitrary(type: FieldType): fc.Arbitrary<string> {
  switch (type.kind) {
    case 'boolean':
      return fc.boolean().map(String)
    case 'string':
      return text.map((value) => JSON.stringify(value))
    case 'integer': {
      const edge = 2n ** BigInt(type.bits - 1)
      return fc.bigInt({ min: -edge, max: edge - 1n }).map(String)
    }
    case 'double':
      return fc
        .double({ noNaN: true, noDefaultInfinity: true })
        .map((value) => String(value === 0 ? 0 : value))
    case 'decimal':
      return decimalArbitrary(type.precision, type.scale)
    case 'timestamp':
      return fc
        .bigInt({ min: -62_135_596_800_000_000n, max: 253_402_300_799_999_999n })
        .map((micros) => JSON.stringify(timestamp(micros)))
    case 'date':
      return fc
        .integer({ min: -719_162, max: 2_932_896 })
        .map((day) => `"${new Date(day * 86_400_000).toISOString().slice(0, 10)}"`)
    case 'uuid':
      return fc.uuid().map((value) => JSON.stringify(value))
    case 'array':
      return fc
        .array(orNull(type.element, type.elementNullable), { maxLength: 3 })
        .map((items) => `[${items.join(',')}]`)
    case 'object':
      return eventArbitrary(type.fields)
    case 'map':
      return fc.dictionary(text, orNull(type.value, type.valueNullable), { maxKeys: 3 }).map(sortedObject)
    case 'json':
      return fc
        .jsonValue({ maxDepth: 2 })
        .filter((value) => value !== null)
        .map(canonicalJson)
  }
}

function orNull(type: FieldType, nullable: boolean): fc.Arbitrary<string> {
  return nullable ? fc.oneof(valueArbitrary(type), fc.constant('null')) : valueArbitrary(type)
}

function decimalArbitrary(precision: number, scale: number): fc.Arbitrary<string> {
  const edge = 10n ** BigInt(precision)
  return fc.bigInt({ min: 1n - edge, max: edge - 1n }).map((value) => {
    const digits = String(value < 0n ? -value : value).padStart(scale + 1, '0')
    const whole = digits.slice(0, digits.length - scale)
    const fraction = digits.slice(digits.length - scale).replace(/0+$/, '')
    return `"${value < 0n ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}"`
  })
}

function timestamp(micros: bigint): string {
  const low = ((micros % 1000n) + 1000n) % 1000n
  const iso = new Date(Number((micros - low) / 1000n)).toISOString()
  const fraction = `${iso.slice(20, 23)}${String(low).padStart(3, '0')}`.replace(/0+$/, '')
  return `${iso.slice(0, 19)}${fraction === '' ? '' : `.${fraction}`}Z`
}

function sortedObject(members: Record<string, string>): string {
  const keys = Object.keys(members).sort()
  return `{${keys.map((key) => `${JSON.stringify(key)}:${members[key]}`).join(',')}}`
}

function canonicalJson(value: unknown): string {
  if (typeof value === 'number') return String(value === 0 ? 0 : value)
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return sortedObject(
    Object.fromEntries(Object.entries(value).map(([key, member]) => [key, canonicalJson(member)])),
  )
}
