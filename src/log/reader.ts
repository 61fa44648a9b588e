/**
 * Reads the hot log by its manifest, in any process: ranges of bytes for who reads the files by other means, and
 * headers, events and dead letters, checked, for who reads them here. State: the cache of the sparse index only.
 * Nothing is read beyond what the manifest says is durable. A segment that was dropped meanwhile fails with the
 * system's ENOENT: whoever holds a manifest sees to it that its files stay.
 */

import type { CommitRange, CommitSeq, Offset, Partition } from '../model/cut.ts'
import { assert, must } from '../std/assert.ts'
import { type Files, realFiles } from '../std/files.ts'
import { decodeBodyLine, decodeSegmentHeader, type StateValues } from './frame.ts'
import { BadFrame, readFirstLine, walkFrames, walkHeaders } from './frame-walk.ts'
import { type ByteRange, LogCursor, type LogPosition } from './log-cursor.ts'
import { withHeader } from './log-state.ts'
import { corruptAt, createSegmentIndex, withFile } from './segment-index.ts'
import type { CommitHeader, DeadLetter, LogEvent, LogManifest, SegmentInfo } from './types.ts'

export interface LogReader {
  /** The border after `commit`, which must not be older than the hot log. */
  locate(manifest: LogManifest, commit: CommitSeq): Promise<LogPosition>
  /** A cursor after `from`; see LogCursor for following the log from there. */
  cursor(manifest: LogManifest, from: CommitSeq): Promise<LogCursor>
  /** The bytes that hold exactly the commits of the range, in order. */
  byteRanges(manifest: LogManifest, range: CommitRange): Promise<readonly ByteRange[]>
  /** The same bytes in parts of about `maxBytes`, cut between frames; a frame that is longer stays whole. */
  split(range: ByteRange, maxBytes: number): Promise<readonly ByteRange[]>
  /** The whole state of the log where the hot log begins, as the first segment's first line has it. */
  begin(manifest: LogManifest): Promise<StateValues>
  /** The whole state at a cut of the hot log: the headers of its segment up to there are read. */
  stateAt(manifest: LogManifest, cut: CommitSeq): Promise<StateValues>
  headers(manifest: LogManifest, range: CommitRange): AsyncIterable<CommitHeader>
  /** Of exactly these bytes, for who knows where the frames begin: nothing else is read. */
  headersWithin(range: ByteRange): AsyncIterable<CommitHeader>
  events(manifest: LogManifest, range: CommitRange): AsyncIterable<LogEvent>
  deadLetters(
    manifest: LogManifest,
    range: CommitRange,
  ): AsyncIterable<{ readonly header: CommitHeader; readonly letter: DeadLetter }>
  /** The cut just before the commit with this offset: at most the durable cut, at least the hot log's first. */
  cutBeforeOffset(
    manifest: LogManifest,
    stream: string,
    partition: Partition,
    offset: Offset,
  ): Promise<CommitSeq>
  /** The cut just before the first commit with an ingest time of at least `timeMs`; bounded likewise. */
  cutBeforeTime(manifest: LogManifest, timeMs: number): Promise<CommitSeq>
}

