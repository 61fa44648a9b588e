/**
 * Lists the files of a backup at one cut while the server goes on. State: while the list is open, everything that it
 * names is held, so nothing of it is deleted; the copy of the catalog goes when the list is closed.
 *
 * Why the copy is consistent: the catalog is copied first and the log's manifest is taken after it, so the log holds
 * whatever the catalog knows of. Files of the lake and slices are those that the copied catalog lists; they never
 * change. A segment is listed up to its durable length, which ends a frame. The ids beside the log are measured before
 * the log, so they cover no commit that the copy lacks.
 */

import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readMeta } from '../../catalog/meta.ts'
import { catalogPath } from '../../catalog/open-catalog.ts'
import { type ListedFile, listedFiles, snapshotCatalog } from '../../catalog/snapshot.ts'
import { sidecarNumber } from '../../log/dedupe-sidecar.ts'
import type { JsonValue } from '../../model/schema.ts'
import { sumFile } from '../../std/file-sum.ts'
import { realFiles } from '../../std/files.ts'
import { randomSeed } from '../../std/random.ts'
import type { ServerContext } from '../context.ts'
import type { BackupBegin, BackupFile } from './backup-types.ts'

export type BackupParts = Pick<ServerContext, 'catalog' | 'folder' | 'log' | 'pins' | 'clock'>

export interface BackupListOptions {
  /** False: of the slices only bases, since all others can be folded again. */
  readonly slices: boolean
  /** Aborts when the reader of the list is gone. */
  readonly signal: AbortSignal
}

export async function* serverBackup(
  parts: BackupParts,
  options: BackupListOptions,
): AsyncGenerator<JsonValue> {
  const { folder, pins } = parts
  const hold = pins.hold()
  const copy = join(folder.scratch, `backup-${randomSeed().slice(0, 12)}.sqlite`)
  try {
    const { begin, files } = await backupFiles(parts, copy, options.slices)
    yield { kind: 'begin', ...begin }
    for (const file of files) {
      if (options.signal.aborted) return
      yield { kind: 'file', ...file }
    }
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
    yield { kind: 'end', files: files.length, bytes }
    await aborted(options.signal)
  } finally {
    rmSync(copy, { force: true })
    hold.release()
  }
}

async function backupFiles(
  { catalog, folder, log, clock }: BackupParts,
  copy: string,
  slices: boolean,
): Promise<{ readonly begin: BackupBegin; readonly files: readonly BackupFile[] }> {
  // Deletions that were under way when the hold began are over when this one, of nothing, is.
  await log.drop(0)
  await snapshotCatalog(catalogPath(folder.root), copy)
  const sidecars = await sidecarFiles(folder.log)
  const { segments } = log.manifest()
  const { cut, timeMs } = log.state()
  const listed = listedFiles(copy)
  const stored = (file: ListedFile): BackupFile => ({
    ...{ path: file.path, source: join(folder.root, file.path), bytes: file.bytes, checksum: file.checksum },
    fixed: true,
  })
  const files: BackupFile[] = [
    { path: 'catalog.sqlite', source: copy, ...(await sumFile(copy)), fixed: false },
    ...segments.map(({ path, bytes, closed }) => ({
      ...{ path: relativeTo(folder.root, path), source: path, bytes, checksum: null, fixed: closed },
    })),
    ...sidecars.map(({ path, bytes }) => ({
      ...{ path: relativeTo(folder.root, path), source: path, bytes, checksum: null, fixed: false },
      optional: true as const,
    })),
    ...listed.lake.map(stored),
    ...listed.slices
      .filter(({ base }) => slices || base === true)
      .map((file) => ({ ...stored(file), ...(file.base === true ? {} : { optional: true as const }) })),
  ]
  files.push(...(await keptCopies(folder.root)))
  const begin = {
    ...{ format: 1 as const, id: folderId(catalog), cut: cut.commit, slices },
    at: new Date(clock.nowMs()).toISOString(),
    lastCommitAt: timeMs === 0 ? null : new Date(timeMs).toISOString(),
  }
  return { begin, files }
}

/** What versions keep copies of, each in a folder by its hash, which never changes once it is there. */
async function keptCopies(root: string): Promise<readonly BackupFile[]> {
  const files: BackupFile[] = []
  for (const store of ['code', 'reference']) {
    const found = await readdir(join(root, store), { recursive: true, withFileTypes: true }).catch(() => [])
    for (const entry of found) {
      const source = join(entry.parentPath, entry.name)
      const path = relativeTo(root, source)
      const isStaged = path.split(/[\\/]/).some((part) => part.startsWith('.')) || isUnderWay(entry.name)
      const bytes = entry.isFile() && !isStaged ? await realFiles.size(source) : undefined
      if (bytes !== undefined) files.push({ path, source, bytes, checksum: null, fixed: true })
    }
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** A copy that is being written has an id behind its name. */
function isUnderWay(name: string): boolean {
  return /\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name)
}

/** Says of two backups whether they are of one data folder; the seed itself stays a secret. */
function folderId(catalog: BackupParts['catalog']): string {
  return createHash('sha256')
    .update(readMeta(catalog, 'dedupe-seed') ?? '')
    .digest('hex')
    .slice(0, 16)
}

/** Files of ids, each with its length now; a file only grows, or goes when its ids are forgotten. */
async function sidecarFiles(dir: string): Promise<readonly { path: string; bytes: number }[]> {
  const found: { path: string; bytes: number }[] = []
  for (const name of (await readdir(dir)).sort()) {
    if (sidecarNumber(name) === undefined) continue
    const path = join(dir, name)
    const bytes = await realFiles.size(path)
    if (bytes !== undefined) found.push({ path, bytes })
  }
  return found
}

function relativeTo(root: string, path: string): string {
  return path.startsWith(`${root}/`) || path.startsWith(`${root}\\`) ? path.slice(root.length + 1) : path
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
