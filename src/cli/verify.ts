/** `refold verify`: folds views again from the log and compares them with what is served. No state. */

import { Command, InvalidArgumentError } from 'commander'
import type { VerifyReport } from '../govern/types.ts'
import { longSilenceMs, openClient } from './client.ts'
import type { Style } from './colours.ts'
import { addExamples, addServerOptions, type ServerOptions, wholeNumber } from './command-options.ts'
import { exitCodes } from './exit-codes.ts'
import { grouped } from './ingest-meter.ts'
import type { Cli } from './terminal.ts'

interface VerifyOptions extends ServerOptions {
  readonly sample?: number
  readonly cut?: number
  readonly json?: boolean
}

export function verifyCommand(cli: Cli): Command {
  const command = new Command('verify')
    .description(
      'fold views again from the log and compare them with what is served; silent when all is right',
    )
    .argument('[views...]', 'these views; left out: all')
    .option('--sample <share>', 'look at this share of the groups only, e.g. 0.01', shareOf)
    .option(
      '--cut <cut>',
      'look at what reads of the past get at this cut, not at what is served now',
      wholeNumber(0),
    )
  addServerOptions(command)
    .option('--json', "print the server's answer, one JSON object")
    .action((views: readonly string[], options: VerifyOptions) => runCommand(cli, views, options))
  command.addHelpText(
    'after',
    `\nWhen something is found, the exit code is ${exitCodes.damaged.code}; when a view could not be verified, it is ${exitCodes.failed.code}.`,
  )
  return addExamples(command, [
    { does: 'is everything that is served what the log gives?', run: 'refold verify' },
    { does: 'look at every hundredth group of one view', run: 'refold verify user_stats --sample 0.01' },
    { does: 'all there is to know, for a script', run: 'refold verify --json' },
  ])
}

async function runCommand(cli: Cli, views: readonly string[], options: VerifyOptions): Promise<void> {
  const { sample, cut } = options
  const client = openClient(options, cli.env)
  const { terminal } = cli
  try {
    const body = {
      ...(views.length === 0 ? {} : { views }),
      ...(sample === undefined ? {} : { sample }),
      ...(cut === undefined ? {} : { cut }),
    }
    const text = await client.text({
      ...{ method: 'POST', path: '/v1/verify', body: JSON.stringify(body) },
      headers: { 'content-type': 'application/json' },
      silenceMs: longSilenceMs,
    })
    const { reports } = JSON.parse(text) as { readonly reports: readonly VerifyReport[] }
    await terminal.data(
      options.json === true ? `${text.trimEnd()}\n` : reports.map(found(terminal.dataStyle)).join(''),
    )
    const told = reports.filter(({ found, error }) => terminal.talkIsTty || found > 0 || error !== undefined)
    if (options.json !== true) for (const report of told) terminal.talk(`${summary(report)}\n`)
    if (reports.some(({ found }) => found > 0)) cli.exitCode = exitCodes.damaged.code
    else if (reports.some(({ error }) => error !== undefined)) cli.exitCode = exitCodes.failed.code
  } finally {
    client.close()
  }
}

function found(style: Style): (report: VerifyReport) => string {
  return ({ view, found, findings }) => {
    const lines = findings.flatMap(({ kind, text, served, right, positions = [] }) => [
      `${style.red(kind.padEnd(13))}  ${style.bold(view)}  ${text}`,
      ...(served === undefined ? [] : [`               served ${JSON.stringify(served)}`]),
      ...(right === undefined ? [] : [`               right  ${JSON.stringify(right)}`]),
      ...positions.map(
        ({ commit, index, event }) =>
          `               event  commit ${commit}, index ${index}: ${JSON.stringify(event ?? null)}`,
      ),
    ])
    if (found > findings.length)
      lines.push(style.red(`and ${grouped(found - findings.length)} more in ${view}`))
    return lines.map((line) => `${line}\n`).join('')
  }
}

function summary({ view, cut, share, groups, slices, tookMs, found, error }: VerifyReport): string {
  if (error !== undefined) return `${view}: could not be verified: ${error}`
  const what = `${grouped(groups)} groups${share < 1 ? ` (${share * 100}%)` : ''} and ${grouped(slices)} slices`
  const outcome = found === 0 ? 'nothing found' : `${grouped(found)} found`
  return `${view}: ${what} at cut ${cut}, ${(tookMs / 1000).toFixed(1)} s: ${outcome}`
}

function shareOf(text: string): number {
  const share = Number(text)
  if (share > 0 && share <= 1) return share
  throw new InvalidArgumentError('It is a share, above 0 and at most 1.')
}
