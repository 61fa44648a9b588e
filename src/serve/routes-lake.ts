/** Routes about the lake and backups: what is there, whether it checks, trimming it, copying it. No state. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import { RefoldError } from '../model/errors.ts'
import type { JsonValue } from '../model/schema.ts'
import type { TrimRequest } from './core-lake.ts'
import { readJsonBody } from './json-body.ts'
import { sendNdjson } from './ndjson-reply.ts'
import { QueryParameters } from './query-parameters.ts'
import { answerSignal, sendJson } from './reply.ts'
import type { Route, RouteContext } from './route.ts'
import { isoTime } from './routes-streams.ts'

const BODY_BYTES_MAX = 64 * 1024
const trimHint =
  'Send {"stream": "NAME", "to": CUT} or {"stream": "NAME", "before": "TIME"}, with "promote" and "dryRun" as booleans.'

export function lakeRoutes(context: RouteContext): readonly Route[] {
  const { core } = context
  return [
    {
      method: 'GET',
      path: '/v1/lake',
      head: true,
      summary: 'Lists the lake: ranges and files of each stream, and what was trimmed.',
      answer: 'application/json',
      async handle(request, reply) {
        noParameters(request)
        return sendJson(reply, JSON.stringify(core.lake.list()))
      },
    },
    {
      method: 'POST',
      path: '/v1/lake/check',
      summary: 'Reads every file of the lake and names what is missing, damaged or too much.',
      answer: 'application/json',
      async handle(request, reply) {
        noParameters(request)
        const { signal, release } = answerSignal(reply)
        try {
          return sendJson(reply, JSON.stringify(await core.lake.check(signal)))
        } finally {
          release()
        }
      },
    },
    {
      method: 'POST',
      path: '/v1/lake/trim',
      summary: "Deletes the oldest events of a stream's lake, unless a version of a view needs them.",
      body: ['application/json'],
      answer: 'application/json',
      async handle(request, reply) {
        noParameters(request)
        const body = await readJsonBody(request, BODY_BYTES_MAX, trimHint)
        return sendJson(reply, JSON.stringify(await core.lake.trim(trimRequest(body))))
      },
    },
    {
      method: 'GET',
      path: '/v1/backup',
      summary: 'Lists the files of a backup at one cut, one a line; they stay while the answer is open.',
      parameters: [
        { name: 'slices', in: 'query', type: 'boolean', text: 'Without `false`, slices are listed too.' },
      ],
      answer: 'application/x-ndjson',
      handle: (request, reply) => listBackup(context, request, reply),
    },
  ]
}

function listBackup(
  { core, settings, stopping }: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const query = new QueryParameters((request.query as { text: string }).text)
  const given = query.text('slices')
  if (given !== undefined && given !== 'true' && given !== 'false') {
    query.mistake('slices', `is "${given}", neither true nor false`)
  }
  query.finish()
  const { signal, release } = answerSignal(reply, stopping)
  return sendNdjson<JsonValue>(reply, {
    source: core.lake.backup({ slices: given !== 'false', signal }),
    lines: (line) => `${JSON.stringify(line)}\n`,
    signal,
    release,
    clock: settings.clock,
    heartbeatMs: settings.heartbeatMs,
  })
}

function trimRequest(body: Readonly<Record<string, unknown>>): TrimRequest {
  const { stream, to, before, promote = false, dryRun = false, ...others } = body
  const [unknown] = Object.keys(others)
  const wrong = (message: string) => new RefoldError('REQUEST_BODY', message, { hint: trimHint })
  if (unknown !== undefined) throw wrong(`field "${unknown}" is unknown`)
  if (typeof stream !== 'string') throw wrong('field "stream" is not the name of a stream')
  if (typeof promote !== 'boolean' || typeof dryRun !== 'boolean') {
    throw wrong('field "promote" or "dryRun" is neither true nor false')
  }
  if ((to === undefined) === (before === undefined)) throw wrong('give one of "to" and "before"')
  if (to !== undefined) {
    if (!Number.isSafeInteger(to) || (to as number) < 0) throw wrong('field "to" is not a cut')
    return { stream, to: { cut: to as number }, promote, dryRun }
  }
  const timeMs = typeof before === 'string' ? isoTime(before) : undefined
  if (timeMs === undefined) throw wrong('field "before" is not a time such as 2026-01-31T12:00:00Z')
  return { stream, to: { timeMs }, promote, dryRun }
}

function noParameters(request: FastifyRequest): void {
  new QueryParameters((request.query as { text: string }).text).finish()
}
