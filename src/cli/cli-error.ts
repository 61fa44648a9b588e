/**
 * How a command that failed says so: all mistakes of a project with their places, any other error with its hint. State:
 * the SQL beside an error that a server gave for it.
 */

import { RefoldError, toErrorBody } from '../model/errors.ts'
import { formatMistake, formatMistakes } from './code-frame.ts'
import { exitCodeFor, exitCodes } from './exit-codes.ts'
import type { Cli } from './terminal.ts'

/** Says what went wrong and sets the exit code. With `json` the same as one JSON object on stderr. */
export function reportError(cli: Cli, error: unknown, json = false): void {
  const { terminal } = cli
  const mistakes = mistakesOf(error)
  cli.exitCode = mistakes === undefined ? exitCodeFor(error) : exitCodes.mistakes.code
  terminal.endProgress()
  if (mistakes !== undefined) reportMistakes(cli, mistakes, json)
  else if (json) terminal.talk(JSON.stringify({ error: toErrorBody(error) }))
  else
    terminal.talk(
      formatMistake(toErrorBody(error), { style: terminal.talkStyle, cwd: cli.cwd, ...sentText(error) }),
    )
  if (cli.env['REFOLD_DEBUG'] && error instanceof Error)
    terminal.talk(terminal.talkStyle.dim(error.stack ?? ''))
}

export function reportMistakes(cli: Cli, mistakes: readonly RefoldError[], json = false): void {
  const { terminal } = cli
  const bodies = mistakes.map(toErrorBody)
  terminal.endProgress()
  if (json) terminal.talk(JSON.stringify({ mistakes: bodies }))
  else terminal.talk(formatMistakes(bodies, { style: terminal.talkStyle, cwd: cli.cwd }))
}

const sentTexts = new WeakMap<object, string>()

/** Remembers the SQL that an error speaks of, so that its place can be shown. */
export function withSentText<E>(error: E, text: string): E {
  if (typeof error === 'object' && error !== null) sentTexts.set(error, text)
  return error
}

function sentText(error: unknown): { readonly text?: string } {
  const text = typeof error === 'object' && error !== null ? sentTexts.get(error) : undefined
  return text === undefined ? {} : { text }
}

/** The mistakes that an error brings, when it is about a project. */
export function mistakesOf(error: unknown): readonly RefoldError[] | undefined {
  const list = (error as { mistakes?: unknown } | null)?.mistakes
  return Array.isArray(list) && list.every((one) => one instanceof RefoldError) ? list : undefined
}
