/** Describes the routes as OpenAPI 3.1, from the same table that serves them. Pure. */

import { batchSchema } from './answer-schemas.ts'
import { sendJson } from './reply.ts'
import type { Route } from './route.ts'

/** The route that answers with the description of all others. */
export function openApiRoutes(routes: readonly Route[]): readonly Route[] {
  const own: Route = {
    method: 'GET',
    path: '/v1/openapi.json',
    head: true,
    summary: 'This description of the HTTP API.',
    answer: 'application/json',
    handle: async (_request, reply) => sendJson(reply, text),
  }
  const text = JSON.stringify(openApi([...routes, own]))
  return [own]
}

function openApi(routes: readonly Route[]): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}')
    const methods = paths[path] ?? {}
    methods[route.method.toLowerCase()] = operation(route)
    paths[path] = methods
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Refold', version: '1', description: 'Views over an immutable event log.' },
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: { Error: errorSchema, Batch: batchSchema },
    },
  }
}

function operation(route: Route): object {
  return {
    summary: route.summary,
    ...(route.open ? {} : { security: [{}, { token: [] }] }),
    // A filter's name is a column's, so it cannot be listed here.
    parameters: (route.parameters ?? [])
      .filter((parameter) => parameter.name !== 'COLUMN')
      .map(({ name, in: place, type, text }) => ({
        name,
        in: place,
        ...(place === 'path' ? { required: true } : {}),
        description: text,
        schema: { type },
      })),
    ...(route.body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: Object.fromEntries(route.body.map((media) => [media, {}])),
          },
        }),
    responses: {
      200: { description: 'The answer.', content: { [route.answer]: contentOf(route) } },
      default: {
        description: 'An error.',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    },
  }
}

function contentOf({ answerSchema }: Route): object {
  return answerSchema === undefined ? {} : { schema: answerSchema }
}

const errorSchema = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['code', 'message', 'hint', 'retryable'],
      properties: {
        code: { type: 'string' },
        message: { type: 'string' },
        hint: { type: 'string' },
        retryable: { type: 'boolean' },
        place: { type: 'object' },
        details: {},
      },
    },
  },
}
