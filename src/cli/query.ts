/**
 * `refold query`: one SQL statement or a lookup in a view, shown as a table, as the server's JSON, or as rows. The
 * answer's cut, version and lag go to stderr, so that stdout is data alone. No state.
 */

import { Command, Option } from 'commander'
import { RefoldError } from '../model/errors.ts'
import type { Column } from '../plan/plan.ts'
import { withSentText } from './cli-error.ts'
import { type Client, openClient } from './client.ts'
import { addExamples, addServerOptions, type ServerOptions, wholeNumber } from './command-options.ts'
import { type ExactJson, parseExactJson, printExactJson } from './exact-json.ts'
import { formatTable, type TableRow } from './table.ts'
import type { Cli } from './terminal.ts'

interface QueryOptions extends ServerOptions {
  readonly view?: string
  readonly where?: readonly string[]
  readonly order?: string
  readonly limit?: number
  readonly after?: number
  readonly timeout?: number
  readonly asOf?: string
  readonly asReportedAt?: string
  readonly version?: string
  readonly layer?: string
  readonly cost?: boolean
  readonly ndjson?: boolean
}

export function queryCommand(cli: Cli): Command {
  const command = new Command('query')
    .description('ask with SQL over views and streams, or look up rows of one view')
    .argument('[sql]', 'a SELECT; read from stdin when it is left out or "-"')
    .option('--view <name>', 'read this view instead of running SQL')
    .option('--where <column=value>', 'with --view: keep rows with this value; may be given again', collect)
    .option('--order <columns>', 'with --view: order by these columns, "-" before a name for descending')
    .option('--limit <rows>', 'at most so many rows', wholeNumber(0))
    .option('--after <cut>', 'wait until the answer includes this cut', wholeNumber(0))
    .option('--timeout <ms>', 'give up after so many milliseconds', wholeNumber(1))
    .option('--as-of <moment>', 'with the events up to this cut, or up to this time of ingest')
    .option('--as-reported-at <time>', 'as a reader got it at this time, from the version that answered then')
    .option('--version <digits>', 'with --view: this version, by its first 12 digits or more')
    .addOption(
      new Option('--layer <name>', 'with --view: one layer of a lambda view; left out: both, merged').choices(
        ['batch', 'speed'],
      ),
    )
    .option(
      '--cost',
      'with --view and a moment of the past: say what the answer costs, and do not ask for it',
    )
  addServerOptions(command)
    .option('--json', "print the server's answer, one JSON object")
    .option('--ndjson', 'print the rows alone, one JSON object a line')
    .action((sql: string | undefined, options: QueryOptions) => runQuery(cli, sql, options))
  return addExamples(command, [
    {
      does: 'the ten best rows of a view',
      run: 'refold query "SELECT * FROM user_stats ORDER BY total DESC LIMIT 10"',
    },
    { does: 'one row by its key, as JSON', run: 'refold query --view user_stats --where user_id=u1 --json' },
    { does: 'a statement from a file', run: 'refold query < report.sql' },
    {
      does: 'what a reader got on Monday at nine',
      run: 'refold query --view user_stats --as-reported-at 2026-03-02T09:00:00Z',
    },
  ])
}

async function runQuery(cli: Cli, sqlArgument: string | undefined, options: QueryOptions): Promise<void> {
  if (options.view !== undefined && sqlArgument !== undefined) {
    throw new RefoldError('CLI_USAGE', 'SQL and --view were both given', { hint: 'Give one of them.' })
  }
  if (options.view === undefined && (options.where !== undefined || options.order !== undefined)) {
    throw new RefoldError('CLI_USAGE', '--where and --order go with --view', {
      hint: 'Add `--view NAME`, or say it in the SQL.',
    })
  }
  const alone = ['version', 'layer', 'cost'] as const
  for (const name of options.view === undefined ? alone : []) {
    if (options[name] === undefined) continue
    const hint = name === 'layer' ? `Write \`FROM ${options.layer}.VIEW\` in the SQL.` : 'Add `--view NAME`.'
    throw new RefoldError('CLI_USAGE', `--${name} goes with --view`, { hint })
  }
  const client = openClient(options, cli.env)
  try {
    if (options.view !== undefined && options.cost === true) {
      return await printCost(cli, await askView(client, options.view, options), options)
    }
    const text =
      options.view === undefined
        ? await askSql(client, await readSql(cli, sqlArgument), options)
        : await askView(client, options.view, options)
    await printAnswer(cli, text, options)
  } finally {
    client.close()
  }
}

