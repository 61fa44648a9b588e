/**
 * What a route is: one entry of the table from which the server, the answer to a wrong method and the OpenAPI
 * description are made. Types only, and the one helper that matches a path.
 */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Core } from './core.ts'
import type { FullHttpSettings } from './http-settings.ts'

export interface Route {
  readonly method: 'GET' | 'POST'
  /** Variable segments are written `:name`. */
  readonly path: string
  /** Never asks for the token. */
  readonly open?: true
  /** Also answers HEAD. Endless answers do not. */
  readonly head?: true
  readonly summary: string
  readonly parameters?: readonly ParameterDoc[]
  /** Media types of the body it takes. */
  readonly body?: readonly string[]
  /** Media type of a good answer. */
  readonly answer: string
  /** JSON Schema of a good answer, where it is told. */
  readonly answerSchema?: object
  readonly handle: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>
}

export interface ParameterDoc {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly type: 'string' | 'integer' | 'boolean'
  readonly text: string
}

export interface RouteContext {
  readonly core: Core
  readonly settings: FullHttpSettings
  /** Aborts when the server stops; endless answers end then. */
  readonly stopping: AbortSignal
}

export function pathMatches(route: Route, path: string): boolean {
  const wanted = route.path.split('/')
  const sent = path.split('/')
  return (
    wanted.length === sent.length &&
    wanted.every((segment, index) => (segment.startsWith(':') ? sent[index] !== '' : segment === sent[index]))
  )
}
