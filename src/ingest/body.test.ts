/** Reading a body: chunks of any size, gzip, limits on every byte, and sources that break. */

import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { readBody } from './body.ts'

const limits = { requestBytes: 10_000, expandedBytes: 20_000 }

function inPieces(bytes: Buffer, size: number): Readable {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size))
  return Readable.from(pieces, { objectMode: false })
}

test('a body is the same in pieces of any size, plain or gzip', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 3000 }),
      fc.integer({ min: 1, max: 500 }),
      async (bytes, size) => {
        const body = Buffer.from(bytes)
        let taken = 0
        const take = (count: number) => {
          taken += count
        }
        assert.deepEqual(await readBody(inPieces(body, size), { encoding: 'identity', limits, take }), body)
        assert.equal(taken, body.length)
        assert.deepEqual(
          await readBody(inPieces(gzipSync(body), size), { encoding: 'gzip', limits, take }),
          body,
        )
        assert.equal(taken, body.length * 2)
      },
    ),
    { numRuns: 50 },
  )
})

test('a limit ends the reading at the first byte beyond it', async () => {
  for (const [bytes, size, good] of [
    [10_000, 999, true],
    [10_001, 999, false],
  ] as const) {
    const reading = readBody(inPieces(Buffer.alloc(bytes), size), { encoding: 'identity', limits })
    if (good) assert.equal((await reading).length, bytes)
    else await assert.rejects(reading, { code: 'REQUEST_TOO_LARGE' })
  }
  const fits = readBody(inPieces(gzipSync(Buffer.alloc(20_000)), 10), { encoding: 'gzip', limits })
  assert.equal((await fits).length, 20_000)
  const bomb = readBody(inPieces(gzipSync(Buffer.alloc(20_001)), 10), { encoding: 'gzip', limits })
  await assert.rejects(bomb, { code: 'REQUEST_TOO_LARGE' })
  const noise = Buffer.from(Array.from({ length: 12_000 }, (_, at) => (at * 7919 * (at % 251)) & 255))
  const packed = readBody(inPieces(gzipSync(noise, { level: 0 }), 1000), { encoding: 'gzip', limits })
  await assert.rejects(packed, { code: 'REQUEST_TOO_LARGE' })
})

test('an endless bomb is not read to its end', async () => {
  const packed = Buffer.concat(new Array(500).fill(gzipSync(Buffer.alloc(1_000_000))))
  let read = 0
  const source = new Readable({
    read() {
      this.push(packed.subarray(read, read + 100))
      read += 100
    },
  })
  await assert.rejects(
    readBody(source, { encoding: 'gzip', limits: { ...limits, requestBytes: 1_000_000 } }),
    {
      code: 'REQUEST_TOO_LARGE',
    },
  )
  assert.ok(read < packed.length, `${read} of ${packed.length} bytes were read`)
})

test('a source that breaks is told from bytes that are no gzip', async () => {
  for (const encoding of ['identity', 'gzip'] as const) {
    for (const how of [undefined, new Error('reset')]) {
      const source = new PassThrough()
      source.on('error', () => {})
      const reading = readBody(source, { encoding, limits })
      source.write(gzipSync('x'.repeat(100)).subarray(0, 10))
      await new Promise((resolve) => setImmediate(resolve))
      source.destroy(how)
      await assert.rejects(reading, { code: 'REQUEST_ABORTED' }, `${encoding} ${how?.message}`)
    }
    const gone = new PassThrough()
    gone.destroy()
    await assert.rejects(readBody(gone, { encoding, limits }), { code: 'REQUEST_ABORTED' })
  }
  const torn = inPieces(gzipSync('x'.repeat(100)).subarray(0, 15), 4)
  await assert.rejects(readBody(torn, { encoding: 'gzip', limits }), { code: 'REQUEST_BODY' })
})

test('who counts the bytes may end the reading', async () => {
  const take = (bytes: number) => {
    if (bytes > 0) throw new RangeError('no room')
  }
  await assert.rejects(
    readBody(inPieces(Buffer.alloc(10), 5), { encoding: 'identity', limits, take }),
    RangeError,
  )
})
