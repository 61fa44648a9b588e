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
  return collect(
    source,
    (bytes) => {
      if (bytes > limits.requestBytes) throw tooLarge('body', limits.requestBytes)
    },
    take,
  )
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
  source.on('data', count)
  source.on('close', gone)
  source.on('error', failed)
  source.pipe(gunzip)
  const check = (bytes: number) => {
    if (bytes > limits.expandedBytes) throw tooLarge('expanded body', limits.expandedBytes)
  }
  return collect(gunzip, check, take)
    .catch((error: unknown) => {
      source.unpipe(gunzip)
      source.pause()
      gunzip.destroy()
      throw error instanceof RefoldError ? error : notGzip(error)
    })
    .finally(() => {
      source.off('data', count)
      source.off('close', gone)
      source.off('error', failed)
    })
}

/** All chunks of a stream as one buffer. `check` sees the total before a chunk is kept. */
function collect(
  source: Readable,
  check: (bytes: number) => void,
  take: ((bytes: number) => void) | undefined,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const settle = (settled: () => void) => {
      source.off('data', data).off('end', end).off('error', fail).off('close', close)
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
    const end = () => settle(() => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, bytes)))
    const close = () => fail(sourceGone())
    if (source.destroyed) return reject(sourceGone())
    source.on('data', data).on('end', end).on('error', fail).on('close', close)
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

function notGzip(cause: unknown): RefoldError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new RefoldError('REQUEST_BODY', `the body is not valid gzip: ${reason}`, { cause })
}
