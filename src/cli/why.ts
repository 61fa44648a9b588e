/** `refold why`: why a report of a view differs from an earlier one: late events, other new events, new logic. No state. */

import { Command } from 'commander'
import type { WhyReport } from '../deploy/types.ts'
import { longSilenceMs, openClient } from './client.ts'
import { addExamples, addServerOptions, type ServerOptions, wholeNumber } from './command-options.ts'
import { pathWithKey } from './row-key.ts'
import type { Cli } from './terminal.ts'
import { formatWhy } from './why-text.ts'

interface WhyOptions extends ServerOptions {
  readonly from: string
  readonly to?: string
  readonly key?: readonly string[]
  readonly rows?: number
}

export function whyCommand(cli: Cli): Command {
  const command = new Command('why')
    .description('say why a view reports something else than it did: late events, new events, new logic')
    .argument('<view>', 'the view')
    .requiredOption('--from <report>', 'the earlier report: its time, or a cut')
    .option('--to <report>', 'the later report (default: now)')
    .option('--key <column=value>', 'only rows with this value; may be given again', collect)
    .option('--rows <count>', 'at most so many rows', wholeNumber(0))
  addServerOptions(command)
    .option('--json', "print the server's answer, one JSON object")
    .action((view: string, options: WhyOptions) => runWhy(cli, view, options))
  return addExamples(command, [
    { does: 'since this morning', run: 'refold why user_stats --from 2026-01-31T08:00:00Z' },
    {
      does: "one row's difference between two reports",
      run: 'refold why user_stats --from 1200 --to 1890 --key user_id=u1 --json',
    },
  ])
}

async function runWhy(cli: Cli, view: string, options: WhyOptions): Promise<void> {
  const { terminal } = cli
  const client = openClient(options, cli.env)
  try {
    const path = `/v1/views/${encodeURIComponent(view)}/why`
    const query = { from: options.from, to: options.to, limit: options.rows?.toString() }
    const text = await client.text({
      path: pathWithKey(path, query, '--key', options.key ?? []),
      silenceMs: longSilenceMs,
    })
    if (options.json === true) return await terminal.data(`${text.trimEnd()}\n`)
    const report = JSON.parse(text) as WhyReport
    const shown = { style: terminal.dataStyle, width: terminal.dataWidth(), some: options.key !== undefined }
    await terminal.data(formatWhy(report, shown))
  } finally {
    client.close()
  }
}

function collect(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value]
}
