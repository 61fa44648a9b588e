/**
 * `refold lake`: what the lake holds, whether every file of it is as it should be, and trimming it. No state.
 */

import { Argument, Command } from 'commander'
import { RefoldError } from '../model/errors.ts'
import type { LakeCheckAnswer, TrimAnswer } from '../serve/core-lake.ts'
import { type Client, type ClientRequest, openClient } from './client.ts'
import { addExamples, addServerOptions, type ServerOptions, wholeNumber } from './command-options.ts'
import { exitCodes } from './exit-codes.ts'
import { formatTable, type TableRow } from './table.ts'
import type { Cli } from './terminal.ts'

interface LakeOptions extends ServerOptions {
  readonly before?: string
  readonly to?: number
  readonly promote?: boolean
  readonly dryRun?: boolean
  readonly files?: boolean
}

interface LakeList {
  readonly folder: string
  readonly through: number
  readonly cut: number
  readonly streams: readonly (TableRow & {
    readonly stream: string
    readonly list: readonly TableRow[]
    readonly trimmed?: { readonly cut: number; readonly events: number; readonly until: string | null }
  })[]
}

export function lakeCommand(cli: Cli): Command {
  const command = new Command('lake')
    .description('list and check the lake, which is plain Parquet, or trim the oldest events of a stream')
    .addArgument(new Argument('[action]', 'what to do').choices(['list', 'check', 'trim']).default('list'))
    .argument('[stream]', 'with list: only this stream; with trim: the stream')
    .option('--files', 'with list: every file, and not only the streams')
    .option('--before <time>', 'with trim: events that came in before this time (ISO 8601)')
    .option('--to <cut>', 'with trim: events up to this cut', wholeNumber(0))
    .option('--promote', 'with trim: first record the states that versions of views need as bases')
    .option('--dry-run', 'with trim: only say what would go, and who needs it')
  addServerOptions(command)
    .option('--json', "print the server's answer, one JSON object; list names every file")
    .action((action: string, stream: string | undefined, options: LakeOptions) =>
      runLake(cli, action, stream, options),
    )
  return addExamples(command, [
    { does: 'ranges and sizes by stream', run: 'refold lake' },
    { does: 'is every file there, sound, and listed? (exit code 7 if not)', run: 'refold lake check' },
    {
      does: 'what would go with the events before this year',
      run: 'refold lake trim events --before 2026-01-01 --promote --dry-run',
    },
  ])
}

async function runLake(
  cli: Cli,
  action: string,
  stream: string | undefined,
  options: LakeOptions,
): Promise<void> {
  checkOptions(action, stream, options)
  const client = openClient(options, cli.env)
  try {
    if (action === 'check') await runCheck(cli, client, options)
    else if (action === 'trim') await runTrim(cli, client, stream ?? '', options)
    else await runList(cli, client, stream, options)
  } finally {
    client.close()
  }
}

function checkOptions(action: string, stream: string | undefined, options: LakeOptions): void {
  const usage = (message: string, hint: string) => new RefoldError('CLI_USAGE', message, { hint })
  const forTrim = options.before !== undefined || options.to !== undefined
  if (action !== 'trim' && (forTrim || options.promote === true || options.dryRun === true)) {
    throw usage('--before, --to, --promote and --dry-run go with trim', 'Run `refold lake trim STREAM …`.')
  }
  if (action !== 'trim') return
  if (stream === undefined)
    throw usage('there is no stream to trim', 'Run `refold lake trim STREAM --to CUT`.')
  if ((options.before === undefined) === (options.to === undefined)) {
    throw usage('a trim needs one of --before and --to', 'Give the time or the cut up to which events go.')
  }
}