export function createLogReader(files: Files = realFiles): LogReader {
  const index = createSegmentIndex({ files })

  async function locate(manifest: LogManifest, commit: CommitSeq): Promise<LogPosition> {
    const { segments } = manifest
    const at = segments.findLastIndex(({ base }) => base <= commit)
    const segment = segments[at]
    if (segment !== undefined) {
      // Ends of segments, which most questions are about, are in the manifest: nothing is read for them.
      const { number, base, start, last, bytes } = segment
      if (commit === base) return { commit, segment: number, position: start }
      if (commit === last) return { commit, segment: number, position: bytes }
    }
    const upTo = { ...manifest, segments: segments.slice(0, at + 1) }
    const position = await index.find(upTo, (border) => border.commit > commit)
    assert(position.commit === commit, `cut ${commit} is within the hot log`)
    return position
  }

  async function byteRanges(manifest: LogManifest, range: CommitRange): Promise<readonly ByteRange[]> {
    assert(range.to <= manifest.durable, `cut ${range.to} is durable`)
    if (range.to <= range.from) return []
    const cursor = new LogCursor(await locate(manifest, range.from))
    const ranges = cursor.advance(manifest).filter((part) => part.from < range.to)
    const last = ranges.at(-1)
    if (last === undefined || last.to === range.to) return ranges
    const stop = await locate(manifest, range.to)
    return [...ranges.slice(0, -1), { ...last, end: stop.position, to: range.to }]
  }

  async function* headers(manifest: LogManifest, range: CommitRange): AsyncGenerator<CommitHeader> {
    for (const part of await byteRanges(manifest, range)) yield* headersWithin(files, part)
  }

  async function* bodyLines(manifest: LogManifest, range: CommitRange) {
    for (const part of await byteRanges(manifest, range)) {
      for await (const { header, body } of framesOf(files, part)) {
        let start = 0
        const text = body.toString('utf8')
        for (let stop = text.indexOf('\n'); stop >= 0; stop = text.indexOf('\n', start)) {
          yield { header, line: decodeBodyLine(text.slice(start, stop), header.timeMs) }
          start = stop + 1
        }
      }
    }
  }

  return {
    locate,
    byteRanges,
    cursor: async (manifest, from) => new LogCursor(await locate(manifest, from)),
    split: (range, maxBytes) => splitRange(files, range, maxBytes),
    begin: (manifest) => beginOf(files, manifest.segments[0]),
    async stateAt(manifest, cut) {
      const segment = manifest.segments.findLast(({ base }) => base <= cut)
      let state = await beginOf(files, segment)
      for await (const header of headers(manifest, { from: segment?.base ?? 0, to: cut })) {
        state = withHeader(state, header)
      }
      return state
    },
    headers,
    headersWithin: (range) => headersWithin(files, range),
    async *events(manifest, range) {
      for await (const { line } of bodyLines(manifest, range)) if (line.kind === 'event') yield line.event
    },
    async *deadLetters(manifest, range) {
      for await (const { header, line } of bodyLines(manifest, range)) {
        if (line.kind === 'dead') yield { header, letter: line.letter }
      }
    },
    async cutBeforeOffset(manifest, stream, partition, offset) {
      const reached = await index.find(
        manifest,
        (border) => (border.offsets[stream]?.[partition] ?? 0) > offset,
      )
      return reached.commit
    },
    async cutBeforeTime(manifest, timeMs) {
      const first = manifest.segments[0]?.base ?? 0
      const reached = await index.find(manifest, (border) => border.commit > first && border.timeMs >= timeMs)
      return reached.commit
    },
  }
}

async function* headersWithin(files: Files, range: ByteRange): AsyncGenerator<CommitHeader> {
  for await (const { header } of headersOf(files, range)) yield header
}

async function beginOf(files: Files, segment: SegmentInfo | undefined): Promise<StateValues> {
  const { path, bytes } = must(segment, 'the log has a segment')
  return await withFile(files, path, async (handle) => {
    const line = await readFirstLine(handle, bytes)
    const read = line === undefined ? undefined : decodeSegmentHeader(line.line)
    if (read?.kind !== 'ok') throw corruptAt(path, 0)
    return read.header
  })
}

async function splitRange(files: Files, range: ByteRange, maxBytes: number): Promise<readonly ByteRange[]> {
  const parts: ByteRange[] = []
  if (range.end - range.start <= maxBytes) return [range]
  let part: ByteRange | undefined
  for await (const { header, position, end } of headersOf(files, range)) {
    if (part !== undefined && end - part.start > maxBytes) {
      parts.push(part)
      part = undefined
    }
    part = part
      ? { ...part, end, to: header.commit }
      : { ...range, start: position, end, from: header.commit - 1, to: header.commit }
  }
  if (part !== undefined) parts.push(part)
  return parts
}

function headersOf(files: Files, range: ByteRange) {
  return walked(files, range, walkHeaders)
}

function framesOf(files: Files, range: ByteRange) {
  return walked(files, range, walkFrames)
}

async function* walked<T>(
  files: Files,
  range: ByteRange,
  walk: (handle: Awaited<ReturnType<Files['open']>>, start: number, end: number) => AsyncIterable<T>,
): AsyncGenerator<T> {
  const handle = await files.open(range.path, 'read')
  try {
    yield* walk(handle, range.start, range.end)
  } catch (error) {
    throw error instanceof BadFrame ? corruptAt(range.path, error.position) : error
  } finally {
    await handle.close()
  }
}
