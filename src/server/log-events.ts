/**
 * Reads a stream's part of the log, cold and hot, as one sequence in the order (commit, index). No state beside the
 * cut that the loop has reached.
 *
 * The hand-over is exact because each step takes one manifest of both: lake files up to the lake's cut, segments
 * after it. A step reads a bounded piece and lets go of the files before anything is given to the reader, so a slow
 * reader never keeps files from being deleted.
 */

import { historyTrimmed, trimmedBeyond, trimOf } from '../catalog/trims.ts'
import type { LogSources } from '../engine/engine.ts'
import type { EventTexts } from '../engine/read-events.ts'
import type { LogEvent } from '../log/types.ts'
import type { CommitRange, CommitSeq } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import type { StreamDef } from '../model/schema.ts'
import type { EventsRequest } from '../serve/core.ts'
import { nextTurn } from '../std/turn.ts'
import type { ServerContext } from './context.ts'
import { eventTexts } from './event-texts.ts'
import type { LakePiece } from './lake-events.ts'

/** Events read before the files are let go of; a commit is never divided. */
const PIECE_EVENTS = 4_096

export async function* logEvents(context: ServerContext, request: EventsRequest): AsyncGenerator<LogEvent> {
  const { signal, follow } = request
  let read = readingOf(context, streamOf(context, request))
  const matches = matcher(request)
  const stop = lastCommit(request)
  refuseTrimmed(context, request)
  const begin = trimOf(context.catalog, request.stream)?.cut ?? 0
  let reached = Math.max(begin, await context.pins.with((sources) => firstCut(context, sources, request)))
  let left = request.limit ?? Number.POSITIVE_INFINITY
  const ended = () => signal?.aborted === true || context.closing()
  while (left > 0 && !ended()) {
    const from = reached
    // The schema may change while a reader follows.
    const now = context.streams().find(({ name }) => name === request.stream)
    if (now !== undefined && now !== read.stream) read = readingOf(context, now)
    const { stream } = read
    const piece = await context.pins.with((sources) => {
      const trim = trimmedBeyond(context.catalog, [stream.name], from)
      if (trim !== undefined) throw historyTrimmed('reading on', trim)
      return readPiece(context, sources, read, from, stop)
    })
    for (const event of piece.events) {
      if (isPast(request, event)) return
      if (!matches(event)) continue
      yield event
      if (--left <= 0 || ended()) return
    }
    reached = piece.through
    if (reached >= stop) return
    if (piece.through > from) await nextTurn()
    else if (follow) await nextCommit(context, reached, signal)
    else return
  }
}

interface ReadStream {
  readonly stream: StreamDef
  readonly texts: EventTexts | undefined
}

function readingOf(context: ServerContext, stream: StreamDef): ReadStream {
  return { stream, texts: eventTexts(context.catalog, stream) }
}

async function readPiece(
  context: ServerContext,
  sources: LogSources,
  { stream, texts }: ReadStream,
  from: CommitSeq,
  stop: CommitSeq,
): Promise<LakePiece> {
  const { lake, log } = sources
  if (from < lake.through) {
    return await context.lakeEvents.read(
      sources,
      stream,
      { from, to: Math.min(lake.through, stop) },
      PIECE_EVENTS,
      texts,
    )
  }
  return await readHotPiece(context, sources, { stream, texts }, { from, to: Math.min(log.durable, stop) })
}

async function readHotPiece(
  context: ServerContext,
  sources: LogSources,
  { stream, texts }: ReadStream,
  range: CommitRange,
): Promise<LakePiece> {
  const events: LogEvent[] = []
  let commit = range.from
  if (range.to <= range.from) return { events, through: range.from }
  for await (const event of context.reader.events(sources.log, range)) {
    if (event.commit !== commit && events.length >= PIECE_EVENTS) return { events, through: event.commit - 1 }
    commit = event.commit
    if (event.stream !== stream.name) continue
    events.push(texts === undefined ? event : { ...event, json: texts.current(event.json) })
  }
  return { events, through: range.to }
}

function streamOf(context: ServerContext, request: EventsRequest): StreamDef {
  const stream = context.streams().find(({ name }) => name === request.stream)
  if (stream === undefined) throw new RefoldError('STREAM_UNKNOWN', `there is no stream "${request.stream}"`)
  return stream
}

/** Whoever asks for events from where the log no longer has them is told so, instead of getting the others alone. */
function refuseTrimmed({ catalog }: ServerContext, { stream, from }: EventsRequest): void {
  const trim = trimOf(catalog, stream)
  if (trim === undefined) return
  const isBefore =
    from === undefined ||
    (from.kind === 'cut' && from.commit < trim.cut) ||
    (from.kind === 'offset' && from.offset < (trim.offsets[from.partition] ?? 0)) ||
    (from.kind === 'time' && from.timeMs <= (trim.untilMs ?? trim.timeMs))
  if (isBefore)
    throw historyTrimmed(`reading from ${from === undefined ? 'the beginning' : 'there on'}`, trim)
}

/** The cut from which on events may match. */
async function firstCut(
  context: ServerContext,
  sources: LogSources,
  request: EventsRequest,
): Promise<CommitSeq> {
  const { from, stream } = request
  if (from === undefined) return 0
  const { reader } = context
  const { lake, log } = sources
  switch (from.kind) {
    case 'cut':
      return from.commit
    case 'time': {
      const hot = await reader.cutBeforeTime(log, from.timeMs)
      // The first hot commit may be later than an event of the lake with that time.
      return hot > lake.through ? hot : 0
    }
    case 'offset': {
      const { partition, offset } = from
      const file = lake.files.find(
        (candidate) => candidate.stream === stream && (candidate.offsets[partition]?.to ?? 0) > offset,
      )
      if (file !== undefined) return file.from
      return Math.max(lake.through, await reader.cutBeforeOffset(log, stream, partition, offset))
    }
  }
}

function lastCommit({ to }: EventsRequest): CommitSeq {
  return to?.kind === 'cut' ? to.commit : Number.POSITIVE_INFINITY
}

function matcher(request: EventsRequest): (event: LogEvent) => boolean {
  const { from, to, partition } = request
  return (event) => {
    if (partition !== undefined && event.partition !== partition) return false
    if (from?.kind === 'time' && event.timeMs < from.timeMs) return false
    if (from?.kind === 'offset' && (event.partition !== from.partition || event.offset < from.offset))
      return false
    return to?.kind !== 'offset' || event.partition === to.partition
  }
}

/** Whether neither this event nor a later one can match; times and offsets never go back. */
function isPast({ to }: EventsRequest, event: LogEvent): boolean {
  if (to?.kind === 'time') return event.timeMs >= to.timeMs
  return to?.kind === 'offset' && event.partition === to.partition && event.offset >= to.offset
}

function nextCommit(context: ServerContext, cut: CommitSeq, signal: AbortSignal | undefined): Promise<void> {
  const { log } = context
  if (log.state().cut.commit > cut || signal?.aborted === true) return Promise.resolve()
  return new Promise((resolve) => {
    const leave = () => {
      ended()
      signal?.removeEventListener('abort', leave)
      resolve()
    }
    const ended = log.onDurable(leave)
    signal?.addEventListener('abort', leave, { once: true })
  })
}
