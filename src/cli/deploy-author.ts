/** Who deploys, and from which source: the user's name and machine, and the git commit of the folder where there is one. No state. */

import { execFile } from 'node:child_process'
import { hostname, userInfo } from 'node:os'
import { promisify } from 'node:util'
import type { DeployAuthor } from '../deploy/types.ts'

const run = promisify(execFile)
const GIT_MS = 5_000

/** `folder` is the project's; without git, or outside of a repository, there is no source. */
export async function deployAuthor(folder?: string): Promise<DeployAuthor> {
  const who = `${userName()}@${hostname()}`
  const source = folder === undefined ? undefined : await gitSource(folder)
  return { who, ...(source === undefined ? {} : { source }) }
}

async function gitSource(folder: string): Promise<string | undefined> {
  const git = async (...args: string[]) =>
    (await run('git', args, { cwd: folder, timeout: GIT_MS })).stdout.trim()
  try {
    const commit = await git('rev-parse', 'HEAD')
    const changes = await git('status', '--porcelain', '--', '.')
    return changes === '' ? commit : `${commit}+changes`
  } catch {
    return undefined
  }
}

/** Some containers run under a number that has no name. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return 'unknown'
  }
}
