/** Which changes of a stream old events survive, by hand. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import type { StreamDef } from '../model/schema.ts'
import { decimal, int64 } from './exact.ts'
import { lowerSchema } from './lower.ts'
import { changeFaults, checkStreamChange, refusedChanges } from './stream-change.ts'

function streamOf(shape: z.ZodRawShape, more: Partial<StreamDef> = {}): StreamDef {
  const schema = lowerSchema(z.object(shape), (_path, message) => assert.fail(message))
  assert.ok(schema)
  return { name: 's', schema, partitions: 4, dedupe: { timeMs: 1, count: 1 }, latenessMs: 0, ...more }
}

function change(old: z.ZodRawShape, next: z.ZodRawShape): string[] {
  return checkStreamChange(streamOf(old), streamOf(next)).map(({ message }) => message)
}

const text = z.string()

test('changes that old events fit are allowed', () => {
  assert.deepEqual(change({ a: text }, { a: text }), [])
  assert.deepEqual(change({ a: text }, { a: text, b: text.optional() }), [])
  assert.deepEqual(change({ a: text }, { b: text.default('x'), a: text }), [])
  assert.deepEqual(change({ a: text }, { a: text.optional() }), [])
  assert.deepEqual(change({ a: text }, { a: text.nullable() }), [])
  assert.deepEqual(change({ a: text.optional() }, { a: text.default('x') }), [])
  assert.deepEqual(change({ a: z.int32() }, { a: int64() }), [])
  assert.deepEqual(change({ a: decimal(10, 2) }, { a: decimal(12, 4) }), [])
  assert.deepEqual(change({ a: z.int32() }, { a: decimal(12, 2) }), [])
  assert.deepEqual(change({ a: z.int() }, { a: decimal(18, 2) }), [])
  assert.deepEqual(change({ a: int64() }, { a: decimal(21, 2) }), [])
  assert.deepEqual(change({ a: text.max(9) }, { a: text.max(5) }), [])
  assert.deepEqual(change({ a: z.enum(['x']) }, { a: z.enum(['x', 'y']) }), [])
  assert.deepEqual(change({ a: z.enum(['x']) }, { a: text }), [])
  assert.deepEqual(change({ a: z.iso.datetime() }, { a: z.iso.datetime({ offset: true }) }), [])
})

/** Old, new, and a part of the reason. */
const refused: readonly (readonly [z.ZodRawShape, z.ZodRawShape, RegExp])[] = [
  [{ a: text, b: text }, { a: text }, /"b" was removed/],
  [{ a: text }, { a: text, b: text }, /"b" is new and required/],
  [{ a: text.optional() }, { a: text }, /"a" became required/],
  [{ a: text.default('x') }, { a: text }, /"a" became required/],
  [{ a: text.nullable() }, { a: text }, /"a" may no longer be null/],
  [{ a: text }, { a: z.int() }, /"a" changed from VARCHAR to BIGINT/],
  [{ a: int64() }, { a: z.int32() }, /BIGINT to INTEGER/],
  [{ a: z.int() }, { a: z.number() }, /BIGINT to DOUBLE/],
  [{ a: int64() }, { a: decimal(18, 2) }, /BIGINT to DECIMAL\(18,2\)/],
  [{ a: z.int32() }, { a: decimal(11, 2) }, /INTEGER to DECIMAL\(11,2\)/],
  [{ a: z.int() }, { a: decimal(38, 20) }, /BIGINT to DECIMAL\(38,20\)/],
  [{ a: decimal(12, 4) }, { a: decimal(12, 5) }, /DECIMAL\(12,4\) to DECIMAL\(12,5\)/],
  [{ a: decimal(12, 4) }, { a: decimal(14, 2) }, /DECIMAL/],
  [{ a: text }, { a: z.json() }, /VARCHAR to JSON/],
  [{ a: text }, { a: z.iso.date() }, /VARCHAR to DATE/],
  [{ a: z.enum(['x', 'y']) }, { a: z.enum(['x']) }, /no longer allows "y"/],
  [{ a: text }, { a: z.enum(['x']) }, /closed list/],
  [{ o: z.object({ a: text, b: text }) }, { o: z.object({ a: text }) }, /"o\.b" was removed/],
  [{ o: z.array(z.object({ a: text })) }, { o: z.array(z.object({ a: z.int() })) }, /"o\[\]\.a" changed/],
  [{ o: z.array(text.nullable()) }, { o: z.array(text) }, /"o\[\]" may no longer be null/],
  [{ o: z.record(z.string(), text) }, { o: z.record(z.string(), z.boolean()) }, /"o\{\}" changed/],
]

