/**
 * Routes of the resource view: list them, read rows, follow changes, explain. State: names, versions and columns of
 * the views as last seen, to name mistakes without asking for the whole list at each lookup; it is asked for again
 * before anything is called unknown, and the core decides in the end.
 */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { LayerName } from '../engine/engine.ts'
import { RefoldError } from '../model/errors.ts'
import { deltaLines, viewAnswerJson } from './answer-json.ts'
import { viewAnswerSchema } from './answer-schemas.ts'
import type { Core, ReadOptions, ViewInfo } from './core.ts'
import { momentOf } from './moment.ts'
import { sendNdjson } from './ndjson-reply.ts'
import { nearestHint, QueryParameters } from './query-parameters.ts'
import { answerSignal, sendJson } from './reply.ts'
import type { ParameterDoc, Route, RouteContext } from './route.ts'

const viewParameter: ParameterDoc = { name: 'view', in: 'path', type: 'string', text: 'Name of the view.' }
const DEFAULT_LIMIT = 100
/** A column of this name is filtered as `where.NAME`. */
const RESERVED = new Set([
  'limit',
  'order',
  'after',
  'timeout',
  'version',
  'layer',
  'as_of',
  'as_reported_at',
  'explain',
])

export function viewRoutes(context: RouteContext): readonly Route[] {
  const { core } = context
  const index = createViewIndex(core)
  return [
    {
      method: 'GET',
      path: '/v1/views',
      head: true,
      summary: 'Lists the views.',
      answer: 'application/json',
      handle: async (_request, reply) => sendJson(reply, JSON.stringify({ views: core.views() })),
    },
    {
      method: 'GET',
      path: '/v1/views/:view',
      head: true,
      summary: 'Reads rows of a view.',
      parameters: readParameters,
      answer: 'application/json',
      answerSchema: viewAnswerSchema,
      handle: (request, reply) => readView(context, index, request, reply),
    },
    {
      method: 'GET',
      path: '/v1/views/:view/changes',
      summary: 'Reads the rows that changed, one change a line.',
      parameters: [
        viewParameter,
        {
          name: 'from',
          in: 'query',
          type: 'integer',
          text: 'Cut after which to begin. Left out: all rows come first, as inserts.',
        },
        {
          name: 'version',
          in: 'query',
          type: 'string',
          text: 'Version of the last line read, where `from` is a cut at which the version changed.',
        },
        { name: 'follow', in: 'query', type: 'boolean', text: 'Go on with what changes.' },
      ],
      answer: 'application/x-ndjson',
      handle: (request, reply) => readChanges(context, index, request, reply),
    },
    {
      method: 'GET',
      path: '/v1/views/:view/explain',
      head: true,
      summary: 'Shows how a view is folded, merged and finished, and what that costs.',
      parameters: [viewParameter],
      answer: 'application/json',
      async handle(request, reply) {
        queryOf(request).finish()
        return sendJson(reply, JSON.stringify(await core.explain(index.find(viewName(request)).name)))
      },
    },
  ]
}

const readParameters: readonly ParameterDoc[] = [
  viewParameter,
  {
    name: 'COLUMN',
    in: 'query',
    type: 'string',
    text: 'Only rows whose column equals this value; the name alone means NULL. Write `where.NAME` for a column named like a parameter.',
  },
  { name: 'limit', in: 'query', type: 'integer', text: 'At most so many rows. Default 100.' },
  {
    name: 'order',
    in: 'query',
    type: 'string',
    text: 'Columns to sort by, separated by commas; a minus before one sorts it downwards.',
  },
  { name: 'after', in: 'query', type: 'integer', text: 'Wait until the answer includes this cut.' },
  { name: 'timeout', in: 'query', type: 'integer', text: 'Milliseconds for waiting and reading together.' },
  {
    name: 'version',
    in: 'query',
    type: 'string',
    text: 'Read this version instead of the one that serves; its first 12 digits are enough.',
  },
  {
    name: 'layer',
    in: 'query',
    type: 'string',
    text: '`batch`: what the batch layer of a lambda view holds, up to T; `speed`: what came after it. Left out: both, merged.',
  },
  {
    name: 'as_of',
    in: 'query',
    type: 'string',
    text: 'The rows with the events up to this cut, or up to this time of ingest (ISO 8601).',
  },
  {
    name: 'as_reported_at',
    in: 'query',
    type: 'string',
    text: 'The rows that a reader got at this moment (ISO 8601, up to microseconds), from the version that answered then.',
  },
  {
    name: 'explain',
    in: 'query',
    type: 'boolean',
    text: 'With as_of or as_reported_at: what the answer costs, in place of the answer.',
  },
]

interface KnownView {
  readonly name: string
  readonly columns: readonly string[]
  /** SQL tells no names apart by case. */
  readonly lowerColumns: ReadonlySet<string>
}

interface ViewIndex {
  /** Throws VIEW_UNKNOWN. */
  find(name: string): KnownView
  /** The view as it is now, for when something about it seems unknown. */
  refresh(name: string): KnownView
}

