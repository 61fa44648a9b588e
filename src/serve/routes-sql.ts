/** The route for read-only SQL over views, streams and system tables. No state. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import { sqlAnswerJson } from './answer-json.ts'
import { sqlAnswerSchema } from './answer-schemas.ts'
import type { ReadOptions } from './core.ts'
import { readJsonBody } from './json-body.ts'
import { momentNames, momentOf } from './moment.ts'
import { nearestHint, parameterError, QueryParameters } from './query-parameters.ts'
import { answerSignal, sendJson } from './reply.ts'
import type { Route, RouteContext } from './route.ts'

const BODY_BYTES_MAX = 1024 * 1024
const DEFAULT_LIMIT = 1000
const FIELDS = ['sql', 'limit', 'after', 'timeout', ...momentNames]

export function sqlRoutes(context: RouteContext): readonly Route[] {
  return [
    {
      method: 'POST',
      path: '/v1/sql',
      summary: 'Runs one SELECT over views, streams and refold.* tables.',
      body: ['application/json'],
      answer: 'application/json',
      answerSchema: sqlAnswerSchema,
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
  const fields = await readJsonBody(request, BODY_BYTES_MAX, 'Send {"sql": "SELECT …"}.')
  const { sql, limit, options } = checkFields(fields, settings.rowsMax, settings.timeoutMsMax)
  const { signal, release } = answerSignal(reply)
  try {
    const answer = await core.sql({ sql, limit }, { ...options, signal })
    return sendJson(reply, sqlAnswerJson(answer), answer.cut)
  } finally {
    release()
  }
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
  const text = (name: string): string | undefined => {
    const value = fields[name]
    if (value === undefined || value === null) return undefined
    return typeof value === 'string' ? value : JSON.stringify(value)
  }
  const texts = { as_of: text('as_of'), as_reported_at: text('as_reported_at') }
  const moment = momentOf(texts, (parameter, fact, hint) => {
    mistakes.push({
      parameter,
      message: `field "${parameter}" ${fact}`,
      ...(hint === undefined ? {} : { hint }),
    })
  })
  if (mistakes.length > 0) throw parameterError(mistakes)
  return {
    sql: sql as string,
    limit,
    options: {
      ...(after === undefined ? {} : { after }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(moment === undefined ? {} : { moment }),
    },
  }
}
