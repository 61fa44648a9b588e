/**
 * Copies what a server lists into a backup folder, and a backup folder into a data folder. Used by the commands; no
 * state but what lies in the folders (`backup-types.ts` says what).
 *
 * Nothing of the backup before is written over, every file is synced before the manifest names it, and the manifest
 * takes its name last. So whatever ends a copy early, the folder is the earlier backup, whole, or none.
 */

import { link, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { RefoldError } from '../../model/errors.ts'
import { sumFile } from '../../std/file-sum.ts'
import { errnoOf, readFully, realFiles, writeAll } from '../../std/files.ts'
import type { BackupBegin, BackupFile, BackupManifest, StoredFile } from './backup-types.ts'

const MANIFEST = 'backup.json'
const PIECE_BYTES = 1 << 20

export interface CopyProgress {
  readonly files: number
  readonly bytes: number
  /** Files that lay there already. */
  readonly kept: number
}

export interface CopyOptions {
  /** Throws when the copy must not go on. */
  readonly check?: () => void
  readonly onProgress?: (progress: CopyProgress) => void
}

/** Copies the listed files to `dest` and makes it a backup; answers what was copied. */
export async function copyToBackup(
  dest: string,
  begin: BackupBegin,
  files: readonly BackupFile[],
  options: CopyOptions = {},
): Promise<CopyProgress & { readonly manifest: BackupManifest }> {
  const { check = () => {}, onProgress = () => {} } = options
  const before = await readManifest(dest).catch(() => undefined)
  const known = new Map(before?.id === begin.id ? before.files.map((file) => [file.path, file]) : [])
  const stored: StoredFile[] = []
  let progress: CopyProgress = { files: 0, bytes: 0, kept: 0 }
  for (const file of files) {
    check()
    const there = await alreadyThere(dest, file, known.get(file.path))
    const copied = there ?? (await copyIn(dest, file).catch((error: unknown) => failed(error, check)))
    if (copied === undefined) continue
    stored.push(copied)
    progress = {
      files: progress.files + 1,
      bytes: progress.bytes + (there === undefined ? copied.bytes : 0),
      kept: progress.kept + (there === undefined ? 0 : 1),
    }
    onProgress(progress)
  }
  await syncFolders(dest, stored)
  check()
  const manifest: BackupManifest = { ...begin, files: stored }
  await writeManifest(dest, manifest)
  await removeOthers(dest, manifest)
  return { ...progress, manifest }
}

/** A file that cannot be copied because nobody holds it any more: that is the reason to give. */
function failed(error: unknown, check: () => void): never {
  check()
  throw error
}

/** Throws BACKUP_DAMAGED when the folder is no backup, or its manifest does not check. */
export async function readManifest(folder: string): Promise<BackupManifest> {
  const path = join(folder, MANIFEST)
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
    throw new RefoldError('BACKUP_DAMAGED', `"${folder}" is no backup: it has no ${MANIFEST}`, {
      hint: 'Name a folder that `refold backup` ended with; one that was interrupted is none.',
      cause: error,
    })
  }
  const mark = text.lastIndexOf(',"crc":')
  const crc = Number(/^,"crc":(\d+)\}\n$/.exec(text.slice(mark))?.[1])
  if (mark < 0 || crc !== crc32(text.slice(0, mark))) {
    throw new RefoldError('BACKUP_DAMAGED', `the manifest "${path}" does not match its checksum`)
  }
  const manifest = JSON.parse(text) as BackupManifest
  if (manifest.format === 1) return manifest
  throw new RefoldError('BACKUP_DAMAGED', `backup "${folder}" has format ${manifest.format}`, {
    hint: 'Use the version of Refold that made it, or a later one.',
  })
}

/** Makes a data folder of a backup; every file is checked, and all that do not check are named together. */
export async function copyFromBackup(
  source: string,
  manifest: BackupManifest,
  target: string,
  options: CopyOptions & {
    /** Files that never change are linked where that is possible: for a look at the backup. */
    readonly linked?: boolean
  } = {},
): Promise<CopyProgress> {
  const faults: string[] = []
  let progress: CopyProgress = { files: 0, bytes: 0, kept: 0 }
  for (const file of manifest.files) {
    options.check?.()
    const path = join(source, 'files', file.stored)
    const fault = await restoreFile(path, file, join(target, file.path), options.linked === true)
    if (fault !== undefined) faults.push(fault)
    progress = { files: progress.files + 1, bytes: progress.bytes + file.bytes, kept: 0 }
    options.onProgress?.(progress)
  }
  if (faults.length > 0) {
    throw new RefoldError('BACKUP_DAMAGED', faults.join('; '), { details: { faults } })
  }
  for (const folder of new Set(manifest.files.map(({ path }) => dirname(join(target, path))))) {
    await realFiles.syncDir(folder)
  }
  await realFiles.syncDir(target)
  return progress
}

