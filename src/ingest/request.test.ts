/** One request's body to prepared events: the same events in every format, positions, partitions, ids. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RefoldError } from '../model/errors.ts'
import { defaultIngestLimits } from '../model/limits.ts'
import type { StreamDef } from '../model/schema.ts'
import { createRequestReader } from './request.ts'

const stream: StreamDef = {
  name: 'notes',
  schema: {
    kind: 'object',
    fields: [
      { name: 'who', type: { kind: 'string' }, optional: true, nullable: true },
      { name: 'n', type: { kind: 'integer', bits: 64 }, optional: false, nullable: false },
    ],
  },
  key: 'who',
  partitions: 4,
  dedupe: { timeMs: 1, count: 1 },
  latenessMs: 0,
}

const event = fc.record(
  { who: fc.option(fc.string({ unit: 'grapheme' })), n: fc.oneof(fc.integer(), fc.constant('no number')) },
  { requiredKeys: ['n'] },
)

test('an array and lines give the same request, good and bad events alike', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(event, { minLength: 1, maxLength: 20 }),
      fc.constantFrom('\n', '\r\n', '\n\n', '\r\n \t\n'),
      async (events, newline) => {
        const reader = () => createRequestReader(stream, defaultIngestLimits)
        const texts = events.map((each) => JSON.stringify(each))
        const array = await reader().prepare(Buffer.from(`[${texts.join(',')}]`))
        const lines = await reader().prepare(Buffer.from(texts.join(newline)), {
          contentType: 'application/x-ndjson',
        })
        assert.deepEqual({ ...array, bytes: 0 }, { ...lines, bytes: 0 })
        const good = events.flatMap((each, index) => (typeof each.n === 'number' ? [index] : []))
        assert.deepEqual(
          lines.events.map((each) => each.index),
          good,
        )
        assert.equal(lines.events.length + lines.deadLetters.length, events.length)
        assert.deepEqual(
          lines.events.map((each) => JSON.parse(each.json)),
          good.map((index) => JSON.parse(texts[index]!)),
        )
      },
    ),
  )
})

test('whatever bytes come, each event is good or rejected, and counted once', async () => {
  const piece = fc.oneof(
    fc
      .constantFrom('{"n":1}', '{"n":1', '\n', '\r\n', ' ', '[', ']', ',', '"', '{', '}', '\\', '\ufeff')
      .map((text) => Buffer.from(text)),
    fc.uint8Array({ maxLength: 4 }).map((bytes) => Buffer.from(bytes)),
  )
  const limits = { ...defaultIngestLimits, eventBytes: 40, depth: 4 }
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 30 }), fc.boolean(), async (pieces, lines) => {
      const options = lines ? { contentType: 'application/x-ndjson' } : {}
      const reader = createRequestReader(stream, limits)
      try {
        const { events, deadLetters } = await reader.prepare(Buffer.concat(pieces), options)
        const indexes = [...events, ...deadLetters].map((each) => each.index).sort((a, b) => a - b)
        assert.deepEqual(indexes, Array.from(indexes.keys()))
        assert.ok(indexes.length > 0)
      } catch (error) {
        assert.ok(error instanceof RefoldError, String(error))
        assert.equal(error.code, 'REQUEST_BODY')
      }
    }),
    { numRuns: 500 },
  )
})

test('a key decides the partition as Kafka does, and without one the request stays together', async () => {
  const reader = createRequestReader(stream, defaultIngestLimits)
  const body = Buffer.from('{"who":"foobar","n":1}\n{"n":2}\n{"who":null,"n":3}\n{"who":"foobar","n":4}')
  const partitions = async () => (await reader.prepare(body)).events.map((each) => each.partition)
  // murmur2("foobar") is -790332482 in Kafka's own tests; without its sign bit that is 2 modulo 4.
  assert.deepEqual(await partitions(), [2, 0, 0, 2])
  assert.deepEqual(await partitions(), [2, 1, 1, 2])
})

test('a large request lets other work of the process run', async () => {
  const reader = createRequestReader(stream, defaultIngestLimits)
  let turns = 0
  const timer = setInterval(() => turns++, 0)
  const count = () => {
    turns++
    if (!done) setImmediate(count)
  }
  let done = false
  setImmediate(count)
  for (const body of [`${'{"n":1}\n'.repeat(10_000)}`, `[${'{"n":1},'.repeat(10_000)}{"n":1}]`]) {
    turns = 0
    await reader.prepare(Buffer.from(body))
    assert.ok(turns >= 4, `${turns} turns`)
  }
  done = true
  clearInterval(timer)
})
