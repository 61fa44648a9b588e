/** Readers and cursors hand out exactly the commits asked for, found by cut, offset or time. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RefoldError } from '../model/errors.ts'
import type { FaultyFiles } from '../std/faulty-files.ts'
import type { CommitLog } from './commit-log.ts'
import { LogCursor } from './log-cursor.ts'
import { openTestLog, orders, requestOf } from './log-fixture.ts'
import { createLogReader } from './reader.ts'
import { createSegmentIndex } from './segment-index.ts'
import type { LogEvent, LogManifest } from './types.ts'

/** Twenty commits 10 ms apart; commit n has n % 3 + 1 events; segments of about six commits. */
async function twenty(): Promise<{ log: CommitLog; files: FaultyFiles; manifests: LogManifest[] }> {
  const { log, files, clock } = await openTestLog({ limits: { segmentBytes: 1500 } })
  const manifests = [log.manifest()]
  for (let n = 1; n <= 20; n++) {
    clock.advance(10)
    await log.append(requestOf(Array.from({ length: (n % 3) + 1 }, (_, i) => `${n}-${i}`)))
    manifests.push(log.manifest())
  }
  return { log, files, manifests }
}

/** Commits whose header stands in these bytes. */
function commitsIn(files: FaultyFiles, ranges: readonly { path: string; start: number; end: number }[]) {
  const lines = ranges.flatMap(({ path, start, end }) =>
    files.contents(path)!.subarray(start, end).toString().trimEnd().split('\n'),
  )
  return lines
    .filter((line) => line.startsWith('{"commit":'))
    .map((line) => JSON.parse(line).commit as number)
}

const span = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + 1 + i)

test('a cursor hands out every commit once, whatever manifests it sees', async () => {
  const { files, manifests } = await twenty()
  assert.ok(manifests.at(-1)!.segments.length > 2)
  for (const stride of [1, 2, 7, 20]) {
    const cursor = new LogCursor({ commit: 0, segment: 1, position: manifests[0]!.segments[0]!.start })
    let from = 0
    for (let to = stride; to <= 20; to += stride) {
      const ranges = cursor.advance(manifests[to]!)
      assert.deepEqual(commitsIn(files, ranges), span(from, to))
      assert.equal(ranges[0]!.from, from)
      assert.equal(ranges.at(-1)!.to, to)
      assert.deepEqual(cursor.advance(manifests[to]!), [])
      from = to
    }
  }
})

test('ends of segments are found without reading a file', async () => {
  const { manifests } = await twenty()
  const manifest = manifests.at(-1)!
  const reader = createLogReader((await twenty()).files)
  const segments = manifest.segments.map((segment) => ({ ...segment, path: `/gone/${segment.number}` }))
  const ends = [...segments.map(({ base }) => base), manifest.durable]
  for (const from of ends) {
    for (const to of ends.filter((end) => end > from)) {
      const ranges = await reader.byteRanges({ ...manifest, segments }, { from, to })
      const whole = segments.filter(({ base, last }) => base >= from && last <= to)
      assert.deepEqual(
        ranges.map(({ start, end }) => [start, end]),
        whole.map(({ start, bytes }) => [start, bytes]),
      )
    }
  }
})

test('byte ranges hold exactly the commits asked for', async () => {
  const { log, files, manifests } = await twenty()
  const manifest = manifests.at(-1)!
  const reader = createLogReader(files)
  for (let from = 0; from <= 20; from++) {
    for (let to = from; to <= 20; to += 3) {
      assert.deepEqual(commitsIn(files, await reader.byteRanges(manifest, { from, to })), span(from, to))
    }
  }
  const whole = await reader.byteRanges(manifest, { from: 2, to: 19 })
  const parts = (await Promise.all(whole.map((range) => reader.split(range, 500)))).flat()
  assert.ok(parts.length > whole.length)
  let at = 2
  for (const part of parts) {
    assert.equal(part.from, at)
    assert.deepEqual(commitsIn(files, [part]), span(part.from, part.to))
    at = part.to
  }
  assert.equal(at, 19)
  assert.equal((await reader.cursor(manifest, 9)).commit, 9)
  await log.close()
})

