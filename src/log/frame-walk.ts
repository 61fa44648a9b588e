/**
 * Walks the frames of one segment's file: by headers alone, jumping over bodies, or whole and checked. It stops at
 * `end`, which is a durable length or the length of the file; whoever calls says what a bad frame means. State: one
 * window of the file, read ahead; nothing outlives the walk.
 */

import { type FileHandle, readFully } from '../std/files.ts'
import { decodeFrameHeader, type FrameHeaderRead, frameChecks, LINE_FEED } from './frame.ts'

export interface WalkedHeader extends FrameHeaderRead {
  /** Where the header line begins. */
  readonly position: number
  readonly bodyStart: number
  /** Where the next frame begins. */
  readonly end: number
}

export interface WalkedFrame extends WalkedHeader {
  /** Valid until the next step only: it lies in the window. */
  readonly body: Buffer
}

/** The walk came upon bytes that are no frame, at `position`. */
export class BadFrame extends Error {
  override readonly name = 'BadFrame'
  readonly position: number

  constructor(position: number) {
    super(`no valid frame at byte ${position}`)
    this.position = position
  }
}

const HEADER_WINDOW_BYTES = 64 << 10
const FRAME_WINDOW_BYTES = 4 << 20

/** Headers of the frames in [start, end), without looking at bodies; throws BadFrame where there is none. */
export async function* walkHeaders(
  handle: FileHandle,
  start: number,
  end: number,
): AsyncGenerator<WalkedHeader> {
  const window = new Window(handle, end, HEADER_WINDOW_BYTES)
  for (let at = start; at < end; ) {
    const line = await window.line(at)
    const header = line === undefined ? undefined : placed(line, at)
    if (header === undefined || header.end > end) throw new BadFrame(at)
    yield header
    at = header.end
  }
}

/** Whole frames in [start, end), each checked; throws BadFrame at the first that does not check. */
export async function* walkFrames(
  handle: FileHandle,
  start: number,
  end: number,
): AsyncGenerator<WalkedFrame> {
  const window = new Window(handle, end, Math.min(FRAME_WINDOW_BYTES, end - start))
  for (let at = start; at < end; ) {
    const line = await window.line(at)
    const header = line === undefined ? undefined : placed(line, at)
    if (header === undefined || header.end > end) throw new BadFrame(at)
    const body = await window.bytes(header.bodyStart, header.header.bytes)
    if (body === undefined || !frameChecks(header, body)) throw new BadFrame(at)
    yield { ...header, body }
    at = header.end
  }
}

/** The first line of a file without its line feed, and where the next begins. */
export async function readFirstLine(
  handle: FileHandle,
  end: number,
): Promise<{ line: Buffer; next: number } | undefined> {
  const line = await new Window(handle, end, HEADER_WINDOW_BYTES).line(0)
  return line === undefined ? undefined : { line, next: line.byteLength + 1 }
}

function placed(line: Buffer, position: number): WalkedHeader | undefined {
  const read = decodeFrameHeader(line)
  if (read === undefined) return undefined
  const bodyStart = position + line.byteLength + 1
  return { ...read, position, bodyStart, end: bodyStart + read.header.bytes }
}

/** A part of the file in memory; it moves forward and grows where a line or a body is longer than it. */
class Window {
  readonly #handle: FileHandle
  readonly #end: number
  #buffer: Buffer
  #start = 0
  #filled = 0

  constructor(handle: FileHandle, end: number, bytes: number) {
    this.#handle = handle
    this.#end = end
    this.#buffer = Buffer.allocUnsafe(Math.max(4096, bytes))
  }

  /** The line that begins at `at`, without its line feed; undefined when the file ends within it. */
  async line(at: number): Promise<Buffer | undefined> {
    if (at < this.#start || at >= this.#start + this.#filled) await this.#move(at)
    for (;;) {
      const from = at - this.#start
      const stop = this.#buffer.subarray(0, this.#filled).indexOf(LINE_FEED, from)
      if (stop >= 0) return this.#buffer.subarray(from, stop)
      if (this.#start + this.#filled >= this.#end) return undefined
      if (from === 0 && this.#filled === this.#buffer.byteLength) this.#grow(2 * this.#buffer.byteLength)
      const before = this.#filled - from
      await this.#move(at)
      if (this.#filled <= before) return undefined
    }
  }

  async bytes(at: number, length: number): Promise<Buffer | undefined> {
    if (length > this.#buffer.byteLength) this.#grow(length)
    if (at < this.#start || at + length > this.#start + this.#filled) await this.#move(at)
    const from = at - this.#start
    return from + length <= this.#filled ? this.#buffer.subarray(from, from + length) : undefined
  }

  /** Puts the window at `at` and fills it; what it holds of that already is kept. */
  async #move(at: number): Promise<void> {
    const held = this.#start + this.#filled - at
    if (at >= this.#start && held > 0) this.#buffer.copyWithin(0, at - this.#start, this.#filled)
    this.#filled = at >= this.#start && held > 0 ? held : 0
    this.#start = at
    const room = Math.min(this.#buffer.byteLength, this.#end - at) - this.#filled
    if (room <= 0) return
    const into = this.#buffer.subarray(this.#filled, this.#filled + room)
    this.#filled += await readFully(this.#handle, into, at + this.#filled)
  }

  #grow(bytes: number): void {
    const larger = Buffer.allocUnsafe(bytes)
    this.#buffer.copy(larger, 0, 0, this.#filled)
    this.#buffer = larger
  }
}
