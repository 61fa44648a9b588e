/**
 * The HTTP surface: takes a core and answers requests from it until it is closed. State: the listening socket, the
 * counters, and a signal that ends endless answers when the server stops.
 *
 * Routes are a table; this module puts guard, meters and errors around each. Bodies are read by the routes that want
 * one, with their own limits, never by the library. Everything thrown becomes an answer in `error-reply.ts`.
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { type ErrorCode, RefoldError } from '../model/errors.ts'
import { nearestName } from '../std/nearest-name.ts'
import type { Core } from './core.ts'
import { errorReply } from './error-reply.ts'
import { createHttpMeters, type HttpMeters } from './http-meters.ts'
import { type FullHttpSettings, fullHttpSettings, type HttpSettings } from './http-settings.ts'
import { openApiRoutes } from './openapi.ts'
import { createRequestGuard } from './request-guard.ts'
import { pathMatches, type Route, type RouteContext } from './route.ts'
import { batchRoutes } from './routes-batches.ts'
import { checkRoutes } from './routes-checks.ts'
import { compareRoutes } from './routes-compare.ts'
import { deadRoutes } from './routes-dead.ts'
import { deployRoutes } from './routes-deploys.ts'
import { divergenceRoutes } from './routes-divergence.ts'
import { lakeRoutes } from './routes-lake.ts'
import { lateRoutes } from './routes-late.ts'
import { pauseRoutes } from './routes-pauses.ts'
import { planRoutes } from './routes-plan.ts'
import { sqlRoutes } from './routes-sql.ts'
import { streamRoutes } from './routes-streams.ts'
import { systemRoutes } from './routes-system.ts'
import { verifyRoutes } from './routes-verify.ts'
import { viewRoutes } from './routes-views.ts'

export interface HttpServer {
  /** Where it can be reached, without a slash at the end. */
  readonly url: string
  readonly port: number
  /** Takes no more requests, ends endless answers, lets others finish within the grace time. */
  close(): Promise<void>
}

const HEADERS_TIMEOUT_MS = 20_000
const REQUEST_TIMEOUT_MS = 120_000
const KEEP_ALIVE_MS = 65_000
const HEADER_BYTES_MAX = 16 * 1024

/** Throws SERVER_NEEDS_TOKEN or SERVER_PORT; resolves once requests are taken. */
export async function createHttpServer(core: Core, settings: HttpSettings): Promise<HttpServer> {
  const full = fullHttpSettings(settings)
  const stop = new AbortController()
  const meters = createHttpMeters()
  const context: RouteContext = { core, settings: full, stopping: stop.signal }
  const described = [
    ...streamRoutes(context, meters),
    ...viewRoutes(context),
    ...batchRoutes(context),
    ...compareRoutes(context),
    ...lateRoutes(context),
    ...sqlRoutes(context),
    ...planRoutes(context),
    ...deployRoutes(context),
    ...lakeRoutes(context),
    ...checkRoutes(context),
    ...verifyRoutes(context),
    ...pauseRoutes(context),
    ...divergenceRoutes(context),
    ...deadRoutes(context),
    ...systemRoutes(context, meters),
  ]
  const routes = [...described, ...openApiRoutes(described)]
  const app = createApp()
  const closeUnused = watchConnections(app)
  takeRequests(app, routes, context, meters)
  await listen(app, full)
  const { port } = app.server.address() as AddressInfo
  const host = full.host.includes(':') ? `[${full.host.replace(/[[\]]/g, '')}]` : full.host
  return {
    url: `http://${host}:${port}`,
    port,
    async close() {
      stop.abort()
      closeUnused()
      const cancel = full.clock.after(full.stopGraceMs, () => app.server.closeAllConnections())
      await app.close()
      cancel()
    },
  }
}

function createApp(): FastifyInstance {
  return fastify({
    logger: false,
    exposeHeadRoutes: false,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    http: {
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: 5_000,
      maxHeaderSize: HEADER_BYTES_MAX,
      // Finds out about readers of endless answers whose machine is gone.
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
    },
    routerOptions: {
      maxParamLength: 1024,
      querystringParser: (text) => ({ text }),
    },
    frameworkErrors: (error, _request, reply) => void sendError(reply, error),
    clientErrorHandler: answerBrokenRequest,
  })
}

