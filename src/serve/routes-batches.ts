/** Routes about the batches of a view: what there were, and one now. No state. */

import type { FastifyRequest } from 'fastify'
import { readJsonBody } from './json-body.ts'
import { nearestHint, parameterError, QueryParameters } from './query-parameters.ts'
import { answerSignal, sendJson } from './reply.ts'
import type { ParameterDoc, Route, RouteContext } from './route.ts'

const BODY_BYTES_MAX = 64 * 1024
const HINT = 'Send {}, or {"wait": true} to be answered when the batch has ended.'
const LIMIT = 20
const LIMIT_MAX = 1_000

const viewParameter: ParameterDoc = { name: 'view', in: 'path', type: 'string', text: 'Name of the view.' }

export function batchRoutes({ core }: RouteContext): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/views/:view/batches',
      head: true,
      summary: 'Lists the batches of a view, the newest first.',
      parameters: [
        viewParameter,
        { name: 'limit', in: 'query', type: 'integer', text: `At most so many; default ${LIMIT}.` },
      ],
      answer: 'application/json',
      async handle(request, reply) {
        const parameters = parametersOf(request)
        const limit = parameters.integer('limit', 1, LIMIT_MAX) ?? LIMIT
        parameters.finish()
        return sendJson(reply, JSON.stringify({ batches: core.batches.list(viewOf(request), limit) }))
      },
    },
    {
      method: 'POST',
      path: '/v1/views/:view/batches',
      summary: 'Begins a batch of a view now.',
      parameters: [viewParameter],
      body: ['application/json'],
      answer: 'application/json',
      async handle(request, reply) {
        parametersOf(request).finish()
        const wait = waits(await readJsonBody(request, BODY_BYTES_MAX, HINT))
        const { signal, release } = answerSignal(reply)
        try {
          const batch = await core.batches.run(viewOf(request), { wait, signal })
          return sendJson(reply, JSON.stringify(batch))
        } finally {
          release()
        }
      },
    },
  ]
}

function waits(fields: Readonly<Record<string, unknown>>): boolean {
  const mistakes: { parameter: string; message: string; hint?: string }[] = Object.keys(fields)
    .filter((name) => name !== 'wait')
    .map((name) => ({
      parameter: name,
      message: `field "${name}" is unknown`,
      hint: nearestHint(name, ['wait']),
    }))
  const { wait = false } = fields
  if (typeof wait !== 'boolean') {
    mistakes.push({ parameter: 'wait', message: 'field "wait" is neither true nor false', hint: HINT })
  }
  if (mistakes.length > 0) throw parameterError(mistakes)
  return wait === true
}

function viewOf(request: FastifyRequest): string {
  return (request.params as { view: string }).view
}

function parametersOf(request: FastifyRequest): QueryParameters {
  return new QueryParameters((request.query as { text: string }).text)
}
