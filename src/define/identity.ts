/**
 * The identity of a view's version: a hash of everything that decides its rows, and of nothing else. Two views with
 * the same version give the same rows at every cut; how and when slices are made, what happens on errors, and what
 * ingest lets in are no part of it. Pure.
 */

import { createHash } from 'node:crypto'
import type { VersionId } from '../model/cut.ts'
import { type JsonValue, type StreamDef, sqlType } from '../model/schema.ts'

/** Raised when the same words come to mean other rows, so that every view is folded anew. */
const FORMAT = 1

export interface IdentityInput {
  /** The SQL as the parser prints it: comments and layout are gone, so they make no new version. */
  readonly printedSql: string
  /** The streams that the SQL reads. */
  readonly streams: readonly StreamDef[]
}

/** SHA-256 in lower-case hex. */
export function versionId({ printedSql, streams }: IdentityInput): VersionId {
  const reads = streams
    .map((stream) => ({ name: stream.name, fields: stream.schema.fields.map(decisive) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  const text = JSON.stringify({ format: FORMAT, sql: printedSql, reads })
  return createHash('sha256').update(text).digest('hex')
}

/**
 * A field as its readers see it: name, SQL type, default. Bounds, patterns, optional and nullable decide what comes
 * into the log, not what a view makes of it; id, key, time and partitions do neither. The order of fields counts,
 * for `SELECT *`.
 */
function decisive(field: StreamDef['schema']['fields'][number]): JsonValue {
  return [field.name, sqlType(field.type), defaultsOf(field)]
}

/** The default of a field and of the fields within it. */
function defaultsOf(field: StreamDef['schema']['fields'][number]): JsonValue {
  const own = field.defaultValue === undefined ? {} : { value: field.defaultValue }
  const inner = innerDefaults(field.type)
  return inner === null ? own : { ...own, inner }
}

function innerDefaults(type: StreamDef['schema']['fields'][number]['type']): JsonValue {
  if (type.kind === 'array') return innerDefaults(type.element)
  if (type.kind === 'map') return innerDefaults(type.value)
  return type.kind === 'object' ? type.fields.map(defaultsOf) : null
}
