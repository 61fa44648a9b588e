/**
 * Every error that a user can meet: one class, one table. A code that is not in the table does not compile, and a
 * test compares the table with `docs/errors.md`. HTTP status and wire fields are derived at the edge (`serve/`).
 */

import { batchErrors } from './batch-errors.ts'
import { checkErrors } from './check-errors.ts'
import { definitionErrors } from './definition-errors.ts'
import { deployErrors } from './deploy-errors.ts'
import { type ErrorRow, row } from './error-row.ts'
import { eventErrors } from './event-errors.ts'
import { logicErrors } from './logic-errors.ts'
import type { JsonValue } from './schema.ts'

/** Sorted by area; a code is `AREA_WHAT`, stable for ever. */
export const errorTable = {
  // define and plan: what a user wrote
  ...definitionErrors,
  // logic in TypeScript
  ...logicErrors,
  // deploys
  ...deployErrors,
  ...checkErrors,
  // batches
  ...batchErrors,
  // catalog
  CATALOG_NEWER: row(
    500,
    false,
    'The data folder was written by a newer Refold.',
    'Start it with that version, or a later one.',
  ),
  CATALOG_CORRUPT: row(
    500,
    false,
    'The catalog of the data folder is damaged.',
    'Restore catalog.sqlite from a backup; the log and the lake are untouched.',
  ),
  CATALOG_FULL: row(
    507,
    true,
    'The disk is full; the catalog was not changed.',
    'Free disk space; the work is done again by itself.',
  ),
  CATALOG_FAILED: row(
    503,
    true,
    'The catalog could not be read or written.',
    'Look at the disk and the rights on catalog.sqlite, then start again.',
  ),
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
  ...eventErrors,
  // serve: a request
  SERVER_NEEDS_TOKEN: row(
    500,
    false,
    'A server that other machines can reach needs a token.',
    'Set REFOLD_TOKEN or `server: { token }` in the project, or listen on 127.0.0.1.',
  ),
  SERVER_PORT: row(
    500,
    false,
    'The server cannot listen on this address.',
    'Stop what uses the port, or choose another with --port.',
  ),
  SERVER_BUSY: row(
    429,
    true,
    'The requests under way hold as many bytes as the server allows.',
    'Send again after the time in Retry-After.',
  ),
  REQUEST_TOKEN: row(
    401,
    false,
    'The request carries no token, or a wrong one.',
    'Send the header `Authorization: Bearer TOKEN`.',
  ),
  REQUEST_HOST: row(
    403,
    false,
    'Without a token the server answers only to names of this machine.',
    'Use http://localhost or http://127.0.0.1, or configure a token.',
  ),
  REQUEST_ORIGIN: row(
    403,
    false,
    'The request comes from a web page of another origin.',
    'Call Refold from a program or from your own backend, not from a browser.',
  ),
  REQUEST_PARAMETER: row(
    400,
    false,
    'Parameters of the request are unknown or have no valid value.',
    'Correct the parameters named in details.',
  ),
  REQUEST_BODY: row(400, false, 'The body cannot be read as what it should be.', 'Correct the body.'),
  REQUEST_ENCODING: row(
    415,
    false,
    'The Content-Encoding is not supported.',
    'Send the body plain or with Content-Encoding: gzip.',
  ),
  REQUEST_TOO_LARGE: row(
    413,
    false,
    'The request is larger than a limit.',
    'Send fewer events a request, or raise the limit in the project.',
  ),
  REQUEST_HEADERS: row(
    431,
    false,
    'The headers or the URL of the request are larger than 16 KiB.',
    'Send long SQL as the body of POST /v1/sql.',
  ),
  REQUEST_MALFORMED: row(400, false, 'The request is not valid HTTP.', 'Send a valid HTTP/1.1 request.'),
  REQUEST_SLOW: row(
    408,
    true,
    'The request did not arrive within the time limit.',
    'Send the whole request without pauses.',
  ),
  REQUEST_ABORTED: row(
    499,
    true,
    'The client went away before the answer.',
    'Keep the connection open until the answer arrives.',
  ),
  ROUTE_UNKNOWN: row(404, false, 'There is nothing at this path.', 'See docs/http-api.md for all paths.'),
  METHOD_UNKNOWN: row(
    405,
    false,
    'The path does not take this method.',
    'Use a method named in the Allow header.',
  ),
  STREAM_UNKNOWN: row(404, false, 'The project has no such stream.', 'GET /v1/streams lists the streams.'),
  VIEW_UNKNOWN: row(404, false, 'The project has no such view.', 'GET /v1/views lists the views.'),
  SQL_SYNTAX: row(400, false, 'The SQL cannot be parsed.', 'Correct the SQL at the named place.'),
  SQL_FORBIDDEN: row(
    403,
    false,
    'The SQL uses something that queries may not use.',
    'Write a SELECT over views, streams and refold.* tables.',
  ),
  SQL_NAME_UNKNOWN: row(
    404,
    false,
    'The SQL names a table or a function that does not exist.',
    'GET /v1/views and GET /v1/streams list what can be queried.',
  ),
  // engine
  QUERY_FAILED: row(
    400,
    false,
    'The query failed while it ran.',
    'Look at the message; change the query or the values in it.',
  ),
  QUERY_CANCELLED: row(499, true, 'The query was cancelled.', 'Send it again.'),
  QUERY_TIMEOUT: row(
    504,
    true,
    'The query did not end within its time limit.',
    'Ask for less, or give a longer `timeout`.',
  ),
  ENGINE_MEMORY: row(
    503,
    true,
    'The engine has not enough memory for this.',
    'Ask for less, or raise `engine.memory` in the project.',
  ),
  COLUMN_UNKNOWN: row(
    400,
    false,
    'A view or a table has no such column.',
    'Look at its columns: `refold explain VIEW`.',
  ),
  SLICE_CORRUPT: row(
    500,
    true,
    'A slice does not match its checksum.',
    'Nothing to do: it is set aside and its range is folded again.',
  ),
  DELTA_TOO_OLD: row(
    410,
    false,
    'The changes since that cut are no longer kept.',
    'Read the view again, and follow its changes from the cut of that answer.',
  ),
  DISK_FULL: row(
    507,
    true,
    'The disk is full: files of a worker or of an engine could not be written.',
    'Free disk space; the work is done again by itself.',
  ),
  JOB_FAILED: row(
    503,
    true,
    'A worker process ended before its job was done.',
    'Nothing was published; the job is tried again. See the log lines around it.',
  ),
  ENGINE_UNAVAILABLE: row(
    503,
    true,
    'The engine is starting or restarting.',
    'Send the request again shortly.',
  ),
  // server: the running system
  VERSION_UNKNOWN: row(
    404,
    false,
    'The view has no such version.',
    'Run `refold status` to see the versions of each view.',
  ),
  MOMENT_UNKNOWN: row(
    404,
    false,
    'There is no answer for that moment: it lies before the first one, or ahead.',
    '`SELECT * FROM refold.reports` lists what was shown when; `refold status` shows the newest cut.',
  ),
  SQL_PAST_SYSTEM: row(
    400,
    false,
    'The tables of refold.* say how things are now, not how they were.',
    'Ask for them in a query of its own, without as_of and as_reported_at.',
  ),
  VIEW_BUILDING: row(
    503,
    true,
    'The view is still being folded and has no answer yet.',
    'Send the request again later; `refold status` shows how far it is.',
  ),
  VIEW_NO_LAYERS: row(
    400,
    false,
    'The view does not run as lambda, so it has no batch layer and no speed layer.',
    "Read the view by its name, or give it `run: lambda({ every: '15m' })` and deploy.",
  ),
  VIEW_NO_BATCH: row(
    503,
    true,
    'No batch of the view was published yet.',
    'Wait for the first batch: `refold status` shows when it is due.',
  ),
  VIEW_PAUSED: row(
    503,
    true,
    'The view is paused: it is not folded, because the engine died of it again and again or because somebody said so.',
    'Look at the reason, mend what it names, then `refold resume VIEW`.',
  ),
  CUT_NOT_REACHED: row(
    504,
    true,
    'The view did not reach the cut asked for within the time limit.',
    'Send the request again, or with a longer timeout; `refold status` shows the lag.',
  ),
  SERVER_STOPPING: row(503, true, 'The server is stopping.', 'Send the request again once it is back.'),
  HISTORY_TRIMMED: row(
    410,
    false,
    'The log no longer holds the events that this needs: the lake of the stream was trimmed.',
    'Ask for a later point; details name the cut and the time up to which events are gone.',
  ),
  // lake and backup
  TRIM_REFUSED: row(
    409,
    false,
    'A version of a view needs events that the trim would delete.',
    'Trim with --promote, which records the state of each such version at the cut, or trim less.',
  ),
  BASE_CORRUPT: row(
    500,
    false,
    'A base does not match its checksum, and the events it stands for are gone from the log.',
    'Restore the named file from a backup: `refold restore`.',
  ),
  BACKUP_DAMAGED: row(
    500,
    false,
    'A backup is not complete, or a file of it is missing or not what its manifest says.',
    'Run `refold backup` again; keep a second backup where one matters.',
  ),
  // cli
  CLI_USAGE: row(400, false, 'The command line has a mistake.', 'Read `refold COMMAND --help`.'),
  CLI_UNREACHABLE: row(
    503,
    true,
    'No server answers at the URL.',
    'Start one with `refold dev` or `refold start`, or name another with --url.',
  ),
  CLI_ANSWER: row(
    502,
    false,
    'What answered is not a Refold server of this version.',
    'Check --url, and that server and command have the same version.',
  ),
  CLI_FILE_EXISTS: row(
    409,
    false,
    'A file that would be written is already there.',
    'Name an empty or new folder.',
  ),
  CLI_FILE_UNREADABLE: row(
    400,
    false,
    'A file cannot be read, or its bytes are not what they should be.',
    'Check the path and the kind of the file.',
  ),
  CLI_FILE_CHANGED: row(
    409,
    false,
    'A file, or the log it went into, is not the one that the progress kept beside the file speaks of.',
    'Run with --restart to send the file from its beginning.',
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
