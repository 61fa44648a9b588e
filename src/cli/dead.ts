/**
 * `refold dead`: events that were refused at the door, or that a view left out; by cause, one by one, sent again
 * mended, or dropped. No state.
 */

import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { RefoldError } from '../model/errors.ts'
import type { DeadCause, DeadLetterDetail, DeadLetterInfo, DeadOutcome } from '../serve/core-dead.ts'
import { nearestName } from '../std/nearest-name.ts'
import { type Client, openClient } from './client.ts'
import { addExamples, addServerOptions, type ServerOptions, wholeNumber } from './command-options.ts'
import { causesText, detailText, lettersText, outcomesText } from './dead-text.ts'
import { deployAuthor } from './deploy-author.ts'
import { exitCodes } from './exit-codes.ts'
import type { Cli } from './terminal.ts'

interface DeadOptions extends ServerOptions {
  readonly kind?: string
  readonly stream?: string
  readonly view?: string
  readonly code?: string
  readonly all?: boolean
  readonly limit?: number
  readonly event?: string
  readonly set?: readonly string[]
  readonly dryRun?: boolean
  readonly force?: boolean
  readonly reason?: string
}

const ACTIONS = ['causes', 'list', 'show', 'send', 'drop']
const SEND_MAX = 10_000

export function deadCommand(cli: Cli): Command {
  const command = new Command('dead')
    .description('dead letters: list them by cause, show one, send a mended copy again, or drop them')
    .argument('[action]', `"list", "show", "send" or "drop"; left out: by cause`)
    .argument('[letters...]', 'ids of letters; send and drop also take all that the filters name')
    .option('--kind <kind>', '"rejected" at the door, or "skipped" by a view')
    .option('--stream <stream>', 'only of this stream')
    .option('--view <view>', 'only those that this view left out')
    .option('--code <code>', 'only with this code')
    .option('--all', 'also those that were sent again or dropped')
    .option('--limit <number>', 'with list: at most so many (default 100)', wholeNumber(1, SEND_MAX))
    .option(
      '--event <file>',
      'with send: the mended event, a file with one JSON object, or - for standard input',
    )
    .option(
      '--set <pointer=json>',
      'with send: put a value into the event, e.g. /amount=\'"12.50"\'; may be given again',
      (value: string, previous: readonly string[] | undefined) => [...(previous ?? []), value],
    )
    .option('--dry-run', 'with send: say what would become of the copies, and send nothing')
    .option('--force', 'with send: copies of skipped events too that other views have folded')
    .option('--reason <text>', 'with drop: why, for the record')
  addServerOptions(command)
    .option('--json', "print the server's answer, one JSON object")
    .action((action: string | undefined, letters: readonly string[], options: DeadOptions) =>
      runDead(cli, action ?? 'causes', letters, options),
    )
  command.addHelpText('after', `\nWhen a copy is refused, the exit code is ${exitCodes.partial.code}.`)
  return addExamples(command, [
    { does: 'what went wrong, and how often?', run: 'refold dead' },
    { does: 'one letter whole', run: 'refold dead show 812.0' },
    {
      does: 'what would become of it with another amount?',
      run: `refold dead send 812.0 --set /amount='"12.50"' --dry-run`,
    },
    {
      does: 'send all of one cause as they are, after the schema was mended',
      run: 'refold dead send --stream orders --code EVENT_FIELD_FORMAT',
    },
  ])
}

async function runDead(
  cli: Cli,
  action: string,
  letters: readonly string[],
  options: DeadOptions,
): Promise<void> {
  if (!ACTIONS.includes(action)) {
    const near = nearestName(action, ACTIONS)
    throw new RefoldError('CLI_USAGE', `dead letters cannot be asked to "${action}"`, {
      hint: near === undefined ? 'Use list, show, send or drop.' : `Did you mean "${near}"?`,
    })
  }
  checkUse(action, letters, options)
  const client = openClient(options, cli.env)
  try {
    const text = await answerOf(client, action, letters, options)
    const { terminal } = cli
    if (options.json === true) await terminal.data(`${text.trimEnd()}\n`)
    else await terminal.data(shown(action, text, cli))
    if (action !== 'send') return
    const { results } = JSON.parse(text) as { readonly results: readonly DeadOutcome[] }
    if (results.some(({ outcome }) => outcome === 'rejected')) cli.exitCode = exitCodes.partial.code
  } finally {
    client.close()
  }
}