function createViewIndex(core: Core): ViewIndex {
  let known = new Map<string, KnownView>()
  const refresh = (name: string) => {
    const views = core.views()
    known = new Map(views.map((view) => [view.name, knownView(view)]))
    const found = known.get(name)
    if (found !== undefined) return found
    throw new RefoldError('VIEW_UNKNOWN', `there is no view "${name}"`, {
      hint: nearestHint(name, known.keys()),
    })
  }
  return { refresh, find: (name) => known.get(name) ?? refresh(name) }
}

function knownView({ name, columns }: ViewInfo): KnownView {
  const names = columns.map((column) => column.name)
  return { name, columns: names, lowerColumns: new Set(names.map((each) => each.toLowerCase())) }
}

function viewName(request: FastifyRequest): string {
  return (request.params as { view: string }).view
}

function queryOf(request: FastifyRequest): QueryParameters {
  return new QueryParameters((request.query as { text: string }).text)
}

async function readView(
  { core, settings }: RouteContext,
  index: ViewIndex,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const name = viewName(request)
  const query = queryOf(request)
  const limit = query.integer('limit', 1, settings.rowsMax) ?? DEFAULT_LIMIT
  const order = orderOf(query)
  const where = whereOf(query)
  const read = readOptions(query, settings.timeoutMsMax)
  const version = query.text('version')
  const layer = layerOf(query)
  // Another version may have other columns, and a view that is gone can be read as it was.
  if (version === undefined && read.moment === undefined) {
    const used = [...Object.keys(where), ...order.map((term) => term.column)]
    let view = index.find(name)
    if (!used.every((column) => view.lowerColumns.has(column.toLowerCase()))) view = index.refresh(name)
    checkColumns(query, view, used)
  }
  const explain = query.flag('explain')
  if (explain && read.moment === undefined) {
    query.mistake('explain', 'says what a read of the past costs', 'Add as_of or as_reported_at.')
  }
  query.finish()
  if (explain && read.moment !== undefined) {
    const asked = { view: name, ...(version === undefined ? {} : { version }) }
    return sendJson(reply, JSON.stringify(await core.pastCost(asked, read.moment)))
  }
  const { signal, release } = answerSignal(reply)
  try {
    const wanted = {
      ...{ view: name, where, order, limit },
      ...(version === undefined ? {} : { version }),
      ...(layer === undefined ? {} : { layer }),
    }
    const answer = await core.readView(wanted, { ...read, signal })
    return sendJson(reply, viewAnswerJson(name, answer), answer.cut)
  } finally {
    release()
  }
}

function layerOf(query: QueryParameters): LayerName | undefined {
  const text = query.text('layer')
  if (text === undefined || text === 'batch' || text === 'speed') return text
  query.mistake('layer', `is "${text}"`, 'Use `layer=batch` or `layer=speed`.')
  return undefined
}

/** Column → value. A name without an equals sign asks for NULL, one with nothing after it for the empty text. */
function whereOf(query: QueryParameters): Record<string, string | null> {
  const where: Record<string, string | null> = Object.create(null)
  for (const name of query.names()) {
    if (RESERVED.has(name)) continue
    const column = name.startsWith('where.') ? name.slice('where.'.length) : name
    const text = query.text(name) ?? ''
    if (column in where) query.mistake(name, `filters column "${column}" a second time`)
    else where[column] = query.isBare(name) ? null : text
  }
  return where
}

function orderOf(query: QueryParameters): { readonly column: string; readonly descending: boolean }[] {
  const text = query.text('order')
  if (text === undefined) return []
  return text.split(',').map((term) => {
    const descending = term.startsWith('-')
    const column = descending ? term.slice(1) : term
    if (column === '') query.mistake('order', 'names an empty column', 'Write `order=-total,user_id`.')
    return { column, descending }
  })
}

function checkColumns(query: QueryParameters, view: KnownView, used: readonly string[]): void {
  for (const column of new Set(used)) {
    if (column === '' || view.lowerColumns.has(column.toLowerCase())) continue
    const candidates = [...view.columns, ...RESERVED]
    query.mistake(column, `is no column of view "${view.name}"`, nearestHint(column, candidates))
  }
}

/** The parameters that all reads share. */
function readOptions(query: QueryParameters, timeoutMsMax: number): Omit<ReadOptions, 'signal'> {
  const after = query.integer('after', 0, Number.MAX_SAFE_INTEGER)
  const timeoutMs = query.integer('timeout', 1, timeoutMsMax)
  const texts = { as_of: query.text('as_of'), as_reported_at: query.text('as_reported_at') }
  const moment = momentOf(texts, (name, fact, hint) => query.mistake(name, fact, hint))
  return {
    ...(moment === undefined ? {} : { moment }),
    ...(after === undefined ? {} : { after }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  }
}

async function readChanges(
  { core, settings, stopping }: RouteContext,
  index: ViewIndex,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const view = index.find(viewName(request))
  const query = queryOf(request)
  const from = query.integer('from', 0, Number.MAX_SAFE_INTEGER)
  const version = query.text('version')
  const follow = query.flag('follow')
  query.finish()
  const { signal, release } = answerSignal(reply, stopping)
  return sendNdjson(reply, {
    source: core.changes(view.name, {
      follow,
      signal,
      ...(from === undefined ? {} : { from }),
      ...(version === undefined ? {} : { version }),
    }),
    lines: deltaLines,
    signal,
    release,
    clock: settings.clock,
    ...(follow ? { heartbeatMs: settings.heartbeatMs } : {}),
  })
}
