/**
 * The one place where `node:sqlite` is loaded. Node marks the module experimental and warns on its first load; the
 * warning says nothing to a user of Refold, so it is filtered here, around that load and for that text only.
 * Every other warning of the process goes its usual way. No state.
 */

import type { DatabaseSync as Database, StatementSync as Statement } from 'node:sqlite'

export type { Database, Statement }

export const { DatabaseSync, backup } = loadQuietly()

function loadQuietly(): typeof import('node:sqlite') {
  const emitWarning = process.emitWarning
  process.emitWarning = ((warning: string | Error, ...rest: never[]) => {
    if (String(warning).includes('SQLite is an experimental feature')) return
    Reflect.apply(emitWarning, process, [warning, ...rest])
  }) as typeof process.emitWarning
  try {
    return process.getBuiltinModule('node:sqlite')
  } finally {
    process.emitWarning = emitWarning
  }
}