function checkUse(action: string, letters: readonly string[], options: DeadOptions): void {
  const usage = (message: string, hint: string) => new RefoldError('CLI_USAGE', message, { hint })
  const acts = action === 'send' || action === 'drop'
  if (action === 'show' && letters.length !== 1) {
    throw usage('show wants one letter', 'Use `refold dead show ID`; `refold dead list` has the ids.')
  }
  if (!acts && action !== 'show' && letters.length > 0) {
    throw usage(`${action} takes no letters`, 'Use `refold dead show ID`.')
  }
  const filtered = [options.kind, options.stream, options.view, options.code].some(
    (value) => value !== undefined,
  )
  if (acts && letters.length === 0 && !filtered) {
    throw usage(
      `${action} wants letters, or filters that name them`,
      'Use e.g. --stream orders --code EVENT_FIELD_FORMAT.',
    )
  }
  if (action === 'drop' && options.reason === undefined)
    throw usage('drop wants --reason', 'Say why, for the record.')
  const sendOnly = options.event ?? options.set ?? options.dryRun ?? options.force
  if (action !== 'send' && sendOnly !== undefined) {
    throw usage('--event, --set, --dry-run and --force go with send', 'Use `refold dead send ID …`.')
  }
}

async function answerOf(
  client: Client,
  action: string,
  letters: readonly string[],
  options: DeadOptions,
): Promise<string> {
  const { kind, stream, view, code } = options
  const query = { kind, stream, view, code, ...(options.all === true ? {} : { state: 'open' }) }
  if (action === 'causes') return await client.text({ path: '/v1/dead', query })
  if (action === 'list') {
    return await client.text({
      path: '/v1/dead/letters',
      query: { ...query, limit: String(options.limit ?? 100) },
    })
  }
  if (action === 'show') return await client.text({ path: '/v1/dead/letter', query: { id: letters[0] } })
  const ids = letters.length > 0 ? letters : await filteredIds(client, query)
  const { who } = await deployAuthor()
  const body =
    action === 'drop'
      ? { letters: ids, reason: options.reason, who }
      : {
          ...{ letters: ids, who, dry_run: options.dryRun === true, force: options.force === true },
          ...(options.event === undefined ? {} : { event: eventText(options.event) }),
          ...(options.set === undefined ? {} : { set: valuesOf(options.set) }),
        }
  return await client.text({
    ...{ method: 'POST', path: `/v1/dead/${action}`, body: JSON.stringify(body) },
    headers: { 'content-type': 'application/json' },
  })
}

async function filteredIds(
  client: Client,
  query: Readonly<Record<string, string | undefined>>,
): Promise<readonly string[]> {
  const text = await client.text({ path: '/v1/dead/letters', query: { ...query, limit: String(SEND_MAX) } })
  const { letters } = JSON.parse(text) as { readonly letters: readonly DeadLetterInfo[] }
  if (letters.length > 0) return letters.map(({ id }) => id).reverse()
  throw new RefoldError('CLI_USAGE', 'the filters name no open letter', {
    hint: '`refold dead` shows the causes.',
  })
}

function eventText(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (error) {
    throw new RefoldError('CLI_USAGE', `"${file}" cannot be read: ${(error as Error).message}`)
  }
}

function valuesOf(given: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    given.map((text) => {
      const at = text.indexOf('=')
      if (at >= 1 && text.startsWith('/')) return [text.slice(0, at), text.slice(at + 1)]
      throw new RefoldError('CLI_USAGE', `--set ${text} is not of the form /pointer=json`, {
        hint: `Write e.g. --set /amount='"12.50"'.`,
      })
    }),
  )
}

function shown(action: string, text: string, { terminal }: Cli): string {
  const answer: unknown = JSON.parse(text)
  const { dataStyle: style } = terminal
  switch (action) {
    case 'causes':
      return causesText((answer as { readonly causes: readonly DeadCause[] }).causes, style)
    case 'list':
      return lettersText((answer as { readonly letters: readonly DeadLetterInfo[] }).letters, {
        style,
        width: terminal.dataWidth(),
      })
    case 'show':
      return detailText(answer as DeadLetterDetail, style)
    case 'drop':
      return `${(answer as { readonly dropped: number }).dropped} dropped\n`
    default:
      return outcomesText(answer as Parameters<typeof outcomesText>[0], style)
  }
}
