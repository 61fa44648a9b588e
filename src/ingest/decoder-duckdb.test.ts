/**
 * What the log holds is what SQL sees: canonical events are read by DuckDB's own NDJSON reader with the schema's SQL
 * types, written to Parquet and read again, and compared with values that are worked out here from how each text
 * was built, not with the decoder's rules.
 */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { DuckDBInstance } from '@duckdb/node-api'
import fc from 'fast-check'
import { type Field, type FieldType, quoteIdentifier, type StreamDef, sqlType } from '../model/schema.ts'
import { compileDecoder } from './decoder.ts'

interface Sample {
  /** JSON text as a producer may send it. */
  readonly source: string
  /** The value as DuckDB prints it. */
  readonly expected: string
}

const digits = (min: number, max: number) =>
  fc.array(fc.integer({ min: 0, max: 9 }), { minLength: min, maxLength: max }).map((list) => list.join(''))

function json(text: string): string {
  return JSON.stringify(text)
}

/** A decimal from its digits: DuckDB prints all digits of the scale. */
function decimal(precision: number, scale: number): fc.Arbitrary<Sample> {
  return fc
    .tuple(fc.boolean(), digits(1, precision - scale), digits(0, scale), fc.boolean())
    .map(([negative, wholeDigits, fraction, quoted]) => {
      const whole = wholeDigits.replace(/^0+(?=\d)/, '')
      const sign = negative ? '-' : ''
      const text = `${sign}${whole}${fraction === '' ? '' : `.${fraction}`}`
      const zero = /^[0.]*$/.test(whole + fraction)
      const expected = `${zero ? '' : sign}${whole}.${fraction.padEnd(scale, '0')}`
      return { source: quoted ? json(text) : text, expected }
    })
}

function integer(bits: 32 | 64): fc.Arbitrary<Sample> {
  const edge = 1n << BigInt(bits - 1)
  return fc
    .bigInt({ min: -edge, max: edge - 1n })
    .map((value) => ({ source: String(value), expected: String(value) }))
}

const time: fc.Arbitrary<Sample> = fc
  .tuple(
    fc.date({
      min: new Date('0001-01-02T00:00:00Z'),
      max: new Date('9999-12-30T00:00:00Z'),
      noInvalidDate: true,
    }),
    digits(0, 6),
    fc.integer({ min: -14 * 60, max: 14 * 60 }),
  )
  .map(([date, fraction, offset]) => {
    const seconds = (ms: number) => new Date(ms).toISOString().slice(0, 19)
    const whole = Math.floor(date.getTime() / 1000) * 1000
    const clock = (minutes: number) =>
      `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`
    const zone = offset === 0 ? 'Z' : `${offset < 0 ? '-' : '+'}${clock(Math.abs(offset))}`
    const source = json(`${seconds(whole + offset * 60_000)}${fraction === '' ? '' : `.${fraction}`}${zone}`)
    const shown = fraction.replace(/0+$/, '')
    return { source, expected: seconds(whole).replace('T', ' ') + (shown === '' ? '' : `.${shown}`) }
  })

const text: fc.Arbitrary<Sample> = fc
  .string({ unit: 'binary', maxLength: 12 })
  .filter((value) => value.isWellFormed())
  .map((value) => ({ source: json(value), expected: Buffer.from(value).toString('hex').toUpperCase() }))

const double: fc.Arbitrary<Sample> = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => ({
  source: String(value),
  expected: Buffer.from(new Float64Array([value + 0]).buffer).toString('hex'),
}))

const kinds: readonly {
  readonly type: FieldType
  readonly samples: fc.Arbitrary<Sample>
  readonly show: string
}[] = [
  { type: { kind: 'decimal', precision: 18, scale: 2 }, samples: decimal(18, 2), show: 'v::VARCHAR' },
  { type: { kind: 'decimal', precision: 38, scale: 10 }, samples: decimal(38, 10), show: 'v::VARCHAR' },
  { type: { kind: 'integer', bits: 64, text: true }, samples: integer(64), show: 'v::VARCHAR' },
  { type: { kind: 'integer', bits: 32 }, samples: integer(32), show: 'v::VARCHAR' },
  { type: { kind: 'timestamp', offset: true }, samples: time, show: 'v::VARCHAR' },
  { type: { kind: 'string' }, samples: text, show: 'hex(v)' },
  { type: { kind: 'double' }, samples: double, show: 'v' },
]

