/** What a start makes of files that a crash, a failing disk or a hand has changed. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RefoldError } from '../model/errors.ts'
import type { FaultyFiles } from '../std/faulty-files.ts'
import { LOG_DIR, LOST_DIR, openTestLog, requestOf } from './log-fixture.ts'

const path = (segment: number) => `${LOG_DIR}/${String(segment).padStart(12, '0')}.ndjson`

/** Three commits in two segments, then a kill: 1 and 2 in the first, 3 in the second. */
async function threeCommits(): Promise<FaultyFiles> {
  const { log, files } = await openTestLog()
  await log.append(requestOf(['a']))
  await log.append(requestOf(['b']))
  await log.roll()
  await log.append(requestOf(['c']))
  files.crash()
  return files.afterKill()
}

async function refusal(files: FaultyFiles, options: { journaled?: number; lakeThrough?: number } = {}) {
  const before = new Map(files.paths().map((name) => [name, files.contents(name)]))
  try {
    await openTestLog({ files, ...options })
  } catch (error) {
    assert.ok(error instanceof RefoldError && error.code === 'LOG_CORRUPT', String(error))
    for (const [name, bytes] of before) assert.deepEqual(files.contents(name), bytes, 'nothing was changed')
    return error
  }
  throw new assert.AssertionError({ message: 'the log opened' })
}

function edit(files: FaultyFiles, name: string, change: (bytes: Buffer) => Buffer): void {
  files.place(name, change(files.contents(name)!))
}

/** Where the frame of a commit begins. */
function frameAt(files: FaultyFiles, name: string, commit: number): number {
  return files.contents(name)!.indexOf(`\n{"commit":${commit},`) + 1
}

test('a torn end is kept in lost+found and cut', async () => {
  const files = await threeCommits()
  const whole = files.contents(path(2))!.byteLength
  edit(files, path(2), (bytes) => Buffer.concat([bytes, Buffer.from('{"commit":4,"t":1000000,"n":1,"by')]))
  const { log } = await openTestLog({ files })
  const keptAs = `${LOST_DIR}/segment-2-byte-${whole}.bytes`
  assert.deepEqual(log.lost, [{ segment: 2, from: whole, bytes: 33, keptAs }])
  assert.equal(files.contents(keptAs)!.toString(), '{"commit":4,"t":1000000,"n":1,"by')
  assert.equal(files.contents(path(2))!.byteLength, whole)
  assert.equal((await log.append(requestOf(['c', 'd']))).duplicates, 1)
})

test('every cut through the last frame is a torn end; through an acknowledged one it is damage', async () => {
  const files = await threeCommits()
  const start = frameAt(files, path(2), 3)
  const whole = files.contents(path(2))!
  for (let end = start; end < whole.byteLength; end += 7) {
    files.place(path(2), whole.subarray(0, end))
    const { log } = await openTestLog({ files: files.afterKill(), journaled: 2 })
    assert.equal(log.state().cut.commit, 2)
    const error = await refusal(files.afterKill(), { journaled: 3 })
    assert.match(error.message, /000000000002\.ndjson/)
  }
})

test('a flipped bit in any acknowledged byte is found, with file and byte', async () => {
  const files = await threeCommits()
  const whole = files.contents(path(1))!
  const second = frameAt(files, path(1), 2)
  const starts = [0, frameAt(files, path(1), 1), second]
  for (let at = 0; at < whole.byteLength; at += 3) {
    const damaged = Buffer.from(whole)
    damaged[at] = damaged[at]! ^ 1
    files.place(path(1), damaged)
    const error = await refusal(files.afterKill())
    const frame = starts.filter((start) => start <= at).at(-1)
    const { byte, path: named } = error.details as { byte: number; path: string }
    assert.equal(named, path(1))
    assert.equal(byte, frame)
  }
})

test('a bad frame that good ones follow is damage, in the last segment too', async () => {
  const { log, files } = await openTestLog()
  for (const id of ['a', 'b', 'c']) await log.append(requestOf([id]))
  files.crash()
  const left = files.afterKill()
  const at = frameAt(left, path(1), 2)
  edit(left, path(1), (bytes) => {
    bytes[at + 60] = 0
    return bytes
  })
  assert.deepEqual((await refusal(left)).details, { path: path(1), byte: at })
})

