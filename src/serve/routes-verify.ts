/** Routes about verification: what the last runs found, and a run now. No state. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { VerifyRequest } from './core-verify.ts'
import { readJsonBody } from './json-body.ts'
import { nearestHint, parameterError, QueryParameters } from './query-parameters.ts'
import { answerSignal, sendJson } from './reply.ts'
import type { Route, RouteContext } from './route.ts'

const BODY_BYTES_MAX = 64 * 1024
const FIELDS = ['views', 'cut', 'sample']
const HINT = 'Send {} for all views as they are served now, or {"views": ["NAME"], "cut": 7, "sample": 0.1}.'

export function verifyRoutes(context: RouteContext): readonly Route[] {
  const { core } = context
  return [
    {
      method: 'GET',
      path: '/v1/verify',
      head: true,
      summary: 'Says what the last verification of each view found.',
      answer: 'application/json',
      async handle(request, reply) {
        noParameters(request)
        return sendJson(reply, JSON.stringify({ reports: core.verify.last() }))
      },
    },
    {
      method: 'POST',
      path: '/v1/verify',
      summary: 'Folds views again from the log and compares them with what is served.',
      body: ['application/json'],
      answer: 'application/json',
      handle: (request, reply) => runVerify(context, request, reply),
    },
  ]
}

async function runVerify(
  { core }: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  noParameters(request)
  const asked = verifyFields(await readJsonBody(request, BODY_BYTES_MAX, HINT))
  const { signal, release } = answerSignal(reply)
  try {
    const reports = await core.verify.run({ ...asked, signal })
    return sendJson(reply, JSON.stringify({ reports }))
  } finally {
    release()
  }
}

function noParameters(request: FastifyRequest): void {
  new QueryParameters((request.query as { text: string }).text).finish()
}

function verifyFields(fields: Readonly<Record<string, unknown>>): Omit<VerifyRequest, 'signal'> {
  const mistakes: { parameter: string; message: string; hint?: string }[] = []
  const refuse = (parameter: string, message: string, hint = HINT) =>
    mistakes.push({ parameter, message, hint })
  for (const name of Object.keys(fields)) {
    if (!FIELDS.includes(name)) refuse(name, `field "${name}" is unknown`, nearestHint(name, FIELDS))
  }
  const { views, cut, sample } = fields
  const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''
  if (views !== undefined && !(Array.isArray(views) && views.every(isText))) {
    refuse('views', 'field "views" is not a list of names')
  }
  if (cut !== undefined && !(Number.isSafeInteger(cut) && Number(cut) >= 0)) {
    refuse('cut', 'field "cut" is not a cut')
  }
  if (sample !== undefined && !(typeof sample === 'number' && sample > 0 && sample <= 1)) {
    refuse('sample', 'field "sample" is not a share, above 0 and at most 1')
  }
  if (mistakes.length > 0) throw parameterError(mistakes)
  return {
    ...(views === undefined ? {} : { views: views as readonly string[] }),
    ...(cut === undefined ? {} : { cut: cut as number }),
    ...(sample === undefined ? {} : { sample: sample as number }),
  }
}
