/** The route of a view's late events: a page as JSON, or all of them as NDJSON. No state. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { LateAnswer, LateEvent, LateRequest } from './core-late.ts'
import { sendNdjson } from './ndjson-reply.ts'
import { pagePosition } from './page-position.ts'
import { QueryParameters } from './query-parameters.ts'
import { answerSignal, sendJson } from './reply.ts'
import type { ParameterDoc, Route, RouteContext } from './route.ts'

const EVENTS = 100
const EVENTS_MAX = 10_000
const PAGE_EVENTS = 1_000

const parameters: readonly ParameterDoc[] = [
  { name: 'view', in: 'path', type: 'string', text: 'Name of the view.' },
  {
    name: 'all',
    in: 'query',
    type: 'boolean',
    text: 'Of a view that holds late events back: also those that batches took.',
  },
  {
    name: 'since',
    in: 'query',
    type: 'string',
    text: 'Only events accepted from this time on, or after this cut.',
  },
  {
    name: 'limit',
    in: 'query',
    type: 'integer',
    text: `At most so many events. Default ${EVENTS}; as NDJSON all.`,
  },
  {
    name: 'after',
    in: 'query',
    type: 'string',
    text: 'Only events after this one, as COMMIT.INDEX: what `next` of the page before says.',
  },
  { name: 'format', in: 'query', type: 'string', text: '`json` (default), or `ndjson`: a line an event.' },
]

export function lateRoutes(context: RouteContext): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/views/:view/late',
      summary:
        'Lists late events of a view: those held back for the next batch, or those that corrected rows.',
      parameters,
      answer: 'application/json',
      handle: (request, reply) => late(context, request, reply),
    },
  ]
}

async function late(context: RouteContext, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const { core, settings } = context
  const query = new QueryParameters((request.query as { text: string }).text)
  const { view } = request.params as { view: string }
  const limit = query.integer('limit', 1, EVENTS_MAX)
  const after = pagePosition(query)
  const since = sinceOf(query)
  const format = query.text('format') ?? 'json'
  if (format !== 'json' && format !== 'ndjson') {
    query.mistake('format', `is "${format}"`, 'Write json or ndjson.')
  }
  const asked: Omit<LateRequest, 'limit'> = {
    ...{ view, all: query.flag('all') },
    ...(since === undefined ? {} : { since }),
    ...(after === undefined ? {} : { after }),
  }
  query.finish()
  const { signal, release } = answerSignal(reply)
  if (format === 'ndjson') {
    const source = pages(core.late, { ...asked, signal }, limit)
    return await sendNdjson(reply, { source, lines: lateLine, signal, release, clock: settings.clock })
  }
  try {
    const answer = await core.late.list({ ...asked, limit: limit ?? EVENTS, signal })
    return sendJson(reply, lateJson(answer), answer.cut)
  } finally {
    release()
  }
}

async function* pages(
  late: RouteContext['core']['late'],
  asked: Omit<LateRequest, 'limit'>,
  limit = Number.POSITIVE_INFINITY,
): AsyncGenerator<LateEvent> {
  let left = limit
  let after = asked.after
  while (left > 0) {
    const more = after === undefined ? {} : { after }
    const { events, next } = await late.list({ ...asked, ...more, limit: Math.min(PAGE_EVENTS, left) })
    yield* events
    left -= events.length
    if (next === undefined) return
    after = next
  }
}

function sinceOf(query: QueryParameters): LateRequest['since'] {
  const text = query.text('since')
  if (text === undefined) return undefined
  if (/^\d{1,15}$/.test(text)) return { kind: 'cut', cut: Number(text) }
  const timeMs = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(timeMs)) return { kind: 'time', timeMs }
  query.mistake('since', `is "${text}", neither a time nor a cut`, 'Write 2026-01-31T12:00:00Z or 1234.')
  return undefined
}

function lateJson({ events, next, ...head }: LateAnswer): string {
  const more = next === undefined ? '' : `,"next":"${next.commit}.${next.index}"`
  return `${JSON.stringify(head).slice(0, -1)},"events":[${events.map(eventJson).join(',')}]${more}}`
}

function lateLine(event: LateEvent): string {
  return `${eventJson(event)}\n`
}

/** The event stands in it as it was sent, with every digit. */
function eventJson({ json, timeMs, ...event }: LateEvent): string {
  const accepted = new Date(timeMs).toISOString()
  return `${JSON.stringify({ ...event, accepted }).slice(0, -1)},"event":${json}}`
}
