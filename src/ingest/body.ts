/**
 * Reads the bytes of a request's body from a stream, within limits, and undoes gzip. Knows no HTTP. State: the
 * chunks of the one body that is being read.
 *
 * A limit is checked on every chunk as it arrives, also on what comes out of gzip, so neither a body that lies about
 * its length nor a small file that expands without end takes more memory than the limit and one chunk.
 */

import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { RefoldError } from '../model/errors.ts'
import type { IngestLimits } from '../model/limits.ts'

export interface BodyOptions {
  readonly encoding: 'identity' | 'gzip'
  readonly limits: Pick<IngestLimits, 'requestBytes' | 'expandedBytes'>
  /** Told the size of every chunk that is kept; what it throws ends the reading. */
  readonly take?: (bytes: number) => void
}

const GUNZIP_CHUNK_BYTES = 64 * 1024

/** Rejects with a `RefoldError`; the source is then left paused, with the rest unread. */
export function readBody(source: Readable, options: BodyOptions): Promise<Buffer> {
  return options.encoding === 'gzip' ? readGzip(source, options) : readPlain(source, options)
}

function readPlain(source: Readable, { limits, take }: BodyOptions): Promise<Buffer> {
  const check = (bytes: number) => {
    if (bytes > limits.requestBytes) throw tooLarge('body', limits.requestBytes)
  }
  return collect(source, check, take, sourceGone)
}

function readGzip(source: Readable, { limits, take }: BodyOptions): Promise<Buffer> {
  const gunzip = createGunzip({ chunkSize: GUNZIP_CHUNK_BYTES })
  let packed = 0
  const count = (chunk: Buffer) => {
    packed += chunk.length
    if (packed > limits.requestBytes) gunzip.destroy(tooLarge('body', limits.requestBytes))
  }
  const gone = () => {
    if (!source.readableEnded) gunzip.destroy(sourceGone())
  }
  const failed = (error: Error) => gunzip.destroy(sourceGone(error))
  source.on('data', count).on('close', gone).on('error', failed)
  // What it says after the reading ended is nobody's business any more.
  gunzip.on('error', () => {})
  source.pipe(gunzip)
  const check = (bytes: number) => {
    if (bytes > limits.expandedBytes) throw tooLarge('expanded body', limits.expandedBytes)
  }
  return collect(gunzip, check, take, notGzip).finally(() => {
    source.off('data', count).off('close', gone).off('error', failed)
    if (source.readableEnded) return
    source.unpipe(gunzip)
    source.pause()
    gunzip.destroy()
  })
}

/** All chunks of a stream as one buffer. `check` sees the total before a chunk is kept. */
function collect(
  source: Readable,
  check: (bytes: number) => void,
  take: BodyOptions['take'],
  named: (error: Error) => RefoldError,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const settle = (settled: () => void) => {
      source.off('data', data).off('end', end).off('error', broken).off('close', close)
      settled()
    }
    const fail = (error: unknown) => {
      source.pause()
      settle(() => reject(error))
    }
    const data = (chunk: Buffer) => {
      bytes += chunk.length
      try {
        check(bytes)
        take?.(chunk.length)
      } catch (error) {
        return fail(error)
      }
      chunks.push(chunk)
    }
    const broken = (error: Error) => fail(error instanceof RefoldError ? error : named(error))
    const end = () => settle(() => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, bytes)))
    const close = () => fail(sourceGone())
    if (source.destroyed) return reject(sourceGone())
    source.on('data', data).on('end', end).on('error', broken).on('close', close)
  })
}

function tooLarge(what: string, limit: number): RefoldError {
  return new RefoldError('REQUEST_TOO_LARGE', `the ${what} of the request is larger than ${limit} bytes`, {
    details: { limitBytes: limit },
  })
}

function sourceGone(cause?: unknown): RefoldError {
  return new RefoldError('REQUEST_ABORTED', 'the connection ended before the whole body had arrived', {
    cause,
  })
}

function notGzip(cause: Error): RefoldError {
  return new RefoldError('REQUEST_BODY', `the body is not valid gzip: ${cause.message}`, { cause })
}
