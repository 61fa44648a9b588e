/** What makes a new version of a view and what does not (law of identity, for one hash). */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import type { StreamDef } from '../model/schema.ts'
import { decimal } from './exact.ts'
import { versionId } from './identity.ts'
import { lowerSchema } from './lower.ts'

function streamOf(name: string, schema: z.ZodObject, more: Partial<StreamDef> = {}): StreamDef {
  const lowered = lowerSchema(schema, (_path, message) => assert.fail(message))
  assert.ok(lowered)
  return { name, schema: lowered, partitions: 4, dedupe: { timeMs: 1, count: 1 }, latenessMs: 0, ...more }
}

const base = z.object({
  id: z.string(),
  n: z.int(),
  price: decimal(18, 2),
  inner: z.object({ a: z.string().optional() }),
})
const sql = 'SELECT id FROM events'
const version = versionId({ printedSql: sql, streams: [streamOf('events', base)] })

function of(schema: z.ZodObject, more: Partial<StreamDef> = {}): string {
  return versionId({ printedSql: sql, streams: [streamOf('events', schema, more)] })
}

test('a version is a SHA-256 that stays the same for the same input', () => {
  assert.match(version, /^[0-9a-f]{64}$/)
  assert.equal(of(base), version)
})

test('what decides rows makes a new version', () => {
  const others = [
    versionId({ printedSql: `${sql} WHERE true`, streams: [streamOf('events', base)] }),
    versionId({ printedSql: sql, streams: [streamOf('evts', base)] }),
    of(base.extend({ more: z.string().optional() })),
    of(base.extend({ n: z.int32() })),
    versionId({ printedSql: sql, streams: [streamOf('events', base)], late: 'hold' }),
    of(base.extend({ price: decimal(18, 3) })),
    of(base.extend({ n: z.int().default(0) })),
    of(base.extend({ n: z.int().default(1) })),
    of(base.extend({ inner: z.object({ a: z.string().default('x') }) })),
    of(z.object({ n: base.shape.n, id: base.shape.id, price: base.shape.price, inner: base.shape.inner })),
  ]
  assert.equal(new Set([version, ...others]).size, others.length + 1)
})

test('what does not decide rows makes none', () => {
  assert.equal(of(base.extend({ id: z.string().max(5) })), version)
  assert.equal(of(base.extend({ id: z.string().optional() })), version)
  assert.equal(of(base, { id: 'id', key: 'id', partitions: 9, latenessMs: 5 }), version)
  const two = [streamOf('a', base), streamOf('b', base)]
  const turned = versionId({ printedSql: sql, streams: [...two].reverse() })
  assert.equal(versionId({ printedSql: sql, streams: two }), turned)
})

/** The version of a view that reads these fields. */
function reading(printedSql: string, fields: readonly string[], schema: z.ZodObject): string {
  return versionId({ printedSql, streams: [streamOf('events', schema)], fields: { events: fields } })
}

test('only fields that a view reads make a new version of it', () => {
  const id = reading(sql, ['id'], base)
  assert.equal(reading(sql, ['id'], base.extend({ more: z.string().optional() })), id)
  assert.equal(reading(sql, ['id'], base.extend({ n: z.int32() })), id)
  assert.equal(reading(sql, ['id'], z.object({ n: base.shape.n, id: base.shape.id })), id)
  assert.notEqual(reading(sql, ['id', 'n'], base), id)
  assert.notEqual(reading(sql, ['id'], base.extend({ id: z.string().default('') })), id)
  assert.notEqual(
    reading('SELECT * FROM events', ['id', 'n'], base),
    reading('SELECT * FROM events', ['n'], base),
  )
})

test('a former name counts for the field that has it, at any depth, and for no other', () => {
  const [stream] = [streamOf('events', base)]
  const named = (name: string, aliases: readonly string[]): StreamDef => ({
    ...stream,
    schema: {
      kind: 'object',
      fields: stream.schema.fields.map((field) => (field.name === name ? { ...field, aliases } : field)),
    },
  })
  const of = (def: StreamDef) => versionId({ printedSql: sql, streams: [def], fields: { events: ['id'] } })
  assert.notEqual(of(named('id', ['key'])), of(stream))
  assert.equal(of(named('n', ['count'])), of(stream))
  const inner = {
    ...stream,
    schema: {
      kind: 'object',
      fields: stream.schema.fields.map((field) =>
        field.type.kind === 'object'
          ? { ...field, type: { kind: 'object', fields: [{ ...field.type.fields[0]!, aliases: ['z'] }] } }
          : field,
      ),
    },
  } as const satisfies StreamDef
  const whole = (def: StreamDef) => versionId({ printedSql: sql, streams: [def] })
  assert.notEqual(whole(inner), whole(stream))
})
