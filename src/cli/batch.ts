/** `refold batch`: runs a batch of a view now, or lists what there were. No state. */

import { Command } from 'commander'
import type { BatchInfo } from '../serve/core-batches.ts'
import { longSilenceMs, openClient } from './client.ts'
import type { Style } from './colours.ts'
import { addExamples, addServerOptions, type ServerOptions } from './command-options.ts'
import { exitCodes } from './exit-codes.ts'
import { grouped } from './ingest-meter.ts'
import { formatTable } from './table.ts'
import type { Cli } from './terminal.ts'

interface BatchOptions extends ServerOptions {
  readonly wait?: boolean
  readonly list?: boolean
  readonly json?: boolean
}

export function batchCommand(cli: Cli): Command {
  const command = new Command('batch')
    .description('fold a view that runs as lambda again from the lake, now')
    .argument('<view>', 'the view')
    .option('--wait', 'end when the batch has ended')
    .option('--list', 'begin none: show the last ones')
  addServerOptions(command)
    .option('--json', "print the server's answer, one JSON object")
    .action((view: string, options: BatchOptions) => runCommand(cli, view, options))
  command.addHelpText(
    'after',
    `\nWhen a batch that was waited for is not published, the exit code is ${exitCodes.failed.code}.`,
  )
  return addExamples(command, [
    { does: 'fold a view again, and wait for it', run: 'refold batch user_stats --wait' },
    { does: 'what did the last batches say?', run: 'refold batch user_stats --list' },
    { does: 'for a script', run: 'refold batch user_stats --wait --json' },
  ])
}

async function runCommand(cli: Cli, view: string, options: BatchOptions): Promise<void> {
  const { terminal } = cli
  const client = openClient(options, cli.env)
  const path = `/v1/views/${encodeURIComponent(view)}/batches`
  try {
    const text =
      options.list === true
        ? await client.text({ path })
        : await client.text({
            ...{ method: 'POST', path, body: JSON.stringify({ wait: options.wait === true }) },
            headers: { 'content-type': 'application/json' },
            silenceMs: longSilenceMs,
          })
    if (options.json === true) await terminal.data(`${text.trimEnd()}\n`)
    if (options.list === true) {
      const { batches } = JSON.parse(text) as { readonly batches: readonly BatchInfo[] }
      if (options.json !== true) {
        await terminal.data(listed(batches, terminal.dataStyle, terminal.dataWidth()))
      }
      return
    }
    const batch = JSON.parse(text) as BatchInfo
    if (options.json !== true) await terminal.data(`${told(batch)}\n`)
    const hasEnded = batch.state !== 'running'
    if (hasEnded && batch.state !== 'published') cli.exitCode = exitCodes.failed.code
  } finally {
    client.close()
  }
}

function told({ id, view, state, cut, events, divergence, reason }: BatchInfo): string {
  if (state === 'running') return `batch ${id} of view ${view} has begun`
  if (state !== 'published') return `batch ${id} of view ${view} ${state}: ${reason ?? ''}`
  const differs = divergence === null ? '' : `, ${grouped(divergence)} rows differed from what was served`
  return `batch ${id} of view ${view} is published at cut ${cut}: ${grouped(events ?? 0)} events${differs}`
}

function listed(batches: readonly BatchInfo[], style: Style, width: number | undefined): string {
  if (batches.length === 0) return 'There was no batch yet.\n'
  const columns = ['batch', 'state', 'cut', 'events', 'diverged', 'began', 'seconds', 'reason'].map(
    (name) => ({
      name,
      type: ['cut', 'batch', 'events'].includes(name) ? 'BIGINT' : 'VARCHAR',
    }),
  )
  const rows = batches.map((batch) => ({
    batch: batch.id,
    state: batch.state,
    cut: batch.cut ?? '–',
    events: batch.events ?? '–',
    diverged: batch.divergence === null ? '–' : String(batch.divergence),
    began: batch.startedAt,
    seconds: batch.endedAt === null ? '–' : secondsText(batch.startedAt, batch.endedAt),
    reason: batch.reason ?? '',
  }))
  return formatTable(columns, rows, { style, width })
}

function secondsText(from: string, to: string): string {
  return ((Date.parse(to) - Date.parse(from)) / 1000).toFixed(1)
}
