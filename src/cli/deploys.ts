/** `refold deploys`: lists deploys, shows or follows one, and steers it: pause, resume, accept, cancel. No state. */

import { Argument, Command } from 'commander'
import type { DeployInfo } from '../deploy/types.ts'
import { RefoldError } from '../model/errors.ts'
import { type Client, openClient } from './client.ts'
import { addExamples, addServerOptions, type ServerOptions, wholeNumber } from './command-options.ts'
import { deployAuthor } from './deploy-author.ts'
import { formatDeploy, stateText } from './deploy-text.ts'
import { followDeploy } from './follow-deploy.ts'
import { formatTable, type TableRow } from './table.ts'
import type { Cli } from './terminal.ts'

interface DeploysOptions extends ServerOptions {
  readonly reason?: string
}

const actions = ['list', 'show', 'watch', 'pause', 'resume', 'accept', 'cancel']
const columns = ['deploy', 'state', 'who', 'source', 'begun', 'views'].map((name) => ({
  name,
  type: 'VARCHAR',
}))

export function deploysCommand(cli: Cli): Command {
  const command = new Command('deploys')
    .description('list deploys, show or follow one, and steer it')
    .addArgument(new Argument('[action]', 'what to do').choices(actions).default('list'))
    .argument('[deploy]', 'its number; left out: the newest', wholeNumber(1))
    .option('--reason <text>', 'with accept and cancel: why, for the record')
  addServerOptions(command)
    .option('--json', "print the server's answer; watch prints one object a line")
    .action((action: string, id: number | undefined, options: DeploysOptions) =>
      runDeploys(cli, action, id, options),
    )
  return addExamples(command, [
    { does: 'what was deployed, by whom', run: 'refold deploys' },
    { does: 'what the newest one changed, and what it took', run: 'refold deploys show' },
    { does: 'pass a red gate', run: 'refold deploys accept 7 --reason "the old prices were wrong"' },
  ])
}

async function runDeploys(
  cli: Cli,
  action: string,
  given: number | undefined,
  options: DeploysOptions,
): Promise<void> {
  const { terminal } = cli
  const json = options.json === true
  const client = openClient(options, cli.env)
  try {
    if (action === 'list') return await list(cli, client, json)
    const id = given ?? (await newest(client))
    if (action === 'watch') return await followDeploy(cli, client, id, json)
    const text =
      action === 'show'
        ? await client.text({ path: `/v1/deploys/${id}` })
        : await steer(client, id, action, options)
    await terminal.data(
      json ? `${text.trimEnd()}\n` : formatDeploy(JSON.parse(text) as DeployInfo, terminal.dataStyle),
    )
  } finally {
    client.close()
  }
}

async function steer(
  client: Client,
  id: number,
  action: string,
  { reason }: DeploysOptions,
): Promise<string> {
  if (action === 'accept' && reason === undefined) {
    throw new RefoldError('CLI_USAGE', 'a red gate is passed for a reason', {
      hint: `Run \`refold deploys accept ${id} --reason "…"\`.`,
    })
  }
  const body = JSON.stringify({ ...(reason === undefined ? {} : { reason }), author: await deployAuthor() })
  const headers = { 'content-type': 'application/json' }
  return await client.text({ method: 'POST', path: `/v1/deploys/${id}/${action}`, body, headers })
}

async function all(client: Client): Promise<readonly DeployInfo[]> {
  const { deploys } = JSON.parse(await client.text({ path: '/v1/deploys' })) as { deploys: DeployInfo[] }
  return deploys
}

async function newest(client: Client): Promise<number> {
  const last = (await all(client)).at(-1)
  if (last === undefined) throw new RefoldError('DEPLOY_UNKNOWN', 'there is no deploy yet')
  return last.id
}

async function list(cli: Cli, client: Client, json: boolean): Promise<void> {
  const { terminal } = cli
  if (json) return await terminal.data(`${(await client.text({ path: '/v1/deploys' })).trimEnd()}\n`)
  const rows = (await all(client)).map(
    ({ id, state, author, createdMs, views }): TableRow => ({
      deploy: String(id),
      state: stateText(state),
      who: author.who,
      source: author.source?.slice(0, 12) ?? '',
      begun: new Date(createdMs).toISOString(),
      views: views.map(({ view }) => view).join(', '),
    }),
  )
  await terminal.data(formatTable(columns, rows, { width: terminal.dataWidth(), style: terminal.dataStyle }))
}
