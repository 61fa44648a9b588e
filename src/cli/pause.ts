/** `refold pause` and `refold resume`: a view is folded no further, or again. No state. */

import { Command } from 'commander'
import type { PauseInfo } from '../serve/core-pauses.ts'
import { openClient } from './client.ts'
import { addExamples, addServerOptions, type ServerOptions } from './command-options.ts'
import { deployAuthor } from './deploy-author.ts'
import { shortVersion } from './query.ts'
import type { Cli } from './terminal.ts'

interface PauseOptions extends ServerOptions {
  readonly reason: string
  readonly json?: boolean
}

export function pauseCommand(cli: Cli): Command {
  const command = new Command('pause')
    .description('fold a view no further, while the others go on')
    .argument('<view>', 'the view')
    .requiredOption('--reason <text>', 'why, for the record and for its readers')
  addServerOptions(command)
    .option('--json', "print the server's answer, one JSON object")
    .action((view: string, options: PauseOptions) => runPause(cli, view, options))
  return addExamples(command, [
    { does: 'stop folding a view', run: 'refold pause user_stats --reason "its join is too large"' },
    {
      does: 'which views are paused, and why',
      run: 'refold query "SELECT view, reason FROM refold.paused"',
    },
  ])
}

async function runPause(cli: Cli, view: string, options: PauseOptions): Promise<void> {
  const { reason } = options
  const text = await post(cli, `/v1/views/${encodeURIComponent(view)}/pause`, { reason }, options)
  if (options.json === true) return await cli.terminal.data(`${text.trimEnd()}\n`)
  const { version, answers } = JSON.parse(text) as PauseInfo
  const meanwhile = answers === 'stale' ? 'it answers from its last batch' : 'it answers with this reason'
  await cli.terminal.data(`view ${view}, version ${shortVersion(version)}, is paused; ${meanwhile}\n`)
}

export function resumeCommand(cli: Cli): Command {
  const command = new Command('resume')
    .description('fold a view again that was paused, by somebody or because the engine died of it')
    .argument('<view>', 'the view')
  addServerOptions(command)
    .option('--json', "print the server's answer, one JSON object")
    .action((view: string, options: PauseOptions) => runResume(cli, view, options))
  return addExamples(command, [
    { does: 'fold it again', run: 'refold resume user_stats' },
    { does: 'for a script', run: 'refold resume user_stats --json' },
  ])
}

async function runResume(cli: Cli, view: string, options: PauseOptions): Promise<void> {
  const text = await post(cli, `/v1/views/${encodeURIComponent(view)}/resume`, {}, options)
  if (options.json === true) return await cli.terminal.data(`${text.trimEnd()}\n`)
  const { resumed } = JSON.parse(text) as { readonly resumed: readonly PauseInfo[] }
  for (const { version, at, reason } of resumed) {
    await cli.terminal.data(
      `view ${view}, version ${shortVersion(version)}, goes on; it was paused at ${at}: ${reason}\n`,
    )
  }
  if (resumed.length === 0) cli.terminal.talk(`view ${view} is not paused`)
}

async function post(cli: Cli, path: string, fields: object, options: ServerOptions): Promise<string> {
  const client = openClient(options, cli.env)
  try {
    const body = JSON.stringify({ ...fields, author: await deployAuthor() })
    return await client.text({ method: 'POST', path, body, headers: { 'content-type': 'application/json' } })
  } finally {
    client.close()
  }
}
