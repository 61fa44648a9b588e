/** `refold rollback`: moves views back to the versions before a deploy, at once, while those are warm. No state. */

import { Command } from 'commander'
import type { DeployInfo } from '../deploy/types.ts'
import { openClient } from './client.ts'
import { addExamples, addServerOptions, type ServerOptions, wholeNumber } from './command-options.ts'
import { deployAuthor } from './deploy-author.ts'
import { stateText } from './deploy-text.ts'
import { shortVersion } from './query.ts'
import type { Cli } from './terminal.ts'

interface RollbackOptions extends ServerOptions {
  readonly reason: string
  readonly deploy?: number
}

export function rollbackCommand(cli: Cli): Command {
  const command = new Command('rollback')
    .description('move views back to the versions before a deploy, at once')
    .argument('[views...]', 'only these views of the deploy; left out: all')
    .requiredOption('--reason <text>', 'why, for the record')
    .option('--deploy <number>', 'this deploy; left out: the newest that is live', wholeNumber(1))
  addServerOptions(command)
    .option('--json', 'print the deploy, one JSON object')
    .action((views: readonly string[], options: RollbackOptions) => runRollback(cli, views, options))
  return addExamples(command, [
    { does: 'take the newest deploy back', run: 'refold rollback --reason "totals are too high"' },
    { does: 'one view of it', run: 'refold rollback user_stats --reason "wrong join"' },
  ])
}

async function runRollback(cli: Cli, views: readonly string[], options: RollbackOptions): Promise<void> {
  const { terminal } = cli
  const client = openClient(options, cli.env)
  const { reason, deploy } = options
  const body = JSON.stringify({
    reason,
    author: await deployAuthor(),
    ...(views.length === 0 ? {} : { views }),
    ...(deploy === undefined ? {} : { deploy }),
  })
  try {
    const headers = { 'content-type': 'application/json' }
    const text = await client.text({ method: 'POST', path: '/v1/rollback', body, headers })
    if (options.json === true) return await terminal.data(`${text.trimEnd()}\n`)
    const info = JSON.parse(text) as DeployInfo
    const moved = info.views.filter(({ view }) => views.length === 0 || views.includes(view))
    for (const { view, from } of moved) {
      const to = from === undefined ? 'is gone' : `answers from version ${shortVersion(from)}`
      await terminal.data(`view ${view} ${to}\n`)
    }
    terminal.talk(`deploy ${info.id} is ${stateText(info.state)}`)
  } finally {
    client.close()
  }
}
