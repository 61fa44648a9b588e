/** Routes about deploys: ask for one, see how far it is, steer it, take it back. No state. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import { receivedAuthor, receivedReason } from '../deploy/deploy-options.ts'
import type { DeployInfo } from '../deploy/types.ts'
import { RefoldError } from '../model/errors.ts'
import { readJsonBody } from './json-body.ts'
import { sendNdjson } from './ndjson-reply.ts'
import { QueryParameters } from './query-parameters.ts'
import { answerSignal, sendJson } from './reply.ts'
import type { ParameterDoc, Route, RouteContext } from './route.ts'
import { PROJECT_BYTES_MAX } from './routes-plan.ts'

const BODY_BYTES_MAX = 64 * 1024
const DEPLOY_HINT = 'Send {"project": …, "options": {…}, "author": {"who": …}}, as `refold deploy` does.'
const STEER_HINT = 'Send {"reason": "why", "author": {"who": "you"}}.'
const ROLLBACK_HINT =
  'Send {"reason": "why"}, and "views": ["NAME"] or "deploy": NUMBER where not all is meant.'

const idParameter: ParameterDoc = { name: 'id', in: 'path', type: 'integer', text: 'Number of the deploy.' }

export function deployRoutes(context: RouteContext): readonly Route[] {
  const { core } = context
  return [
    {
      method: 'POST',
      path: '/v1/deploys',
      summary: 'Begins to carry out a project: builds, compares, checks, puts in place.',
      body: ['application/json'],
      answer: 'application/json',
      handle: (request, reply) => begin(context, request, reply),
    },
    {
      method: 'GET',
      path: '/v1/deploys',
      head: true,
      summary: 'Lists the deploys, oldest first.',
      answer: 'application/json',
      async handle(request, reply) {
        noParameters(request)
        return sendJson(reply, JSON.stringify({ deploys: core.deploys.list() }))
      },
    },
    {
      method: 'GET',
      path: '/v1/deploys/:id',
      head: true,
      summary: 'Says how far a deploy is and what it found.',
      parameters: [idParameter],
      answer: 'application/json',
      async handle(request, reply) {
        noParameters(request)
        return sendInfo(reply, core.deploys.show(idOf(request)))
      },
    },
    {
      method: 'GET',
      path: '/v1/deploys/:id/watch',
      summary: 'Follows a deploy: one line whenever something changed, until it waits or is over.',
      parameters: [idParameter],
      answer: 'application/x-ndjson',
      handle: (request, reply) => watch(context, request, reply),
    },
    ...steering(context),
    {
      method: 'POST',
      path: '/v1/rollback',
      summary: 'Moves views back to the versions before a deploy, at once.',
      body: ['application/json'],
      answer: 'application/json',
      handle: (request, reply) => rollback(context, request, reply),
    },
  ]
}

/** Commands to one deploy. */
function steering({ core }: RouteContext): readonly Route[] {
  const route = (
    name: string,
    summary: string,
    needsReason: boolean,
    run: (
      id: number,
      reason: string,
      author: ReturnType<typeof receivedAuthor>,
    ) => DeployInfo | Promise<DeployInfo>,
  ): Route => ({
    method: 'POST',
    path: `/v1/deploys/:id/${name}`,
    summary,
    parameters: [idParameter],
    body: ['application/json'],
    answer: 'application/json',
    async handle(request, reply) {
      noParameters(request)
      const fields = await readJsonBody(request, BODY_BYTES_MAX, STEER_HINT)
      onlyFields(fields, ['reason', 'author'], STEER_HINT)
      const reason =
        fields['reason'] === undefined && !needsReason ? '' : receivedReason(fields['reason'], 'reason')
      return sendInfo(reply, await run(idOf(request), reason, receivedAuthor(fields['author'])))
    },
  })
  const { deploys } = core
  return [
    route('pause', 'Holds the build of a deploy.', false, (id, _reason, author) => deploys.pause(id, author)),
    route('resume', 'Goes on with a deploy that was paused.', false, (id, _reason, author) =>
      deploys.resume(id, author),
    ),
    route('cancel', 'Ends a deploy that is open, or one that only compares.', false, (id, reason, author) =>
      deploys.cancel(id, reason, author),
    ),
    route('accept', 'Passes a red gate, for a reason that is recorded.', true, (id, reason, author) =>
      deploys.accept(id, reason, author),
    ),
  ]
}

async function begin({ core }: RouteContext, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  noParameters(request)
  const fields = await readJsonBody(request, PROJECT_BYTES_MAX, DEPLOY_HINT)
  onlyFields(fields, ['project', 'options', 'author'], DEPLOY_HINT)
  const { project, options, author } = fields
  const info = await core.deploys.deploy({ project, options, author })
  reply.code(202).header('location', `/v1/deploys/${info.id}`)
  return sendInfo(reply, info)
}

async function watch(
  { core, settings, stopping }: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  noParameters(request)
  const { signal, release } = answerSignal(reply, stopping)
  return sendNdjson(reply, {
    source: core.deploys.watch(idOf(request), signal),
    lines: (info) => `${JSON.stringify(info)}\n`,
    signal,
    release,
    clock: settings.clock,
    heartbeatMs: settings.heartbeatMs,
  })
}

async function rollback(
  { core }: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  noParameters(request)
  const fields = await readJsonBody(request, BODY_BYTES_MAX, ROLLBACK_HINT)
  onlyFields(fields, ['views', 'deploy', 'reason', 'author'], ROLLBACK_HINT)
  const { views, deploy, reason, author } = fields
  const isNames = Array.isArray(views) && views.length > 0 && views.every((name) => typeof name === 'string')
  if (views !== undefined && !isNames) throw body('views', 'is not a list of names', ROLLBACK_HINT)
  if (deploy !== undefined && !Number.isSafeInteger(deploy)) {
    throw body('deploy', 'is not the number of a deploy', ROLLBACK_HINT)
  }
  const info = await core.deploys.rollback({
    reason: receivedReason(reason, 'reason'),
    author: receivedAuthor(author),
    ...(views === undefined ? {} : { views: views as readonly string[] }),
    ...(deploy === undefined ? {} : { deploy: deploy as number }),
  })
  return sendInfo(reply, info)
}

function sendInfo(reply: FastifyReply, info: DeployInfo): FastifyReply {
  return sendJson(reply, JSON.stringify(info))
}

function idOf(request: FastifyRequest): number {
  const { id } = request.params as { id: string }
  if (/^\d{1,15}$/.test(id)) return Number(id)
  throw new RefoldError('DEPLOY_UNKNOWN', `there is no deploy "${id}"`)
}

function noParameters(request: FastifyRequest): void {
  new QueryParameters((request.query as { text: string }).text).finish()
}

function onlyFields(fields: Readonly<Record<string, unknown>>, known: readonly string[], hint: string): void {
  const unknown = Object.keys(fields).find((name) => !known.includes(name))
  if (unknown !== undefined) throw body(unknown, 'is unknown', hint)
}

function body(name: string, what: string, hint: string): RefoldError {
  return new RefoldError('REQUEST_BODY', `field "${name}" ${what}`, { hint })
}
