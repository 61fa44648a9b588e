/**
 * `refold compare`: two versions of a view at one cut, with what differs, by how much and why; and with `--events` the
 * events that made a row. No state.
 */

import { Command } from 'commander'
import type { CompareSummary } from '../deploy/types.ts'
import { RefoldError } from '../model/errors.ts'
import { type Client, longSilenceMs, openClient } from './client.ts'
import { addExamples, addServerOptions, type ServerOptions, wholeNumber } from './command-options.ts'
import { formatCompare, formatRowEvents, hasDifferences, type RowEventsPage } from './compare-text.ts'
import { parseExactJson } from './exact-json.ts'
import { exitCodes } from './exit-codes.ts'
import { pathWithKey } from './row-key.ts'
import type { Cli } from './terminal.ts'

interface CompareOptions extends ServerOptions {
  readonly from?: string
  readonly to?: string
  readonly cut?: number
  readonly folded?: boolean
  readonly first?: boolean
  readonly rows?: number
  readonly row?: readonly string[]
  readonly events?: boolean
  readonly version?: string
  readonly after?: string
}

export function compareCommand(cli: Cli): Command {
  const command = new Command('compare')
    .description('compare two versions of a view at one cut, or show the events that made a row')
    .argument('<view>', 'the view')
    .option('--from <version>', 'the old version (default: the one that serves)')
    .option('--to <version>', 'the new version (default: the one being deployed, else old is the warm one)')
    .option('--cut <cut>', 'at this cut (default: the newest that both have reached)', wholeNumber(0))
    .option('--folded', 'also fold both again from the log, to find damage')
    .option('--first', 'also name the first event with which the versions differ')
    .option('--rows <count>', 'rows to show; with --events: events', wholeNumber(1))
    .option('--events', 'show the events that made the row given by --row')
    .option('--row <column=value>', 'with --events: a column of the row; may be given again', collect)
    .option('--version <version>', 'with --events: by this version')
    .option('--after <commit.index>', 'with --events: go on after this event')
  addServerOptions(command)
    .option('--json', "print the server's answer, one JSON object")
    .addHelpText('after', `\nExits with ${exitCodes.changes.code} when anything differs.`)
    .action((view: string, options: CompareOptions) => runCompare(cli, view, options))
  return addExamples(command, [
    { does: 'what will differ once the deploy is through?', run: 'refold compare user_stats' },
    {
      does: 'the events that made one row',
      run: 'refold compare user_stats --row user_id=u1 --events',
    },
    {
      does: 'in a script: is the served state what the log says?',
      run: 'refold compare user_stats --folded --json > compare.json',
    },
  ])
}

async function runCompare(cli: Cli, view: string, options: CompareOptions): Promise<void> {
  checkOptions(options)
  const { terminal } = cli
  const client = openClient(options, cli.env)
  try {
    const text =
      options.events === true ? await askEvents(client, view, options) : await ask(client, view, options)
    if (options.json === true) await terminal.data(`${text.trimEnd()}\n`)
    else if (options.events === true) {
      const page = parseExactJson(text) as unknown as RowEventsPage
      await terminal.data(formatRowEvents(page, terminal.dataStyle))
    } else {
      const summary = JSON.parse(text) as CompareSummary
      await terminal.data(formatCompare(summary, { style: terminal.dataStyle, width: terminal.dataWidth() }))
    }
    if (options.events !== true && hasDifferences(JSON.parse(text) as CompareSummary)) {
      cli.exitCode = exitCodes.changes.code
    }
  } finally {
    client.close()
  }
}

function checkOptions(options: CompareOptions): void {
  const ofEvents = ['row', 'version', 'after'] as const
  const lost = ofEvents.find((name) => options[name] !== undefined)
  if (options.events !== true && lost !== undefined) {
    throw new RefoldError('CLI_USAGE', `--${lost} goes with --events`, {
      hint: 'Add --events, or leave it out.',
    })
  }
  const ofCompare = ['from', 'to', 'folded', 'first'] as const
  const wrong = ofCompare.find((name) => options[name] !== undefined)
  if (options.events === true && wrong !== undefined) {
    throw new RefoldError('CLI_USAGE', `--${wrong} does not go with --events`, {
      hint: 'Give --version for the version, and --cut for the cut.',
    })
  }
}

function ask(client: Client, view: string, options: CompareOptions): Promise<string> {
  const { from, to, cut, rows } = options
  return client.text({
    silenceMs: longSilenceMs,
    path: `/v1/views/${encodeURIComponent(view)}/compare`,
    query: {
      ...{ from, to, cut: cut?.toString(), limit: rows?.toString() },
      folded: options.folded === true ? '1' : undefined,
      first: options.first === true ? '1' : undefined,
    },
  })
}

function askEvents(client: Client, view: string, options: CompareOptions): Promise<string> {
  const { version, cut, rows, after } = options
  const path = `/v1/views/${encodeURIComponent(view)}/events`
  const query = { version, to: cut?.toString(), limit: rows?.toString(), after }
  return client.text({
    path: pathWithKey(path, query, '--row', options.row ?? []),
    silenceMs: longSilenceMs,
  })
}

function collect(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value]
}
