/**
 * `refold status`: what a running server holds and how far it is, for people as a few tables, for programs as the
 * server's JSON. No state.
 */

import { Command } from 'commander'
import { openClient } from './client.ts'
import { addExamples, addServerOptions, type ServerOptions } from './command-options.ts'
import { parseExactJson } from './exact-json.ts'
import { exitCodes } from './exit-codes.ts'
import { formatStatus, type ServerStatus } from './status-text.ts'
import type { Cli } from './terminal.ts'

export function statusCommand(cli: Cli): Command {
  const command = new Command('status').description(
    'show streams, views, engine, log and lake of a running server',
  )
  addServerOptions(command)
    .option('--json', 'print everything, one JSON object')
    .action((options: ServerOptions) => runStatus(cli, options))
  return addExamples(command, [
    { does: 'how everything stands', run: 'refold status' },
    { does: 'is a view behind? for a script', run: "refold status --json | jq '.views[] | {name, lagMs}'" },
  ])
}

async function runStatus(cli: Cli, options: ServerOptions): Promise<void> {
  const { terminal } = cli
  const client = openClient(options, cli.env)
  try {
    const text = await client.text({ path: '/v1/status' })
    const status = parseExactJson(text) as unknown as ServerStatus
    await terminal.data(
      options.json === true
        ? `${text.trimEnd()}\n`
        : formatStatus(status, client.url, { style: terminal.dataStyle, width: terminal.dataWidth() }),
    )
    if (status.views.some(({ state }) => state === 'stalled' || state === 'paused'))
      cli.exitCode = exitCodes.partial.code
  } finally {
    client.close()
  }
}
