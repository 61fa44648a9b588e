/**
 * Turns the body of one request into an `AppendRequest`: finds the events in it, checks limits, decodes each, gives
 * it a partition and an id. Knows no HTTP. State: per stream the compiled decoder and the partition whose turn it is.
 *
 * A bad event becomes a dead letter and never touches another; only a body in which events cannot be told apart, or
 * one that breaks a limit of the request, is refused as a whole, and then nothing of it was kept. Positions count
 * the events of the request, good and bad, from 0; blank lines do not count.
 */

import { isAscii, isUtf8 } from 'node:buffer'
import type { AppendRequest, DeadLetter, PreparedEvent } from '../log/types.ts'
import { type ErrorCode, RefoldError } from '../model/errors.ts'
import type { IngestLimits } from '../model/limits.ts'
import type { StreamDef } from '../model/schema.ts'
import { nextTurn } from '../std/turn.ts'
import { arrayElements, arrayError, bodyFormat, skipSpace, textStart, tooManyEvents } from './body-split.ts'
import { compileDecoder, type Decoder } from './decoder.ts'
import { partitionOf } from './partitioner.ts'

export interface RequestOptions {
  /** Media type as sent; only `application/x-ndjson` decides something: every line is an event by itself. */
  readonly contentType?: string | undefined
  /** Gives event i the id `KEY#i`, in streams whose schema has no id. */
  readonly idempotencyKey?: string | undefined
}

export interface RequestReader {
  readonly stream: StreamDef
  prepare(body: Buffer, options?: RequestOptions): Promise<AppendRequest>
}

/** The source text in a dead letter is cut to this many bytes. */
const RAW_BYTES_MAX = 4096
/** Events after which other work of the process gets its turn: about 2 ms. */
const EVENTS_PER_TURN = 2048
const NEWLINE = 0x0a
const SPACE = 0x20

export function createRequestReader(stream: StreamDef, limits: IngestLimits): RequestReader {
  const decoder = compileDecoder(stream, limits)
  let turn = 0
  return {
    stream,
    async prepare(body, options = {}) {
      const idPrefix = idPrefixOf(stream, options.idempotencyKey)
      const format = bodyFormat(body, isNdjson(options.contentType))
      if (format === 'empty') throw noEvents(stream)
      const fallback = turn
      turn = (turn + 1) % stream.partitions
      const job: Job = {
        stream,
        limits,
        decoder,
        body,
        text: isAscii(body) ? body.toString('latin1') : undefined,
        checkUtf8: !isUtf8(body),
        inArray: format === 'array',
        fallback,
        idPrefix,
        events: [],
        deadLetters: [],
      }
      if (format === 'lines') await readLines(job)
      else await readRanges(job, format === 'array' ? arrayElements(body, limits.requestEvents) : whole(body))
      if (job.events.length + job.deadLetters.length === 0) throw noEvents(stream)
      return { stream: stream.name, events: job.events, deadLetters: job.deadLetters, bytes: body.length }
    },
  }
}

interface Job {
  readonly stream: StreamDef
  readonly limits: IngestLimits
  readonly decoder: Decoder
  readonly body: Buffer
  /** The whole body, where it is plain ASCII: positions in bytes and in characters are then the same. */
  readonly text: string | undefined
  /** The body has bytes that are no UTF-8, so each event is checked. */
  readonly checkUtf8: boolean
  readonly inArray: boolean
  /** Partition for events without a key: one for the whole request, so that its order is kept. */
  readonly fallback: number
  readonly idPrefix: string | undefined
  readonly events: PreparedEvent[]
  readonly deadLetters: DeadLetter[]
}

async function readLines(job: Job): Promise<void> {
  const { body } = job
  if (body.length > job.limits.requestEvents * 2) checkLineCount(body, job.limits.requestEvents)
  let position = textStart(body)
  let index = 0
  while (position < body.length) {
    const newline = body.indexOf(NEWLINE, position)
    const end = newline < 0 ? body.length : newline
    const start = body[position]! <= SPACE ? skipSpace(body, position) : position
    if (start < end) {
      readEvent(job, index++, start, end)
      if (index % EVENTS_PER_TURN === 0) await nextTurn()
    }
    position = Math.max(end + 1, start)
  }
}

