/**
 * Values and what becomes of them, as a table; and the promise that the fast way and the general way never differ.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Field, FieldType, StreamDef } from '../model/schema.ts'
import { compileDecoder } from './decoder.ts'

function field(name: string, type: FieldType, more: Partial<Field> = {}): Field {
  return { name, type, optional: false, nullable: false, ...more }
}

function streamOf(fields: readonly Field[], more: Partial<StreamDef> = {}): StreamDef {
  const dedupe = { timeMs: 1000, count: 10 }
  return { name: 's', schema: { kind: 'object', fields }, partitions: 4, dedupe, latenessMs: 0, ...more }
}

const money: FieldType = { kind: 'decimal', precision: 18, scale: 2 }
const long: FieldType = { kind: 'integer', bits: 64, text: true }
const events = streamOf(
  [
    field('event_id', { kind: 'string' }),
    field('user_id', { kind: 'string' }, { optional: true, nullable: true }),
    field('revenue', money, { defaultValue: '0' }),
    field('ts', { kind: 'timestamp' }),
  ],
  { id: 'event_id', key: 'user_id', time: 'ts' },
)

test('a canonical event is its own canonical form, with id, key and time', () => {
  const text = '{"event_id":"e1","user_id":"u1","revenue":"12.5","ts":"2026-01-31T12:00:00.25Z"}'
  const timeUs = Date.UTC(2026, 0, 31, 12) * 1000 + 250_000
  assert.deepEqual(compileDecoder(events).decode(text), { ok: true, json: text, id: 'e1', key: 'u1', timeUs })
})

test('keys are put in order, unknown ones dropped, missing ones left out', () => {
  const text =
    ' {"ts" : "2026-01-31T12:00:00.000Z", "extra":[1,{"a":2}],"event_id":"a\\u0062\\n","__proto__":1}\r\n'
  assert.deepEqual(compileDecoder(events).decode(text), {
    ok: true,
    json: '{"event_id":"ab\\n","ts":"2026-01-31T12:00:00Z"}',
    id: 'ab\n',
    key: undefined,
    timeUs: Date.UTC(2026, 0, 31, 12) * 1000,
  })
})

test('of a key that comes twice the last one counts', () => {
  const decoder = compileDecoder(streamOf([field('a', long)]))
  assert.equal(json(decoder.decode('{"a":1,"a":2}')), '{"a":2}')
  assert.equal(json(decoder.decode('{"x":1,"a":2}')), '{"a":2}')
  const optional = compileDecoder(streamOf([field('a', long, { optional: true })]))
  assert.equal(json(optional.decode('{"a":1,"a":2}')), '{"a":2}')
})

test('names that every object has are fields like others', () => {
  const decoder = compileDecoder(
    streamOf([field('constructor', { kind: 'string' }, { optional: true }), field('toString', long)]),
  )
  assert.equal(json(decoder.decode('{"toString":5}')), '{"toString":5}')
  assert.equal(code(decoder.decode('{}')), 'EVENT_FIELD_MISSING')
})

/** Type, JSON text of the value, and its canonical text or the code it is refused with. */
const values: readonly (readonly [FieldType, string, string])[] = [
  [money, '12.50', '"12.5"'],
  [money, '"12.50"', '"12.5"'],
  [money, '"-0.00"', '"0"'],
  [money, '-0.5', '"-0.5"'],
  [money, '9999999999999999.99', '"9999999999999999.99"'],
  [money, '1e3', '"1000"'],
  [money, '1.230e1', '"12.3"'],
  [money, '1e-400', 'EVENT_FIELD_RANGE'],
  [money, '1e99999999999', 'EVENT_FIELD_RANGE'],
  [money, '0.005', 'EVENT_FIELD_RANGE'],
  [money, '12345678901234567.00', 'EVENT_FIELD_RANGE'],
  [money, '"12,5"', 'EVENT_FIELD_FORMAT'],
  [money, '" 12"', 'EVENT_FIELD_FORMAT'],
  [money, 'true', 'EVENT_FIELD_TYPE'],
  [money, '"007"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'decimal', precision: 38, scale: 0 }, '1'.repeat(38), `"${'1'.repeat(38)}"`],
  [long, '9223372036854775807', '9223372036854775807'],
  [long, '-9223372036854775808', '-9223372036854775808'],
  [long, '9223372036854775808', 'EVENT_FIELD_RANGE'],
  [long, '"9007199254740993"', '9007199254740993'],
  [long, '9007199254740993', '9007199254740993'],
  [long, '9007199254740993.0', '9007199254740993'],
  [long, '1.5', 'EVENT_FIELD_TYPE'],
  [long, '-0', '0'],
  [{ kind: 'integer', bits: 64 }, '"5"', 'EVENT_FIELD_TYPE'],
  [{ kind: 'integer', bits: 32 }, '2147483648', 'EVENT_FIELD_RANGE'],
  [{ kind: 'integer', bits: 32, minimum: '0' }, '-1', 'EVENT_FIELD_RANGE'],
  [{ kind: 'integer', bits: 64, maximum: '9007199254740992' }, '9007199254740993', 'EVENT_FIELD_RANGE'],
  [{ kind: 'integer', bits: 64, multipleOf: '5' }, '12', 'EVENT_FIELD_RANGE'],
  [{ kind: 'integer', bits: 64, values: ['1', '2'] }, '3', 'EVENT_FIELD_VALUE'],
  [{ kind: 'double' }, '0.10000000000000000555', '0.1'],
  [{ kind: 'double' }, '1.50', '1.5'],
  [{ kind: 'double' }, '1e400', 'EVENT_FIELD_RANGE'],
  [{ kind: 'double' }, '0.0000001', '1e-7'],
  [{ kind: 'double' }, '-0.0', '0'],
  [{ kind: 'double', minimum: 0 }, '-0.5', 'EVENT_FIELD_RANGE'],
  [{ kind: 'double', multipleOf: 0.1 }, '0.3', '0.3'],
  [{ kind: 'double', multipleOf: 0.1 }, '0.35', 'EVENT_FIELD_RANGE'],
  [{ kind: 'timestamp' }, '"2026-02-28T23:59:59.123456Z"', '"2026-02-28T23:59:59.123456Z"'],
  [{ kind: 'timestamp' }, '"2024-02-29T00:00Z"', '"2024-02-29T00:00:00Z"'],
  [{ kind: 'timestamp' }, '"2026-01-01T00:00:00.1234560000Z"', '"2026-01-01T00:00:00.123456Z"'],
  [{ kind: 'timestamp' }, '"2026-01-01T00:00:00.1234567Z"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'timestamp' }, '"2026-02-30T00:00:00Z"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'timestamp' }, '"2026-02-29T00:00:00Z"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'timestamp' }, '"1900-02-29T00:00:00Z"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'timestamp' }, '"2016-12-31T23:59:60Z"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'timestamp' }, '"2026-01-01T24:00:00Z"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'timestamp' }, '"0000-01-01T00:00:00Z"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'timestamp' }, '"2026-01-01T00:00:00+01:00"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'timestamp' }, '"2026-01-01 00:00:00Z"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'timestamp' }, '1767225600', 'EVENT_FIELD_TYPE'],
  [{ kind: 'timestamp', offset: true }, '"2026-01-01T00:30:00.5+01:00"', '"2025-12-31T23:30:00.5Z"'],
  [{ kind: 'timestamp', offset: true }, '"0001-01-01T00:30:00+01:00"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'timestamp', offset: true }, '"2026-01-01T00:30:00+25:00"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'date' }, '"2026-02-28"', '"2026-02-28"'],
  [{ kind: 'date' }, '"2026-02-29"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'date' }, '"2026-2-1"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'uuid' }, '"550E8400-E29B-41D4-A716-446655440000"', '"550e8400-e29b-41d4-a716-446655440000"'],
  [{ kind: 'uuid' }, '"00000000-0000-0000-0000-000000000000"', '"00000000-0000-0000-0000-000000000000"'],
  [{ kind: 'uuid', version: 7 }, '"550e8400-e29b-41d4-a716-446655440000"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'uuid' }, '"550e8400e29b41d4a716446655440000"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'boolean' }, 'true', 'true'],
  [{ kind: 'boolean' }, '1', 'EVENT_FIELD_TYPE'],
  [{ kind: 'string' }, '"\\ud83d\\ude00\\u0000"', '"😀\\u0000"'],
  [{ kind: 'string' }, '"\\ud83d"', 'EVENT_FIELD_TEXT'],
  [{ kind: 'string', minLength: 2, maxLength: 3 }, '"a"', 'EVENT_FIELD_RANGE'],
  [{ kind: 'string', minLength: 2, maxLength: 3 }, '"abcd"', 'EVENT_FIELD_RANGE'],
  [{ kind: 'string', patterns: ['^a', 'z$'] }, '"ab"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'string', patterns: ['^a', 'z$'] }, '"az"', '"az"'],
  [{ kind: 'string', values: ['on', 'off'] }, '"of"', 'EVENT_FIELD_VALUE'],
  [{ kind: 'string', url: {} }, '"not a url"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'string', url: { protocol: '^https$' } }, '"http://a.example/"', 'EVENT_FIELD_FORMAT'],
  [{ kind: 'string', url: {} }, '"https://a.example/?q"', '"https://a.example/?q"'],
  [{ kind: 'array', element: long, elementNullable: false }, '[1, 2,"3"]', '[1,2,3]'],
  [{ kind: 'array', element: long, elementNullable: false }, '[1,null]', 'EVENT_FIELD_NULL'],
  [{ kind: 'array', element: long, elementNullable: true, minItems: 1 }, '[]', 'EVENT_FIELD_RANGE'],
  [
    { kind: 'map', value: long, valueNullable: true },
    '{"b":1,"a":null,"__proto__":2}',
    '{"__proto__":2,"a":null,"b":1}',
  ],
  [{ kind: 'map', value: long, valueNullable: false }, '[]', 'EVENT_FIELD_TYPE'],
  [
    { kind: 'object', fields: [field('b', long), field('a', money)] },
    '{"a":1.10,"b":2}',
    '{"b":2,"a":"1.1"}',
  ],
  [{ kind: 'object', fields: [field('b', long)] }, '{"a":1}', 'EVENT_FIELD_MISSING'],
  [
    { kind: 'json' },
    '{"z":[1.0,1e2,"x",true,null],"a":18446744073709551615}',
    '{"a":18446744073709551615,"z":[1,100,"x",true,null]}',
  ],
  [{ kind: 'json' }, '0.30000000000000004', '0.30000000000000004'],
  [{ kind: 'json' }, '0.10000000000000001', '0.1'],
  [{ kind: 'json' }, '0.1000000000000000055511', 'EVENT_FIELD_RANGE'],
  [{ kind: 'json' }, '184467440737095516150', 'EVENT_FIELD_RANGE'],
  [{ kind: 'json' }, '2e19', '20000000000000000000'],
  [{ kind: 'json' }, '1e400', 'EVENT_FIELD_RANGE'],
  [{ kind: 'json' }, '"\\ud800"', 'EVENT_FIELD_TEXT'],
]

test('each value is written canonically or refused with its code, on both ways and again', () => {
  for (const [type, text, expected] of values) {
    const stream = streamOf([field('v', type)])
    for (const fast of [true, false]) {
      const decoder = compileDecoder(stream, undefined, { fast })
      const decoded = decoder.decode(`{"v":${text}}`)
      const what = `${JSON.stringify(type)} ${text} ${decoded.ok ? decoded.json : decoded.reason}`
      if (expected.startsWith('EVENT_')) assert.equal(code(decoded), expected, what)
      else {
        assert.equal(json(decoded), `{"v":${expected}}`, what)
        assert.equal(json(decoder.decode(json(decoded))), json(decoded), what)
      }
    }
  }
})

test('a refusal names the place and the reason', () => {
  const type: FieldType = {
    kind: 'array',
    elementNullable: false,
    element: { kind: 'object', fields: [field('a/b', money)] },
  }
  const decoded = compileDecoder(streamOf([field('lines', type)])).decode(
    '{"lines":[{"a/b":1},{"a/b":1.005}]}',
  )
  assert.deepEqual(decoded, {
    ok: false,
    code: 'EVENT_FIELD_RANGE',
    reason: '"lines/1/a~1b" has more than 2 digits after the point',
    place: '/lines/1/a~1b',
  })
})

test('what is no object, no JSON or too deep is refused as a whole', () => {
  const decoder = compileDecoder(events, { depth: 3 })
  assert.equal(code(decoder.decode('{"a":')), 'EVENT_NOT_JSON')
  assert.equal(code(decoder.decode('')), 'EVENT_NOT_JSON')
  assert.equal(code(decoder.decode('{"event_id":"a"} {}')), 'EVENT_NOT_JSON')
  assert.equal(code(decoder.decode('[1]')), 'EVENT_NOT_OBJECT')
  assert.equal(code(decoder.decode('null')), 'EVENT_NOT_OBJECT')
  assert.equal(code(decoder.decode('{"a":[[[1]]]}')), 'EVENT_TOO_DEEP')
  assert.equal(code(decoder.decode('{"a":"[[[[[["}')), 'EVENT_FIELD_MISSING')
  const deep = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`
  assert.equal(code(compileDecoder(events).decode(deep)), 'EVENT_TOO_DEEP')
})

test('event time keeps to what a count of microseconds holds exactly', () => {
  const decoder = compileDecoder(streamOf([field('ts', { kind: 'timestamp' })], { time: 'ts' }))
  assert.equal(code(decoder.decode('{"ts":"9999-12-31T00:00:00Z"}')), 'EVENT_FIELD_RANGE')
  const early = decoder.decode('{"ts":"1700-01-01T00:00:00.000001Z"}')
  assert.ok(early.ok && early.timeUs === Date.UTC(1700, 0, 1) * 1000 + 1)
})

test('a key that is missing counts as its default', () => {
  const stream = streamOf([field('k', long, { defaultValue: 7 })], { key: 'k' })
  for (const fast of [true, false]) {
    const decoded = compileDecoder(stream, undefined, { fast }).decode('{}')
    assert.ok(decoded.ok && decoded.key === '7' && decoded.json === '{}')
  }
})

test('an event is decoded where it stands in a longer text', () => {
  const text = 'xx {"event_id":"e1","ts":"2026-01-31T12:00:00Z"} yy'
  for (const fast of [true, false]) {
    const decoded = compileDecoder(events, undefined, { fast }).decode(text, 2, text.length - 2)
    assert.equal(json(decoded), '{"event_id":"e1","ts":"2026-01-31T12:00:00Z"}')
  }
  assert.equal(code(compileDecoder(events).decode(text, 3, 20)), 'EVENT_NOT_JSON')
})

test('the fast way and the general way give the same for any text', () => {
  const everything = streamOf(
    [
      field('s', { kind: 'string' }, { nullable: true }),
      field('m', { kind: 'string', minLength: 1, values: ['a', 'bb'] }, { optional: true }),
      field('i', { kind: 'integer', bits: 32 }, { optional: true }),
      field('l', long, { optional: true }),
      field('f', { kind: 'double' }, { optional: true }),
      field('d', { kind: 'decimal', precision: 5, scale: 2 }, { optional: true, nullable: true }),
      field('t', { kind: 'timestamp' }, { optional: true }),
      field('y', { kind: 'date' }, { optional: true }),
      field('u', { kind: 'uuid' }, { optional: true }),
      field('b', { kind: 'boolean' }, { optional: true }),
      field('g', { kind: 'double', minimum: -5, exclusiveMaximum: 100 }, { optional: true }),
      field('v', { kind: 'uuid', version: 4 }, { optional: true }),
      field(
        'k',
        { kind: 'integer', bits: 64, minimum: '-9', maximum: '9007199254740991' },
        { optional: true },
      ),
      field('a', { kind: 'array', element: money, elementNullable: true }, { optional: true }),
      field(
        'o',
        { kind: 'object', fields: [field('x', long), field('t', { kind: 'timestamp' }, { optional: true })] },
        { optional: true },
      ),
    ],
    { id: 's', key: 'l', time: 't' },
  )
  const fast = compileDecoder(everything)
  const general = compileDecoder(everything, undefined, { fast: false })
  let accepted = 0
  fc.assert(
    fc.property(eventTexts(everything.schema.fields.map(({ name }) => name)), (text) => {
      const decoded = general.decode(text)
      assert.deepEqual(fast.decode(text), decoded)
      if (!decoded.ok) return
      accepted++
      for (const decoder of [fast, general]) assert.deepEqual(decoder.decode(decoded.json), decoded)
    }),
    { numRuns: Number(process.env['REFOLD_RUNS'] ?? 3000) },
  )
  assert.ok(accepted > 100, `only ${accepted} were accepted`)
})

/** Events built from texts that are right, nearly right and wrong. */
function eventTexts(names: readonly string[]): fc.Arbitrary<string> {
  const numerals = fc.stringMatching(/^-?(0|[1-9]\d{0,3})(\.\d{1,4})?([eE][+-]?\d)?$/)
  const wild = fc.stringMatching(/^-?[0-9.eE+-]{1,22}$/)
  const times = fc.stringMatching(
    /^20[0-2]\d-[01]\d-[0-3]\d(T[012]\d:[0-5]\d(:[0-6]\d(\.\d{1,7})?)?(Z|\+01:00))?$/,
  )
  const quoted = (texts: fc.Arbitrary<string>) => texts.map((text) => `"${text}"`)
  const scalar = fc.oneof(
    fc.constantFrom('null', 'true', 'false', '"a"', '"bb"', '"\\n"', '"\\ud800"', '""', '"é😀"', 'nul', '"a'),
    numerals,
    wild,
    quoted(numerals),
    quoted(times),
    quoted(fc.uuid()),
    fc.string().map((text) => JSON.stringify(text)),
  )
  const value = fc.oneof(
    { weight: 6, arbitrary: scalar },
    { weight: 1, arbitrary: fc.array(scalar, { maxLength: 3 }).map((items) => `[${items.join(',')}]`) },
    { weight: 1, arbitrary: fc.array(scalar, { maxLength: 3 }).map((items) => `[${items.join(', ')}]`) },
    { weight: 1, arbitrary: fc.tuple(scalar, scalar).map(([x, t]) => `{"x":${x},"t":${t}}`) },
  )
  const member = (name: string): fc.Arbitrary<string> => {
    const likely: Record<string, fc.Arbitrary<string>> = {
      s: fc.string().map((text) => JSON.stringify(text)),
      m: fc.constantFrom('"a"', '"bb"', '"c"'),
      t: quoted(times),
      y: quoted(times),
      u: quoted(fc.uuid()),
      v: quoted(fc.uuid()),
      b: fc.constantFrom('true', 'false'),
    }
    const usual = likely[name] ?? fc.oneof(numerals, quoted(numerals))
    return fc
      .oneof({ weight: 9, arbitrary: usual }, { weight: 1, arbitrary: value })
      .map((text) => `"${name}":${text}`)
  }
  const members = fc
    .subarray([...names], { minLength: 0 })
    .chain((chosen) => fc.tuple(...chosen.map(member), fc.oneof(member('s'), member('zz'))))
  return fc
    .tuple(
      members,
      fc.constantFrom('{', ' {', '{ '),
      fc.constantFrom(',', ',', ', ', ' ,'),
      fc.constantFrom('}', '} ', ' }', ''),
      fc.boolean(),
    )
    .map(([list, open, comma, close, spaced]) => {
      const text = open + list.join(comma) + close
      return spaced ? text.replace(/":/, '": ') : text
    })
}

function json(decoded: ReturnType<ReturnType<typeof compileDecoder>['decode']>): string {
  assert.ok(decoded.ok, decoded.ok ? '' : `${decoded.code}: ${decoded.reason}`)
  return decoded.json
}

function code(decoded: ReturnType<ReturnType<typeof compileDecoder>['decode']>): string {
  return decoded.ok ? `accepted as ${decoded.json}` : decoded.code
}

test('a field that comes under a former name is stored under its own, on both ways', () => {
  const inner: FieldType = {
    kind: 'object',
    fields: [field('x', long, { aliases: ['y', 'z'], optional: true })],
  }
  const stream = streamOf(
    [
      field('id', { kind: 'string' }, { aliases: ['old_id'] }),
      field('n', long, { aliases: ['toString', 'count'], optional: true, nullable: true }),
      field('o', inner, { optional: true }),
      field('l', { kind: 'array', element: inner, elementNullable: false }, { optional: true }),
    ],
    { id: 'id', key: 'id' },
  )
  const cases: readonly (readonly [string, string])[] = [
    ['{"id":"a","n":1}', '{"id":"a","n":1}'],
    ['{"old_id":"a","count":1}', '{"id":"a","n":1}'],
    ['{"count":1,"old_id":"a"}', '{"id":"a","n":1}'],
    ['{"old_\\u0069d":"a"}', '{"id":"a"}'],
    ['{"id":"a","toString":9007199254740993}', '{"id":"a","n":9007199254740993}'],
    ['{"id":"a","n":null,"count":null}', '{"id":"a","n":null}'],
    ['{"id":"a","old_id":"a","n":2,"count":2.0}', '{"id":"a","n":2}'],
    ['{"id":"a","o":{"z":1}}', '{"id":"a","o":{"x":1}}'],
    ['{"id":"a","l":[{"x":1},{"y":2},{}]}', '{"id":"a","l":[{"x":1},{"x":2},{}]}'],
    ['{"id":"a","id":"b"}', '{"id":"b"}'],
    ['{"old_id":"a","id":"b"}', 'EVENT_FIELD_TWICE /id'],
    ['{"id":"a","n":1,"count":2}', 'EVENT_FIELD_TWICE /n'],
    ['{"id":"a","n":1,"count":null}', 'EVENT_FIELD_TWICE /n'],
    ['{"id":"a","o":{"y":1,"z":2}}', 'EVENT_FIELD_TWICE /o/x'],
    ['{"old_id":1}', 'EVENT_FIELD_TYPE /id'],
    ['{"n":1}', 'EVENT_FIELD_MISSING /id'],
  ]
  for (const fast of [true, false]) {
    const decoder = compileDecoder(stream, { depth: 64 }, { fast })
    for (const [text, expected] of cases) {
      const decoded = decoder.decode(text)
      assert.equal(decoded.ok ? decoded.json : `${decoded.code} ${decoded.place}`, expected, text)
      if (decoded.ok) assert.deepEqual([decoded.id, decoded.key], [decoded.id, decoded.id])
    }
  }
})
