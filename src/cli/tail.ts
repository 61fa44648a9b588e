/**
 * `refold tail VIEW`: the rows of a view that change, as they change: `+` new, `~` other than before, `-` gone. One
 * line a row, from the view's deltas. State: none; where the server goes away, the last cut is said, so that
 * `--from` can go on there.
 */

import { Command } from 'commander'
import { openClient } from './client.ts'
import type { Style } from './colours.ts'
import { addExamples, addServerOptions, type ServerOptions, wholeNumber } from './command-options.ts'
import { type ExactJson, parseExactJson, printExactJson } from './exact-json.ts'
import { shortVersion } from './query.ts'
import { cellText, type TableRow } from './table.ts'
import type { Cli } from './terminal.ts'

interface TailOptions extends ServerOptions {
  readonly from?: number
  readonly held?: string
  readonly follow: boolean
}

export interface ChangeLine {
  readonly from: number
  readonly to: number
  readonly version: string
  /** Another version answers from here on: no event touched these rows. */
  readonly cause?: { readonly kind: string; readonly from: string; readonly to: string | null }
  readonly op: 'insert' | 'update' | 'delete'
  readonly old?: TableRow
  readonly new?: TableRow
}

export function tailCommand(cli: Cli): Command {
  const command = new Command('tail')
    .description("follow a view's changes: + new rows, ~ changed rows, - rows that are gone")
    .argument('<view>', 'the view')
    .option('--from <cut>', 'begin after this cut; without it all rows come first', wholeNumber(0))
    .option('--held <version>', 'with --from: the version of the last line, where it changed at that cut')
    .option('--no-follow', 'end at what there is now')
  addServerOptions(command)
    .option('--json', 'print each change as JSON, one object a line')
    .action((view: string, options: TailOptions) => runTail(cli, view, options))
  return addExamples(command, [
    { does: 'watch a view change', run: 'refold tail user_stats' },
    {
      does: 'what changed since cut 1200, for a program',
      run: 'refold tail user_stats --from 1200 --no-follow --json',
    },
  ])
}

async function runTail(cli: Cli, view: string, options: TailOptions): Promise<void> {
  const { terminal } = cli
  const client = openClient(options, cli.env)
  const stop = new AbortController()
  const removeStop = cli.onStop(() => stop.abort())
  let lastCut: number | undefined
  let lastVersion: string | undefined
  try {
    const lines = client.lines({
      path: `/v1/views/${encodeURIComponent(view)}/changes`,
      query: {
        from: options.from?.toString(),
        version: options.held,
        follow: options.follow ? '1' : undefined,
      },
      signal: stop.signal,
    })
    for await (const line of lines) {
      if (options.json === true) {
        await terminal.data(`${line}\n`)
        continue
      }
      const change = parseExactJson(line) as unknown as ChangeLine
      if (change.to !== lastCut && terminal.dataIsTty) {
        await terminal.data(`${terminal.dataStyle.dim(`── cut ${change.to}`)}\n`)
      }
      if (change.cause !== undefined && change.version !== lastVersion && terminal.dataIsTty) {
        await terminal.data(`${terminal.dataStyle.dim(causeText(change))}\n`)
      }
      lastCut = change.to
      lastVersion = change.version
      await terminal.data(`${formatChange(change, terminal.dataStyle)}\n`)
    }
  } finally {
    removeStop()
    client.close()
    if (lastCut !== undefined)
      terminal.talk(
        terminal.talkStyle.dim(
          `cut ${lastCut}; go on with --from ${lastCut} --held ${shortVersion(lastVersion ?? '')}`,
        ),
      )
  }
}

function causeText({ cause, version }: ChangeLine): string {
  return cause?.to === null
    ? '── the view was removed'
    : `── version ${shortVersion(cause?.from ?? '')} → ${shortVersion(version)}`
}

export function formatChange(change: ChangeLine, style: Style): string {
  switch (change.op) {
    case 'insert':
      return `${style.green('+')} ${formatRow(change.new ?? {})}`
    case 'delete':
      return style.red(`- ${formatRow(change.old ?? {})}`)
    case 'update':
      return `${style.yellow('~')} ${formatUpdate(change.old ?? {}, change.new ?? {}, style)}`
    default:
      return JSON.stringify(change)
  }
}

function formatRow(row: TableRow): string {
  return Object.entries(row)
    .map(([name, value]) => `${name}=${shown(value)}`)
    .join('  ')
}

/** Every column, so that the row is known; where it changed, old and new. */
function formatUpdate(old: TableRow, now: TableRow, style: Style): string {
  return Object.entries(now)
    .map(([name, value]) => {
      const same = sameValue(old[name], value)
      return same
        ? `${name}=${shown(value)}`
        : `${name}=${style.dim(shown(old[name]))} → ${style.bold(shown(value))}`
    })
    .join('  ')
}

function sameValue(a: ExactJson | undefined, b: ExactJson): boolean {
  return a !== undefined && printExactJson(a) === printExactJson(b)
}

function shown(value: ExactJson | undefined): string {
  return cellText(value).text
}
