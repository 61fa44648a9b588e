/** For tests: deploys a project's folder on a server process, over HTTP. No state. */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { loadProject } from '../../src/define/load.ts'
import type { DeployInfo } from '../../src/deploy/types.ts'
import type { ServerProcess } from './server-process.ts'

/** Writes the project's file and deploys it; gives the deploy as it is when it goes no further by itself. */
export async function deployFile(
  server: ServerProcess,
  config: string,
  options: Readonly<Record<string, unknown>> = {},
): Promise<DeployInfo> {
  const { id } = await beginDeploy(server, config, options)
  const lines = await server.lines<DeployInfo>(`/v1/deploys/${id}/watch`)
  const last = lines.at(-1)
  if (last === undefined) throw new Error('a deploy that is watched shows itself')
  return last
}

export async function beginDeploy(
  server: ServerProcess,
  config: string,
  options: Readonly<Record<string, unknown>> = {},
): Promise<DeployInfo> {
  const { port } = new URL(server.url)
  await writeFile(join(server.folder, 'refold.config.ts'), config.replaceAll('PORT', port))
  const loaded = await loadProject(server.folder)
  if (!loaded.ok) throw new Error(loaded.mistakes.map(({ message }) => message).join('\n'))
  const { project } = loaded
  return await postJson(server, '/v1/deploys', { project, options, author: { who: 'tester' } })
}

export async function postJson<T>(server: ServerProcess, path: string, body: unknown): Promise<T> {
  const answer = await fetch(server.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`POST ${path}: ${answer.status} ${text}`)
  return JSON.parse(text) as T
}