async function readSql(cli: Cli, argument: string | undefined): Promise<string> {
  if (argument !== undefined && argument !== '-') return argument
  if (cli.stdin.isTTY === true && argument === undefined) {
    throw new RefoldError('CLI_USAGE', 'there is no SQL to run', {
      hint: 'Run `refold query "SELECT …"`, or `refold query --view NAME`.',
    })
  }
  const parts: Buffer[] = []
  for await (const part of cli.stdin) parts.push(Buffer.from(part as Buffer | string))
  const sql = Buffer.concat(parts).toString('utf8')
  if (sql.trim() === '') throw new RefoldError('CLI_USAGE', 'the SQL from stdin is empty')
  return sql
}

async function askSql(client: Client, sql: string, options: QueryOptions): Promise<string> {
  const { limit, after, timeout, asOf, asReportedAt } = options
  try {
    return await client.text({
      method: 'POST',
      path: '/v1/sql',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ sql, limit, after, timeout, as_of: asOf, as_reported_at: asReportedAt }),
    })
  } catch (error) {
    throw withSentText(error, sql)
  }
}

function askView(client: Client, view: string, options: QueryOptions): Promise<string> {
  const query: Record<string, string | undefined> = {
    limit: options.limit?.toString(),
    order: options.order,
    after: options.after?.toString(),
    timeout: options.timeout?.toString(),
    as_of: options.asOf,
    as_reported_at: options.asReportedAt,
    version: options.version,
    layer: options.layer,
    explain: options.cost === true ? '1' : undefined,
  }
  for (const condition of options.where ?? []) {
    const at = condition.indexOf('=')
    if (at < 1) {
      throw new RefoldError('CLI_USAGE', `--where "${condition}" is not of the form column=value`)
    }
    query[`where.${condition.slice(0, at)}`] = condition.slice(at + 1)
  }
  return client.text({ path: `/v1/views/${encodeURIComponent(view)}`, query })
}

interface PastCost {
  readonly cut: number
  readonly version: string
  readonly slices: { readonly files: number; readonly bytes: number; readonly through: number }
  readonly events: number
  readonly seconds: { readonly low: number; readonly likely: number; readonly high: number }
}

async function printCost(cli: Cli, text: string, options: QueryOptions): Promise<void> {
  if (options.json === true || options.ndjson === true) return cli.terminal.data(`${text.trimEnd()}\n`)
  const { cut, version, slices, events, seconds } = JSON.parse(text) as PastCost
  const lines = [
    `cut ${cut}, version ${shortVersion(version)}`,
    `${slices.files} slices up to cut ${slices.through}, ${slices.bytes.toLocaleString('en')} bytes`,
    `${events.toLocaleString('en')} events to fold after them`,
    `about ${seconds.likely} s (${seconds.low} to ${seconds.high} s)`,
  ]
  await cli.terminal.data(`${lines.join('\n')}\n`)
}

interface BatchNote {
  readonly cut: number
  readonly ageMs: number
  readonly spanMs: number
  readonly approximate?: readonly string[]
  readonly stale?: string
}

