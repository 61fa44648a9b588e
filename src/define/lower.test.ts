/** What each Zod type becomes, and which are refused; the expected side is written by hand. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import type { Field } from '../model/schema.ts'
import { decimal, int64 } from './exact.ts'
import { lowerSchema } from './lower.ts'

function lowerField(schema: z.ZodType): { field: Field | undefined; mistakes: string[] } {
  const mistakes: string[] = []
  const lowered = lowerSchema(z.object({ v: schema }), (path, message) => {
    mistakes.push(`${path.join('.')}: ${message}`)
  })
  return { field: lowered?.fields[0], mistakes }
}

const safe = { minimum: '-9007199254740991', maximum: '9007199254740991' }

const accepted: readonly (readonly [string, z.ZodType, object])[] = [
  ['string', z.string(), { kind: 'string' }],
  ['string bounds', z.string().min(2).max(5), { kind: 'string', minLength: 2, maxLength: 5 }],
  ['string length', z.string().length(4), { kind: 'string', minLength: 4, maxLength: 4 }],
  ['regex', z.string().regex(/^a+$/), { kind: 'string', patterns: ['^a+$'] }],
  ['two patterns', z.string().startsWith('a').regex(/z$/), { kind: 'string', patterns: ['^a.*', 'z$'] }],
  ['described', z.string().describe('a text').meta({ title: 'T' }), { kind: 'string' }],
  ['brand', z.string().brand('Id'), { kind: 'string' }],
  ['readonly', z.string().readonly(), { kind: 'string' }],
  ['timestamp', z.iso.datetime(), { kind: 'timestamp' }],
  ['timestamp with offset', z.iso.datetime({ offset: true }), { kind: 'timestamp', offset: true }],
  ['date', z.iso.date(), { kind: 'date' }],
  ['uuid', z.uuid(), { kind: 'uuid' }],
  ['uuid v7', z.uuidv7(), { kind: 'uuid', version: 7 }],
  ['url', z.url(), { kind: 'string', url: {} }],
  ['url of a scheme', z.url({ protocol: /^https$/ }), { kind: 'string', url: { protocol: '^https$' } }],
  ['enum', z.enum(['a', 'b']), { kind: 'string', values: ['a', 'b'] }],
  ['enum of integers', z.enum({ A: 1, B: 2 }), { kind: 'integer', bits: 32, values: ['1', '2'] }],
  ['literal', z.literal('a'), { kind: 'string', values: ['a'] }],
  ['union of literals', z.union([z.literal('a'), z.literal('b')]), { kind: 'string', values: ['a', 'b'] }],
  [
    'template',
    z.templateLiteral(['a.', z.number()]),
    { kind: 'string', patterns: ['^a\\.-?\\d+(?:\\.\\d+)?$'] },
  ],
  ['number', z.number(), { kind: 'double' }],
  ['number bounds', z.number().min(1).lt(9), { kind: 'double', minimum: 1, exclusiveMaximum: 9 }],
  ['int', z.int(), { kind: 'integer', bits: 64, ...safe }],
  ['number().int()', z.number().int(), { kind: 'integer', bits: 64, ...safe }],
  ['int above 0', z.int().positive(), { kind: 'integer', bits: 64, ...safe, minimum: '1' }],
  ['int32', z.int32(), { kind: 'integer', bits: 32 }],
  ['int32 step', z.int32().multipleOf(5), { kind: 'integer', bits: 32, multipleOf: '5' }],
  ['uint32', z.uint32(), { kind: 'integer', bits: 64, minimum: '0', maximum: '4294967295' }],
  ['int64', int64(), { kind: 'integer', bits: 64, text: true }],
  ['decimal', decimal(18, 2), { kind: 'decimal', precision: 18, scale: 2 }],
  ['decimal described', decimal(18, 2).describe('money'), { kind: 'decimal', precision: 18, scale: 2 }],
  ['boolean', z.boolean(), { kind: 'boolean' }],
  [
    'array',
    z.array(z.boolean().nullable()).min(1),
    { kind: 'array', element: { kind: 'boolean' }, elementNullable: true, minItems: 1 },
  ],
  [
    'record',
    z.record(z.string(), z.boolean()),
    { kind: 'map', value: { kind: 'boolean' }, valueNullable: false },
  ],
  ['json', z.json(), { kind: 'json' }],
  ['unknown', z.unknown(), { kind: 'json' }],
]

test('what JSON Schema can say is lowered', () => {
  for (const [what, schema, type] of accepted) {
    const { field, mistakes } = lowerField(schema)
    assert.deepEqual(mistakes, [], what)
    assert.deepEqual(field?.type, type, what)
  }
})

const refused: readonly (readonly [string, z.ZodType])[] = [
  ['transform', z.string().transform(Number)],
  ['pipe', z.string().pipe(z.string())],
  ['preprocess', z.preprocess(String, z.string())],
  ['codec', z.codec(z.string(), z.number(), { decode: Number, encode: String })],
  ['stringbool', z.stringbool()],
  ['refine', z.string().refine(() => true)],
  ['refine of a number', z.number().refine(() => true)],
  ['refine of a boolean', z.boolean().refine(() => true)],
  ['refine of an array', z.array(z.string()).refine(() => true)],
  ['refine of an object', z.object({ a: z.string() }).refine(() => true)],
  ['refine of a record', z.record(z.string(), z.string()).refine(() => true)],
  ['superRefine', z.string().superRefine(() => {})],
  ['check', z.string().check(() => {})],
  ['custom', z.custom()],
  ['instanceof', z.instanceof(Date)],
  ['trim', z.string().trim()],
  ['lower case', z.string().toLowerCase()],
  ['overwrite', z.string().overwrite((text) => text)],
  ['regex with flag', z.string().regex(/a/i)],
  ['base64', z.base64()],
  ['jwt', z.jwt()],
  ['format by code', z.stringFormat('x', () => true)],
  ['coerce', z.coerce.number()],
  ['coerce a string', z.coerce.string()],
  ['catch', z.string().catch('x')],
  ['prefault', z.string().prefault('x')],
  ['date', z.date()],
  ['bigint', z.bigint()],
  ['int64 of Zod', z.int64()],
  ['map', z.map(z.string(), z.string())],
  ['set', z.set(z.string())],
  ['tuple', z.tuple([z.string()])],
  ['union of types', z.union([z.string(), z.number()])],
  [
    'discriminated union',
    z.discriminatedUnion('t', [z.object({ t: z.literal('a') }), z.object({ t: z.literal('b') })]),
  ],
  ['intersection', z.intersection(z.object({ a: z.string() }), z.object({ b: z.string() }))],
  ['null', z.null()],
  ['undefined', z.undefined()],
  ['never', z.never()],
  ['nan', z.nan()],
  ['symbol', z.symbol()],
  ['function', z.function() as unknown as z.ZodType],
  ['promise', z.promise(z.string())],
  ['file', z.file()],
  ['recursive', z.lazy(() => z.object({ a: z.string() }))],
  ['strict object', z.strictObject({ a: z.string() })],
  ['loose object', z.looseObject({ a: z.string() })],
  ['empty object', z.object({})],
  ['record by enum', z.record(z.enum(['a']), z.string())],
  ['optional element', z.array(z.string().optional())],
  ['local time', z.iso.datetime({ local: true })],
  ['fixed precision', z.iso.datetime({ precision: 3 })],
  ['checked uuid', z.uuid().startsWith('7')],
  ['mixed literals', z.literal(['a', 1])],
  ['literal true', z.literal(true)],
  ['decimal of 39 digits', decimal(39, 2)],
  ['int step', z.int().multipleOf(0.5)],
  ['default and null', z.string().nullable().default('x')],
  ['default and null, inside out', z.string().default('x').nullable()],
  ['changing default', z.string().default(() => String(Math.random()))],
  ['default out of bounds', z.string().max(2).default('long')],
  ['default of too many digits', decimal(5, 2).default('1.234')],
]

test('what it cannot say is refused with the path and a sentence', () => {
  for (const [what, schema] of refused) {
    const { mistakes } = lowerField(schema)
    assert.ok(mistakes.length > 0, `${what} was accepted`)
    assert.match(mistakes[0] ?? '', /^v(\.\S+)?: \S/, what)
  }
})

test('a refusal inside of arrays, records and objects names the whole path', () => {
  const paths: string[] = []
  const schema = z.object({ a: z.array(z.object({ b: z.record(z.string(), z.date()) })), c: z.date() })
  lowerSchema(schema, (path) => paths.push(path.join('.')))
  assert.deepEqual(paths, ['a.[].b.{}', 'c'])
})

test('optional, nullable and default are kept apart', () => {
  const flags = (schema: z.ZodType) => {
    const { field } = lowerField(schema)
    return [field?.optional, field?.nullable, field?.defaultValue]
  }
  assert.deepEqual(flags(z.string()), [false, false, undefined])
  assert.deepEqual(flags(z.string().optional()), [true, false, undefined])
  assert.deepEqual(flags(z.string().nullable()), [false, true, undefined])
  assert.deepEqual(flags(z.string().nullish()), [true, true, undefined])
  assert.deepEqual(flags(z.union([z.string(), z.null()])), [false, true, undefined])
  assert.deepEqual(flags(z.string().default('x')), [false, false, 'x'])
  assert.deepEqual(flags(decimal(18, 2).default('1.50')), [false, false, '1.5'])
  assert.deepEqual(flags(int64().default(7)), [false, false, 7])
  assert.deepEqual(flags(int64().default('9223372036854775807')), [false, false, '9223372036854775807'])
  assert.deepEqual(flags(z.unknown()), [false, true, undefined])
})

test('names that SQL cannot tell apart, or that the system keeps, are refused', () => {
  const mistakes: string[] = []
  lowerSchema(z.object({ a: z.string(), A: z.string(), _x: z.string(), '': z.string() }), (path, message) => {
    mistakes.push(`${path.join('.')}: ${message}`)
  })
  assert.equal(mistakes.length, 3)
  assert.match(mistakes[0] ?? '', /^A: .*"a"/)
  assert.match(mistakes[1] ?? '', /^_x: /)
  assert.match(mistakes[2] ?? '', /empty/)
})

test('the types themselves check and print as they should', () => {
  assert.equal(decimal(18, 2).parse('1.50'), '1.5')
  assert.equal(decimal(18, 2).parse(3), '3')
  assert.equal(decimal(18, 2).safeParse('1.234').success, false)
  assert.equal(decimal(18, 2).safeParse('x').success, false)
  assert.equal(int64().parse('12'), 12)
  assert.equal(int64().parse('9223372036854775807'), '9223372036854775807')
  assert.equal(int64().safeParse('9223372036854775808').success, false)
  assert.ok(z.toJSONSchema(z.object({ a: decimal(18, 2), b: int64() })))
})
