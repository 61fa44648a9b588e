/**
 * The data folder as the server holds it: its lock, its catalog and where everything lies. State: the lock and the
 * catalog's handle, from opening to `close`.
 *
 * What a crash leaves behind is dealt with here, before anything runs: `staging/` and `scratch/` hold nothing that
 * anybody was told of, so they are emptied. A slice file that the catalog does not list is deleted, because a slice
 * can always be folded again; a lake file that it does not list is kept in `lost+found/`, because events are in it,
 * unless the catalog remembers that it was trimmed or merged.
 * Folders are listed only for this; what counts as data is always what the catalog lists.
 */

import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { forgetLeftovers, lakeLeftovers, lakeManifest } from '../catalog/lake.ts'
import { type Catalog, catalogPath, openCatalog } from '../catalog/open-catalog.ts'
import { allPastSlices } from '../catalog/slices.ts'
import { RefoldError } from '../model/errors.ts'
import type { Clock } from '../std/clock.ts'
import { lockFolder } from '../std/lock.ts'
import type { Logger } from '../std/logger.ts'

export interface DataFolder {
  readonly root: string
  readonly log: string
  readonly lake: string
  readonly slices: string
  /** Copies of logic in TypeScript, by their hash. */
  readonly code: string
  readonly staging: string
  readonly scratch: string
  readonly lostAndFound: string
  readonly catalog: Catalog
  /** Closes the catalog, then gives the lock back. */
  close(): void
}

/** Takes the folder, or says who holds it. */
export function openDataFolder(root: string, clock: Clock, logger: Logger): DataFolder {
  mkdirSync(root, { recursive: true })
  const locked = lockFolder(root)
  if (!locked.ok) {
    const holder = locked.pid === undefined ? 'another process' : `process ${locked.pid}`
    throw new RefoldError('LOG_LOCKED', `data folder "${root}" is held by ${holder}`)
  }
  let catalog: Catalog | undefined
  try {
    catalog = openCatalog(catalogPath(root), { clock })
    const folder = describe(root, catalog, () => {
      catalog?.close()
      locked.lock.release()
    })
    cleanUp(folder, logger)
    return folder
  } catch (error) {
    catalog?.close()
    locked.lock.release()
    throw error
  }
}

function describe(root: string, catalog: Catalog, close: () => void): DataFolder {
  const folder = {
    root,
    log: join(root, 'log'),
    lake: join(root, 'lake'),
    slices: join(root, 'slices'),
    code: join(root, 'code'),
    staging: join(root, 'staging'),
    scratch: join(root, 'scratch'),
    lostAndFound: join(root, 'lost+found'),
  }
  for (const path of Object.values(folder)) mkdirSync(path, { recursive: true })
  return { ...folder, catalog, close }
}

function cleanUp(folder: DataFolder, logger: Logger): void {
  for (const path of [folder.staging, folder.scratch]) {
    rmSync(path, { recursive: true, force: true })
    mkdirSync(path, { recursive: true })
  }
  // A copy of code that was being made has no name yet that anybody knows.
  for (const name of readdirSync(folder.code)) {
    if (name.startsWith('.')) rmSync(join(folder.code, name), { recursive: true, force: true })
  }
  const published = new Set(allPastSlices(folder.catalog).map((slice) => slice.path))
  for (const path of filesBelow(folder.slices)) {
    if (published.has(path)) continue
    rmSync(path, { force: true })
    logger.debug('slice that was never published deleted', { file: path })
  }
  const leftovers = lakeLeftovers(folder.catalog)
  for (const path of leftovers) rmSync(path, { force: true })
  if (leftovers.length > 0) forgetLeftovers(folder.catalog, leftovers)
  const listed = new Set(lakeManifest(folder.catalog).files.map((file) => file.path))
  for (const path of filesBelow(folder.lake)) {
    if (listed.has(path)) continue
    const kept = setAside(folder.lostAndFound, path)
    logger.warn('lake file that was never published set aside', { file: path, kept })
  }
}

/** Moves a file into `lost+found/` under a name of its own and answers where it is. */
export function setAside(lostAndFound: string, path: string): string {
  let target = join(lostAndFound, basename(path))
  if (!existsSync(path)) return 'nothing: the file is gone'
  for (let copy = 1; existsSync(target); copy++) target = join(lostAndFound, `${copy}-${basename(path)}`)
  renameSync(path, target)
  return target
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}
