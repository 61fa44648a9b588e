/**
 * Snapshots of views that run as hybrid: chains of slices that are kept. Functions over the catalog; no state here.
 *
 * A snapshot names its slices, and a slice that a snapshot names is not let go of, neither by thinning nor with the end
 * of its version. One whose slices are not all listed any more is none.
 */

import { isAbsolute, relative } from 'node:path'
import type { CommitSeq, VersionId } from '../model/cut.ts'
import type { Catalog, SqlRow } from './open-catalog.ts'

export interface ViewSnapshot {
  readonly view: string
  readonly version: VersionId
  readonly cut: CommitSeq
  readonly engine: string
  readonly madeMs: number
  /** Of its slices, relative to the data folder. */
  readonly paths: readonly string[]
}

export function addSnapshot(catalog: Catalog, snapshot: Omit<ViewSnapshot, 'madeMs'>): void {
  const { view, version, cut, engine } = snapshot
  const paths = snapshot.paths.map((path) => (isAbsolute(path) ? relative(catalog.folder, path) : path))
  catalog.transaction('snapshots', () => {
    catalog.run(
      `INSERT INTO snapshots (view, version, cut, engine, made_ms, paths) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (view, version, cut) DO UPDATE
       SET engine = excluded.engine, made_ms = excluded.made_ms, paths = excluded.paths`,
      view,
      version,
      cut,
      engine,
      catalog.clock.nowMs(),
      JSON.stringify(paths),
    )
  })
}

/** By version and cut; of one view or of all. */
export function viewSnapshots(catalog: Catalog, view?: string): readonly ViewSnapshot[] {
  return catalog
    .all('SELECT * FROM snapshots WHERE ?1 IS NULL OR view = ?1 ORDER BY view, version, cut', view ?? null)
    .map(toSnapshot)
}

export function forgetSnapshots(
  catalog: Catalog,
  gone: readonly Pick<ViewSnapshot, 'view' | 'version' | 'cut'>[],
): void {
  if (gone.length === 0) return
  catalog.transaction('snapshots', () => {
    for (const { view, version, cut } of gone) {
      catalog.run('DELETE FROM snapshots WHERE view = ? AND version = ? AND cut = ?', view, version, cut)
    }
  })
}

/** Paths, relative to the data folder, of a version's slices that a snapshot names. */
export function snapshotPaths(catalog: Catalog, view: string, version: VersionId): ReadonlySet<string> {
  const rows = catalog.all(
    `SELECT DISTINCT path.value AS path FROM snapshots, json_each(snapshots.paths) AS path
     WHERE view = ? AND version = ?`,
    view,
    version,
  )
  return new Set(rows.map(({ path }) => String(path)))
}

function toSnapshot(row: SqlRow): ViewSnapshot {
  return {
    view: String(row.view),
    version: String(row.version),
    cut: Number(row.cut),
    engine: String(row.engine),
    madeMs: Number(row.made_ms),
    paths: JSON.parse(String(row.paths)) as readonly string[],
  }
}
