/**
 * `refold checks`: the checks of the project that runs, with what they last said; `refold checks run` runs them now,
 * over the versions that answer or over others. No state.
 */

import { Command } from 'commander'
import type { CheckResult } from '../deploy/types.ts'
import { RefoldError } from '../model/errors.ts'
import type { CheckInfo } from '../serve/core-checks.ts'
import { nearestName } from '../std/nearest-name.ts'
import { openClient } from './client.ts'
import type { Style } from './colours.ts'
import { addExamples, addServerOptions, type ServerOptions } from './command-options.ts'
import { exitCodes } from './exit-codes.ts'
import { formatTable } from './table.ts'
import type { Cli } from './terminal.ts'

interface ChecksOptions extends ServerOptions {
  readonly version?: readonly string[]
}

export function checksCommand(cli: Cli): Command {
  const command = new Command('checks')
    .description('list the checks of the project with their last verdicts, or run them now')
    .argument('[action]', '"run" runs checks; left out: lists them')
    .argument('[names...]', 'with run: these checks; left out: all that need no deploy')
    .option(
      '--version <view=version>',
      'with run: let this version stand for the view; may be given again',
      (value: string, previous: readonly string[] | undefined) => [...(previous ?? []), value],
    )
  addServerOptions(command)
    .option('--json', "print the server's answer, one JSON object")
    .action((action: string | undefined, names: readonly string[], options: ChecksOptions) =>
      runCommand(cli, action, names, options),
    )
  command.addHelpText(
    'after',
    `\nWhen a check is red or could not be run, the exit code is ${exitCodes.red.code}.`,
  )
  return addExamples(command, [
    { does: 'which checks are there, and what did they last say?', run: 'refold checks' },
    { does: 'run one now', run: 'refold checks run totals_match_billing' },
    {
      does: 'run all over a version that does not answer yet, for a script',
      run: 'refold checks run --version user_stats=3f9a1c --json',
    },
  ])
}

async function runCommand(
  cli: Cli,
  action: string | undefined,
  names: readonly string[],
  options: ChecksOptions,
): Promise<void> {
  const known = ['list', 'run']
  if (action !== undefined && !known.includes(action)) {
    const near = nearestName(action, known)
    throw new RefoldError('CLI_USAGE', `checks cannot be asked to "${action}"`, {
      hint:
        near === undefined ? 'Use `refold checks` or `refold checks run NAME…`.' : `Did you mean "${near}"?`,
    })
  }
  const runs = action === 'run'
  if (!runs && (names.length > 0 || options.version !== undefined)) {
    throw new RefoldError('CLI_USAGE', 'names and --version go with run', {
      hint: 'Use `refold checks run NAME…`.',
    })
  }
  const client = openClient(options, cli.env)
  const { terminal } = cli
  try {
    const body = { ...(names.length === 0 ? {} : { names }), versions: versionsOf(options.version ?? []) }
    const text = await client.text(
      runs
        ? {
            ...{ method: 'POST', path: '/v1/checks/run', body: JSON.stringify(body) },
            headers: { 'content-type': 'application/json' },
          }
        : { path: '/v1/checks' },
    )
    const answer = JSON.parse(text) as { checks?: readonly CheckInfo[]; results?: readonly CheckResult[] }
    const { checks = [], results = [] } = answer
    const shown = runs
      ? formatResults(results, terminal.dataStyle)
      : formatChecks(checks, terminal.dataStyle, terminal.dataWidth())
    await terminal.data(options.json === true ? `${text.trimEnd()}\n` : shown)
    const said = runs ? results : checks.flatMap(({ last }) => (last === null ? [] : [last]))
    if (said.some(({ verdict }) => verdict !== 'green')) cli.exitCode = exitCodes.red.code
  } finally {
    client.close()
  }
}

function versionsOf(given: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    given.map((text) => {
      const at = text.indexOf('=')
      if (at < 1 || at === text.length - 1) {
        throw new RefoldError('CLI_USAGE', `--version "${text}" is not of the form view=version`)
      }
      return [text.slice(0, at), text.slice(at + 1)]
    }),
  )
}

function formatChecks(checks: readonly CheckInfo[], style: Style, width: number | undefined): string {
  if (checks.length === 0) return 'The project has no checks.\n'
  const columns = ['check', 'verdict', 'cut', 'at', 'runs', 'says'].map((name) => ({
    name,
    type: name === 'cut' ? 'BIGINT' : 'VARCHAR',
  }))
  const rows = checks.map(({ name, everyMs, cutover, running, last }) => ({
    check: name,
    verdict: running ? 'running' : (last?.verdict ?? '–'),
    cut: last === null ? '–' : last.cut,
    at: last === null ? '–' : new Date(last.timeMs).toISOString(),
    runs: [
      ...(cutover ? ['at cutover'] : []),
      ...(everyMs === undefined ? [] : [`every ${durationText(everyMs)}`]),
    ].join(', '),
    says: last?.text ?? 'has not run over what answers now',
  }))
  return formatTable(columns, rows, { style, width })
}

function formatResults(results: readonly CheckResult[], style: Style): string {
  if (results.length === 0) return 'There is no check to run.\n'
  const paint = { green: style.green, red: style.red, error: style.yellow }
  const widest = Math.max(...results.map(({ name }) => name.length))
  return results
    .flatMap(({ name, verdict, text, rows }) => [
      `${paint[verdict](verdict.padEnd(5))}  ${style.bold(name.padEnd(widest))}  ${text}`,
      ...rows.map((row) => `       ${style.dim(JSON.stringify(row))}`),
    ])
    .map((line) => `${line}\n`)
    .join('')
}

function durationText(ms: number): string {
  const units = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'm'],
    [1_000, 's'],
  ] as const
  const [size, unit] = units.find(([length]) => ms % length === 0) ?? ([1, 'ms'] as const)
  return `${ms / size}${unit}`
}
