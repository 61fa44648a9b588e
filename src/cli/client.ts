/**
 * The HTTP client of the commands: base URL, token, errors as `RefoldError`, bodies as text and endless answers as
 * lines. State: a pool of kept connections, closed by `close`. Nothing is retried here: only a caller knows whether
 * sending again is safe.
 */

import {
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { type ErrorBody, errorTable, fromErrorBody, RefoldError } from '../model/errors.ts'

export const defaultUrl = 'http://127.0.0.1:7717'

export interface ClientOptions {
  readonly url?: string | undefined
  readonly token?: string | undefined
}

export interface ClientRequest {
  readonly method?: 'GET' | 'POST'
  /** Path below the base URL, with a leading slash; parts already encoded. */
  readonly path: string
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  readonly signal?: AbortSignal
  /** How long the server may compute before its first byte; the usual limit when left out. */
  readonly silenceMs?: number
}

export interface ClientAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface Client {
  readonly url: string
  /** Answers with any status; throws CLI_UNREACHABLE when no answer came. */
  send(request: ClientRequest): Promise<ClientAnswer>
  /** Body of a successful answer; throws the server's error otherwise. */
  text(request: ClientRequest): Promise<string>
  /** Lines of a successful answer, as they arrive. */
  lines(request: ClientRequest): AsyncGenerator<string, void, undefined>
  close(): void
}

/** For questions that may fold all of history. */
export const longSilenceMs = 3_600_000

/** A server that holds a connection without a byte for so long is taken for gone. */
const silenceMsMax = 120_000

export function openClient(
  options: ClientOptions,
  env: Readonly<Record<string, string | undefined>>,
): Client {
  const base = parseBase(options.url ?? (env.REFOLD_URL || defaultUrl))
  const token = options.token ?? (env.REFOLD_TOKEN || undefined)
  const secure = base.protocol === 'https:'
  const agent = secure ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true })
  const shownUrl = base.href.replace(/\/$/, '')

  const open = (request: ClientRequest, silenceMs: number): Promise<IncomingMessage> => {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const target = new URL(base.href.replace(/\/$/, '') + request.path)
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined) target.searchParams.append(name, value)
    }
    const call = (secure ? httpsRequest : httpRequest)(target, {
      method: request.method ?? 'GET',
      agent,
      timeout: silenceMs,
      headers: {
        accept: 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...request.headers,
        ...(request.body === undefined ? {} : { 'content-length': Buffer.byteLength(request.body) }),
      },
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    })
    call.on('response', resolve)
    call.on('error', (error) => reject(aborted(request) ? error : unreachableError(shownUrl, error)))
    call.on('timeout', () => call.destroy(new Error(`no answer within ${silenceMs / 1000} s`)))
    call.end(request.body)
    return promise
  }

  const send = async (request: ClientRequest): Promise<ClientAnswer> => {
    const response = await open(request, request.silenceMs ?? silenceMsMax)
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      body: await readBody(response, shownUrl),
    }
  }

  return {
    url: shownUrl,
    send,
    async text(request) {
      const answer = await send(request)
      if (answer.status < 200 || answer.status > 299) throw answerError(answer, shownUrl)
      return answer.body
    },
    async *lines(request) {
      const response = await open(request, 0)
      const status = response.statusCode ?? 0
      if (status < 200 || status > 299) {
        throw answerError(
          { status, headers: response.headers, body: await readBody(response, shownUrl) },
          shownUrl,
        )
      }
      yield* readLines(response, request, shownUrl)
    },
    close: () => agent.destroy(),
  }
}

/** The error that an answer carries; one that is not Refold's is shown with its first words. */
export function answerError(answer: ClientAnswer, url: string): RefoldError {
  const body = errorBody(answer.body)
  if (body !== undefined) return fromErrorBody(body)
  const words = answer.body.slice(0, 200).trim()
  return new RefoldError(
    'CLI_ANSWER',
    `"${url}" answered with status ${answer.status}${words === '' ? '' : `: ${words}`}`,
  )
}

function errorBody(text: string): ErrorBody | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return undefined
  }
  const error = (parsed as { error?: Partial<ErrorBody> } | null)?.error
  if (typeof error?.code !== 'string' || typeof error.message !== 'string') return undefined
  if (error.code in errorTable) return { hint: '', retryable: false, ...error } as ErrorBody
  return {
    code: 'CLI_ANSWER',
    message: `${error.code}: ${error.message}`,
    hint: error.hint ?? '',
    retryable: error.retryable ?? false,
  }
}

function unreachableError(url: string, cause: Error & { code?: string }): RefoldError {
  const reason =
    cause.code === 'ECONNREFUSED' ? 'nothing listens there' : cause.message || cause.code || 'no answer'
  return new RefoldError('CLI_UNREACHABLE', `no server answers at "${url}": ${reason}`, { cause })
}

function aborted(request: ClientRequest): boolean {
  return request.signal?.aborted === true
}

async function readBody(response: IncomingMessage, url: string): Promise<string> {
  const parts: Buffer[] = []
  try {
    for await (const part of response) parts.push(part as Buffer)
  } catch (error) {
    throw unreachableError(url, error as Error)
  }
  return Buffer.concat(parts).toString('utf8')
}

async function* readLines(
  response: IncomingMessage,
  request: ClientRequest,
  url: string,
): AsyncGenerator<string, void, undefined> {
  let rest = ''
  response.setEncoding('utf8')
  try {
    for await (const part of response) {
      const pieces = (rest + (part as string)).split('\n')
      rest = pieces.pop()!
      for (const piece of pieces) if (piece !== '') yield piece
    }
  } catch (error) {
    if (aborted(request)) return
    throw unreachableError(url, error as Error)
  }
  if (rest !== '') yield rest
}

function parseBase(url: string): URL {
  const text = /^[a-z]+:\/\//i.test(url) ? url : `http://${url}`
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new RefoldError('CLI_USAGE', `"${url}" is not the URL of a server`, {
      hint: `Give it as \`--url ${defaultUrl}\`.`,
    })
  }
  return new URL(text)
}
