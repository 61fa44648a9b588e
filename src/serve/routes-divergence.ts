/** The route that says in which rows batches differed from what was served. No state. */

import type { FastifyRequest } from 'fastify'
import { QueryParameters } from './query-parameters.ts'
import { sendJson } from './reply.ts'
import type { Route, RouteContext } from './route.ts'

const LIMIT = 20
const LIMIT_MAX = 1_000

export function divergenceRoutes({ core }: RouteContext): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/views/:view/divergence',
      head: true,
      summary: 'Says in which rows batches of a view differed from what was served at their cut.',
      parameters: [
        { name: 'view', in: 'path', type: 'string', text: 'Name of the view.' },
        { name: 'limit', in: 'query', type: 'integer', text: `At most so many batches; default ${LIMIT}.` },
      ],
      answer: 'application/json',
      async handle(request: FastifyRequest, reply) {
        const query = new QueryParameters((request.query as { text: string }).text)
        const limit = query.integer('limit', 1, LIMIT_MAX) ?? LIMIT
        query.finish()
        const { view } = request.params as { view: string }
        return sendJson(reply, JSON.stringify({ divergence: core.divergence(view, { limit }) }))
      },
    },
  ]
}
