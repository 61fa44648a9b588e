/** Routes about checks: what there is with what it last said, and running some now. No state. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ChecksRequest } from './core-checks.ts'
import { readJsonBody } from './json-body.ts'
import { nearestHint, parameterError, QueryParameters } from './query-parameters.ts'
import { answerSignal, sendJson } from './reply.ts'
import type { Route, RouteContext } from './route.ts'

const BODY_BYTES_MAX = 64 * 1024
const FIELDS = ['names', 'versions']
const HINT = 'Send {} for all, or {"names": ["NAME"], "versions": {"VIEW": "VERSION"}}.'

export function checkRoutes(context: RouteContext): readonly Route[] {
  const { core } = context
  return [
    {
      method: 'GET',
      path: '/v1/checks',
      head: true,
      summary: 'Lists the checks of the project, each with its last verdict.',
      answer: 'application/json',
      async handle(request, reply) {
        noParameters(request)
        return sendJson(reply, JSON.stringify({ checks: core.checks.list() }))
      },
    },
    {
      method: 'POST',
      path: '/v1/checks/run',
      summary: 'Runs checks now, over the versions that answer or over others.',
      body: ['application/json'],
      answer: 'application/json',
      handle: (request, reply) => runChecks(context, request, reply),
    },
  ]
}

async function runChecks(
  { core }: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  noParameters(request)
  const asked = checkFields(await readJsonBody(request, BODY_BYTES_MAX, HINT))
  const { signal, release } = answerSignal(reply)
  try {
    const results = await core.checks.run({ ...asked, signal })
    return sendJson(reply, JSON.stringify({ results }))
  } finally {
    release()
  }
}

function noParameters(request: FastifyRequest): void {
  new QueryParameters((request.query as { text: string }).text).finish()
}

function checkFields(fields: Readonly<Record<string, unknown>>): Omit<ChecksRequest, 'signal'> {
  const mistakes: { parameter: string; message: string; hint?: string }[] = []
  for (const name of Object.keys(fields)) {
    if (FIELDS.includes(name)) continue
    mistakes.push({ parameter: name, message: `field "${name}" is unknown`, hint: nearestHint(name, FIELDS) })
  }
  const { names, versions } = fields
  const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''
  if (names !== undefined && !(Array.isArray(names) && names.every(isText))) {
    mistakes.push({ parameter: 'names', message: 'field "names" is not a list of names', hint: HINT })
  }
  const isObject = typeof versions === 'object' && versions !== null && !Array.isArray(versions)
  if (versions !== undefined && !(isObject && Object.values(versions).every(isText))) {
    mistakes.push({
      parameter: 'versions',
      message: 'field "versions" does not name a version by view',
      hint: HINT,
    })
  }
  if (mistakes.length > 0) throw parameterError(mistakes)
  return {
    ...(names === undefined ? {} : { names: names as readonly string[] }),
    ...(versions === undefined ? {} : { versions: versions as Readonly<Record<string, string>> }),
  }
}
