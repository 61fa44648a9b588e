/**
 * For tests: a schema that changes step by step in ways that are allowed, and events as their producers write them.
 * What a reader must see is kept beside the events in plain data and worked out here, without the code that reads
 * them elsewhere. State: the fields as they are now, and everything that was sent.
 */

import type { Field, FieldType, ObjectType, StreamDef } from '../../src/model/schema.ts'

/** A field through all its names and types; the value of an event is kept by `uid`. */
interface EvolvingField {
  readonly uid: number
  name: string
  aliases: string[]
  type: Scalar | { kind: 'object' | 'list'; fields: EvolvingField[] }
  optional: boolean
  nullable: boolean
  defaultValue?: string | number
}

type Scalar =
  | { kind: 'integer'; bits: 32 | 64 }
  | { kind: 'decimal'; precision: number; scale: number }
  | { kind: 'string'; values?: string[] }

/** By uid: a text or a number's text, null, the values within, or for a list the values of each element. */
type Value = string | null | Values | Values[]
interface Values {
  readonly [uid: number]: Value
}

export interface SentEvent {
  readonly values: Values
  /** As the producer wrote it, under names of its choice among those known. */
  readonly json: string
}

export class Evolution {
  readonly #random: () => number
  #fields: EvolvingField[] = []
  #uids = 0

  constructor(random: () => number) {
    this.#random = random
    for (let count = 0; count < 3; count++) this.#fields.push(this.#newField(0, false))
    this.#fields.push(this.#nested('object'), this.#nested('list'))
  }

