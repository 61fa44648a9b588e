/** Routes about views that are not folded: list them, pause one, go on. No state. */

import type { FastifyRequest } from 'fastify'
import { receivedAuthor, receivedReason } from '../deploy/deploy-options.ts'
import { readJsonBody } from './json-body.ts'
import { nearestHint, parameterError, QueryParameters } from './query-parameters.ts'
import { sendJson } from './reply.ts'
import type { ParameterDoc, Route, RouteContext } from './route.ts'

const BODY_BYTES_MAX = 64 * 1024
const PAUSE_HINT = 'Send {"reason": "why", "author": {"who": "you"}}.'
const RESUME_HINT = 'Send {"author": {"who": "you"}}.'

const viewParameter: ParameterDoc = { name: 'view', in: 'path', type: 'string', text: 'Name of the view.' }

export function pauseRoutes({ core }: RouteContext): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/paused',
      head: true,
      summary: 'Lists the views that are not folded, with the reason.',
      answer: 'application/json',
      async handle(request, reply) {
        noParameters(request)
        return sendJson(reply, JSON.stringify({ paused: core.pauses.list() }))
      },
    },
    {
      method: 'POST',
      path: '/v1/views/:view/pause',
      summary: 'Folds a view no further; others go on.',
      parameters: [viewParameter],
      body: ['application/json'],
      answer: 'application/json',
      async handle(request, reply) {
        noParameters(request)
        const fields = await fieldsOf(request, ['reason', 'author'], PAUSE_HINT)
        const reason = receivedReason(fields['reason'], 'reason')
        const paused = await core.pauses.pause(viewOf(request), reason, receivedAuthor(fields['author']))
        return sendJson(reply, JSON.stringify(paused))
      },
    },
    {
      method: 'POST',
      path: '/v1/views/:view/resume',
      summary: 'Folds a view again that was paused.',
      parameters: [viewParameter],
      body: ['application/json'],
      answer: 'application/json',
      async handle(request, reply) {
        noParameters(request)
        const fields = await fieldsOf(request, ['author'], RESUME_HINT)
        const resumed = await core.pauses.resume(viewOf(request), receivedAuthor(fields['author']))
        return sendJson(reply, JSON.stringify({ resumed }))
      },
    },
  ]
}

async function fieldsOf(
  request: FastifyRequest,
  known: readonly string[],
  hint: string,
): Promise<Readonly<Record<string, unknown>>> {
  const fields = await readJsonBody(request, BODY_BYTES_MAX, hint)
  const unknown = Object.keys(fields).filter((name) => !known.includes(name))
  if (unknown.length === 0) return fields
  throw parameterError(
    unknown.map((name) => ({
      parameter: name,
      message: `field "${name}" is unknown`,
      hint: nearestHint(name, known),
    })),
  )
}

function viewOf(request: FastifyRequest): string {
  return (request.params as { view: string }).view
}

function noParameters(request: FastifyRequest): void {
  new QueryParameters((request.query as { text: string }).text).finish()
}
