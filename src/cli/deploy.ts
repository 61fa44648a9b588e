/**
 * `refold deploy`: carries the project here out on the running server: shows the plan, asks on a terminal, then follows
 * the deploy until it answers or waits. The deploy is the server's: it goes on when this command is stopped. No state.
 */

import { createInterface } from 'node:readline/promises'
import { Command, InvalidArgumentError } from 'commander'
import { parseDuration } from '../define/settings.ts'
import type { DeployInfo, DeployPlan, StartPoint } from '../deploy/types.ts'
import { type Client, openClient } from './client.ts'
import { addExamples, addServerOptions, type ServerOptions, wholeNumber } from './command-options.ts'
import { deployAuthor } from './deploy-author.ts'
import { exitCodes } from './exit-codes.ts'
import { followDeploy } from './follow-deploy.ts'
import { addProjectOption, loadRightProject } from './open-project.ts'
import { formatPlan } from './plan-text.ts'
import { sendProject } from './send-project.ts'
import type { Cli } from './terminal.ts'

interface DeployCommandOptions extends ServerOptions {
  readonly project: string
  readonly shadow?: boolean
  readonly from?: StartPoint
  readonly budgetEvents?: number
  readonly budgetCpu?: number
  readonly budgetLag?: number
  readonly warm?: number
  readonly accept?: string
  readonly rollbackLag?: number
  readonly rollbackOnRed: boolean
  readonly detach?: boolean
  readonly yes?: boolean
}

export function deployCommand(cli: Cli): Command {
  const command = new Command('deploy').description(
    'carry the project out: build new versions beside the old, compare, check, put in place',
  )
  addServerOptions(addProjectOption(command))
    .option('--shadow', 'build and compare, never serve')
    .option(
      '--from <point>',
      'where the history of new versions begins: zero, trimmed, cut:N, offset:PARTITION:N, or a time in ISO 8601',
      startPoint,
    )
    .option('--budget-events <rate>', 'fold at most so many events a second', wholeNumber(1))
    .option('--budget-cpu <share>', "take at most this share of one worker's time, such as 0.5", share)
    .option('--budget-lag <time>', 'stand still while a live view is further behind, such as 500ms', time)
    .option('--warm <time>', 'keep the old versions current for so long, such as 24h', time)
    .option('--accept <reason>', 'pass a red gate, for this reason, which is recorded')
    .option(
      '--rollback-lag <time>',
      'roll back by itself when live views stay further behind than this',
      time,
    )
    .option('--no-rollback-on-red', 'do not roll back by itself when a check turns red')
    .option('--detach', 'do not wait for the end')
    .option('--yes', 'do not ask; away from a terminal nothing is asked')
    .option('--json', 'print the plan, then the deploy whenever it changed, one JSON object a line')
    .action((options: DeployCommandOptions) => runDeploy(cli, options))
  return addExamples(command, [
    { does: 'show what changes, ask, and carry it out', run: 'refold deploy' },
    { does: 'build and compare only, at half the speed', run: 'refold deploy --shadow --budget-cpu 0.5' },
    {
      does: 'in a script, with the reason why a gate may be red',
      run: 'refold deploy --yes --json --accept "prices were wrong"',
    },
  ])
}

async function runDeploy(cli: Cli, options: DeployCommandOptions): Promise<void> {
  const { terminal } = cli
  const json = options.json === true
  const project = await loadRightProject(cli, { project: options.project })
  const client = openClient(options, cli.env)
  try {
    const text = await sendProject(client, '/v1/plan', project)
    const plan = JSON.parse(text) as DeployPlan
    if (json) await terminal.data(`{"plan":${text.trim()}}\n`)
    else terminal.talk(formatPlan(plan, terminal.talkStyle, ''))
    // Another start of history is another version, though the project says the same.
    if (plan.empty && options.from === undefined) return
    if (!plan.empty && !(await agreed(cli, options))) {
      terminal.talk('Nothing was changed.')
      cli.exitCode = exitCodes.stopped.code
      return
    }
    const sent = { options: deployOptions(options), author: await deployAuthor(project.root) }
    const info = JSON.parse(await sendProject(client, '/v1/deploys', project, sent)) as DeployInfo
    await follow(cli, client, info, options)
  } finally {
    client.close()
  }
}

async function follow(
  cli: Cli,
  client: Client,
  info: DeployInfo,
  { detach, json }: DeployCommandOptions,
): Promise<void> {
  if (detach !== true) return await followDeploy(cli, client, info.id, json === true)
  if (json === true) await cli.terminal.data(`${JSON.stringify(info)}\n`)
  else cli.terminal.talk(`deploy ${info.id} is under way; \`refold deploys watch ${info.id}\` follows it`)
}

/** Options as the server takes them; what is not said here is the server's to decide. */
export function deployOptions(options: DeployCommandOptions): Readonly<Record<string, unknown>> {
  const { budgetEvents, budgetCpu, budgetLag, rollbackLag } = options
  const budget = {
    ...(budgetEvents === undefined ? {} : { eventsPerSecond: budgetEvents }),
    ...(budgetCpu === undefined ? {} : { cpuShare: budgetCpu }),
    lagMs: budgetLag ?? 1_000,
  }
  return {
    ...(options.shadow === true ? { shadow: true } : {}),
    ...(options.from === undefined ? {} : { from: options.from }),
    budget,
    ...(options.warm === undefined ? {} : { warmMs: options.warm }),
    ...(options.accept === undefined ? {} : { accept: options.accept }),
    autoRollback: {
      checks: options.rollbackOnRed,
      ...(rollbackLag === undefined ? {} : { lagMs: rollbackLag }),
    },
  }
}

/** Asks where there is somebody to ask. */
async function agreed(cli: Cli, { yes, json }: DeployCommandOptions): Promise<boolean> {
  if (yes === true || json === true || cli.stdin.isTTY !== true || !cli.terminal.talkIsTty) return true
  const lines = createInterface({ input: cli.stdin, output: process.stderr })
  try {
    const answer = await lines.question('Carry this out? [y/N] ')
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    lines.close()
  }
}

function startPoint(text: string): StartPoint {
  if (text === 'zero' || text === 'trimmed') return { kind: text }
  const cut = /^cut:(\d{1,15})$/.exec(text)
  if (cut !== null) return { kind: 'cut', cut: Number(cut[1]) }
  const offset = /^offset:(\d{1,9}):(\d{1,15})$/.exec(text)
  if (offset !== null) return { kind: 'offset', partition: Number(offset[1]), offset: Number(offset[2]) }
  const timeMs = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(timeMs)) {
    throw new InvalidArgumentError(
      'It must be zero, trimmed, cut:N, offset:PARTITION:N or a time in ISO 8601.',
    )
  }
  return { kind: 'time', timeMs }
}

function share(text: string): number {
  const value = Number(text)
  if (value > 0 && value <= 1) return value
  throw new InvalidArgumentError('It must be a number above 0 up to 1.')
}

function time(text: string): number {
  const value = parseDuration(text)
  if (value !== undefined) return value
  throw new InvalidArgumentError('It must be a time such as 500ms, 30s, 15m or 24h.')
}
