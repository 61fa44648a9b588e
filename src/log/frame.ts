/**
 * The log's format on disk: NDJSON that people can grep and that the engine reads by itself. Pure functions.
 *
 * A segment is a file `000000000007.ndjson`: one segment line, then frames. A frame is one commit: one header line
 * and a body of `n` event lines and any number of dead letter lines. Every line ends with one line feed, and no
 * line feed stands inside a line, since JSON text writes it as `\n`.
 *
 *   segment line  {"segment":7,"base":11,"format":1,"t":…,"offsets":{…},"wm":{…},"counts":{…},"late":{…},"prev":{…},"crc":…}
 *     segment  number of the file                     base    commit after which the segment begins
 *     t        ingest time of commit `base`, ms       offsets, wm, counts, late  the whole state at `base`
 *     prev     {"bytes":…}: how much of the previous segment is valid; null in the first. What stands there beyond
 *              it failed to sync, was refused to its senders, and is not part of the log, even if it can be read.
 *   frame header  {"commit":12,"t":…,"n":3,"bytes":450,"offsets":{"s":[…]},"wm":{"s":…},"counts":{"s":[a,d,r]},"late":{"s":l},"crc":…}
 *     t        ingest time, ms, never less than before   n   event lines     bytes  length of the body
 *     offsets  per partition the next offset             wm  watermark, µs   counts accepted, duplicate, rejected
 *     late     accepted events whose time lies before the watermark of their own commit; of streams with a time field.
 *              Frames of earlier releases do not have it, and events in them are not late.
 *     Only streams that the commit changed are named, with the values after it; a watermark only where it rose.
 *   event line    {"c":12,"i":0,"p":3,"o":991,"events":{…}}          the stream's name is the last key
 *                 {"c":12,"i":0,"p":3,"o":991,"id":"k#0","events":{…}}  where the id is not a field of the event
 *     c commit, i position among the commit's events, p partition, o offset
 *   dead letter   {"c":12,"dead":{"stream":"events","index":3,"code":"…","reason":"…","place":"/x","raw":"…"}}
 *
 * `crc` is the CRC-32 of the line's text before `,"crc"`, and for a frame goes on over the body. One frame is
 * written and synced at a time, so a frame that has a successor is known to be on the disk, and at most the last
 * frame of the last segment can be torn.
 */

import { crc32 } from 'node:zlib'
import type { CommitSeq, OffsetVector } from '../model/cut.ts'
import type { CommitHeader, DeadLetter, LogEvent, StreamCounts } from './types.ts'

export const FORMAT = 1
export const LINE_FEED = 10

/** The cumulative values at a cut that segment lines and frame headers carry. */
export interface StateValues {
  readonly timeMs: number
  readonly offsets: OffsetVector
  readonly watermarksUs: Readonly<Record<string, number>>
  readonly counts: Readonly<Record<string, StreamCounts>>
  /** Late events of streams with a time field; left out by earlier releases. */
  readonly late?: Readonly<Record<string, number>>
}

export interface SegmentHeader extends StateValues {
  readonly segment: number
  readonly base: CommitSeq
  /** Valid length of the previous segment; undefined in the first. */
  readonly previousBytes: number | undefined
}

export function segmentName(segment: number): string {
  return `${String(segment).padStart(12, '0')}.ndjson`
}

/** The number in a segment's file name, or undefined for other files. */
export function segmentNumber(name: string): number | undefined {
  const match = /^(\d{12})\.ndjson$/.exec(name)
  return match === null ? undefined : Number(match[1])
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const { segment, base, timeMs, previousBytes } = header
  const prev = previousBytes === undefined ? null : { bytes: previousBytes }
  const body = { segment, base, format: FORMAT, t: timeMs, ...stateFields(header), prev }
  const text = JSON.stringify(body).slice(0, -1)
  return Buffer.from(`${text},"crc":${crc32(text)}}\n`)
}

/** Header line of a frame whose body is `body`, cut into its buffers. */
export function encodeFrameHeader(header: CommitHeader, body: readonly Uint8Array[]): Buffer {
  const { commit, timeMs, events, bytes } = header
  const text = JSON.stringify({ commit, t: timeMs, n: events, bytes, ...stateFields(header) }).slice(0, -1)
  let crc = crc32(text)
  for (const part of body) crc = crc32(part, crc)
  return Buffer.from(`${text},"crc":${crc}}\n`)
}

function stateFields(values: Omit<StateValues, 'timeMs'>): object {
  const counts: Record<string, number[]> = {}
  for (const [stream, count] of Object.entries(values.counts)) {
    counts[stream] = [count.accepted, count.duplicate, count.rejected]
  }
  const { late = {} } = values
  const known = Object.keys(late).length === 0 ? {} : { late }
  return { offsets: values.offsets, wm: values.watermarksUs, counts, ...known }
}

export type SegmentHeaderRead =
  | { readonly kind: 'ok'; readonly header: SegmentHeader }
  | { readonly kind: 'bad' }
  /** Checks, but another version of Refold wrote it. */
  | { readonly kind: 'format'; readonly format: unknown }