async function restoreFile(
  path: string,
  file: StoredFile,
  target: string,
  linked: boolean,
): Promise<string | undefined> {
  await mkdir(dirname(target), { recursive: true })
  try {
    // A segment is opened for writing again, so it is never the backup's own file.
    const isLinked = linked && file.fixed && file.path.endsWith('.parquet')
    if (isLinked) await link(path, target)
    const found = isLinked ? await sumFile(path) : await copyFile(path, target, file.bytes)
    if (found.bytes === file.bytes && found.checksum === file.checksum) return undefined
    return `"${path}" does not match its checksum`
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return `"${path}" is missing`
    if (errnoOf(error) === 'EXDEV' || errnoOf(error) === 'EPERM')
      return await restoreFile(path, file, target, false)
    throw error
  }
}

/** The file as the backup before has it, if that is what is wanted now and its bytes are sound. */
async function alreadyThere(
  dest: string,
  file: BackupFile,
  known: StoredFile | undefined,
): Promise<StoredFile | undefined> {
  if (!file.fixed) return undefined
  const wanted = file.checksum ?? (known?.fixed === true ? known.checksum : undefined)
  if (wanted === undefined || (known !== undefined && known.bytes !== file.bytes)) return undefined
  try {
    const found = await sumFile(join(dest, 'files', file.path))
    if (found.bytes !== file.bytes || found.checksum !== wanted) return undefined
    return { path: file.path, stored: file.path, ...found, fixed: true }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

async function copyIn(dest: string, file: BackupFile): Promise<StoredFile | undefined> {
  const partial = join(dest, 'partial')
  await mkdir(dest, { recursive: true })
  const copied = await copySource(file, partial)
  if (copied === undefined) return undefined
  const { path, fixed } = file
  const stored = fixed ? path : `${path}.${copied.checksum.toString(16).padStart(8, '0')}`
  const target = join(dest, 'files', stored)
  await mkdir(dirname(target), { recursive: true })
  await rename(partial, target)
  return { path, stored, ...copied, fixed }
}

async function copySource(file: BackupFile, partial: string) {
  let copied: Awaited<ReturnType<typeof copyFile>>
  try {
    copied = await copyFile(file.source, partial, file.bytes)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
    if (file.optional === true) return undefined
    throw new RefoldError('CLI_FILE_UNREADABLE', `"${file.source}" of the data folder cannot be found here`, {
      hint: 'Run `refold backup` on the machine of the server; `refold lake check` says whether a file is missing.',
      cause: error,
    })
  }
  const isWhole = copied.bytes === file.bytes
  if (isWhole && (file.checksum === null || copied.checksum === file.checksum)) return copied
  if (file.optional === true && file.path.endsWith('.ids')) return undefined
  throw new RefoldError('BACKUP_DAMAGED', `"${file.source}" of the data folder does not match its checksum`, {
    hint: 'Run `refold lake check`, and put the file back from an earlier backup.',
  })
}

/** Copies the first `bytes` of a file, synced; answers length and checksum of what was there. */
async function copyFile(
  from: string,
  to: string,
  bytes: number,
): Promise<{ readonly bytes: number; readonly checksum: number }> {
  const source = await realFiles.open(from, 'read')
  try {
    const target = await realFiles.open(to, 'create')
    try {
      const piece = Buffer.allocUnsafe(Math.max(1, Math.min(PIECE_BYTES, bytes)))
      let checksum = 0
      let at = 0
      while (at < bytes) {
        const taken = await readFully(source, piece.subarray(0, Math.min(piece.length, bytes - at)), at)
        if (taken === 0) break
        checksum = crc32(piece.subarray(0, taken), checksum)
        await writeAll(target, [piece.subarray(0, taken)], at)
        at += taken
      }
      await target.datasync()
      return { bytes: at, checksum }
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}

async function syncFolders(dest: string, stored: readonly StoredFile[]): Promise<void> {
  const root = join(dest, 'files')
  const folders = new Set<string>([root])
  for (const file of stored) {
    for (let at = dirname(join(root, file.stored)); at.length >= root.length; at = dirname(at))
      folders.add(at)
  }
  for (const folder of folders) await realFiles.syncDir(folder)
  await realFiles.syncDir(dest)
}

async function writeManifest(dest: string, manifest: BackupManifest): Promise<void> {
  const text = JSON.stringify(manifest).slice(0, -1)
  const next = join(dest, `${MANIFEST}.next`)
  await writeFile(next, `${text},"crc":${crc32(text)}}\n`, { flush: true })
  await rename(next, join(dest, MANIFEST))
  await realFiles.syncDir(dest)
}

/** What the manifest before listed and this one does not. */
async function removeOthers(dest: string, manifest: BackupManifest): Promise<void> {
  const root = join(dest, 'files')
  const listed = new Set(manifest.files.map(({ stored }) => join(root, stored)))
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile() && !listed.has(path)) await rm(path, { force: true })
  }
}
