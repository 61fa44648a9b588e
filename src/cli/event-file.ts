/**
 * A file of events as a sequence of batches: NDJSON, plain or gzip, or Parquet, told apart by their first bytes. A
 * batch is a function of the file's content and of where it begins, nothing else, so that sending the rest of a file
 * again cuts it at the same places: that is what makes a repeated batch recognisable. Positions are bytes of text
 * after decompression, or rows. State: the open file, closed at the end of the iteration.
 */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import type { ReadParquetOptions } from '../engine/read-parquet-file.ts'
import { RefoldError } from '../model/errors.ts'

export interface Batch {
  /** Position of its first byte or row. */
  readonly from: number
  /** Position after it. */
  readonly to: number
  readonly events: number
  /** NDJSON. */
  readonly body: Uint8Array
  /** Line (or row) from 1 of the event with this index. */
  lineOf(index: number): number
  /** Line (or row) after the batch's last. */
  readonly lineAfter: number
  /** How much of the file was read to get so far, from 0 to 1; undefined when the length is not known. */
  readonly share: number | undefined
}

export interface BatchOptions {
  readonly position: number
  /** Line (or row) from 1 at that position. */
  readonly line: number
  readonly events: number
  /** Where the first batch must end: it was sent so when the file was shorter. */
  readonly firstEnd?: number | undefined
  /** Called when the file ends within a line that is no JSON: somebody is still writing it. It is left out. */
  readonly onUnfinishedLine?: (line: number) => void
}

export interface EventFile {
  readonly kind: 'ndjson' | 'parquet'
  /** Hash of what stands before `position`: its first 64 KiB at most, or a Parquet file's footer. */
  fingerprint(position: number): Promise<string>
  batches(options: BatchOptions): AsyncGenerator<Batch, void, undefined>
}

const batchBytesMax = 4 * 1024 * 1024
const lineBytesMax = 64 * 1024 * 1024
const fingerprintBytes = 64 * 1024
const lineFeed = 0x0a

export async function openEventFile(
  path: string,
  shape: Omit<ReadParquetOptions, 'fromRow'>,
): Promise<EventFile> {
  const { size, magic } = await firstBytes(path)
  if (magic.subarray(0, 4).toString('latin1') === 'PAR1') return parquetFile(path, size, shape)
  const gzip = magic[0] === 0x1f && magic[1] === 0x8b
  if (/^[\ufeff\s]*\[/.test(magic.toString('utf8'))) {
    throw new RefoldError('CLI_FILE_UNREADABLE', `file "${path}" is one JSON array, not one event a line`, {
      hint: `Turn it into lines first: \`jq -c '.[]' ${path} > events.ndjson\`.`,
    })
  }
  const content = (from: number): { bytes: Readable; share: () => number } => {
    const file = createReadStream(path, { start: gzip ? 0 : from, highWaterMark: 256 * 1024 })
    const start = gzip ? 0 : from
    const share = (): number => (size === 0 ? 1 : Math.min(1, (start + file.bytesRead) / size))
    if (!gzip) return { bytes: file, share }
    const gunzip = createGunzip()
    file.on('error', (error) => gunzip.destroy(error))
    return { bytes: file.pipe(gunzip), share }
  }
  return {
    kind: 'ndjson',
    async fingerprint(position) {
      const head = await readHead(content(0).bytes, Math.min(position, fingerprintBytes), path)
      return createHash('sha256').update(head).digest('hex')
    },
    async *batches(options) {
      const { bytes, share } = content(options.position)
      yield* lineBatches(gzip ? skipBytes(bytes, options.position) : bytes, options, path, share)
    },
  }
}

/** Batches of the events on stdin, which can neither be read again nor gone on with. */
export function readEventInput(input: Readable, events: number): AsyncGenerator<Batch, void, undefined> {
  return lineBatches(input, { position: 0, line: 1, events }, 'stdin', () => undefined)
}

async function* lineBatches(
  bytes: AsyncIterable<unknown>,
  options: BatchOptions,
  path: string,
  share: () => number | undefined,
): AsyncGenerator<Batch, void, undefined> {
  let position = options.position
  let line = options.line
  let rest: Buffer = Buffer.alloc(0)
  /** Takes one batch from the front of `rest`, or undefined when it does not hold a whole one yet. */
  const take = (atEnd: boolean): Batch | undefined => {
    const lines: number[] = []
    const parts: Buffer[] = []
    let at = 0
    let number = line
    const firstEnd = options.firstEnd ?? 0
    const bytesMax = firstEnd > position ? firstEnd - position : batchBytesMax
    while (parts.length < options.events && at < bytesMax) {
      const end = rest.indexOf(lineFeed, at)
      const stop = end !== -1 ? end : atEnd && at < rest.length ? rest.length : -1
      if (stop === -1) break
      if (end === -1 && !isJson(rest.subarray(at))) {
        options.onUnfinishedLine?.(number)
        break
      }
      const text = rest.subarray(at, stop)
      if (!isBlank(text)) {
        lines.push(number)
        parts.push(position === 0 && at === 0 ? withoutMark(text) : text)
      }
      number += 1
      at = Math.min(rest.length, stop + 1)
    }
    const whole = parts.length === options.events || at >= bytesMax || (atEnd && at > 0)
    if (!whole) return undefined
    const body = Buffer.concat(parts.flatMap((part) => [part, newline]))
    const batch: Batch = {
      from: position,
      to: position + at,
      events: parts.length,
      body,
      lineOf: (index) => lines[index] ?? number,
      lineAfter: number,
      share: share(),
    }
    rest = rest.subarray(at)
    position += at
    line = number
    return batch
  }
  try {
    for await (const chunk of bytes) {
      rest = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer])
      if (rest.length > lineBytesMax && rest.indexOf(lineFeed) === -1) {
        throw new RefoldError('CLI_FILE_UNREADABLE', `line ${line} of "${path}" is longer than 64 MiB`)
      }
      for (let batch = take(false); batch !== undefined; batch = take(false)) yield batch
    }
  } catch (error) {
    throw error instanceof RefoldError ? error : unreadable(path, error)
  }
  for (let batch = take(true); batch !== undefined; batch = take(true)) yield batch
}

