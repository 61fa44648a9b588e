/**
 * A copy of the catalog as it is at one moment, made while the server goes on writing it, and what such a copy lists.
 * No state.
 *
 * SQLite's backup runs in a thread of its own over a connection of its own, in one step: one read transaction, so the
 * copy is consistent, and in WAL mode neither the server's reads nor its writes wait for it. The copy is one file
 * without a log beside it.
 */

import { backup, DatabaseSync } from '../std/sqlite.ts'

/** More pages than a database can have: all of them in one step. */
const ALL_PAGES = 2 ** 31 - 1

/** Copies the catalog at `path`, which may be open elsewhere in this process, to `target`. */
export async function snapshotCatalog(path: string, target: string): Promise<void> {
  const source = new DatabaseSync(path, { readOnly: true })
  try {
    await backup(source, target, { rate: ALL_PAGES })
  } finally {
    source.close()
  }
}

export interface ListedFile {
  /** Relative to the data folder. */
  readonly path: string
  readonly bytes: number
  readonly checksum: number
  /** A slice that cannot be folded again. */
  readonly base?: boolean
}

export interface CatalogFiles {
  readonly lake: readonly ListedFile[]
  readonly slices: readonly ListedFile[]
}

/** Which files a catalog lists; it is only read. */
export function listedFiles(path: string): CatalogFiles {
  const database = new DatabaseSync(path, { readOnly: true })
  try {
    const lake = database.prepare('SELECT path, bytes, checksum FROM lake_files ORDER BY path').all()
    const slices = database.prepare('SELECT path, bytes, checksum, base FROM slices ORDER BY path').all()
    return {
      lake: lake.map(listed),
      slices: slices.map((row) => ({ ...listed(row), base: Number(row['base']) === 1 })),
    }
  } finally {
    database.close()
  }
}

function listed(row: Record<string, unknown>): ListedFile {
  return { path: String(row['path']), bytes: Number(row['bytes']), checksum: Number(row['checksum']) }
}
