/**
 * The file beside a segment that keeps the dedupe entries of its commits, `000000000007.ids`, so that a restart need
 * not read them out of events, and so that ids outlive the segment. Pure functions over bytes.
 *
 * A file is blocks one after the other; each covers the commits (from, to] of all streams, and begins where the one
 * before it ended, the first at the segment's base. Integers are little endian, as are the words of entries.
 *
 *   block    0 u32 magic "RFID"     4 u32 CRC-32 of what follows, to the block's end
 *            8 u32 block bytes     12 u32 format     16 u32 check of the seed     20 u32 number of sections
 *           24 f64 from            32 f64 to         40 sections
 *   section  0 u32 name bytes       4 u32 entries     8 f64 ingest time of the first entry, ms
 *           16 the stream's name, filled up with zeros to a multiple of 8
 *              entries, 28 bytes each (see dedupe-window.ts), filled up to a multiple of 8
 *
 * A block that does not check ends the file: what it covered is read out of the segment's frames.
 */

import { crc32 } from 'node:zlib'
import type { CommitRange } from '../model/cut.ts'
import { ENTRY_WORDS, type EntryPiece } from './dedupe-window.ts'

const MAGIC = 0x44494652
const FORMAT = 1
const BLOCK_BYTES = 40
const SECTION_BYTES = 16

export interface SidecarSection extends EntryPiece {
  readonly stream: string
}

export interface SidecarBlock extends CommitRange {
  readonly sections: readonly SidecarSection[]
  /** Position after the block. */
  readonly end: number
}

export function sidecarName(segment: number): string {
  return `${String(segment).padStart(12, '0')}.ids`
}

/** The number in a sidecar's file name, or undefined for other files. */
export function sidecarNumber(name: string): number | undefined {
  const match = /^(\d{12})\.ids$/.exec(name)
  return match === null ? undefined : Number(match[1])
}

export function encodeSidecarBlock(
  range: CommitRange,
  seedCheck: number,
  sections: readonly SidecarSection[],
): Buffer {
  const names = sections.map((section) => Buffer.from(section.stream))
  let bytes = BLOCK_BYTES
  for (const [i, { words }] of sections.entries()) {
    bytes += SECTION_BYTES + padded(names[i]!.byteLength) + padded(words.byteLength)
  }
  const block = Buffer.alloc(bytes)
  block.writeUInt32LE(MAGIC, 0)
  block.writeUInt32LE(bytes, 8)
  block.writeUInt32LE(FORMAT, 12)
  block.writeUInt32LE(seedCheck, 16)
  block.writeUInt32LE(sections.length, 20)
  block.writeDoubleLE(range.from, 24)
  block.writeDoubleLE(range.to, 32)
  let at = BLOCK_BYTES
  for (const [i, { timeMs, words }] of sections.entries()) {
    const name = names[i]!
    block.writeUInt32LE(name.byteLength, at)
    block.writeUInt32LE(words.length / ENTRY_WORDS, at + 4)
    block.writeDoubleLE(timeMs, at + 8)
    name.copy(block, at + SECTION_BYTES)
    at += SECTION_BYTES + padded(name.byteLength)
    block.set(new Uint8Array(words.buffer, words.byteOffset, words.byteLength), at)
    at += padded(words.byteLength)
  }
  block.writeUInt32LE(crc32(block.subarray(8)), 4)
  return block
}

/** The blocks that check and join, from `base` on; `seed` tells a block that checks but has another seed. */
export function* decodeSidecar(
  file: Buffer,
  base: number | undefined,
  seedCheck: number,
): Generator<SidecarBlock | 'seed'> {
  let covered = base
  for (let start = 0; file.byteLength - start >= BLOCK_BYTES; ) {
    const bytes = file.readUInt32LE(start + 8)
    if (file.readUInt32LE(start) !== MAGIC || bytes < BLOCK_BYTES || start + bytes > file.byteLength) return
    const block = file.subarray(start, start + bytes)
    if (crc32(block.subarray(8)) !== block.readUInt32LE(4) || block.readUInt32LE(12) !== FORMAT) return
    if (block.readUInt32LE(16) !== seedCheck) {
      yield 'seed'
      return
    }
    const from = block.readDoubleLE(24)
    const to = block.readDoubleLE(32)
    if (covered !== undefined && from !== covered) return
    covered = to
    start += bytes
    yield { from, to, sections: decodeSections(block), end: start }
  }
}

function decodeSections(block: Buffer): readonly SidecarSection[] {
  const sections: SidecarSection[] = []
  let at = BLOCK_BYTES
  for (let rest = block.readUInt32LE(20); rest > 0; rest--) {
    const nameBytes = block.readUInt32LE(at)
    const count = block.readUInt32LE(at + 4) * ENTRY_WORDS
    const timeMs = block.readDoubleLE(at + 8)
    at += SECTION_BYTES
    const stream = block.toString('utf8', at, at + nameBytes)
    at += padded(nameBytes)
    const from = block.byteOffset + at
    const isAligned = from % 4 === 0
    const words = isAligned
      ? new Int32Array(block.buffer, from, count)
      : new Int32Array(block.buffer.slice(from, from + 4 * count) as ArrayBuffer)
    at += padded(4 * count)
    sections.push({ stream, timeMs, words })
  }
  return sections
}

function padded(bytes: number): number {
  return (bytes + 7) & ~7
}
