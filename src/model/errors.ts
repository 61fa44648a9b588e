/**
 * Every error that a user can meet: one class, one table. A code that is not in the table does not compile, and a
 * test compares the table with `docs/errors.md`. HTTP status and wire fields are derived at the edge (`serve/`).
 */

import type { JsonValue } from './schema.ts'

interface ErrorRow {
  /** HTTP status when the error reaches the edge. */
  readonly status: number
  /** Whether sending the same again later may succeed. */
  readonly retryable: boolean
  /** What it means, one sentence, for the catalogue. */
  readonly meaning: string
  /** What to do, best a command. */
  readonly hint: string
}

function row(status: number, retryable: boolean, meaning: string, hint: string): ErrorRow {
  return { status, retryable, meaning, hint }
}

/** Sorted by area; a code is `AREA_WHAT`, stable for ever. */
export const errorTable = {
  // define: mistakes in a project
  PROJECT_NOT_FOUND: row(
    500,
    false,
    'No project file was found.',
    'Run `refold init` here, or name the folder with --project.',
  ),
  // plan: a view's SQL
  // log
  LOG_LOCKED: row(
    503,
    false,
    'Another server holds this data folder.',
    'Stop the other server, or start this one with another --data folder.',
  ),
  LOG_CORRUPT: row(
    500,
    false,
    'A part of the log that was acknowledged does not check.',
    'Restore the named file from a backup; nothing was changed.',
  ),
  LOG_FULL: row(
    507,
    true,
    'The disk is full; the request was not written.',
    'Free disk space; ingest resumes by itself.',
  ),
  LOG_FAILED: row(
    503,
    true,
    'Writing the log failed; it is unknown whether the request was written.',
    'Send it again with the same ids; a duplicate is recognised.',
  ),
  LOG_BUSY: row(429, true, 'The commit queue is full.', 'Send again after the time in Retry-After.'),
  // ingest: an event
  // serve: a request
  // engine
  ENGINE_UNAVAILABLE: row(
    503,
    true,
    'The engine is starting or restarting.',
    'Send the request again shortly.',
  ),
  INTERNAL: row(500, false, 'A bug in Refold.', 'Please report it with the log lines around it.'),
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof errorTable

export interface ErrorPlace {
  readonly file?: string
  /** From 1. */
  readonly line?: number
  /** From 1. */
  readonly column?: number
}

export interface ErrorOptions {
  /** Overrides the table's hint where a better one is known. */
  readonly hint?: string
  readonly place?: ErrorPlace
  readonly details?: JsonValue
  readonly cause?: unknown
}

export class RefoldError extends Error {
  override readonly name = 'RefoldError'
  readonly code: ErrorCode
  readonly hint: string
  readonly retryable: boolean
  readonly place: ErrorPlace | undefined
  readonly details: JsonValue | undefined

  /** `message` names kind and object in quotes and states the fact: `stream "orders" has no field "usr_id"`. */
  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint ?? errorTable[code].hint
    this.retryable = errorTable[code].retryable
    this.place = options.place
    this.details = options.details
  }

  get status(): number {
    return errorTable[this.code].status
  }
}

/** The form in which an error crosses a process border or the wire. */
export interface ErrorBody {
  readonly code: ErrorCode
  readonly message: string
  readonly hint: string
  readonly retryable: boolean
  readonly place?: ErrorPlace
  readonly details?: JsonValue
}

export function toErrorBody(error: unknown): ErrorBody {
  if (!(error instanceof RefoldError)) {
    const message = error instanceof Error ? error.message : String(error)
    return { code: 'INTERNAL', message, hint: errorTable.INTERNAL.hint, retryable: false }
  }
  return {
    code: error.code,
    message: error.message,
    hint: error.hint,
    retryable: error.retryable,
    ...(error.place === undefined ? {} : { place: error.place }),
    ...(error.details === undefined ? {} : { details: error.details }),
  }
}

export function fromErrorBody(body: ErrorBody): RefoldError {
  return new RefoldError(body.code, body.message, {
    hint: body.hint,
    ...(body.place === undefined ? {} : { place: body.place }),
    ...(body.details === undefined ? {} : { details: body.details }),
  })
}
