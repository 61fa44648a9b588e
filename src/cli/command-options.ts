/**
 * What several commands have in common on the command line: options, the two examples under `--help`, and values
 * that are numbers. No state.
 */

import { type Command, InvalidArgumentError } from 'commander'
import { defaultUrl } from './client.ts'

export interface ServerOptions {
  readonly url?: string
  readonly token?: string
  readonly json?: boolean
}

export function addServerOptions(command: Command): Command {
  return command
    .option('--url <url>', `the server (default: REFOLD_URL, else ${defaultUrl})`)
    .option('--token <token>', 'bearer token (default: REFOLD_TOKEN)')
}

export interface Example {
  readonly run: string
  readonly does: string
}

export function addExamples(command: Command, examples: readonly [Example, Example, ...Example[]]): Command {
  const lines = examples.flatMap(({ run, does }) => [`  # ${does}`, `  $ ${run}`])
  return command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`)
}

/** For options that take a whole number within bounds. */
export function wholeNumber(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= min && value <= max) return value
    const upper = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `from ${min} to ${max}`
    throw new InvalidArgumentError(`It must be a whole number, ${upper}.`)
  }
}
