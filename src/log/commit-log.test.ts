/** What senders are told, one case after the other: answers, refusals, and what happens to segments and ids. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RefoldError } from '../model/errors.ts'
import { FaultyFiles } from '../std/faulty-files.ts'
import { LOG_DIR, openTestLog, orders, requestOf } from './log-fixture.ts'

const hasCode = (code: string) => (error: unknown) => error instanceof RefoldError && error.code === code

test('requests that come while one is written are one commit', async () => {
  const { log } = await openTestLog()
  let commits = 0
  log.onDurable(() => commits++)
  const first = log.append(requestOf(['a']))
  await Promise.resolve()
  await Promise.resolve()
  const more = [log.append(requestOf(['b'])), log.append(requestOf(['c', 'a']))]
  assert.deepEqual(await first, { cut: 1, accepted: 1, duplicates: 0, conflicts: [] })
  assert.deepEqual(await Promise.all(more), [
    { cut: 2, accepted: 1, duplicates: 0, conflicts: [] },
    { cut: 2, accepted: 1, duplicates: 1, conflicts: [] },
  ])
  assert.equal(commits, 2)
  assert.deepEqual(log.state().counts['orders'], { accepted: 3, duplicate: 1, rejected: 0 })
  await log.close()
})

test('an id with other content is a dead letter in the same commit', async () => {
  const { log } = await openTestLog()
  await log.append(requestOf(['a']))
  const answer = await log.append(requestOf(['b', 'a'], 1))
  assert.deepEqual(answer, { cut: 2, accepted: 1, duplicates: 0, conflicts: [{ index: 1, id: 'a' }] })
  const letters = []
  for await (const { letter } of log.reader.deadLetters(log.manifest(), { from: 0, to: 2 }))
    letters.push(letter)
  assert.deepEqual(letters, [
    {
      stream: 'orders',
      index: 1,
      code: 'EVENT_ID_CONFLICT',
      reason: 'an event with id "a" and other content was accepted before',
      place: '/id',
      raw: '{"id":"a","v":1}',
    },
  ])
  await log.close()
})

test('a duplicate is not answered before its original is durable, and fails with it', async () => {
  const { log, files } = await openTestLog()
  files.fault = ({ kind }) => (kind === 'datasync' ? { kind: 'error', errno: 'EIO' } : undefined)
  const original = log.append(requestOf(['a']))
  await Promise.resolve()
  await Promise.resolve()
  const retry = log.append(requestOf(['a']))
  await assert.rejects(original, hasCode('LOG_FAILED'))
  await assert.rejects(retry, hasCode('LOG_FAILED'))
  files.fault = () => undefined
  await log.close()
})

test('a queue that is full refuses with LOG_BUSY, and takes requests again when it is not', async () => {
  const { log } = await openTestLog({ limits: { queueBytes: 250 } })
  const taken = [log.append(requestOf(['a'])), log.append(requestOf(['b']))]
  await assert.rejects(log.append(requestOf(['c'])), hasCode('LOG_BUSY'))
  await Promise.all(taken)
  await log.append(requestOf(['c']))
  await log.append(requestOf(['d', 'e', 'f', 'g']))
  await log.close()
})

test('a full disk refuses with LOG_FULL and resumes by itself', async () => {
  const { log, files } = await openTestLog()
  await log.append(requestOf(['a']))
  const { bytes } = log.manifest().segments[0]!
  files.fault = ({ kind }) => (kind === 'write' ? { kind: 'error', errno: 'ENOSPC', bytes: 30 } : undefined)
  await assert.rejects(log.append(requestOf(['b'])), hasCode('LOG_FULL'))
  await assert.rejects(log.append(requestOf(['b'])), hasCode('LOG_FULL'))
  assert.equal(files.contents(log.manifest().segments[0]!.path)!.byteLength, bytes)
  files.fault = () => undefined
  const answer = await log.append(requestOf(['b']))
  assert.deepEqual(answer, { cut: 2, accepted: 1, duplicates: 0, conflicts: [] })
  await log.close()
})

test('a log that can not open a segment is down, says so, and comes back', async () => {
  const { log, files, clock } = await openTestLog()
  files.fault = ({ kind }) => {
    return kind === 'datasync' || kind === 'open' ? { kind: 'error', errno: 'EIO' } : undefined
  }
  await assert.rejects(log.append(requestOf(['a'])), hasCode('LOG_FAILED'))
  await new Promise((resolve) => setImmediate(resolve))
  await assert.rejects(log.append(requestOf(['a'])), hasCode('LOG_FAILED'))
  assert.match(log.problem() ?? '', /EIO/)
  files.fault = () => undefined
  clock.advance(60_000)
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(log.problem(), undefined)
  assert.equal((await log.append(requestOf(['a']))).cut, 1)
  assert.deepEqual(
    log.manifest().segments.map(({ number, base, last }) => ({ number, base, last })),
    [
      { number: 1, base: 0, last: 0 },
      { number: 2, base: 0, last: 1 },
    ],
  )
  await log.close()
})

test('a segment that was abandoned is never written again', async () => {
  const { log, files } = await openTestLog()
  await log.append(requestOf(['a']))
  const written: string[] = []
  let failed = false
  files.fault = ({ kind, path }) => {
    if (kind === 'datasync' && !failed) {
      failed = true
      return { kind: 'error', errno: 'ENOSPC' }
    }
    if (failed && (kind === 'write' || kind === 'truncate')) written.push(path)
    return undefined
  }
  await assert.rejects(log.append(requestOf(['b'])), hasCode('LOG_FULL'))
  await log.append(requestOf(['b']))
  assert.deepEqual(
    written.filter((path) => path.endsWith('000000000001.ndjson')),
    [],
  )
  await log.close()
})

test('segments are closed by length and by age', async () => {
  const { log, clock } = await openTestLog({ limits: { segmentBytes: 400, segmentAgeMs: 1000 } })
  for (const id of ['a', 'b', 'c']) await log.append(requestOf([id]))
  const before = log.manifest().segments
  assert.ok(before.length >= 2)
  assert.deepEqual(before[0]!.events, { orders: before[0]!.last - before[0]!.base })
  clock.advance(2000)
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(log.manifest().segments.length, before.length + 1)
  clock.advance(2000)
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(log.manifest().segments.length, before.length + 1, 'an empty segment stays')
  await log.close()
})

test('a segment is not dropped before its ids are kept beside it', async () => {
  const { log, files } = await openTestLog()
  await log.append(requestOf(['a']))
  files.fault = ({ path, kind }) =>
    kind === 'open' && path.endsWith('.ids') ? { kind: 'error', errno: 'EIO' } : undefined
  await log.roll()
  await assert.rejects(log.drop(1), hasCode('LOG_FAILED'))
  assert.equal(log.manifest().segments.length, 2)
  files.fault = () => undefined
  await log.drop(1)
  assert.equal(log.manifest().segments.length, 1)
  await log.close()
  const again = await openTestLog({ files })
  assert.equal((await again.log.append(requestOf(['a']))).duplicates, 1)
  await again.log.close()
})

test('a drop that lost power between two segments leaves no gap', async () => {
  for (let choice = 0; choice < 8; choice++) {
    let turn = 0
    const files = new FaultyFiles((count) => (choice >> (turn++ % 3)) % count)
    let unlinked = 0
    const crash = (point: string) => {
      if (point === 'log.segment-unlinked' && ++unlinked === 2) files.crash()
    }
    const { log } = await openTestLog({ files, crash })
    for (const id of ['a', 'b', 'c']) {
      await log.append(requestOf([id]))
      await log.roll()
    }
    await Promise.race([log.drop(3), files.crashed])
    const again = await openTestLog({ files: files.afterPowerLoss(), journaled: 3 })
    assert.equal(again.log.state().cut.commit, 3)
    assert.equal((await again.log.append(requestOf(['a', 'b', 'c']))).duplicates, 3)
    await again.log.close()
  }
})

test('a sidecar goes once nothing in it is remembered', async () => {
  const { log, files } = await openTestLog({ streams: [{ ...orders, dedupe: { timeMs: 1e9, count: 2 } }] })
  const sidecars = () => files.paths().filter((path) => path.endsWith('.ids')).length
  await log.append(requestOf(['a', 'b']))
  await log.roll()
  await log.drop(1)
  assert.equal(sidecars(), 1)
  await log.append(requestOf(['c']))
  await log.roll()
  await log.drop(2)
  assert.equal(sidecars(), 2, 'b is still remembered')
  await log.append(requestOf(['d', 'e']))
  await log.roll()
  await log.drop(3)
  assert.equal(sidecars(), 1)
  await log.close()
})

test('definitions change while the log runs', async () => {
  const { log } = await openTestLog()
  const first = log.append(requestOf(['a']))
  const clicks = { ...orders, name: 'clicks', latenessMs: 5 }
  log.setStreams([clicks, { ...orders, partitions: 3 }])
  await first
  await log.append({
    stream: 'clicks',
    events: [{ stream: 'clicks', partition: 1, json: '{}', index: 0, timeUs: 9000 }],
    deadLetters: [],
    bytes: 1,
  })
  assert.deepEqual(log.state().cut.offsets, { orders: [1, 0, 0], clicks: [0, 1] })
  assert.deepEqual(log.state().watermarksUs, { clicks: 4000 })
  await log.close()
})

test('after closing, requests are refused, and what waited was written', async () => {
  const { log, files } = await openTestLog()
  const waiting = log.append(requestOf(['a']))
  const closing = log.close()
  await assert.rejects(log.append(requestOf(['b'])), hasCode('LOG_FAILED'))
  await closing
  assert.equal((await waiting).cut, 1)
  assert.ok(files.contents(`${LOG_DIR}/000000000001.ids`) !== undefined)
})

test('a segment that could not be begun does not come back to cut what was written after it', async () => {
  for (const errno of ['EIO', 'ENOSPC']) {
    const { log, files } = await openTestLog()
    await log.append(requestOf(['a']))
    let failed = false
    files.fault = ({ kind }) => {
      if (kind !== 'syncDir' || failed) return undefined
      failed = true
      return { kind: 'error', errno }
    }
    await assert.rejects(log.roll())
    assert.equal((await log.append(requestOf(['b']))).cut, 2)
    assert.equal(log.manifest().segments.length, 1, 'the old segment goes on')
    files.crash()
    const again = await openTestLog({ files: files.afterKill(), journaled: 2 })
    assert.equal((await again.log.append(requestOf(['a', 'b']))).duplicates, 2)
    await again.log.close()
  }
})
