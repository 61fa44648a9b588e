/** `refold late`: the late events of a view, and what became of each. No state. */

import { Command } from 'commander'
import type { CommitSeq } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import type { LateEvent } from '../serve/core-late.ts'
import { longSilenceMs, openClient } from './client.ts'
import type { Style } from './colours.ts'
import { addExamples, addServerOptions, type ServerOptions, wholeNumber } from './command-options.ts'
import { parseExactJson, printExactJson } from './exact-json.ts'
import { grouped } from './ingest-meter.ts'
import { formatTable } from './table.ts'
import type { Cli } from './terminal.ts'

interface LateOptions extends ServerOptions {
  readonly all?: boolean
  readonly since?: string
  readonly limit?: number
  readonly after?: string
  readonly ndjson?: boolean
}

/** The server's answer; events with every digit stand in its text. */
interface ShownAnswer {
  readonly view: string
  readonly late: 'hold' | 'correct'
  readonly cut: CommitSeq
  readonly lateCut: CommitSeq | null
  readonly held: number | null
  readonly total: number
  readonly events: readonly (Omit<LateEvent, 'json' | 'timeMs'> & {
    readonly accepted: string
    readonly event: unknown
  })[]
  readonly next?: string
}

export function lateCommand(cli: Cli): Command {
  const command = new Command('late')
    .description('late events of a view: those that wait for the next batch, or those that corrected rows')
    .argument('<view>', 'the view')
    .option('--all', 'also those that batches took')
    .option('--since <when>', 'only those accepted from this time on, or after this cut')
    .option('--limit <count>', 'at most so many (default 100; with --ndjson all)', wholeNumber(1, 10_000))
    .option('--after <position>', 'go on after this event, as COMMIT.INDEX')
  addServerOptions(command)
    .option('--json', "print the server's answer, one JSON object")
    .option('--ndjson', 'print a line of JSON for each event')
    .action((view: string, options: LateOptions) => runLate(cli, view, options))
  return addExamples(command, [
    { does: 'what waits for the next batch?', run: 'refold late daily_active' },
    {
      does: 'what came late today, wherever it is now?',
      run: 'refold late daily_active --all --since 2026-01-31',
    },
    { does: 'for a script', run: 'refold late daily_active --all --ndjson' },
  ])
}

async function runLate(cli: Cli, view: string, options: LateOptions): Promise<void> {
  const { terminal } = cli
  if (options.json === true && options.ndjson === true) {
    throw new RefoldError('CLI_USAGE', '--json and --ndjson exclude each other', {
      hint: 'Give one of them.',
    })
  }
  const client = openClient(options, cli.env)
  const path = `/v1/views/${encodeURIComponent(view)}/late`
  const query = {
    ...{ since: options.since, after: options.after, limit: options.limit?.toString() },
    ...(options.all === true ? { all: 'true' } : {}),
  }
  try {
    if (options.ndjson === true) {
      for await (const line of client.lines({ path, query: { ...query, format: 'ndjson' } })) {
        await terminal.data(`${line}\n`)
      }
      return
    }
    const text = await client.text({ path, query, silenceMs: longSilenceMs })
    if (options.json === true) return await terminal.data(`${text.trimEnd()}\n`)
    await terminal.data(shown(text, terminal.dataStyle, terminal.dataWidth()))
  } finally {
    client.close()
  }
}

function shown(text: string, style: Style, width: number | undefined): string {
  const answer = parseExactJson(text) as unknown as ShownAnswer
  const { view, late, cut, lateCut, held, total, events, next } = answer
  const how =
    late === 'hold'
      ? `holds late events back: ${grouped(Number(held))} wait for the next batch; up to cut ${lateCut} it has every event`
      : 'takes late events at once, into the rows they belong to'
  const head = `${style.bold(view)} ${how}\n${style.dim(`${grouped(Number(total))} late events up to cut ${cut}`)}\n`
  if (events.length === 0) return head
  const names = ['event', 'time', 'late by', 'rows', 'what became of it', 'value']
  const rows = events.map((event) => ({
    event: `${event.commit}.${event.index}`,
    time: event.at,
    'late by': lateBy(Number(event.lateMs)),
    rows: rowsText(event.rows),
    'what became of it': fate(event),
    value: printExactJson(event.event as never),
  }))
  const columns = names.map((name) => ({ name, type: 'VARCHAR' }))
  const more = next === undefined ? '' : style.dim(`There are more: --after ${next}\n`)
  return `${head}\n${formatTable(columns, rows, { style, width })}${more}`
}

function rowsText(rows: LateEvent['rows']): string {
  if (rows === undefined) return ''
  if (rows.length === 0) return 'none'
  return rows.map((row) => Object.values(row).map(String).join(', ')).join('; ')
}

function fate({ state, batch }: Pick<LateEvent, 'state' | 'batch'>): string {
  if (state === 'batch') return `batch ${batch?.id} took it`
  if (state === 'built') return 'the version was built over it'
  return state === 'held' ? 'waits for the next batch' : 'corrected its rows'
}

function lateBy(ms: number): string {
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1_000],
  ] as const
  const [unit, size] = units.find(([, least]) => ms >= least) ?? ['ms', 1]
  return `${(ms / size).toFixed(size === 1 ? 0 : 1)} ${unit}`
}