export interface QueryAnswer {
  readonly cut: number
  /** When this was reported; null where the past was asked for by a cut or a time. */
  readonly at?: string | null
  readonly view?: string
  readonly version?: string
  readonly versions?: Readonly<Record<string, string>>
  readonly lagMs: number
  readonly stalled?: Readonly<Record<string, ExactJson>>
  readonly batch?: BatchNote
  readonly batches?: Readonly<Record<string, BatchNote>>
  readonly trimmed?: Readonly<Record<string, { cut: number; events: number; until: string | null }>>
  readonly columns: readonly Column[]
  readonly rows: readonly TableRow[]
  readonly truncated: boolean
}

async function printAnswer(cli: Cli, text: string, options: QueryOptions): Promise<void> {
  const { terminal } = cli
  if (options.json === true) return terminal.data(`${text.trimEnd()}\n`)
  const answer = parseExactJson(text) as unknown as QueryAnswer
  if (options.ndjson === true) {
    for (const row of answer.rows) await terminal.data(`${printExactJson(row as ExactJson)}\n`)
    return
  }
  await terminal.data(
    formatTable(answer.columns, answer.rows, { style: terminal.dataStyle, width: terminal.dataWidth() }),
  )
  for (const line of footer(answer, options)) terminal.talk(terminal.talkStyle.dim(line))
  for (const { text, isAlarm } of batchLines(answer)) {
    terminal.talk(isAlarm ? terminal.talkStyle.yellow(text) : terminal.talkStyle.dim(text))
  }
  for (const [stream, trim] of Object.entries(answer.trimmed ?? {})) {
    const until = trim.until === null ? '' : `, of ${trim.until} and before,`
    const words = `stream "${stream}" begins after cut ${trim.cut}: ${trim.events} events${until} were trimmed`
    terminal.talk(terminal.talkStyle.yellow(words))
  }
  for (const [view, stall] of Object.entries(answer.stalled ?? {})) {
    const message = (stall as { message?: string } | null)?.message ?? ''
    terminal.talk(
      terminal.talkStyle.yellow(`view "${view}" stands still at an event it cannot fold: ${message}`),
    )
  }
}

/** What there is to say of each view's batch layer. */
function batchLines(answer: QueryAnswer): readonly { readonly text: string; readonly isAlarm: boolean }[] {
  const own = answer.batch === undefined ? {} : { [answer.view ?? '']: answer.batch }
  return Object.entries({ ...answer.batches, ...own }).map(([view, batch]) => {
    const { cut, ageMs, spanMs, approximate = [], stale } = batch
    const layers = `${view}: batch up to cut ${cut}, ${seconds(ageMs)} old; speed layer of ${seconds(spanMs)}`
    if (stale !== undefined) {
      return { text: `${view} is stale: its last batch, up to cut ${cut}: ${stale}`, isAlarm: true }
    }
    const names = approximate.join(', ')
    const text = names === '' ? layers : `${layers}; approximate until the next batch: ${names}`
    return { text, isAlarm: false }
  })
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

function footer(answer: QueryAnswer, options: QueryOptions): readonly string[] {
  const count = answer.rows.length === 1 ? '1 row' : `${answer.rows.length} rows`
  const rows = answer.truncated ? `${count}, and there are more (--limit)` : count
  const versions = Object.entries(answer.versions ?? {}).map(
    ([view, version]) => `${view} ${shortVersion(version)}`,
  )
  if (answer.version !== undefined) versions.push(`version ${shortVersion(answer.version)}`)
  return [[rows, `cut ${answer.cut}`, ...versions, moment(answer, options)].join(' · ')]
}

/** When it was reported, where the past was asked for; else how far behind it is. */
function moment(answer: QueryAnswer, options: QueryOptions): string {
  if (options.asOf !== undefined) return `as of ${options.asOf}`
  if (options.asReportedAt !== undefined) return `as reported at ${answer.at ?? options.asReportedAt}`
  return `lag ${Math.round(answer.lagMs)} ms`
}

/** Versions are shown to people by their first twelve hex digits. */
export function shortVersion(version: string): string {
  return version.slice(0, 12)
}

function collect(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value]
}