test('DuckDB reads every accepted value exactly, from the log and from Parquet', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'refold-decoder-'))
  const connection = await (await DuckDBInstance.create()).connect()
  try {
    for (const { type, samples, show } of kinds) {
      const decoder = compileDecoder(streamOf([{ name: 'v', type, optional: false, nullable: false }]))
      const list = fc.sample(samples, Number(process.env['REFOLD_RUNS'] ?? 2000))
      const lines = list.map(({ source }) => {
        const decoded = decoder.decode(`{"v":${source}}`)
        assert.ok(decoded.ok, decoded.ok ? '' : `${source}: ${decoded.reason}`)
        return decoded.json
      })
      const file = path.join(folder, 'events.ndjson')
      await writeFile(file, `${lines.join('\n')}\n`)
      await connection.run(
        `CREATE OR REPLACE TABLE t AS SELECT * FROM read_ndjson('${file}', columns = {v: '${sqlType(type)}'})`,
      )
      await connection.run(`COPY t TO '${folder}/t.parquet' (FORMAT parquet)`)
      for (const from of ['t', `'${folder}/t.parquet'`]) {
        const result = await connection.runAndReadAll(`SELECT ${show} AS v FROM ${from}`)
        const seen = result
          .getRows()
          .map(([value]) => (typeof value === 'number' ? bytesOf(value) : String(value)))
        assert.equal(seen.length, list.length)
        seen.forEach((value, index) => {
          assert.equal(
            value,
            list[index]?.expected,
            `${sqlType(type)} from ${list[index]?.source} by ${from}`,
          )
        })
      }
    }
  } finally {
    connection.closeSync()
    await rm(folder, { recursive: true })
  }
})

test('DuckDB reads nested, missing and null values as the schema says', async () => {
  const fields: Field[] = [
    { name: 'missing', type: { kind: 'string' }, optional: true, nullable: false },
    { name: 'none', type: { kind: 'uuid' }, optional: false, nullable: true },
    {
      name: 'list',
      type: { kind: 'array', element: { kind: 'date' }, elementNullable: true },
      optional: false,
      nullable: false,
    },
    {
      name: 'inner',
      type: {
        kind: 'object',
        fields: [{ name: 'flag', type: { kind: 'boolean' }, optional: false, nullable: false }],
      },
      optional: false,
      nullable: false,
    },
    {
      name: 'map',
      type: { kind: 'map', value: { kind: 'integer', bits: 64 }, valueNullable: false },
      optional: false,
      nullable: false,
    },
    { name: 'any', type: { kind: 'json' }, optional: false, nullable: true },
  ]
  const decoded = compileDecoder(streamOf(fields)).decode(
    '{"any":{"n":[18446744073709551615,-9223372036854775808,0.30000000000000004],"s":"é\\u0001"},"map":{"b":2,"a":1},"list":["2024-02-29",null],"none":null,"inner":{"flag":true}}',
  )
  assert.ok(decoded.ok)
  const connection = await (await DuckDBInstance.create()).connect()
  const folder = await mkdtemp(path.join(os.tmpdir(), 'refold-decoder-'))
  try {
    await writeFile(path.join(folder, 'e.ndjson'), `${decoded.json}\n`)
    const columns = fields.map(
      ({ name, type }) => `${quoteIdentifier(name)}: '${sqlType(type).replaceAll("'", "''")}'`,
    )
    const result = await connection.runAndReadAll(
      `SELECT missing, none, list::VARCHAR, "inner".flag, map['a'], map_keys(map)::VARCHAR, "any"->>'$.n[0]', "any"->>'$.n[1]', "any"->>'$.n[2]', hex("any"->>'$.s') FROM read_ndjson('${folder}/e.ndjson', columns = {${columns.join(', ')}})`,
    )
    assert.deepEqual(result.getRowsJson(), [
      [
        null,
        null,
        '[2024-02-29, NULL]',
        true,
        '1',
        '[a, b]',
        '18446744073709551615',
        '-9223372036854775808',
        '0.30000000000000004',
        'C3A901',
      ],
    ])
  } finally {
    connection.closeSync()
    await rm(folder, { recursive: true })
  }
})

function streamOf(fields: readonly Field[]): StreamDef {
  return {
    name: 's',
    schema: { kind: 'object', fields },
    partitions: 1,
    dedupe: { timeMs: 0, count: 0 },
    latenessMs: 0,
  }
}

function bytesOf(value: number): string {
  return Buffer.from(new Float64Array([value + 0]).buffer).toString('hex')
}
