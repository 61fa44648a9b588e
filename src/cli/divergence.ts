/** `refold divergence`: in which rows batches of a view differed from what was served at their cut. No state. */

import { Command } from 'commander'
import type { DivergenceInfo } from '../serve/core-divergence.ts'
import { openClient } from './client.ts'
import type { Style } from './colours.ts'
import { addExamples, addServerOptions, type ServerOptions, wholeNumber } from './command-options.ts'
import { exitCodes } from './exit-codes.ts'
import { grouped } from './ingest-meter.ts'
import type { Cli } from './terminal.ts'

interface DivergenceOptions extends ServerOptions {
  readonly limit?: number
  readonly json?: boolean
}

export function divergenceCommand(cli: Cli): Command {
  const command = new Command('divergence')
    .description('in which rows batches of a view differed from what was served, and why')
    .argument('<view>', 'the view')
    .option('--limit <batches>', 'the newest so many batches; default 20', wholeNumber(1))
  addServerOptions(command)
    .option('--json', "print the server's answer, one JSON object")
    .action((view: string, options: DivergenceOptions) => runCommand(cli, view, options))
  command.addHelpText(
    'after',
    `\nWhen a batch found rows that were damaged, the exit code is ${exitCodes.damaged.code}.`,
  )
  return addExamples(command, [
    { does: 'what the last batches found', run: 'refold divergence user_stats' },
    {
      does: 'over all views, in SQL',
      run: 'refold query "SELECT view, cause, count(*) FROM refold.divergence GROUP BY ALL"',
    },
  ])
}

async function runCommand(cli: Cli, view: string, options: DivergenceOptions): Promise<void> {
  const client = openClient(options, cli.env)
  const { terminal } = cli
  try {
    const text = await client.text({
      path: `/v1/views/${encodeURIComponent(view)}/divergence`,
      query: { limit: options.limit?.toString() },
    })
    const { divergence } = JSON.parse(text) as { readonly divergence: readonly DivergenceInfo[] }
    if (options.json === true) await terminal.data(`${text.trimEnd()}\n`)
    else await terminal.data(divergence.map((one) => linesOf(one, terminal.dataStyle)).join(''))
    if (divergence.length === 0) terminal.talk(`no batch of view ${view} was compared yet`)
    if (divergence.some(({ causes }) => (causes['damage'] ?? 0) > 0)) cli.exitCode = exitCodes.damaged.code
  } finally {
    client.close()
  }
}

function linesOf(info: DivergenceInfo, style: Style): string {
  const { batch, cut, at, rows, changed, added, removed, causes, largest, sample } = info
  const differing = changed + added + removed
  const head = `batch ${batch}  cut ${cut}  ${at}  ${grouped(rows)} rows`
  if (differing === 0) return `${head}: nothing differs\n`
  const why = Object.entries(causes).map(([cause, count]) => `${grouped(count)} ${cause}`)
  const sizes = Object.entries(largest).map(([column, size]) => `${column} by up to ${size}`)
  const lines = [
    `${head}: ${style.yellow(`${grouped(differing)} differ`)} (${changed} changed, ${added} added, ${removed} removed): ${why.join(', ')}`,
    ...(sizes.length === 0 ? [] : [`  ${sizes.join(', ')}`]),
    ...sample.flatMap(({ what, cause, key, served, computed }) => [
      `  ${cause === 'damage' ? style.red(what) : what} (${cause}) ${JSON.stringify(key)}`,
      `    served   ${JSON.stringify(served)}`,
      `    computed ${JSON.stringify(computed)}`,
    ]),
  ]
  const more = differing - sample.length
  if (more > 0) lines.push(`  and ${grouped(more)} more`)
  return lines.map((line) => `${line}\n`).join('')
}
