/**
 * Looks for a frame that checks behind bytes that do not: what tells a torn end from a damaged middle. No state.
 */

import type { CommitSeq } from '../model/cut.ts'
import { type FileHandle, readFully } from '../std/files.ts'
import { decodeFrameHeader, frameChecks, LINE_FEED } from './frame.ts'

const MARK = Buffer.from('\n{"commit":')
const STEP_BYTES = 1 << 20
const HEADER_BYTES_MAX = 1 << 20

/**
 * The position of the first whole frame in (from, end) of a commit after `commit`. Older ones do not count: they can
 * be what a frame that was taken back left on the disk.
 */
export async function findFrameAfter(
  handle: FileHandle,
  from: number,
  end: number,
  commit: CommitSeq,
): Promise<number | undefined> {
  const buffer = Buffer.allocUnsafe(Math.min(STEP_BYTES, Math.max(0, end - from)) + MARK.byteLength)
  for (let start = from; start < end; start += STEP_BYTES) {
    const count = await readFully(handle, buffer.subarray(0, Math.min(buffer.byteLength, end - start)), start)
    const window = buffer.subarray(0, count)
    for (let mark = window.indexOf(MARK); mark >= 0; mark = window.indexOf(MARK, mark + 1)) {
      const position = start + mark + 1
      if (await isFrame(handle, position, end, commit)) return position
    }
  }
  return undefined
}

async function isFrame(
  handle: FileHandle,
  position: number,
  end: number,
  commit: CommitSeq,
): Promise<boolean> {
  const head = Buffer.allocUnsafe(Math.min(HEADER_BYTES_MAX, end - position))
  const held = head.subarray(0, await readFully(handle, head, position))
  const stop = held.indexOf(LINE_FEED)
  const read = stop < 0 ? undefined : decodeFrameHeader(held.subarray(0, stop))
  if (read === undefined || read.header.commit <= commit) return false
  if (position + stop + 1 + read.header.bytes > end) return false
  const body = Buffer.allocUnsafe(read.header.bytes)
  return (await readFully(handle, body, position + stop + 1)) === body.byteLength && frameChecks(read, body)
}
