/**
 * The identity of a view's version: a hash of everything that decides its rows, and of nothing else. Two views with
 * the same version give the same rows at every cut; how and when slices are made, what happens on errors, and what
 * ingest lets in are no part of it. Pure.
 *
 * The parts are kept beside the version, so that a later one can say in which of them it differs.
 */

import { createHash } from 'node:crypto'
import type { CommitSeq, VersionId } from '../model/cut.ts'
import { type Field, type FieldType, type JsonValue, type StreamDef, sqlType } from '../model/schema.ts'
import type { CodeDef } from './code.ts'
import { type FunctionDef, functionHash, signatureOf } from './function-def.ts'

/** Raised when the same words come to mean other rows, so that every view is folded anew. */
const FORMAT = 1

export interface IdentityInput {
  /** The SQL as the parser prints it: comments and layout are gone, so they make no new version. */
  readonly printedSql: string
  /** The streams that the SQL reads. */
  readonly streams: readonly StreamDef[]
  /**
   * By stream the top-level fields that the plan reads; a stream that is left out counts whole. Another field decides
   * nothing: were a word of the SQL to mean it, the plan would read it (`test/identity-fields.test.ts`).
   */
  readonly fields?: Readonly<Record<string, readonly string[]>>
  readonly batch?: IdentityBatch
  /** Late events wait for a batch: at most cuts the rows are others. */
  readonly late?: 'hold'
  /** Functions in TypeScript that the SQL calls. */
  readonly functions?: readonly FunctionDef[]
}

/** What the second definition of a view adds. */
export interface IdentityBatch {
  /** As the parser prints it. */
  readonly sql: string
  readonly key: readonly string[]
  /** By column: a rule's name, or its expression. */
  readonly merge: Readonly<Record<string, string | { readonly sql: string }>>
  readonly approximate: readonly string[]
  /** Reference file → hash of its bytes. */
  readonly files: Readonly<Record<string, string>>
}

/** What decided a version, part by part. */
export interface IdentityParts {
  readonly format: number
  readonly sql: string
  readonly reads: readonly { readonly name: string; readonly fields: readonly IdentityField[] }[]
  /** Events up to this cut are no part of it; left out: all are. The same logic over less is another version. */
  readonly start?: CommitSeq
  readonly batch?: IdentityBatch
  /** Late events wait for a batch; left out: they do not. */
  readonly late?: 'hold'
  /** Functions in TypeScript, in the order of their names. */
  readonly functions?: readonly IdentityFunction[]
}

/** Of a function: the hash decides; the rest says in what two of them differ. */
export interface IdentityFunction {
  readonly name: string
  readonly hash: string
  readonly signature: string
  readonly nulls: 'skip' | 'pass'
  readonly code: Pick<CodeDef, 'entry' | 'files' | 'artefacts' | 'packages'>
}

/** What is kept with a version: its parts, and beside them the files that made its definition. */
export interface KeptIdentity extends IdentityParts {
  /** File, relative to the project's folder → hash of its text. No part of the version. */
  readonly sources: Readonly<Record<string, string>>
}

/** Name, SQL type, defaults and former names of a field and of the fields within it. */
export type IdentityField = readonly [name: string, type: string, more: JsonValue]

export function identityParts(input: IdentityInput): IdentityParts {
  const { printedSql, streams, fields = {}, batch, late, functions = [] } = input
  const reads = streams
    .map((stream) => {
      const used = fields[stream.name]
      const counts = (field: Field) => used === undefined || used.includes(field.name)
      return { name: stream.name, fields: stream.schema.fields.filter(counts).map(decisive) }
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  const more = {
    ...(batch === undefined ? {} : { batch }),
    ...(late === undefined ? {} : { late }),
    ...(functions.length === 0 ? {} : { functions: identityFunctions(functions) }),
  }
  return { format: FORMAT, sql: printedSql, reads, ...more }
}

function identityFunctions(functions: readonly FunctionDef[]): readonly IdentityFunction[] {
  return functions
    .map((def) => {
      const { entry, files, artefacts, packages } = def.code
      const code = { entry, files, artefacts, packages }
      return { name: def.name, hash: functionHash(def), signature: signatureOf(def), nulls: def.nulls, code }
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** SHA-256 in lower-case hex. */
export function versionOf(parts: IdentityParts): VersionId {
  const { format, sql, reads, start = 0, batch, late, functions = [] } = parts
  const more = {
    ...(start === 0 ? {} : { start }),
    ...(batch === undefined ? {} : { batch }),
    ...(late === undefined ? {} : { late }),
    ...(functions.length === 0 ? {} : { functions: functions.map(({ name, hash }) => [name, hash]) }),
  }
  const text = JSON.stringify({ format, sql, reads, ...more })
  return createHash('sha256').update(text).digest('hex')
}

/** The version that has this logic over all of history. */
export function wholeVersionOf({ start: _, ...logic }: IdentityParts): VersionId {
  return versionOf(logic)
}

export function versionId(input: IdentityInput): VersionId {
  return versionOf(identityParts(input))
}

/**
 * A field as its readers see it: name, SQL type, default, and the names under which older events have it. Bounds,
 * patterns, optional and nullable decide what comes into the log, not what a view makes of it; id, key, time and
 * partitions do neither. The order of fields counts, for `SELECT *`.
 */
function decisive(field: Field): IdentityField {
  return [field.name, sqlType(field.type), moreOf(field)]
}

function moreOf(field: Field): JsonValue {
  const inner = innerOf(field.type)
  return {
    ...(field.defaultValue === undefined ? {} : { value: field.defaultValue }),
    ...(field.aliases === undefined ? {} : { aliases: field.aliases }),
    ...(inner === null ? {} : { inner }),
  }
}

function innerOf(type: FieldType): JsonValue {
  if (type.kind === 'array') return innerOf(type.element)
  if (type.kind === 'map') return innerOf(type.value)
  return type.kind === 'object' ? type.fields.map(moreOf) : null
}
