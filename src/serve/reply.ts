/** The few things that handlers do to a request and its answer. No state of its own. */

import type { IncomingMessage } from 'node:http'
import type { FastifyReply } from 'fastify'
import type { CommitSeq } from '../model/cut.ts'

const JSON_TYPE = 'application/json; charset=utf-8'

/** Sends JSON text as it is. Answers are never kept by caches: the next one may stand at another cut. */
export function sendJson(reply: FastifyReply, body: string, cut?: CommitSeq): FastifyReply {
  reply.header('content-type', JSON_TYPE).header('cache-control', 'no-store')
  if (cut !== undefined) reply.header('refold-cut', cut)
  return reply.send(body)
}

export interface AnswerSignal {
  /** Aborts when the client goes away before its answer is complete, or `stopping` does. */
  readonly signal: AbortSignal
  /** To be called when the answer is complete. */
  readonly release: () => void
}

export function answerSignal(reply: FastifyReply, stopping?: AbortSignal): AnswerSignal {
  const controller = new AbortController()
  const { raw } = reply
  const abort = () => controller.abort()
  const close = () => {
    if (!raw.writableFinished) controller.abort()
    release()
  }
  const release = () => {
    raw.off('close', close)
    stopping?.removeEventListener('abort', abort)
  }
  if (raw.destroyed || stopping?.aborted) controller.abort()
  raw.once('close', close)
  stopping?.addEventListener('abort', abort)
  return { signal: controller.signal, release }
}

/**
 * Reads on and forgets the rest of a body that nobody wants, so that the client gets to the answer; who sends much
 * more than that is cut off.
 */
export function discardRest(request: IncomingMessage, bytesMax: number): void {
  if (request.readableEnded || request.destroyed) return
  let left = bytesMax
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length
    if (left < 0) request.destroy()
  })
  request.on('error', () => {})
  request.resume()
}