async function readRanges(job: Job, ranges: readonly number[]): Promise<void> {
  for (let at = 0; at < ranges.length; at += 2) {
    const index = at / 2
    readEvent(job, index, ranges[at]!, ranges[at + 1]!)
    if (index % EVENTS_PER_TURN === EVENTS_PER_TURN - 1) await nextTurn()
  }
}

function readEvent(job: Job, index: number, start: number, end: number): void {
  const { body, limits, stream, text } = job
  if (end - start > limits.eventBytes) {
    reject(
      job,
      index,
      start,
      end,
      'EVENT_TOO_LARGE',
      `the event is larger than ${limits.eventBytes} bytes`,
      '',
    )
    return
  }
  if (job.checkUtf8 && !isUtf8(body.subarray(start, end))) {
    reject(job, index, start, end, 'EVENT_NOT_UTF8', 'the event is not valid UTF-8', '')
    return
  }
  const decoded =
    text === undefined
      ? job.decoder.decode(body.toString('utf8', start, end))
      : job.decoder.decode(text, start, end)
  if (!decoded.ok) {
    reject(job, index, start, end, decoded.code, decoded.reason, decoded.place)
    return
  }
  const id = job.idPrefix === undefined ? decoded.id : job.idPrefix + index
  const partition = decoded.key === undefined ? job.fallback : partitionOf(decoded.key, stream.partitions)
  job.events.push(prepared(stream.name, partition, decoded.json, decoded.timeUs, id, index))
}

function reject(
  job: Job,
  index: number,
  start: number,
  end: number,
  code: ErrorCode,
  reason: string,
  place: string,
): void {
  if (job.inArray && code === 'EVENT_NOT_JSON') {
    // Where the next element begins would be a guess.
    throw arrayError(job.body, start, `${reason.replace(/^the event/, `element ${index}`)},`)
  }
  const raw = rawText(job.body, start, end)
  job.deadLetters.push({ stream: job.stream.name, index, code, reason, place, raw })
}

/** One shape of object for each combination that occurs, without the cost of spreading. */
function prepared(
  stream: string,
  partition: number,
  json: string,
  timeUs: number | undefined,
  id: string | undefined,
  index: number,
): PreparedEvent {
  if (id === undefined) {
    return timeUs === undefined
      ? { stream, partition, json, index }
      : { stream, partition, json, timeUs, index }
  }
  return timeUs === undefined
    ? { stream, partition, json, id, index }
    : { stream, partition, json, timeUs, id, index }
}

function rawText(body: Buffer, start: number, end: number): string {
  const cut = end - start > RAW_BYTES_MAX
  const text = body.toString('utf8', start, cut ? start + RAW_BYTES_MAX : end)
  return cut ? text.replace(/\ufffd{1,3}$/, '') : text.trimEnd()
}

function whole(body: Buffer): number[] {
  return [textStart(body), body.length]
}

function checkLineCount(body: Buffer, countMax: number): void {
  let lines = 0
  let position = textStart(body)
  while (position < body.length) {
    const newline = body.indexOf(NEWLINE, position)
    const end = newline < 0 ? body.length : newline
    if (skipSpace(body, position) < end && ++lines > countMax) throw tooManyEvents(countMax)
    position = end + 1
  }
}

function isNdjson(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/(x-ndjson|ndjson|jsonl|x-jsonlines)\b/i.test(contentType)
}

function idPrefixOf(stream: StreamDef, key: string | undefined): string | undefined {
  if (key === undefined) return undefined
  if (stream.id !== undefined) {
    throw new RefoldError(
      'REQUEST_PARAMETER',
      `stream "${stream.name}" takes event ids from its field "${stream.id}", so header "Idempotency-Key" has no use`,
      { hint: 'Leave the header out; a retry with the same ids is recognised without it.' },
    )
  }
  if (!/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new RefoldError(
      'REQUEST_PARAMETER',
      'header "Idempotency-Key" is not 1 to 255 visible ASCII characters',
      { hint: 'Use a UUID, made once for each request and sent again with each retry of it.' },
    )
  }
  return `${key}#`
}

function noEvents(stream: StreamDef): RefoldError {
  return new RefoldError('REQUEST_BODY', `the request for stream "${stream.name}" holds no event`, {
    hint: 'Send one JSON object, an array of objects, or NDJSON.',
  })
}
