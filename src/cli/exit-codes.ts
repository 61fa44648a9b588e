/**
 * The exit codes of `refold`, one table for all commands, and the code that an error leads to. `docs/cli.md` shows
 * the same table; a test compares them. Pure data.
 */

import { type ErrorCode, RefoldError } from '../model/errors.ts'

export const exitCodes = {
  ok: { code: 0, meaning: 'Done.' },
  failed: { code: 1, meaning: 'It failed; the reason is on stderr.' },
  mistakes: { code: 2, meaning: 'The command line or the project has mistakes; nothing was started.' },
  partial: {
    code: 3,
    meaning: 'Done, but some events were rejected (`ingest`), or a view stands still (`status`).',
  },
  unreachable: { code: 4, meaning: 'No server answers at the URL.' },
  changes: {
    code: 5,
    meaning: 'Something would change (`plan --exit-code`), or differs (`compare`).',
  },
  red: {
    code: 6,
    meaning: 'A check is red, or could not be run (`checks`), and so a gate refused a deploy (`deploy`).',
  },
  damaged: {
    code: 7,
    meaning:
      'Files are missing, damaged or too many, or state or a copy gives other numbers (`lake check`, `backup`, `restore`, `verify`).',
  },
  stopped: {
    code: 130,
    meaning: 'Stopped by Ctrl-C before the work was done (`ingest`); running it again goes on.',
  },
} as const

export type ExitName = keyof typeof exitCodes

const byErrorCode: Partial<Record<ErrorCode, ExitName>> = {
  BACKUP_DAMAGED: 'damaged',
  CLI_USAGE: 'mistakes',
  CLI_FILE_EXISTS: 'mistakes',
  CLI_UNREACHABLE: 'unreachable',
  PROJECT_NOT_FOUND: 'mistakes',
}

/** What the shell is told after `error` ended a command. */
export function exitCodeFor(error: unknown): number {
  const name = error instanceof RefoldError ? (byErrorCode[error.code] ?? 'failed') : 'failed'
  return exitCodes[name].code
}
