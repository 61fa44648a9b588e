/**
 * `refold plan`: what a deploy of the project here would do on the running server: which streams and views are new,
 * changed or removed, why, and what building them costs. It changes nothing. No state.
 */

import { Command } from 'commander'
import type { DeployPlan } from '../deploy/types.ts'
import { openClient } from './client.ts'
import { addExamples, addServerOptions, type ServerOptions } from './command-options.ts'
import { exitCodes } from './exit-codes.ts'
import { addProjectOption, loadRightProject } from './open-project.ts'
import { formatPlan } from './plan-text.ts'
import { sendProject } from './send-project.ts'
import type { Cli } from './terminal.ts'

interface PlanOptions extends ServerOptions {
  readonly project: string
  readonly exitCode?: boolean
}

export function planCommand(cli: Cli): Command {
  const command = new Command('plan').description(
    'say what a deploy of the project would change, why, and what it costs',
  )
  addServerOptions(addProjectOption(command))
    .option('--exit-code', `exit with ${exitCodes.changes.code} when there is something to deploy`)
    .option('--json', 'print the plan, one JSON object')
    .action((options: PlanOptions) => runPlan(cli, options))
  return addExamples(command, [
    { does: 'what would change if this project were deployed?', run: 'refold plan' },
    { does: 'in a script: is everything deployed?', run: 'refold plan --exit-code --json > plan.json' },
  ])
}

async function runPlan(cli: Cli, options: PlanOptions): Promise<void> {
  const { terminal } = cli
  const project = await loadRightProject(cli, { project: options.project })
  const client = openClient(options, cli.env)
  try {
    const text = await sendProject(client, '/v1/plan', project)
    const plan = JSON.parse(text) as DeployPlan
    await terminal.data(options.json === true ? `${text.trimEnd()}\n` : formatPlan(plan, terminal.dataStyle))
    if (options.exitCode === true && !plan.empty) cli.exitCode = exitCodes.changes.code
  } finally {
    client.close()
  }
}
