/**
 * `stream`: names an event stream and the schema of its events. A wrong field name or a `time` that is no
 * timestamp fails in the editor with a sentence; loading checks everything again. No state.
 */

import type { z } from 'zod'
import type { Compatibility } from '../model/schema.ts'
import type { AliasOptions } from './resolve-aliases.ts'
import { callStack, type Duration, type RetentionOptions, type StreamSpec } from './spec.ts'

export interface StreamOptions<
  Schema extends z.ZodObject,
  Id extends string,
  Key extends string,
  Time extends string,
> {
  /** Zod object; limited to what JSON Schema can say, plus `decimal` and `int64`. */
  readonly schema: Schema
  /** Field whose value identifies an event: a second one within the dedupe window is a duplicate. */
  readonly id?: RequiredField<Schema, Id>
  /** Field whose value chooses the partition. Default: the events of a request stay together. */
  readonly key?: ExistingField<Schema, Key>
  /** Timestamp field that carries event time. */
  readonly time?: TimeField<Schema, Time>
  /** From 1 to 1024, fixed once the stream holds events. Default 4. */
  readonly partitions?: number
  /** How long an id is remembered: while it is within both bounds. Default 24 h and 10 million. */
  readonly dedupe?: { readonly window?: Duration; readonly count?: number }
  /**
   * Fields that had other names before: `{ new_name: 'old_name' }`, or several names, the newest first. A field within
   * objects is named by its path: `'address.zip'`, `'items[].sku'`. Events under an old name are read, and taken in,
   * under the new one.
   */
  readonly aliases?: AliasOptions
  /** What a change of the schema must keep while the log holds events. Default `backward`. */
  readonly compatibility?: Compatibility
  /** How far behind the latest event time the watermark stands. Default 0. */
  readonly lateness?: Duration
  /** How long events are kept, hot and cold: `{ hot: '1h', lake: '400d' }`. Default: the lake for ever. */
  readonly retention?: RetentionOptions
}

/** Declares a stream; put it into `project({ streams })`. */
export function stream<
  const Name extends string,
  Schema extends z.ZodObject,
  const Id extends string = never,
  const Key extends string = never,
  const Time extends string = never,
>(name: Name, options: StreamOptions<Schema, Id, Key, Time>): StreamSpec<Name, Schema> {
  return Object.freeze({
    kind: 'stream' as const,
    name,
    schema: options?.schema,
    id: options?.id as string | undefined,
    key: options?.key as string | undefined,
    time: options?.time as string | undefined,
    partitions: options?.partitions,
    dedupe: options?.dedupe,
    lateness: options?.lateness,
    aliases: options?.aliases,
    compatibility: options?.compatibility,
    retention: options?.retention,
    calledAt: callStack(stream),
  })
}

type FieldName<Schema extends z.ZodObject> = Extract<keyof Schema['shape'], string>

type ExistingField<Schema extends z.ZodObject, Name extends string> =
  Name extends FieldName<Schema> ? Name : FieldName<Schema> | Sentence<`the schema has no field "${Name}"`>

type RequiredField<Schema extends z.ZodObject, Name extends string> =
  Name extends FieldName<Schema>
    ? IsRequired<Schema['shape'][Name]> extends true
      ? Name
      : Sentence<`field "${Name}" may be missing or null; an id must always be there`>
    : FieldName<Schema> | Sentence<`the schema has no field "${Name}"`>

type TimeField<Schema extends z.ZodObject, Name extends string> =
  Name extends FieldName<Schema>
    ? Schema['shape'][Name] extends z.ZodISODateTime
      ? Name
      : Sentence<`field "${Name}" is no required z.iso.datetime(), which event time needs`>
    : FieldName<Schema> | Sentence<`the schema has no field "${Name}"`>

type IsRequired<Type> = undefined extends z.input<Type> ? false : null extends z.input<Type> ? false : true

/** A type that no value has, whose name is what the editor shows. */
interface Sentence<Text extends string> {
  readonly ' ': Text
}