test('a missing segment, a missing beginning and a missing end are damage', async () => {
  const files = await threeCommits()
  const middle = files.afterKill()
  await middle.rename(path(2), path(3))
  await refusal(middle)
  const { log, files: more } = await openTestLog({ files })
  await log.roll()
  await log.append(requestOf(['d']))
  more.crash()
  const gap = more.afterKill()
  await gap.unlink(path(2))
  assert.match((await refusal(gap)).message, /segment 2 is missing/)
  const beginning = more.afterKill()
  await beginning.unlink(path(1))
  assert.match((await refusal(beginning, { lakeThrough: 1 })).message, /the lake ends at commit 1/)
  const end = more.afterKill()
  await end.unlink(path(3))
  await refusal(end, { journaled: 4 })
  const empty = more.afterKill()
  for (const name of empty.paths()) await empty.unlink(name)
  await refusal(empty, { journaled: 4 })
})

test('another format is refused with its number', async () => {
  const { crc32 } = await import('node:zlib')
  const files = await threeCommits()
  edit(files, path(2), (bytes) => {
    const end = bytes.indexOf('\n')
    const text = bytes.subarray(0, end).toString().replace('"format":1', '"format":2').split(',"crc":')[0]!
    return Buffer.concat([Buffer.from(`${text},"crc":${crc32(text)}}`), bytes.subarray(end)])
  })
  assert.match((await refusal(files)).message, /format 2/)
})

test('what failed to sync is discarded at the next start, though it can be read', async () => {
  const { log, files } = await openTestLog()
  await log.append(requestOf(['a']))
  let failed = false
  files.fault = ({ kind }) => {
    if (kind !== 'datasync' || failed) return undefined
    failed = true
    return { kind: 'error', errno: 'EIO' }
  }
  await assert.rejects(log.append(requestOf(['b'])))
  await log.append(requestOf(['c']))
  files.crash()
  const left = files.afterKill()
  assert.match(left.contents(path(1))!.toString(), /"id":"b"/)
  const again = await openTestLog({ files: left })
  assert.equal(again.log.lost.length, 1)
  assert.doesNotMatch(left.contents(path(1))!.toString(), /"id":"b"/)
  assert.equal((await again.log.append(requestOf(['b', 'c']))).duplicates, 1)
})

test('the last frame is on the disk after a start, even if only the cache had it', async () => {
  const { log, files } = await openTestLog()
  await log.append(requestOf(['a']))
  // The sync fails, and power holds on: another process reads the frame from the cache.
  files.fault = ({ kind }) =>
    kind === 'datasync' || kind === 'open' ? { kind: 'error', errno: 'EIO' } : undefined
  await assert.rejects(log.append(requestOf(['b'])))
  files.crash()
  const cached = files.afterKill()
  const second = await openTestLog({ files: cached })
  assert.equal(second.log.state().cut.commit, 2)
  cached.crash()
  const third = await openTestLog({ files: cached.afterPowerLoss(), journaled: 2 })
  assert.equal((await third.log.append(requestOf(['b']))).duplicates, 1)
})

test('a damaged sidecar is read out of the frames; of a dropped segment it is refused', async () => {
  const files = await threeCommits()
  const sidecar = path(1).replace('.ndjson', '.ids')
  assert.ok(files.contents(sidecar) !== undefined)
  edit(files, sidecar, (bytes) => {
    bytes[bytes.length - 10]! ^= 1
    return bytes
  })
  const { log } = await openTestLog({ files })
  assert.equal((await log.append(requestOf(['a', 'b', 'c']))).duplicates, 3)
  await log.drop(2)
  await log.close()
  edit(files, sidecar, (bytes) => {
    bytes[bytes.length - 10]! ^= 1
    return bytes
  })
  assert.match((await refusal(files)).message, /000000000001\.ids/)
})

test('a catalog with another seed is refused', async () => {
  const files = await threeCommits()
  await assert.rejects(openTestLog({ files, dedupeSeed: 'f'.repeat(32) }), /written with another seed/)
})
