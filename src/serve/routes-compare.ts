/**
 * Routes about differences: two versions of a view at one cut, the events that made a row, and why a report differs
 * from an earlier one. No state.
 */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Moment } from './core.ts'
import type { RowEventsAnswer, RowKey } from './core-compare.ts'
import { momentOf } from './moment.ts'
import { pagePosition } from './page-position.ts'
import { QueryParameters } from './query-parameters.ts'
import { answerSignal, sendJson } from './reply.ts'
import type { ParameterDoc, Route, RouteContext } from './route.ts'

const SAMPLE_ROWS = 12
const SAMPLE_ROWS_MAX = 1_000
const EVENTS = 20
const EVENTS_MAX = 1_000
const WHY_ROWS = 20

const viewParameter: ParameterDoc = { name: 'view', in: 'path', type: 'string', text: 'Name of the view.' }
const keyParameter: ParameterDoc = {
  name: 'key.COLUMN',
  in: 'query',
  type: 'string',
  text: 'Value of a column of the row; the name alone means NULL. May be given for several columns.',
}

export function compareRoutes(context: RouteContext): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/views/:view/compare',
      summary: 'Compares two versions of a view at one cut: what differs, by how much, and why.',
      parameters: compareParameters,
      answer: 'application/json',
      handle: (request, reply) => compare(context, request, reply),
    },
    {
      method: 'GET',
      path: '/v1/views/:view/events',
      summary: 'Reads the events that made a row of a view, in the order of the log.',
      parameters: eventsParameters,
      answer: 'application/json',
      handle: (request, reply) => rowEvents(context, request, reply),
    },
    {
      method: 'GET',
      path: '/v1/views/:view/why',
      summary: 'Takes the difference between two reports apart: late events, other new events, new logic.',
      parameters: whyParameters,
      answer: 'application/json',
      handle: (request, reply) => why(context, request, reply),
    },
  ]
}

const compareParameters: readonly ParameterDoc[] = [
  viewParameter,
  {
    name: 'from',
    in: 'query',
    type: 'string',
    text: 'Old version, or its first digits. Default: the one that serves.',
  },
  { name: 'to', in: 'query', type: 'string', text: 'New version. Default: the one that is being deployed.' },
  {
    name: 'cut',
    in: 'query',
    type: 'integer',
    text: 'Compare at this cut. Default: the newest that both have reached.',
  },
  {
    name: 'folded',
    in: 'query',
    type: 'boolean',
    text: 'Also fold both again from the log, to find rows that no logic explains.',
  },
  {
    name: 'first',
    in: 'query',
    type: 'integer',
    text: 'For so many rows of the sample also find the first event with which the versions differ.',
  },
  { name: 'limit', in: 'query', type: 'integer', text: `Rows of the sample. Default ${SAMPLE_ROWS}.` },
]

const eventsParameters: readonly ParameterDoc[] = [
  viewParameter,
  keyParameter,
  { name: 'version', in: 'query', type: 'string', text: 'By this version. Default: the one that serves.' },
  { name: 'to', in: 'query', type: 'integer', text: 'Events up to this cut.' },
  { name: 'limit', in: 'query', type: 'integer', text: `At most so many events. Default ${EVENTS}.` },
  {
    name: 'after',
    in: 'query',
    type: 'string',
    text: 'Only events after this one, as COMMIT.INDEX: what `next` of the page before says.',
  },
]

const whyParameters: readonly ParameterDoc[] = [
  viewParameter,
  {
    name: 'from',
    in: 'query',
    type: 'string',
    text: 'The earlier report: its time (`at` of an answer) or a cut.',
  },
  { name: 'to', in: 'query', type: 'string', text: 'The later report. Default: now.' },
  keyParameter,
  { name: 'limit', in: 'query', type: 'integer', text: `At most so many rows. Default ${WHY_ROWS}.` },
]

function viewName(request: FastifyRequest): string {
  return (request.params as { view: string }).view
}

function queryOf(request: FastifyRequest): QueryParameters {
  return new QueryParameters((request.query as { text: string }).text)
}