/** Reads a segment line, given without its line feed. */
export function decodeSegmentHeader(line: Buffer): SegmentHeaderRead {
  const read = decodeChecked(line)
  if (read === undefined || crc32(read.text) !== read.crc) return { kind: 'bad' }
  const value = read.value
  if (value['format'] !== FORMAT) return { kind: 'format', format: value['format'] }
  const state = decodeState(value)
  const segment = value['segment']
  const base = value['base']
  const prev = value['prev'] as { bytes?: unknown } | null | undefined
  if (state === undefined || !isCount(segment) || !isCount(base) || prev === undefined) return { kind: 'bad' }
  if (prev !== null && !isCount(prev.bytes)) return { kind: 'bad' }
  const previousBytes = prev === null ? undefined : (prev.bytes as number)
  return { kind: 'ok', header: { ...state, segment, base, previousBytes } }
}

export interface FrameHeaderRead {
  readonly header: CommitHeader
  /** CRC-32 of the header's text, to be continued over the body. */
  readonly headCrc: number
  /** What the whole must come to. */
  readonly crc: number
}

/** Reads a frame's header line, given without its line feed; undefined when it is not one. */
export function decodeFrameHeader(line: Buffer): FrameHeaderRead | undefined {
  const read = decodeChecked(line)
  if (read === undefined) return undefined
  const state = decodeState(read.value)
  const commit = read.value['commit']
  const events = read.value['n']
  const bytes = read.value['bytes']
  if (state === undefined || !isCount(commit) || !isCount(events) || !isCount(bytes)) return undefined
  return { header: { ...state, commit, events, bytes }, headCrc: crc32(read.text), crc: read.crc }
}

/** Whether the body is the one that the header was written for. */
export function frameChecks(read: FrameHeaderRead, body: Uint8Array): boolean {
  return body.byteLength === read.header.bytes && crc32(body, read.headCrc) === read.crc
}

function decodeChecked(
  line: Buffer,
): { value: Record<string, unknown>; text: Buffer; crc: number } | undefined {
  const mark = line.lastIndexOf(',"crc":')
  if (mark < 0) return undefined
  try {
    const value: unknown = JSON.parse(line.toString('utf8'))
    if (typeof value !== 'object' || value === null) return undefined
    const crc = (value as Record<string, unknown>)['crc']
    if (!isCount(crc)) return undefined
    return { value: value as Record<string, unknown>, text: line.subarray(0, mark), crc }
  } catch {
    return undefined
  }
}

function decodeState(value: Record<string, unknown>): StateValues | undefined {
  const { t, offsets, wm, counts, late = {} } = value
  if (typeof t !== 'number' || !isRecord(offsets) || !isRecord(wm) || !isRecord(counts)) return undefined
  if (!isRecord(late)) return undefined
  const read: Record<string, StreamCounts> = {}
  for (const [stream, count] of Object.entries(counts)) {
    if (!Array.isArray(count) || count.length !== 3) return undefined
    read[stream] = { accepted: count[0], duplicate: count[1], rejected: count[2] }
  }
  const known = offsets as OffsetVector
  const watermarksUs = wm as Record<string, number>
  return { timeMs: t, offsets: known, watermarksUs, counts: read, late: late as Record<string, number> }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What stands before `i`: the same for all events of a commit. */
export function eventLineHead(commit: CommitSeq): string {
  return `{"c":${commit},"i":`
}

/** What stands between the offset (or the id) and the event's JSON text. */
export function eventLineKey(stream: string): string {
  return `,${JSON.stringify(stream)}:`
}

/**
 * Texts of a dead letter come from what was sent. JSON has an escape for half of a surrogate pair, and a strict
 * parser refuses the whole file for it, so it becomes U+FFFD here.
 */
export function encodeDeadLine(commit: CommitSeq, letter: DeadLetter): string {
  const { stream, index, code } = letter
  const dead = {
    ...{ stream, index, code, reason: letter.reason.toWellFormed() },
    ...{ place: letter.place.toWellFormed(), raw: letter.raw.toWellFormed() },
  }
  return `${JSON.stringify({ c: commit, dead })}\n`
}

export type LogLine =
  | { readonly kind: 'event'; readonly event: LogEvent; readonly id: string | undefined }
  | { readonly kind: 'dead'; readonly commit: CommitSeq; readonly letter: DeadLetter }

/** Reads one line of a frame's body, given without its line feed; throws when it is none. */
export function decodeBodyLine(line: string, timeMs: number): LogLine {
  const match = /^\{"c":(\d+),"i":(\d+),"p":(\d+),"o":(\d+),/.exec(line)
  if (match === null) {
    const { c, dead } = JSON.parse(line) as { c: number; dead: DeadLetter }
    return { kind: 'dead', commit: c, letter: dead }
  }
  let key = readJsonString(line, match[0].length)
  let id: string | undefined
  if (key.value === 'id') {
    const value = readJsonString(line, key.end + 1)
    id = value.value
    key = readJsonString(line, value.end + 1)
  }
  const event: LogEvent = {
    commit: Number(match[1]),
    index: Number(match[2]),
    stream: key.value,
    partition: Number(match[3]),
    offset: Number(match[4]),
    timeMs,
    json: line.slice(key.end + 1, -1),
  }
  return { kind: 'event', event, id }
}

/** The JSON string that begins at `start`, and the position after it. */
function readJsonString(line: string, start: number): { value: string; end: number } {
  let end = line.indexOf('"', start + 1)
  while (end > 0 && isEscaped(line, end)) end = line.indexOf('"', end + 1)
  if (line[start] !== '"' || end < 0) throw new SyntaxError(`no string at ${start}`)
  return { value: JSON.parse(line.slice(start, end + 1)) as string, end: end + 1 }
}

function isEscaped(line: string, quote: number): boolean {
  let slashes = 0
  while (line[quote - 1 - slashes] === '\\') slashes++
  return slashes % 2 === 1
}
