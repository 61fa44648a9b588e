/** Length and checksum of a file's content, read in pieces. No state. */

import { crc32 } from 'node:zlib'
import { type FileHandle, type Files, readFully, realFiles } from './files.ts'

export interface FileSum {
  readonly bytes: number
  /** CRC-32 of the bytes. */
  readonly checksum: number
}

const PIECE_BYTES = 1 << 20

/** Throws ENOENT when there is no such file. */
export async function sumFile(path: string, files: Files = realFiles): Promise<FileSum> {
  const handle = await files.open(path, 'read')
  try {
    return await sumHandle(handle)
  } finally {
    await handle.close()
  }
}

export async function sumHandle(handle: FileHandle): Promise<FileSum> {
  const piece = Buffer.allocUnsafe(PIECE_BYTES)
  let bytes = 0
  let checksum = 0
  for (;;) {
    const taken = await readFully(handle, piece, bytes)
    if (taken === 0) return { bytes, checksum }
    checksum = crc32(piece.subarray(0, taken), checksum)
    bytes += taken
  }
}
