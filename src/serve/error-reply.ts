/**
 * Turns whatever was thrown into an answer: status, headers and the error's JSON. Here alone codes meet HTTP. Pure.
 */

import { RefoldError, toErrorBody } from '../model/errors.ts'

export interface ErrorReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Seconds in Retry-After when the error itself says nothing. */
const RETRY_SECONDS: Readonly<Record<number, number>> = { 429: 1, 503: 1, 507: 10 }

export function errorReply(error: unknown): ErrorReply {
  const known = error instanceof RefoldError ? error : fromHttpLibrary(error)
  const status = known instanceof RefoldError ? known.status : 500
  const retry = retrySeconds(known, status)
  return {
    status,
    headers: {
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
      ...(retry === undefined ? {} : { 'retry-after': String(retry) }),
      ...(status === 401 ? { 'www-authenticate': 'Bearer realm="refold"' } : {}),
    },
    body: errorJson(known),
  }
}

/** The error as it stands in an answer, also as the last line of an answer that had begun. */
export function errorJson(error: unknown): string {
  return JSON.stringify({ error: toErrorBody(error) })
}

function retrySeconds(error: unknown, status: number): number | undefined {
  const fallback = RETRY_SECONDS[status]
  if (fallback === undefined || !(error instanceof RefoldError)) return undefined
  const details = error.details
  const stated =
    typeof details === 'object' && details !== null && 'retryAfterMs' in details
      ? details.retryAfterMs
      : undefined
  return typeof stated === 'number' ? Math.max(1, Math.ceil(stated / 1000)) : fallback
}

/** Errors of the HTTP library about a request have a status below 500; all others are ours. */
function fromHttpLibrary(error: unknown): unknown {
  const { code, statusCode, message } = (error ?? {}) as {
    code?: string
    statusCode?: number
    message?: string
  }
  if (!code?.startsWith('FST_') || statusCode === undefined || statusCode >= 500) return error
  if (statusCode === 415) {
    return new RefoldError('REQUEST_MALFORMED', 'header "Content-Type" is not a valid media type', {
      cause: error,
    })
  }
  return new RefoldError('REQUEST_MALFORMED', `the request cannot be read: ${message ?? code}`, {
    cause: error,
  })
}
