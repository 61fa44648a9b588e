/**
 * How a command that failed says so: mistakes of a project with their places, other errors with their hint. No state.
 */

import { toErrorBody } from '../model/errors.ts'
import { formatMistake } from './code-frame.ts'
import { exitCodeFor } from './exit-codes.ts'
import type { Cli } from './terminal.ts'

export function reportError(cli: Cli, error: unknown): void {
  const { terminal } = cli
  terminal.endProgress()
  terminal.talk(formatMistake(toErrorBody(error), { style: terminal.talkStyle, cwd: cli.cwd }))
  if (cli.env.REFOLD_DEBUG && error instanceof Error) terminal.talk(terminal.talkStyle.dim(error.stack ?? ''))
  cli.exitCode = exitCodeFor(error)
}
