/** A request's body as one JSON object, for routes that take commands rather than events. No state. */

import type { FastifyRequest } from 'fastify'
import { readBody } from '../ingest/body.ts'
import { RefoldError } from '../model/errors.ts'
import { discardRest } from './reply.ts'

/** Throws REQUEST_ENCODING, REQUEST_TOO_LARGE or REQUEST_BODY; `hint` says what to send. */
export async function readJsonBody(
  request: FastifyRequest,
  bytesMax: number,
  hint: string,
): Promise<Readonly<Record<string, unknown>>> {
  const encoding = request.headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') {
    throw new RefoldError('REQUEST_ENCODING', `content encoding "${encoding}" is not supported here`, {
      hint: 'Send the body plain.',
    })
  }
  const limits = { requestBytes: bytesMax, expandedBytes: bytesMax }
  let text: string
  try {
    text = (await readBody(request.raw, { encoding: 'identity', limits })).toString('utf8')
  } catch (error) {
    discardRest(request.raw, 16 * bytesMax)
    throw error
  }
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch (error) {
    const message = `the body is not valid JSON: ${(error as Error).message}`
    throw new RefoldError('REQUEST_BODY', message, { hint, cause: error })
  }
  if (typeof body === 'object' && body !== null && !Array.isArray(body))
    return body as Readonly<Record<string, unknown>>
  throw new RefoldError('REQUEST_BODY', 'the body is not a JSON object', { hint })
}