/** Runs with a signal that aborts when the client goes away. */
async function answering<T>(reply: FastifyReply, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { signal, release } = answerSignal(reply)
  try {
    return await ask(signal)
  } finally {
    release()
  }
}

async function compare(
  { core }: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const query = queryOf(request)
  const [from, to] = [query.text('from'), query.text('to')]
  const cut = query.integer('cut', 0, Number.MAX_SAFE_INTEGER)
  const folded = query.flag('folded')
  const firstEvents = query.integer('first', 0, 20)
  const sampleRows = query.integer('limit', 0, SAMPLE_ROWS_MAX) ?? SAMPLE_ROWS
  query.finish()
  const asked = {
    ...{ view: viewName(request), folded, sampleRows },
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(cut === undefined ? {} : { cut }),
    ...(firstEvents === undefined ? {} : { firstEvents }),
  }
  const summary = await answering(reply, (signal) => core.compare.versions({ ...asked, signal }))
  return sendJson(reply, JSON.stringify(summary), summary.cut)
}

async function rowEvents(
  { core }: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const query = queryOf(request)
  const key = keyOf(query)
  const version = query.text('version')
  const cut = query.integer('to', 0, Number.MAX_SAFE_INTEGER)
  const limit = query.integer('limit', 1, EVENTS_MAX) ?? EVENTS
  const after = pagePosition(query)
  query.finish()
  const asked = {
    ...{ view: viewName(request), key, limit },
    ...(version === undefined ? {} : { version }),
    ...(cut === undefined ? {} : { cut }),
    ...(after === undefined ? {} : { after }),
  }
  const answer = await answering(reply, (signal) => core.compare.rowEvents({ ...asked, signal }))
  return sendJson(reply, rowEventsJson(answer), answer.cut)
}

async function why({ core }: RouteContext, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const query = queryOf(request)
  const from = reportOf(query, 'from')
  const to = reportOf(query, 'to')
  if (from === undefined && query.text('from') === undefined) {
    query.mistake('from', 'is missing', 'Give the time of the earlier report, or its cut.')
  }
  const key = keyOf(query)
  const limit = query.integer('limit', 0, 10_000) ?? WHY_ROWS
  query.finish()
  const asked = {
    ...{ view: viewName(request), from: from as Moment, key, limit },
    ...(to === undefined ? {} : { to }),
  }
  const report = await answering(reply, (signal) => core.compare.why({ ...asked, signal }))
  return sendJson(reply, JSON.stringify(report), report.to.cut)
}

/** A report by its time, or by a cut. */
function reportOf(query: QueryParameters, name: 'from' | 'to'): Moment | undefined {
  const text = query.text(name)
  if (text === undefined) return undefined
  const isCut = /^\d{1,15}$/.test(text)
  const texts = { as_of: isCut ? text : undefined, as_reported_at: isCut ? undefined : text }
  return momentOf(texts, () => {
    query.mistake(
      name,
      `is "${text}", neither a time nor a cut`,
      'Write 2026-01-31T12:00:00.000000Z or 1234.',
    )
  })
}

function keyOf(query: QueryParameters): RowKey {
  const key: Record<string, string | null> = Object.create(null)
  for (const name of query.names()) {
    if (!name.startsWith('key.')) continue
    const text = query.text(name) ?? ''
    key[name.slice('key.'.length)] = query.isBare(name) ? null : text
  }
  return key
}

/** Events stand in it as they were sent, with every digit. */
function rowEventsJson({ events, next, ...head }: RowEventsAnswer): string {
  const texts = events.map(
    ({ commit, index, partition, offset, timeMs, json }) =>
      `{"commit":${commit},"index":${index},"partition":${partition},"offset":${offset},` +
      `"time":"${new Date(timeMs).toISOString()}","event":${json}}`,
  )
  const more = next === undefined ? '' : `,"next":"${next.commit}.${next.index}"`
  return `${JSON.stringify(head).slice(0, -1)},"events":[${texts.join(',')}]${more}}`
}
