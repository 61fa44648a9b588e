/** Follows a deploy to where it waits or is over: a line of progress on a terminal, or the server's lines as JSON. No state. */

import type { DeployInfo } from '../deploy/types.ts'
import type { Client } from './client.ts'
import { deployEnd, deployLine } from './deploy-text.ts'
import { exitCodes } from './exit-codes.ts'
import type { Cli } from './terminal.ts'

/** Sets the exit code by how it ended; asked to stop, it leaves the deploy to itself. */
export async function followDeploy(cli: Cli, client: Client, id: number, json: boolean): Promise<void> {
  const { terminal } = cli
  const stop = new AbortController()
  const removeStop = cli.onStop(() => stop.abort())
  let last: DeployInfo | undefined
  try {
    for await (const line of client.lines({ path: `/v1/deploys/${id}/watch`, signal: stop.signal })) {
      last = JSON.parse(line) as DeployInfo
      if (json) await terminal.data(`${line}\n`)
      else terminal.progress(deployLine(last))
    }
  } finally {
    removeStop()
    terminal.endProgress()
  }
  if (stop.signal.aborted || last === undefined) {
    terminal.talk(`deploy ${id} goes on by itself; \`refold deploys watch ${id}\` follows it`)
    cli.exitCode = exitCodes.stopped.code
    return
  }
  if (!json) terminal.talk(deployEnd(last, terminal.talkStyle))
  cli.exitCode = exitCodeOf(last)
}

export function exitCodeOf({ state }: DeployInfo): number {
  if (state === 'live' || state === 'shadow') return exitCodes.ok.code
  return state === 'refused' ? exitCodes.red.code : exitCodes.failed.code
}