test('offsets and times lead to the cut before them', async () => {
  const { log, files, manifests } = await twenty()
  const manifest = manifests.at(-1)!
  const reader = createLogReader(files)
  const events: LogEvent[] = []
  for await (const event of reader.events(manifest, { from: 0, to: 20 })) events.push(event)
  for (const { offset, commit } of events) {
    assert.equal(await reader.cutBeforeOffset(manifest, 'orders', 0, offset), commit - 1)
  }
  assert.equal(await reader.cutBeforeOffset(manifest, 'orders', 0, events.length), 20)
  for (let n = 1; n <= 20; n++) {
    const timeMs: number = events.find((event) => event.commit === n)!.timeMs
    assert.equal(timeMs, 1_000_000 + 10 * n)
    assert.equal(await reader.cutBeforeTime(manifest, timeMs), n - 1)
    assert.equal(await reader.cutBeforeTime(manifest, timeMs - 9), n - 1)
  }
  assert.equal(await reader.cutBeforeTime(manifest, 0), 0)
  assert.equal(await reader.cutBeforeTime(manifest, 9e12), 20)
  await log.drop(8)
  const rest = log.manifest()
  const base = rest.segments[0]!.base
  assert.ok(base > 0)
  assert.equal(await reader.cutBeforeTime(rest, 0), base)
  assert.equal(await reader.cutBeforeOffset(rest, 'orders', 0, 0), base)
  await log.close()
})

test('headers say what each commit changed', async () => {
  const { log, manifests } = await twenty()
  const headers = []
  for await (const header of log.reader.headers(manifests.at(-1)!, { from: 6, to: 9 })) headers.push(header)
  assert.deepEqual(
    headers.map(({ commit, events, counts }) => [commit, events, counts['orders']!.accepted]),
    [
      [7, 2, 14],
      [8, 3, 17],
      [9, 1, 18],
    ],
  )
  await log.close()
})

test('the index samples as the segment grows, and finds the same', async () => {
  const { files, manifests } = await twenty()
  const index = createSegmentIndex({ files, sampleBytes: 300 })
  for (const [durable, manifest] of manifests.entries()) {
    for (let commit = 0; commit <= durable; commit++) {
      const found = await index.find(manifest, (border) => border.commit > commit)
      assert.equal(found.commit, commit)
    }
  }
})

test('damage is named with file and byte', async () => {
  const { files, manifests } = await twenty()
  const { path, start } = manifests.at(-1)!.segments[1]!
  const bytes = files.contents(path)!
  bytes[start + 5]! ^= 1
  files.place(path, bytes)
  const reading = async () => {
    for await (const _ of createLogReader(files).events(manifests.at(-1)!, { from: 0, to: 20 }));
  }
  await assert.rejects(reading(), (error) => {
    assert.ok(error instanceof RefoldError)
    assert.deepEqual(error.details, { path, byte: start })
    return true
  })
})

test('frames and lines that are longer than any window are read', async () => {
  const { log } = await openTestLog({ streams: [orders, ...manyStreams()] })
  const long = 'x'.repeat(9 << 20)
  await log.append({
    stream: 'orders',
    events: [{ stream: 'orders', partition: 1, json: `{"id":"a","v":"${long}"}`, id: 'a', index: 0 }],
    deadLetters: [],
    bytes: long.length,
  })
  const all = manyStreams().map(({ name }) =>
    log.append({
      stream: name,
      events: [{ stream: name, partition: 0, json: '{}', index: 0 }],
      deadLetters: [],
      bytes: 1,
    }),
  )
  await Promise.all(all)
  const events: LogEvent[] = []
  for await (const event of log.reader.events(log.manifest(), { from: 0, to: log.manifest().durable })) {
    events.push(event)
  }
  assert.equal(events[0]!.json.length, long.length + 17)
  assert.deepEqual(
    events.slice(1).map((event) => event.stream),
    manyStreams().map(({ name }) => name),
  )
  await log.close()
})

function manyStreams() {
  return Array.from({ length: 1500 }, (_, i) => ({ ...orders, name: `stream "${i}" \\ é`, partitions: 8 }))
}
