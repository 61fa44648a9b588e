/** Routes about the server itself: status, health, readiness, metrics. State: the probe that is under way. */

import type { FastifyRequest } from 'fastify'
import { RefoldError } from '../model/errors.ts'
import type { Core, Metric } from './core.ts'
import type { HttpMeters } from './http-meters.ts'
import { prometheusContentType, prometheusText } from './prometheus.ts'
import { QueryParameters } from './query-parameters.ts'
import { sendJson } from './reply.ts'
import type { Route, RouteContext } from './route.ts'

export function systemRoutes(context: RouteContext, meters: HttpMeters): readonly Route[] {
  const { core } = context
  const probe = createProbe(context)
  return [
    {
      method: 'GET',
      path: '/v1/status',
      head: true,
      summary: 'Everything about the state of the server.',
      answer: 'application/json',
      async handle(request, reply) {
        noParameters(request)
        return sendJson(reply, JSON.stringify(await core.status()))
      },
    },
    {
      method: 'GET',
      path: '/healthz',
      open: true,
      head: true,
      summary: 'Says that the process answers.',
      answer: 'application/json',
      handle: async (_request, reply) => sendJson(reply, '{"ok":true}'),
    },
    {
      method: 'GET',
      path: '/readyz',
      open: true,
      head: true,
      summary: 'Says that a real query was answered just now.',
      answer: 'application/json',
      async handle(_request, reply) {
        await probe()
        return sendJson(reply, '{"ok":true}')
      },
    },
    {
      method: 'GET',
      path: '/metrics',
      open: true,
      head: true,
      summary: 'Metrics for Prometheus.',
      answer: 'text/plain',
      async handle(_request, reply) {
        const metrics = [...(await coreMetrics(core)), ...meters.metrics()]
        return reply
          .header('content-type', prometheusContentType)
          .header('cache-control', 'no-store')
          .send(prometheusText(metrics))
      },
    },
  ]
}

function noParameters(request: FastifyRequest): void {
  new QueryParameters((request.query as { text: string }).text).finish()
}

/** However many ask, one probe runs at a time; it has failed when it takes longer than the deadline. */
function createProbe({ core, settings }: RouteContext): () => Promise<void> {
  let running: Promise<void> | undefined
  return () => {
    running ??= withDeadline(core, settings).finally(() => {
      running = undefined
    })
    return running
  }
}

function withDeadline(core: Core, { clock, probeTimeoutMs }: RouteContext['settings']): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(probeTimeoutMs, () =>
      reject(new RefoldError('ENGINE_UNAVAILABLE', `a query was not answered within ${probeTimeoutMs} ms`)),
    )
    core
      .probe()
      .then(resolve, (error: unknown) => reject(notReady(error)))
      .finally(cancel)
  })
}

/** Whatever the reason, the answer is 503: who asks only wants to know whether to send work here. */
function notReady(error: unknown): RefoldError {
  if (error instanceof RefoldError && error.status === 503) return error
  const message = error instanceof Error ? error.message : String(error)
  return new RefoldError('ENGINE_UNAVAILABLE', `a query failed: ${message}`, { cause: error })
}

/** The HTTP surface's own metrics are given even when the rest cannot be asked. */
async function coreMetrics(core: Core): Promise<readonly Metric[]> {
  const up = (value: number): Metric => ({
    name: 'refold_up',
    help: 'Whether the system behind the HTTP surface gave its metrics.',
    type: 'gauge',
    samples: [{ labels: {}, value }],
  })
  try {
    return [...(await core.metrics()), up(1)]
  } catch {
    return [up(0)]
  }
}
