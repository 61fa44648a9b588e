/**
 * Decides who may speak to the server at all, before a route sees the request. State: the digest of the token.
 *
 * Without a token the server listens on loopback only, yet any web page that the user opens could send requests
 * there. Three checks keep pages out: the Host header must name this machine (a page whose name was rebound to
 * 127.0.0.1 sends its own name), an Origin header must be the server's own (browsers send it with every POST, whatever the
 * content type), and fetches that a browser marks as coming from another site are refused. No answer carries CORS headers.
 */

import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { RefoldError } from '../model/errors.ts'
import { isLoopback } from './http-settings.ts'

export interface GuardedRequest {
  readonly method: string
  readonly headers: IncomingHttpHeaders
}

/** Throws when the request may not go on. `open` marks a route that never asks for the token. */
export type RequestGuard = (request: GuardedRequest, open: boolean) => void

export function createRequestGuard(token: string | undefined): RequestGuard {
  const expected = token === undefined ? undefined : digest(token)
  return ({ method, headers }, open) => {
    if (expected === undefined) checkHost(headers.host)
    if (headers.origin !== undefined) checkOrigin(headers.origin, headers.host)
    if (headers['sec-fetch-site'] !== undefined) checkSite(method, headers)
    if (expected !== undefined && !open) checkToken(headers.authorization, expected)
  }
}

function checkHost(host: string | undefined): void {
  // Only HTTP/1.0 may leave it out, and no browser does.
  if (host === undefined) return
  const name = host.replace(/:\d*$/, '')
  if (!isLoopback(name)) throw new RefoldError('REQUEST_HOST', `host "${host}" is no name of this machine`)
}

function checkOrigin(origin: string, host: string | undefined): void {
  const own = /^https?:\/\/(.+)$/i.exec(origin)?.[1]?.toLowerCase()
  if (own === undefined || own !== host?.toLowerCase()) {
    throw new RefoldError('REQUEST_ORIGIN', `origin "${origin}" is not the origin of this server`)
  }
}

function checkSite(method: string, headers: IncomingHttpHeaders): void {
  const site = headers['sec-fetch-site']
  if (site === 'same-origin' || site === 'none') return
  // Following a link shows the answer to the user alone.
  if (method === 'GET' && headers['sec-fetch-mode'] === 'navigate') return
  throw new RefoldError('REQUEST_ORIGIN', 'the request comes from a page of another site')
}

function checkToken(authorization: string | undefined, expected: Buffer): void {
  const sent = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1]
  if (sent === undefined) throw new RefoldError('REQUEST_TOKEN', 'the request carries no bearer token')
  // Digests have one length, so that comparing them takes the same time whatever was sent.
  if (!timingSafeEqual(digest(sent), expected)) {
    throw new RefoldError('REQUEST_TOKEN', 'the bearer token of the request is not the one of this server')
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
