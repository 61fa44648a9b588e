/** The route for read-only SQL over views, streams and system tables. No state. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import { readBody } from '../ingest/body.ts'
import { RefoldError } from '../model/errors.ts'
import { sqlAnswerJson } from './answer-json.ts'
import type { ReadOptions } from './core.ts'
import { nearestHint, parameterError, QueryParameters } from './query-parameters.ts'
import { answerSignal, discardRest, sendJson } from './reply.ts'
import type { Route, RouteContext } from './route.ts'

const BODY_BYTES_MAX = 1024 * 1024
const DEFAULT_LIMIT = 1000
const FIELDS = ['sql', 'limit', 'after', 'timeout']

export function sqlRoutes(context: RouteContext): readonly Route[] {
  return [
    {
      method: 'POST',
      path: '/v1/sql',
      summary: 'Runs one SELECT over views, streams and refold.* tables.',
      body: ['application/json'],
      answer: 'application/json',
      handle: (request, reply) => runSql(context, request, reply),
    },
  ]
}

async function runSql(
  { core, settings }: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  new QueryParameters((request.query as { text: string }).text).finish()
  const fields = await readFields(request)
  const { sql, limit, options } = checkFields(fields, settings.rowsMax, settings.timeoutMsMax)
  const { signal, release } = answerSignal(reply)
  try {
    const answer = await core.sql({ sql, limit }, { ...options, signal })
    return sendJson(reply, sqlAnswerJson(answer), answer.cut)
  } finally {
    release()
  }
}

async function readFields(request: FastifyRequest): Promise<Readonly<Record<string, unknown>>> {
  const encoding = request.headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') {
    throw new RefoldError('REQUEST_ENCODING', `content encoding "${encoding}" is not supported here`, {
      hint: 'Send the body plain.',
    })
  }
  const limits = { requestBytes: BODY_BYTES_MAX, expandedBytes: BODY_BYTES_MAX }
  let text: string
  try {
    text = (await readBody(request.raw, { encoding: 'identity', limits })).toString('utf8')
  } catch (error) {
    discardRest(request.raw, 16 * BODY_BYTES_MAX)
    throw error
  }
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch (error) {
    throw new RefoldError('REQUEST_BODY', `the body is not valid JSON: ${(error as Error).message}`, {
      hint: 'Send {"sql": "SELECT …"}.',
      cause: error,
    })
  }
  if (typeof body === 'object' && body !== null && !Array.isArray(body))
    return body as Record<string, unknown>
  throw new RefoldError('REQUEST_BODY', 'the body is not a JSON object', {
    hint: 'Send {"sql": "SELECT …"}.',
  })
}

function checkFields(
  fields: Readonly<Record<string, unknown>>,
  rowsMax: number,
  timeoutMsMax: number,
): { readonly sql: string; readonly limit: number; readonly options: Omit<ReadOptions, 'signal'> } {
  const mistakes: { parameter: string; message: string; hint?: string }[] = []
  for (const name of Object.keys(fields)) {
    if (FIELDS.includes(name)) continue
    const hint = nearestHint(name, FIELDS)
    mistakes.push({ parameter: name, message: `field "${name}" is unknown`, hint })
  }
  const { sql } = fields
  if (typeof sql !== 'string' || sql.trim() === '') {
    mistakes.push({ parameter: 'sql', message: 'field "sql" is not a text with a statement' })
  }
  const whole = (name: string, min: number, max: number): number | undefined => {
    const value = fields[name]
    if (value === undefined || value === null) return undefined
    if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max)
      return value as number
    mistakes.push({ parameter: name, message: `field "${name}" is not a whole number from ${min} to ${max}` })
    return undefined
  }
  const limit = whole('limit', 1, rowsMax) ?? Math.min(DEFAULT_LIMIT, rowsMax)
  const after = whole('after', 0, Number.MAX_SAFE_INTEGER)
  const timeoutMs = whole('timeout', 1, timeoutMsMax)
  if (mistakes.length > 0) throw parameterError(mistakes)
  return {
    sql: sql as string,
    limit,
    options: { ...(after === undefined ? {} : { after }), ...(timeoutMs === undefined ? {} : { timeoutMs }) },
  }
}
