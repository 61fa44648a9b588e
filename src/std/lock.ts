/**
 * The lock of a data folder: one process at a time. State: an exclusive transaction in `lock.sqlite`, which stands
 * on a file lock of the kernel. It ends with the process whatever way that ends, so a kill -9 leaves no lock that
 * somebody must remove, and a process id that was given to another program is never mistaken for the holder.
 *
 * `lock.pid` beside it names the holder for people; nothing is decided by it. Nobody may open `lock.sqlite` by
 * other means in the holding process: POSIX drops a process's file locks when any descriptor of the file closes.
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from './sqlite.ts'

export type LockResult =
  | { readonly ok: true; readonly lock: FolderLock }
  /** `pid` of the holder, where it could be read. */
  | { readonly ok: false; readonly pid: number | undefined }

export interface FolderLock {
  release(): void
}

/** Takes the lock of a folder that exists, or says who holds it. Never waits. */
export function lockFolder(folder: string): LockResult {
  const pidFile = join(folder, 'lock.pid')
  const database = new DatabaseSync(join(folder, 'lock.sqlite'), { timeout: 0 })
  try {
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if (isBusy(error)) return { ok: false, pid: readPid(pidFile) }
    throw error
  }
  try {
    writeFileSync(pidFile, `${process.pid}\n`)
  } catch {
    // A full disk must not keep a server from starting to answer reads; the pid is only a courtesy.
  }
  let held = true
  return {
    ok: true,
    lock: {
      release() {
        if (!held) return
        held = false
        database.exec('ROLLBACK')
        database.close()
      },
    },
  }
}

const SQLITE_BUSY = 5

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY
}

function readPid(path: string): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(path, 'utf8'), 10)
    return Number.isSafeInteger(pid) ? pid : undefined
  } catch {
    return undefined
  }
}