async function runList(
  cli: Cli,
  client: Client,
  stream: string | undefined,
  options: LakeOptions,
): Promise<void> {
  const { terminal } = cli
  const text = await client.text({ path: '/v1/lake' })
  if (options.json === true && stream === undefined) return await terminal.data(`${text.trimEnd()}\n`)
  const lake = JSON.parse(text) as LakeList
  const streams = lake.streams.filter((one) => stream === undefined || one.stream === stream)
  if (streams.length === 0) throw new RefoldError('STREAM_UNKNOWN', `there is no stream "${stream}"`)
  if (options.json === true) return await terminal.data(`${JSON.stringify({ ...lake, streams })}\n`)
  const style = { style: terminal.dataStyle, width: terminal.dataWidth() }
  const number = (name: string) => ({ name, type: 'BIGINT' })
  const word = (name: string) => ({ name, type: 'VARCHAR' })
  if (options.files === true || stream !== undefined) {
    const files = streams.flatMap((one) => one.list.map((file) => ({ ...file, stream: one.stream })))
    const columns = [
      ...[word('stream'), number('from'), number('to'), number('rows'), number('bytes')],
      ...[word('firstAt'), word('lastAt'), word('path')],
    ]
    await terminal.data(formatTable(columns, files, style))
  } else {
    const columns = [word('stream'), ...['from', 'files', 'rows', 'bytes'].map(number)]
    await terminal.data(formatTable(columns, streams, style))
  }
  for (const { stream: name, trimmed } of streams) {
    if (trimmed === undefined) continue
    const until = trimmed.until === null ? '' : `, of ${trimmed.until} and before`
    terminal.talk(
      `stream "${name}" begins after cut ${trimmed.cut}: ${trimmed.events} events${until} were trimmed`,
    )
  }
  terminal.talk(`the lake holds events up to cut ${lake.through} of ${lake.cut}, in ${lake.folder}`)
}

async function runCheck(cli: Cli, client: Client, options: LakeOptions): Promise<void> {
  const { terminal } = cli
  const text = await longAnswer(client, { method: 'POST', path: '/v1/lake/check' })
  const { faults, files, rows, bytes } = JSON.parse(text) as LakeCheckAnswer
  if (faults.length > 0) cli.exitCode = exitCodes.damaged.code
  if (options.json === true) return await terminal.data(`${text.trimEnd()}\n`)
  for (const { kind, text: words } of faults) await terminal.data(`${kind}: ${words}\n`)
  const verdict = faults.length === 0 ? 'all is well' : `${faults.length} faults`
  terminal.talk(`${files} files, ${rows} events, ${bytes} bytes: ${verdict}`)
}

async function runTrim(cli: Cli, client: Client, stream: string, options: LakeOptions): Promise<void> {
  const { terminal } = cli
  const { before, to, promote = false, dryRun = false } = options
  const text = await longAnswer(client, {
    method: 'POST',
    path: '/v1/lake/trim',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ stream, before, to, promote, dryRun }),
  })
  if (options.json === true) return await terminal.data(`${text.trimEnd()}\n`)
  const answer = JSON.parse(text) as TrimAnswer
  const columns = ['view', 'version', 'state', 'by'].map((name) => ({ name, type: 'VARCHAR' }))
  const rows = answer.needs.map(({ view, version, state, by }) => {
    return { view, version: version.slice(0, 12), state, by }
  })
  if (rows.length > 0) {
    await terminal.data(
      formatTable(columns, rows, { style: terminal.dataStyle, width: terminal.dataWidth() }),
    )
  }
  const what = `${answer.events} events in ${answer.files} files (${answer.bytes} bytes)`
  if (answer.files === 0)
    terminal.talk(`no whole file of stream "${stream}" lies before that: nothing to trim`)
  else if (answer.done) terminal.talk(`trimmed: ${what}; stream "${stream}" begins after cut ${answer.cut}`)
  else terminal.talk(`would trim ${what}; stream "${stream}" would begin after cut ${answer.cut}`)
}

/** Reading a lake, or folding for a base, may take longer than a silent server is waited for elsewhere. */
async function longAnswer(client: Client, request: ClientRequest): Promise<string> {
  const lines: string[] = []
  for await (const line of client.lines(request)) lines.push(line)
  return lines.join('\n')
}