function takeRequests(
  app: FastifyInstance,
  routes: readonly Route[],
  context: RouteContext,
  meters: HttpMeters,
): void {
  const { settings, stopping } = context
  const { clock, logger, token } = settings
  const guard = createRequestGuard(token)
  const open = new Set(routes.filter((route) => route.open).map((route) => route.path))
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  app.addHook('onRequest', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'unknown'
    const startMs = clock.monotonicMs()
    const finished = meters.begin(route, knownMethod(request.method))
    const { raw } = reply
    raw.once('close', () => {
      finished(raw.writableFinished ? raw.statusCode : 499, (clock.monotonicMs() - startMs) / 1000)
      // Kept connections that were busy when the server began to stop are idle from now on.
      if (stopping.aborted) setImmediate(() => app.server.closeIdleConnections())
    })
    try {
      if (stopping.aborted) throw stoppingError(reply)
      guard(request, open.has(route))
      done()
    } catch (error) {
      done(error as Error)
    }
  })
  for (const route of routes) {
    const method = route.head ? [route.method, 'HEAD'] : route.method
    app.route({ method, url: route.path, handler: route.handle })
  }
  app.setNotFoundHandler(async (request, reply) => answerUnknown(routes, request, reply))
  app.setErrorHandler((error, request, reply) => {
    const { status } = sendError(reply, error)
    if (status !== 500) return
    const stack = error instanceof Error ? error.stack : String(error)
    logger.error('a request failed', { method: request.method, path: request.url, error: stack })
  })
  app.server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    // A body that is too large by its own account is refused before it is sent.
    if (Number(request.headers['content-length']) > settings.limits.requestBytes) {
      response.setHeader('Connection', 'close')
    } else response.writeContinue()
    app.routing(request, response)
  })
}

/** The returned function closes connections that never sent a byte: for Node they do not count as idle. */
function watchConnections(app: FastifyInstance): () => void {
  const connections = new Set<Socket>()
  app.server.on('connection', (socket: Socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
  })
  return () => {
    for (const socket of connections) if (socket.bytesRead === 0) socket.destroy()
  }
}

async function listen(app: FastifyInstance, { host, port }: FullHttpSettings): Promise<void> {
  try {
    await app.listen({ host: host.replace(/[[\]]/g, ''), port })
  } catch (error) {
    await app.close()
    const { code, message } = error as Error & { code?: string }
    const reason = code === 'EADDRINUSE' ? 'it is in use' : message
    throw new RefoldError('SERVER_PORT', `the server cannot listen on "${host}:${port}": ${reason}`, {
      cause: error,
    })
  }
}

function sendError(reply: FastifyReply, error: unknown): { readonly status: number } {
  const { status, headers, body } = errorReply(error)
  reply.code(status).headers(headers).send(body)
  return { status }
}

function stoppingError(reply: FastifyReply): RefoldError {
  reply.header('connection', 'close')
  return new RefoldError('SERVER_STOPPING', 'the server is stopping')
}

/** A path that is there but does not take the method, or one that is not there at all. */
function answerUnknown(routes: readonly Route[], request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const path = request.url.split('?', 1)[0]!
  const methods = routes.filter((route) => pathMatches(route, path)).flatMap(methodsOf)
  if (methods.length === 0) {
    const nearest = nearestName(
      path,
      routes.map((route) => route.path.replace(/:/g, '')),
    )
    const sample = routes.find((route) => route.path.replace(/:/g, '') === nearest)?.path
    throw new RefoldError('ROUTE_UNKNOWN', `there is nothing at "${path}"`, {
      ...(sample === undefined ? {} : { hint: `Did you mean "${sample.replace(/:(\w+)/g, '{$1}')}"?` }),
    })
  }
  const allow = [...new Set([...methods, 'OPTIONS'])].join(', ')
  reply.header('allow', allow)
  if (request.method === 'OPTIONS') return reply.code(204).send()
  throw new RefoldError('METHOD_UNKNOWN', `"${path}" does not take the method ${request.method}`, {
    hint: `It takes ${allow}.`,
  })
}

function methodsOf(route: Route): readonly string[] {
  return route.head ? [route.method, 'HEAD'] : [route.method]
}

/** Keeps the names of metrics few, whatever clients send. */
function knownMethod(method: string): string {
  return /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$/.test(method) ? method : 'OTHER'
}

const CLIENT_ERRORS: Readonly<Record<string, ErrorCode>> = {
  HPE_HEADER_OVERFLOW: 'REQUEST_HEADERS',
  ERR_HTTP_REQUEST_TIMEOUT: 'REQUEST_SLOW',
}

/** Bytes that never became a request: there is no reply object, so the answer is written by hand. */
function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const code = CLIENT_ERRORS[error.code ?? ''] ?? 'REQUEST_MALFORMED'
  const messages: Partial<Record<ErrorCode, string>> = {
    REQUEST_HEADERS: `the headers of the request are larger than ${HEADER_BYTES_MAX} bytes`,
    REQUEST_SLOW: 'the request did not arrive in time',
  }
  const reply = errorReply(new RefoldError(code, messages[code] ?? 'the bytes sent are no HTTP request'))
  const headers = Object.entries({
    ...reply.headers,
    'content-length': String(Buffer.byteLength(reply.body)),
    connection: 'close',
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 ${reply.status} Error\r\n${headers.join('')}\r\n${reply.body}`)
}
