/**
 * How a function's failure comes back out of DuckDB, which knows texts alone: the text ends with a mark, by which who
 * catches it finds the rest. State: the last failures of this process.
 */

import { RefoldError } from '../../model/errors.ts'

export interface LogicFailure {
  readonly code: 'LOGIC_FAILED' | 'LOGIC_MISSING'
  readonly message: string
  /** Frames in the user's own files. */
  readonly stack?: string
}

const KEPT = 1_000
const failures = new Map<number, LogicFailure>()
let last = 0

/** The text to give to DuckDB, on one line. */
export function markedFailure(failure: LogicFailure): string {
  failures.set(++last, failure)
  failures.delete(last - KEPT)
  return `${failure.message.replaceAll(/\s*\n\s*/g, ' ')} ⟦logic ${last}⟧`
}

/** The failure that a text of DuckDB's speaks of. */
export function failureIn(message: string): RefoldError | undefined {
  const [, number] = /⟦logic (\d+)⟧/.exec(message) ?? []
  const failure = number === undefined ? undefined : failures.get(Number(number))
  if (failure === undefined) return undefined
  const { code, stack } = failure
  return new RefoldError(code, failure.message, stack === undefined ? {} : { details: { stack } })
}

/** What is kept of an event on which a fold failed. */
export function failureParts(error: unknown): {
  readonly message: string
  readonly stack?: string
  readonly code?: string
} {
  const message = error instanceof Error ? error.message : String(error)
  if (!(error instanceof RefoldError) || error.code !== 'LOGIC_FAILED') return { message }
  const stack = (error.details as { readonly stack?: unknown } | undefined)?.stack
  return { message, code: error.code, ...(typeof stack === 'string' ? { stack } : {}) }
}
