/**
 * The value model: what a field of an event may be, on its way from JSON text to the log, DuckDB and Parquet.
 * Frozen, JSON-writable data told apart by `kind`. It says exactly what JSON Schema can say, nothing more.
 */

import { unreachable } from '../std/assert.ts'

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue }

/** `sqlType` states DuckDB's type for each kind. */
export type FieldType =
  | { readonly kind: 'boolean' }
  | StringType
  | IntegerType
  | {
      readonly kind: 'double'
      readonly minimum?: number
      readonly maximum?: number
      readonly exclusiveMinimum?: number
      readonly exclusiveMaximum?: number
      readonly multipleOf?: number
    }
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number }
  /** `offset`: times may also end in an offset such as +02:00; kept in UTC either way. */
  | { readonly kind: 'timestamp'; readonly offset?: true }
  | { readonly kind: 'date' }
  /** RFC 9562; `version` allows only that one. */
  | { readonly kind: 'uuid'; readonly version?: number }
  | {
      readonly kind: 'array'
      readonly element: FieldType
      readonly elementNullable: boolean
      readonly minItems?: number
      readonly maxItems?: number
    }
  | ObjectType
  | { readonly kind: 'map'; readonly value: FieldType; readonly valueNullable: boolean }
  | { readonly kind: 'json' }

export interface StringType {
  readonly kind: 'string'
  readonly minLength?: number
  readonly maxLength?: number
  /** ECMAScript regular expression sources, all of which must match. */
  readonly patterns?: readonly string[]
  /** The allowed values, for enums and literals. */
  readonly values?: readonly string[]
  /** The text must be an absolute URL; with patterns for its scheme and its host name. */
  readonly url?: { readonly protocol?: string; readonly hostname?: string }
}

/** 32 bits: INTEGER, 64 bits: BIGINT. Exact from the source text on. Bounds are decimal strings, to stay exact. */
export interface IntegerType {
  readonly kind: 'integer'
  readonly bits: 32 | 64
  readonly minimum?: string
  readonly maximum?: string
  readonly multipleOf?: string
  /** The allowed values in canonical form, for literals. */
  readonly values?: readonly string[]
  /** Values may also come as strings. */
  readonly text?: true
}

export interface ObjectType {
  readonly kind: 'object'
  readonly fields: readonly Field[]
}

export interface Field {
  readonly name: string
  readonly type: FieldType
  /** The key may be missing. */
  readonly optional: boolean
  /** The value may be null. Never together with `defaultValue`: missing and null would become one. */
  readonly nullable: boolean
  /** Applied when an event is read, so that it also reaches events written before the field existed. */
  readonly defaultValue?: JsonValue
  /** Names that the field had before, newest first: events that have it under one of them are read as having this. */
  readonly aliases?: readonly string[]
}

/** A field as an older plan reads it: where its stream has widened it since, values may be of the wider type. */
export interface ReadField extends Field {
  readonly wider?: FieldType
}

/** All names of a field, its own first. */
export function namesOf(field: Field): readonly string[] {
  return field.aliases === undefined ? [field.name] : [field.name, ...field.aliases]
}

/**
 * What must fit when a schema changes while the log holds events. `backward`: every event in the log fits the new
 * schema. `forward`: every event that the new schema lets in fits the schemas before it. `full`: both. `none`: it is
 * enough that old events can be read at all.
 */
export type Compatibility = 'backward' | 'forward' | 'full' | 'none'

/** A stream as the running system sees it, lowered from what a user wrote. */
export interface StreamDef {
  readonly name: string
  readonly schema: ObjectType
  /** Top-level field whose value identifies an event for deduplication. */
  readonly id?: string
  /** Top-level field whose value chooses the partition; without one, whole requests rotate over partitions. */
  readonly key?: string
  /** Top-level timestamp field that carries event time. */
  readonly time?: string
  readonly partitions: number
  /** The dedupe window: an id is remembered while it is within both bounds. */
  readonly dedupe: { readonly timeMs: number; readonly count: number }
  /** How far behind the latest event time the watermark stands. */
  readonly latenessMs: number
  /** What a change of the schema must keep; left out: `backward`. */
  readonly compatibility?: Compatibility
  /** Left out: moved events leave the hot log at once, and the lake keeps them for ever. */
  readonly retention?: RetentionDef
}

export interface RetentionDef {
  /** How long events stay in the hot log after the lake has them. Segments hold all streams: the longest wins. */
  readonly hotMs?: number
  /** How much of the lake is kept: files go that are older, and the oldest while it is larger. */
  readonly lake?: {
    readonly ageMs?: number
    readonly bytes?: number
    /** The states that versions need are recorded as bases first; else nothing goes that a version needs. */
    readonly promote: boolean
  }
}

/** DuckDB's name for a field's type. */
export function sqlType(type: FieldType): string {
  switch (type.kind) {
    case 'boolean':
      return 'BOOLEAN'
    case 'string':
      return 'VARCHAR'
    case 'integer':
      return type.bits === 32 ? 'INTEGER' : 'BIGINT'
    case 'double':
      return 'DOUBLE'
    case 'decimal':
      return `DECIMAL(${type.precision},${type.scale})`
    case 'timestamp':
      return 'TIMESTAMP'
    case 'date':
      return 'DATE'
    case 'uuid':
      return 'UUID'
    case 'array':
      return `${sqlType(type.element)}[]`
    case 'object':
      return `STRUCT(${type.fields.map((field) => `${quoteIdentifier(field.name)} ${sqlType(field.type)}`).join(', ')})`
    case 'map':
      return `MAP(VARCHAR, ${sqlType(type.value)})`
    case 'json':
      return 'JSON'
    default:
      return unreachable(type)
  }
}

/** A name as a quoted SQL identifier. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** A text as a quoted SQL string literal. */
export function quoteLiteral(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