const newline = Buffer.from('\n')

function isJson(text: Buffer): boolean {
  try {
    JSON.parse(withoutMark(text).toString('utf8'))
    return true
  } catch {
    return isBlank(text)
  }
}

function isBlank(text: Buffer): boolean {
  return text.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d)
}

function withoutMark(text: Buffer): Buffer {
  return text[0] === 0xef && text[1] === 0xbb && text[2] === 0xbf ? text.subarray(3) : text
}

function parquetFile(path: string, size: number, shape: Omit<ReadParquetOptions, 'fromRow'>): EventFile {
  return {
    kind: 'parquet',
    async fingerprint() {
      const footer = await readRange(path, Math.max(0, size - fingerprintBytes), size)
      return createHash('sha256').update(`${size}\n`).update(footer).digest('hex')
    },
    async *batches(options) {
      // Loaded here, because only Parquet needs the engine.
      const { readParquetFile } = await import('../engine/read-parquet-file.ts')
      const file = await readParquetFile(path, { ...shape, fromRow: options.position })
      let waiting: string[] = []
      let position = options.position
      const take = (count: number): Batch => {
        const lines = waiting.slice(0, count)
        waiting = waiting.slice(count)
        const from = position
        position += lines.length
        return {
          from,
          to: position,
          events: lines.length,
          body: Buffer.from(`${lines.join('\n')}\n`),
          lineOf: (index) => from + index + 1,
          lineAfter: position + 1,
          share: file.rows === 0 ? 1 : position / file.rows,
        }
      }
      for await (const lines of file.lines) {
        waiting.push(...lines)
        while (waiting.length >= options.events) yield take(options.events)
      }
      if (waiting.length > 0) yield take(waiting.length)
    },
  }
}

async function firstBytes(path: string): Promise<{ readonly size: number; readonly magic: Buffer }> {
  try {
    const handle = await open(path, 'r')
    try {
      const { size } = await handle.stat()
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(64), 0, 64, 0)
      return { size, magic: buffer.subarray(0, bytesRead) }
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw unreadable(path, error)
  }
}

async function readRange(path: string, from: number, to: number): Promise<Buffer> {
  const handle = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(to - from), 0, to - from, from)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

async function readHead(bytes: Readable, length: number, path: string): Promise<Buffer> {
  const parts: Buffer[] = []
  let have = 0
  if (length === 0) bytes.destroy()
  else {
    try {
      for await (const part of bytes) {
        parts.push(part as Buffer)
        have += (part as Buffer).length
        if (have >= length) break
      }
    } catch (error) {
      throw unreadable(path, error)
    }
  }
  return Buffer.concat(parts).subarray(0, length)
}

async function* skipBytes(bytes: Readable, count: number): AsyncGenerator<Buffer, void, undefined> {
  let left = count
  for await (const part of bytes) {
    const chunk = part as Buffer
    if (left >= chunk.length) left -= chunk.length
    else {
      yield chunk.subarray(left)
      left = 0
    }
  }
}

function unreadable(path: string, cause: unknown): RefoldError {
  const { code, message } = cause as NodeJS.ErrnoException
  const reason =
    { ENOENT: 'it does not exist', EACCES: 'permission denied', EISDIR: 'it is a folder' }[code ?? ''] ??
    message
  return new RefoldError('CLI_FILE_UNREADABLE', `file "${path}" cannot be read: ${reason}`, { cause })
}
