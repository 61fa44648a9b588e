/**
 * The file system as an effect that enters from outside, so that tests can fail any call of it. No state beside the
 * system's own. A `FileHandle` is positional: nothing here keeps a file pointer, so two calls can not disturb one
 * another. `write` may be short, as the system call may; `writeAll` is the loop over it.
 *
 * Plain descriptors with callbacks are used, not `node:fs/promises` handles: they cost less for each call, and a
 * descriptor that failed to sync can be left alone without a finalizer that closes it at a time of its own.
 */

import * as fs from 'node:fs'

export interface FileHandle {
  /** Writes the buffers one after the other from `position` on; answers how many bytes were taken, at least 1. */
  write(buffers: readonly Uint8Array[], position: number): Promise<number>
  /** Fills `buffer` from `position` on; answers how many bytes there were, 0 at the end of the file. */
  read(buffer: Uint8Array, position: number): Promise<number>
  truncate(length: number): Promise<void>
  /** Returns once content and length are on the disk (fdatasync). After a failure trust nothing since the last one. */
  datasync(): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

/** `read`: must exist. `write`: must exist, read and write. `create`: read and write, made or emptied. */
export type OpenMode = 'read' | 'write' | 'create'

export interface Files {
  open(path: string, mode: OpenMode): Promise<FileHandle>
  readFile(path: string): Promise<Buffer>
  /** Names in a folder, sorted. */
  readdir(path: string): Promise<readonly string[]>
  /** Makes the folder and its parents; fine when it is there. */
  mkdir(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  /** Returns once the folder's entries are on the disk. */
  syncDir(path: string): Promise<void>
  /** Length in bytes, or undefined when there is no such file. */
  size(path: string): Promise<number | undefined>
}

export const realFiles: Files = {
  async open(path, mode) {
    const flags = { read: 'r', write: 'r+', create: 'w+' }[mode]
    return handleOf(await call<number>((done) => fs.open(path, flags, 0o644, done)))
  },
  readFile: (path) => call<Buffer>((done) => fs.readFile(path, done)),
  readdir: async (path) => (await call<string[]>((done) => fs.readdir(path, done))).sort(),
  mkdir: (path) => call<void>((done) => fs.mkdir(path, { recursive: true }, (error) => done(error))),
  rename: (from, to) => call<void>((done) => fs.rename(from, to, done)),
  unlink: (path) => call<void>((done) => fs.unlink(path, done)),
  async syncDir(path) {
    const fd = await call<number>((done) => fs.open(path, 'r', done))
    try {
      await call<void>((done) => fs.fsync(fd, done))
    } finally {
      await call<void>((done) => fs.close(fd, done))
    }
  },
  async size(path) {
    try {
      return (await call<fs.Stats>((done) => fs.stat(path, done))).size
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw error
    }
  },
}

/** Writes everything, however short the single writes are. */
export async function writeAll(
  handle: FileHandle,
  buffers: readonly Uint8Array[],
  position: number,
): Promise<void> {
  let rest = buffers.filter((buffer) => buffer.byteLength > 0)
  let at = position
  while (rest.length > 0) {
    let taken = await handle.write(rest, at)
    at += taken
    while (rest.length > 0 && taken >= rest[0]!.byteLength) {
      taken -= rest[0]!.byteLength
      rest = rest.slice(1)
    }
    if (taken > 0) rest = [rest[0]!.subarray(taken), ...rest.slice(1)]
  }
}

/** Reads until `buffer` is full or the file ends; answers how many bytes it holds. */
export async function readFully(handle: FileHandle, buffer: Uint8Array, position: number): Promise<number> {
  let filled = 0
  while (filled < buffer.byteLength) {
    const taken = await handle.read(filled === 0 ? buffer : buffer.subarray(filled), position + filled)
    if (taken === 0) break
    filled += taken
  }
  return filled
}

/** The system's name of a failure (`ENOSPC`, `EIO`, …), where it has one. */
export function errnoOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : undefined
}

function handleOf(fd: number): FileHandle {
  return {
    async write(buffers, position) {
      const one = buffers.length === 1 ? buffers[0] : undefined
      const taken = await call<number>((done) => {
        if (one !== undefined) fs.write(fd, one, 0, one.byteLength, position, done)
        else fs.writev(fd, buffers as Uint8Array[], position, done)
      })
      if (taken <= 0) throw Object.assign(new Error('write took no byte'), { code: 'EIO' })
      return taken
    },
    read: (buffer, position) =>
      call<number>((done) => fs.read(fd, buffer, 0, buffer.byteLength, position, done)),
    truncate: (length) => call<void>((done) => fs.ftruncate(fd, length, done)),
    datasync: () => call<void>((done) => fs.fdatasync(fd, done)),
    size: async () => (await call<fs.Stats>((done) => fs.fstat(fd, done))).size,
    close: () => call<void>((done) => fs.close(fd, done)),
  }
}

function call<T>(start: (done: (error: Error | null | undefined, value?: T) => void) => void): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    start((error, value) => (error ? reject(error) : resolve(value as T)))
  })
}
