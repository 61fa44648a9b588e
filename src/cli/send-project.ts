/** Sends a loaded project to the server. What the server finds wrong with it is shown as mistakes of the project. No state. */

import type { ProjectDef } from '../define/types.ts'
import { type ErrorBody, fromErrorBody, RefoldError } from '../model/errors.ts'
import type { Client } from './client.ts'
import { MistakenProject } from './open-project.ts'

/** Answers with the body's text; `more` stands beside the project in the request. */
export async function sendProject(
  client: Client,
  path: string,
  project: ProjectDef,
  more: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  // The token opens the server that has it; it is no part of what is planned.
  const { token: _, ...server } = project.server
  const body = JSON.stringify({ project: { ...project, server }, ...more })
  try {
    return await client.text({
      method: 'POST',
      path,
      body,
      headers: { 'content-type': 'application/json' },
    })
  } catch (error) {
    throw mistakesIn(error) ?? error
  }
}

function mistakesIn(error: unknown): MistakenProject | undefined {
  if (!(error instanceof RefoldError) || error.code !== 'PROJECT_REFUSED') return undefined
  const { mistakes } = (error.details ?? {}) as { readonly mistakes?: readonly ErrorBody[] }
  return mistakes === undefined ? undefined : new MistakenProject(mistakes.map(fromErrorBody))
}
