/** Routes of the resource stream: list them, send events, read the log. State: a decoder for each stream. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import { readBody } from '../ingest/body.ts'
import { createRequestReader, type RequestReader } from '../ingest/request.ts'
import { RefoldError } from '../model/errors.ts'
import type { StreamDef } from '../model/schema.ts'
import { appendAnswer, eventLines } from './answer-json.ts'
import { createByteBudget } from './byte-budget.ts'
import type { Core, EventsRequest, LogPoint } from './core.ts'
import type { HttpMeters } from './http-meters.ts'
import { sendNdjson } from './ndjson-reply.ts'
import { nearestHint, QueryParameters } from './query-parameters.ts'
import { answerSignal, discardRest, sendJson } from './reply.ts'
import type { ParameterDoc, Route, RouteContext } from './route.ts'

const streamParameter: ParameterDoc = {
  name: 'stream',
  in: 'path',
  type: 'string',
  text: 'Name of the stream.',
}

const rangeText =
  'a cut (`123` or `cut:123`), an offset (`offset:1000`, needs `partition`) or an ISO 8601 time.'

export function streamRoutes(context: RouteContext, meters: HttpMeters): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/streams',
      head: true,
      summary: 'Lists the streams.',
      answer: 'application/json',
      handle: async (_request, reply) => sendJson(reply, streamsJson(context.core.streams())),
    },
    {
      method: 'POST',
      path: '/v1/streams/:stream/events',
      summary: 'Sends events; the answer means that they are durable.',
      parameters: [
        streamParameter,
        {
          name: 'Idempotency-Key',
          in: 'header',
          type: 'string',
          text: 'For streams without an id: gives event i the id `KEY#i`, so that a retry is recognised.',
        },
        { name: 'Content-Encoding', in: 'header', type: 'string', text: '`gzip` or nothing.' },
      ],
      body: ['application/json', 'application/x-ndjson'],
      answer: 'application/json',
      handle: appendHandler(context, meters),
    },
    {
      method: 'GET',
      path: '/v1/streams/:stream/events',
      summary: 'Reads the log of a stream, one event a line.',
      parameters: [
        streamParameter,
        {
          name: 'from',
          in: 'query',
          type: 'string',
          text: `Where to begin: ${rangeText} A cut is left out itself.`,
        },
        {
          name: 'to',
          in: 'query',
          type: 'string',
          text: `Where to end: ${rangeText} A cut is included, an offset or time is not.`,
        },
        { name: 'partition', in: 'query', type: 'integer', text: 'Only this partition.' },
        { name: 'limit', in: 'query', type: 'integer', text: 'At most so many events.' },
        { name: 'follow', in: 'query', type: 'boolean', text: 'Go on with what arrives.' },
      ],
      answer: 'application/x-ndjson',
      handle: (request, reply) => readEvents(context, request, reply),
    },
  ]
}

function streamsJson(streams: readonly StreamDef[]): string {
  return JSON.stringify({
    streams: streams.map(({ name, partitions, id = null, key = null, time = null, schema }) => ({
      name,
      partitions,
      id,
      key,
      time,
      schema,
    })),
  })
}

function findStream(core: Core, request: FastifyRequest): StreamDef {
  const { stream: name } = request.params as { stream: string }
  const stream = core.stream(name)
  if (stream !== undefined) return stream
  const names = core.streams().map((other) => other.name)
  throw new RefoldError('STREAM_UNKNOWN', `there is no stream "${name}"`, { hint: nearestHint(name, names) })
}

function appendHandler({ core, settings }: RouteContext, meters: HttpMeters): Route['handle'] {
  const { limits } = settings
  const budget = createByteBudget(settings.bodyBytesMax)
  const readers = new Map<string, RequestReader>()
  const readerOf = (stream: StreamDef) => {
    let reader = readers.get(stream.name)
    // A stream is another object once its definition changed.
    if (reader?.stream !== stream) {
      reader = createRequestReader(stream, limits)
      readers.set(stream.name, reader)
    }
    return reader
  }
  return async (request, reply) => {
    const stream = findStream(core, request)
    const { headers } = request
    new QueryParameters((request.query as { text: string }).text).finish()
    const encoding = bodyEncoding(headers['content-encoding'])
    if (Number(headers['content-length']) > limits.requestBytes) {
      throw new RefoldError('REQUEST_TOO_LARGE', `the body is larger than ${limits.requestBytes} bytes`, {
        details: { limitBytes: limits.requestBytes },
      })
    }
    const share = budget.open()
    try {
      const body = await readBody(request.raw, { encoding, limits, take: share.take })
      meters.bodyBytes(body.length)
      const idempotencyKey = headers['idempotency-key'] as string | undefined
      const prepared = await readerOf(stream).prepare(body, {
        contentType: headers['content-type'],
        idempotencyKey,
      })
      const result = await core.append(prepared)
      const answer = appendAnswer(stream, prepared, result)
      return sendJson(reply.code(answer.status), answer.body, result.cut)
    } catch (error) {
      discardRest(request.raw, limits.requestBytes)
      throw error
    } finally {
      share.release()
    }
  }
}

function bodyEncoding(header: string | undefined): 'identity' | 'gzip' {
  const name = header?.trim().toLowerCase() ?? ''
  if (name === '' || name === 'identity') return 'identity'
  if (name === 'gzip' || name === 'x-gzip') return 'gzip'
  throw new RefoldError('REQUEST_ENCODING', `content encoding "${header}" is not supported`)
}

async function readEvents(
  context: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const { core, settings, stopping } = context
  const stream = findStream(core, request)
  const query = new QueryParameters((request.query as { text: string }).text)
  const partition = query.integer('partition', 0, stream.partitions - 1)
  const from = logPoint(query, 'from', partition)
  const to = logPoint(query, 'to', partition)
  const limit = query.integer('limit', 1, Number.MAX_SAFE_INTEGER)
  const follow = query.flag('follow')
  query.finish()
  const { signal, release } = answerSignal(reply, stopping)
  const wanted: EventsRequest = {
    stream: stream.name,
    follow,
    signal,
    ...(partition === undefined ? {} : { partition }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(limit === undefined ? {} : { limit }),
  }
  return sendNdjson(reply, {
    source: core.events(wanted),
    lines: eventLines(),
    signal,
    release,
    clock: settings.clock,
    ...(follow ? { heartbeatMs: settings.heartbeatMs } : {}),
  })
}

function logPoint(query: QueryParameters, name: string, partition: number | undefined): LogPoint | undefined {
  const text = query.text(name)
  if (text === undefined) return undefined
  const [, kind = 'cut', digits] = /^(?:(cut|offset):)?(\d{1,15})$/.exec(text) ?? []
  if (digits === undefined) {
    const timeMs = isoTime(text)
    if (timeMs !== undefined) return { kind: 'time', timeMs }
    query.mistake(name, `is "${text}", not a point of the log`, `Give ${rangeText}`)
    return undefined
  }
  if (kind === 'cut') return { kind: 'cut', commit: Number(digits) }
  if (partition !== undefined) return { kind: 'offset', partition, offset: Number(digits) }
  query.mistake(name, 'is an offset, and an offset means nothing without "partition"', 'Add `partition=0`.')
  return undefined
}

/** A date, or a date and time; without a zone it is UTC. */
export function isoTime(text: string): number | undefined {
  const parts = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(Z|[+-]\d\d:\d\d)?)?$/i.exec(
    text,
  )
  if (parts === null) return undefined
  const timeMs = Date.parse(`${parts[1]}T${parts[2] ?? '00:00'}${(parts[3] ?? 'Z').toUpperCase()}`)
  return Number.isNaN(timeMs) ? undefined : timeMs
}