test('changes that old events do not fit are refused with the reason', () => {
  for (const [old, next, reason] of refused) {
    const found = change(old, next)
    assert.equal(found.length, 1, String(reason))
    assert.match(found[0] ?? '', reason)
  }
})

test('partitions and key stay as they are; all reasons come at once', () => {
  const old = streamOf({ a: text, b: text }, { key: 'a' })
  const next = streamOf({ a: text }, { key: 'b', partitions: 8 })
  const found = checkStreamChange(old, next, { file: 'f.ts', line: 3, column: 1 })
  assert.deepEqual(
    found.map(({ code, place }) => [code, place?.line]),
    [
      ['STREAM_CHANGED', 3],
      ['STREAM_CHANGED', 3],
      ['STREAM_CHANGED', 3],
    ],
  )
})

/** The stream with former names for some of its top-level fields. */
function named(stream: StreamDef, aliases: Readonly<Record<string, readonly string[]>>): StreamDef {
  const fields = stream.schema.fields.map((field) => {
    const names = aliases[field.name]
    return names === undefined ? field : { ...field, aliases: names }
  })
  return { ...stream, schema: { kind: 'object', fields } }
}

test('a renamed field is the same field, as key, id and time too', () => {
  const old = streamOf({ a: text, at: z.iso.datetime() }, { id: 'a', key: 'a', time: 'at' })
  const next = streamOf({ b: text.optional(), on: z.iso.datetime() }, { id: 'b', key: 'b', time: 'on' })
  const both = { b: ['a'], on: ['at'] }
  assert.deepEqual(checkStreamChange(old, named(next, both)), [])
  const reasons = checkStreamChange(old, next).map(({ message }) => message)
  assert.equal(reasons.length, 6, reasons.join('\n'))
  const typed = named(streamOf({ b: z.int(), at: z.iso.datetime() }, { id: 'b', key: 'b', time: 'at' }), both)
  assert.match(checkStreamChange(old, typed)[0]?.message ?? '', /"a" changed from VARCHAR to BIGINT/)
})

test('every schema counts, and one fault of several schemas is said once', () => {
  const first = streamOf({ a: text })
  const second = streamOf({ a: text, b: text.optional() })
  const next = streamOf({ a: z.int(), b: text })
  const held = [
    { since: 0, def: first },
    { since: 7, def: second },
  ]
  assert.deepEqual(
    refusedChanges(held, next).map(({ field, rule, since }) => [field, rule, since]),
    [
      ['a', 'read', [0, 7]],
      ['b', 'backward', [0]],
      ['b', 'backward', [7]],
    ],
  )
  assert.deepEqual(refusedChanges([], next), [])
})

test('forward looks from the other side', () => {
  const rules = (old: z.ZodRawShape, next: z.ZodRawShape) =>
    changeFaults(streamOf(old), streamOf(next)).map(({ rule }) => rule)
  assert.deepEqual(rules({ a: text }, { a: text, b: text.optional() }), [])
  assert.deepEqual(rules({ a: text }, { a: text, b: text }), ['backward'])
  assert.deepEqual(rules({ a: text, b: text }, { a: text }), ['backward', 'forward'])
  assert.deepEqual(rules({ a: text, b: text.optional() }, { a: text }), ['backward'])
  assert.deepEqual(rules({ a: text }, { a: text.optional() }), ['forward'])
  assert.deepEqual(rules({ a: text }, { a: text.nullable() }), ['forward'])
  assert.deepEqual(rules({ a: z.int32() }, { a: int64() }), ['forward'])
  assert.deepEqual(rules({ a: z.enum(['x']) }, { a: z.enum(['x', 'y']) }), ['forward'])
  assert.deepEqual(rules({ a: z.enum(['x', 'y']) }, { a: z.enum(['x']) }), ['backward'])
  assert.deepEqual(rules({ a: z.array(text) }, { a: z.array(text.nullable()) }), ['forward'])
  assert.deepEqual(rules({ a: text }, { a: z.boolean() }), ['read'])
})
