/** The route that says what a deploy of a project would do. It changes nothing. No state. */

import { RefoldError } from '../model/errors.ts'
import { readJsonBody } from './json-body.ts'
import { QueryParameters } from './query-parameters.ts'
import { sendJson } from './reply.ts'
import type { Route, RouteContext } from './route.ts'

/** A project is definitions, no data. */
export const PROJECT_BYTES_MAX = 16 * 1024 * 1024

export function planRoutes({ core }: RouteContext): readonly Route[] {
  return [
    {
      method: 'POST',
      path: '/v1/plan',
      summary: 'Says what a deploy of a project would do: what changes and why, and what it costs.',
      body: ['application/json'],
      answer: 'application/json',
      async handle(request, reply) {
        new QueryParameters((request.query as { text: string }).text).finish()
        const hint = 'Send {"project": …}, as `refold plan` does.'
        const { project, ...others } = await readJsonBody(request, PROJECT_BYTES_MAX, hint)
        const [unknown] = Object.keys(others)
        if (unknown !== undefined)
          throw new RefoldError('REQUEST_BODY', `field "${unknown}" is unknown`, { hint })
        const plan = await core.plan(project)
        return sendJson(reply, JSON.stringify(plan), plan.cut)
      },
    },
  ]
}