  /** The stream as its project declares it now. */
  get stream(): StreamDef {
    const dedupe = { timeMs: 0, count: 0 }
    return { name: 'events', schema: lowered(this.#fields), partitions: 4, dedupe, latenessMs: 0 }
  }

  /** One allowed change, somewhere. */
  change(): void {
    const owners = [
      this.#fields,
      ...this.#fields.flatMap(({ type }) => ('fields' in type ? [type.fields] : [])),
    ]
    const fields = this.#pick(owners)
    const field = this.#pick(fields)
    const nested = 'fields' in field.type
    switch (Math.floor(this.#random() * 5)) {
      case 0:
        fields.splice(Math.floor(this.#random() * (fields.length + 1)), 0, this.#newField(1, true))
        return
      case 1:
        field.aliases.unshift(field.name)
        field.name = this.#name()
        return
      case 2:
        if (!nested) widen(field, this.#random)
        return
      case 3:
        if (field.defaultValue === undefined) field.nullable = true
        return
      default:
        if (field.defaultValue !== undefined) return
        if (nested || field.nullable || this.#random() < 0.5) field.optional = true
        else {
          field.optional = false
          field.defaultValue = this.#constant(field.type as Scalar)
        }
    }
  }

  event(): SentEvent {
    const values: Record<number, Value> = {}
    const json = this.#write(this.#fields, values)
    return { values, json }
  }

  /** The columns that a reader with today's schema sees of an event, as text; what is missing shows its default. */
  expected(values: Values): Record<string, string | null> {
    return Object.fromEntries(
      this.#fields.flatMap((field): [string, string | null][] => {
        if (!('fields' in field.type)) return [[field.name, shown(field, values[field.uid])]]
        const value = values[field.uid] ?? null
        return field.type.fields.map((inner) => {
          const column = `${field.name}.${inner.name}`
          if (value === null) return [column, null]
          if (!Array.isArray(value)) return [column, shown(inner, (value as Values)[inner.uid])]
          const items = value.map((element) => shown(inner, element[inner.uid]) ?? 'NULL')
          return [column, `[${items.join(', ')}]`]
        })
      }),
    )
  }

  /** SQL of the same columns over a relation with the fields of the stream. */
  columns(): readonly string[] {
    return this.#fields.flatMap(({ name, type }) => {
      if (!('fields' in type)) return [`CAST("${name}" AS VARCHAR) AS "${name}"`]
      return type.fields.map((inner) =>
        type.kind === 'object'
          ? `CAST("${name}"."${inner.name}" AS VARCHAR) AS "${name}.${inner.name}"`
          : `CAST(list_transform("${name}", lambda e: CAST(e."${inner.name}" AS VARCHAR)) AS VARCHAR) AS "${name}.${inner.name}"`,
      )
    })
  }

  /** A copy that stays as it is now. */
  snapshot(): Evolution {
    const copy = new Evolution(() => 0)
    copy.#fields = structuredClone(this.#fields)
    return copy
  }

  #newField(depth: number, late: boolean): EvolvingField {
    const types: Scalar[] = [
      { kind: 'integer', bits: 32 },
      { kind: 'integer', bits: 64 },
      { kind: 'decimal', precision: 6, scale: 2 },
      { kind: 'string' },
      { kind: 'string', values: ['x', 'y'] },
    ]
    const type = this.#pick(types)
    const more =
      this.#random() < 0.5 ? { defaultValue: this.#constant(type), optional: false } : { optional: true }
    const needed = late || depth > 0 ? more : { optional: false }
    return { uid: this.#uids++, name: this.#name(), aliases: [], type, nullable: false, ...needed }
  }

  #nested(kind: 'object' | 'list'): EvolvingField {
    const fields = [this.#newField(0, false), this.#newField(0, false)]
    const type = { kind, fields }
    return { uid: this.#uids++, name: this.#name(), aliases: [], type, optional: false, nullable: false }
  }

  #name(): string {
    return `f${this.#uids}_${Math.floor(this.#random() * 1e6)}`
  }

  #write(fields: readonly EvolvingField[], values: Record<number, Value>): string {
    const members: string[] = []
    for (const field of fields) {
      if ((field.optional || field.defaultValue !== undefined) && this.#random() < 0.3) continue
      const name = this.#pick([field.name, field.name, ...field.aliases])
      const [value, text] =
        field.nullable && this.#random() < 0.3 ? ([null, 'null'] as const) : this.#value(field)
      values[field.uid] = value
      members.push(`${JSON.stringify(name)}:${text}`)
    }
    return `{${members.join(',')}}`
  }

  #value({ type }: EvolvingField): readonly [Value, string] {
    if ('fields' in type) {
      if (type.kind === 'object') {
        const inner: Record<number, Value> = {}
        const text = this.#write(type.fields, inner)
        return [inner, text]
      }
      const elements: Values[] = []
      const texts = Array.from({ length: Math.floor(this.#random() * 3) }, () => {
        const inner: Record<number, Value> = {}
        elements.push(inner)
        return this.#write(type.fields, inner)
      })
      return [elements, `[${texts.join(',')}]`]
    }
    const constant = String(this.#constant(type))
    return [constant, type.kind === 'integer' ? constant : JSON.stringify(constant)]
  }

  #constant(type: Scalar): string | number {
    const random = this.#random
    if (type.kind === 'string')
      return type.values === undefined ? `s${Math.floor(random() * 9)}` : this.#pick(type.values)
    if (type.kind === 'integer') {
      const most = type.bits === 32 ? 2 ** 31 - 1 : Number.MAX_SAFE_INTEGER
      return Math.floor((random() * 2 - 1) * most)
    }
    const digits = type.precision - type.scale
    const whole = String(1 + Math.floor(random() * 8)).repeat(digits)
    const fraction = String(1 + Math.floor(random() * 8)).repeat(type.scale)
    return type.scale === 0 ? whole : `${whole}.${fraction}`
  }

  #pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#random() * list.length)] as T
  }
}

function widen(field: EvolvingField, random: () => number): void {
  const type = field.type as Scalar
  if (type.kind === 'integer') {
    if (type.bits === 32 && random() < 0.5) field.type = { kind: 'integer', bits: 64 }
    else {
      field.type = { kind: 'decimal', precision: 24, scale: 3 }
      if (field.defaultValue !== undefined) field.defaultValue = String(field.defaultValue)
    }
  } else if (type.kind === 'decimal') {
    const scale = type.scale + 1
    if (type.precision + 2 <= 38) field.type = { kind: 'decimal', precision: type.precision + 2, scale }
  } else if (type.values !== undefined) {
    field.type =
      random() < 0.5
        ? { kind: 'string' }
        : { kind: 'string', values: [...type.values, `v${type.values.length}`] }
  }
}

/** The text of a value under a field's type of today. */
function shown(field: EvolvingField, value: Value | undefined): string | null {
  const found = value === undefined ? (field.defaultValue ?? null) : value
  if (found === null) return null
  const text = String(found)
  const type = field.type as Scalar
  if (type.kind !== 'decimal') return text
  const [whole = '0', fraction = ''] = text.split('.')
  return type.scale === 0 ? whole : `${whole}.${fraction.padEnd(type.scale, '0')}`
}

function lowered(fields: readonly EvolvingField[]): ObjectType {
  return {
    kind: 'object',
    fields: fields.map((field): Field => {
      const { name, optional, nullable, defaultValue, aliases } = field
      return {
        ...{ name, type: loweredType(field.type), optional, nullable },
        ...(defaultValue === undefined ? {} : { defaultValue }),
        ...(aliases.length === 0 ? {} : { aliases: [...aliases] }),
      }
    }),
  }
}

function loweredType(type: EvolvingField['type']): FieldType {
  if (!('fields' in type))
    return type.kind === 'string' && type.values !== undefined
      ? { ...type, values: [...type.values] }
      : { ...type }
  const object = lowered(type.fields)
  return type.kind === 'object' ? object : { kind: 'array', element: object, elementNullable: false }
}
