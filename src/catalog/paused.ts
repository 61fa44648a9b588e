/**
 * Versions that are not folded, because the engine died of them again and again or because somebody said so. Functions
 * over the catalog; the list is kept while the catalog is unchanged, because every answer asks. Who did it and why is in
 * the audit, in the same transaction.
 */

import type { VersionId } from '../model/cut.ts'
import type { JsonValue } from '../model/schema.ts'
import { recordAudit } from './journal.ts'
import type { Catalog } from './open-catalog.ts'

export interface PausedVersion {
  readonly view: string
  readonly version: VersionId
  readonly reason: string
  readonly timeMs: number
}

const known = new WeakMap<Catalog, { readonly revision: number; readonly list: readonly PausedVersion[] }>()

export function pausedVersions(catalog: Catalog): readonly PausedVersion[] {
  const last = known.get(catalog)
  if (last?.revision === catalog.revision) return last.list
  // A version that is over is nobody's concern; should it come back, it is paused as it was.
  const rows = catalog.all(
    `SELECT p.* FROM paused AS p JOIN versions AS v ON v.view = p.view AND v.version = p.version
     WHERE v.state <> 'retired' ORDER BY p.view, p.version`,
  )
  const list = rows.map((row) => ({
    view: String(row.view),
    version: String(row.version),
    reason: String(row.reason),
    timeMs: Number(row.time_ms),
  }))
  known.set(catalog, { revision: catalog.revision, list })
  return list
}

export function pausedVersion(catalog: Catalog, view: string, version: VersionId): PausedVersion | undefined {
  return pausedVersions(catalog).find((paused) => paused.view === view && paused.version === version)
}

/** Answers false when it was paused before: then the reason of that stands. */
export function pauseVersion(
  catalog: Catalog,
  { view, version, reason }: Omit<PausedVersion, 'timeMs'>,
  author: JsonValue,
): boolean {
  return catalog.transaction('pause-view', () => {
    const changed = catalog.run(
      'INSERT INTO paused (view, version, reason, time_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING',
      view,
      version,
      reason,
      catalog.clock.nowMs(),
    )
    if (changed > 0) recordAudit(catalog, 'view paused', { view, version, reason, author })
    return changed > 0
  })
}

/** Answers false when it was not paused. */
export function resumeVersion(
  catalog: Catalog,
  view: string,
  version: VersionId,
  author: JsonValue,
): boolean {
  return catalog.transaction('pause-view', () => {
    const changed = catalog.run('DELETE FROM paused WHERE view = ? AND version = ?', view, version)
    if (changed > 0) recordAudit(catalog, 'view resumed', { view, version, author })
    return changed > 0
  })
}
