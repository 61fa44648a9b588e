/** However a file is read, from wherever it is gone on with, its events come out once each and in order. */

import assert from 'node:assert/strict'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { type Batch, openEventFile } from './event-file.ts'

const shape = { nullable: new Set<string>(), asNumber: new Set<string>(), asText: new Set<string>() }
const folder = mkdtemp(join(tmpdir(), 'refold-event-file-'))

async function fileOf(content: string | Buffer, name = 'events.ndjson'): Promise<string> {
  const path = join(await folder, name)
  await writeFile(path, content)
  return path
}

async function batchesOf(path: string, events: number, position = 0, line = 1): Promise<Batch[]> {
  const batches: Batch[] = []
  const file = await openEventFile(path, shape)
  for await (const batch of file.batches({ position, line, events })) batches.push(batch)
  return batches
}

function linesOf(batches: readonly Batch[]): { line: number; text: string }[] {
  return batches.flatMap((batch) => {
    const texts = Buffer.from(batch.body).toString('utf8').split('\n').slice(0, -1)
    assert.equal(texts.length, batch.events)
    return texts.map((text, index) => ({ line: batch.lineOf(index), text }))
  })
}

const line = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ n: fc.integer(), t: fc.string() }).map((value) => JSON.stringify(value)),
  },
  { weight: 1, arbitrary: fc.constantFrom('', '  ', '\r', '"no object"') },
)

test('lines keep their order and their numbers, plain or gzip, with or without a last line end', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(line),
      fc.boolean(),
      fc.boolean(),
      fc.integer({ min: 1, max: 7 }),
      async (lines, end, gzip, size) => {
        const content = lines.join('\n') + (end ? '\n' : '')
        const path = await fileOf(gzip ? gzipSync(content) : content)
        const expected = content
          .split('\n')
          .map((text, index) => ({ line: index + 1, text }))
          .filter(({ text }) => text.trim() !== '')
        assert.deepEqual(linesOf(await batchesOf(path, size)), expected)
      },
    ),
    { numRuns: 60 },
  )
})

test('going on after any batch cuts the rest at the same places', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { minLength: 1 }),
      fc.integer({ min: 1, max: 5 }),
      fc.boolean(),
      fc.nat(),
      async (lines, size, gzip, pick) => {
        const content = `${lines.join('\n')}\n`
        const path = await fileOf(gzip ? gzipSync(content) : content)
        const whole = await batchesOf(path, size)
        const at = pick % whole.length
        const before = whole[at]!
        const rest = await batchesOf(path, size, before.to, before.lineAfter)
        const plain = (batches: readonly Batch[]) =>
          batches.map(({ from, to, body, lineAfter }) => ({
            from,
            to,
            lineAfter,
            body: Buffer.from(body).toString(),
          }))
        assert.deepEqual(plain(rest), plain(whole.slice(at + 1)))
      },
    ),
    { numRuns: 60 },
  )
})

test('a batch that was sent when the file was shorter ends where it ended then', async () => {
  const path = await fileOf('{"n":1}\n{"n":2}\n')
  const [first] = await batchesOf(path, 10)
  await writeFile(path, '{"n":1}\n{"n":2}\n{"n":3}\n')
  const file = await openEventFile(path, shape)
  const bodies: string[] = []
  for await (const batch of file.batches({ position: 0, line: 1, events: 10, firstEnd: first!.to })) {
    bodies.push(Buffer.from(batch.body).toString())
  }
  assert.deepEqual(bodies, ['{"n":1}\n{"n":2}\n', '{"n":3}\n'])
})

test('a last line that somebody is still writing is left for later', async () => {
  const path = await fileOf('{"n":1}\n{"n":')
  const file = await openEventFile(path, shape)
  const unfinished: number[] = []
  const batches: Batch[] = []
  const options = { position: 0, line: 1, events: 10, onUnfinishedLine: (at: number) => unfinished.push(at) }
  for await (const batch of file.batches(options)) batches.push(batch)
  assert.deepEqual(linesOf(batches), [{ line: 1, text: '{"n":1}' }])
  assert.equal(batches[0]?.to, 8)
  assert.ok(unfinished.every((at) => at === 2) && unfinished.length > 0)
})

test('a byte order mark is no part of the first event', async () => {
  const path = await fileOf('\ufeff{"n":1}\n{"n":2}\n')
  assert.deepEqual(
    linesOf(await batchesOf(path, 1)).map(({ text }) => text),
    ['{"n":1}', '{"n":2}'],
  )
})

test('what is not a file of events is refused with what to do', async () => {
  await assert.rejects(openEventFile(await fileOf('[{"n":1}]'), shape), {
    code: 'CLI_FILE_UNREADABLE',
    message: /one JSON array/,
  })
  await assert.rejects(openEventFile('/nowhere/events.ndjson', shape), { message: /it does not exist/ })
  await assert.rejects(openEventFile(await folder, shape), { message: /it is a folder/ })
  const broken = await fileOf(gzipSync('{"n":1}\n').subarray(0, 20))
  await assert.rejects(batchesOf(broken, 1), { code: 'CLI_FILE_UNREADABLE' })
})

test('the fingerprint knows another beginning, and not a longer end', async () => {
  const path = await fileOf('{"n":1}\n{"n":2}\n')
  const before = await (await openEventFile(path, shape)).fingerprint(8)
  await writeFile(path, '{"n":1}\n{"n":2}\n{"n":3}\n')
  assert.equal(await (await openEventFile(path, shape)).fingerprint(8), before)
  await writeFile(path, '{"n":9}\n{"n":2}\n')
  assert.notEqual(await (await openEventFile(path, shape)).fingerprint(8), before)
})
