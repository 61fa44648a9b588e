/** Which versions answered at which cuts, by the journal's entries about moves of pointers. Functions over the catalog. */

import type { CommitSeq, VersionId } from '../model/cut.ts'
import type { Catalog } from './open-catalog.ts'

/**
 * The versions of a view that answered while the log stood at this cut, in order: several where a pointer moved there.
 * Empty when the journal does not know.
 */
export function versionsAtCut(catalog: Catalog, view: string, cut: CommitSeq): readonly VersionId[] {
  const rows = catalog.all(
    `SELECT cut, versions FROM cuts JOIN version_sets ON version_sets.id = version_set
     WHERE cut <= ? AND (what IN ('serving', 'retired') OR what LIKE 'deploy %' OR what LIKE 'rollback %')
     ORDER BY cuts.id`,
    cut,
  )
  const moves = rows.map((row) => ({
    cut: Number(row.cut),
    version: (JSON.parse(String(row.versions)) as Record<string, VersionId>)[view],
  }))
  const before = moves.filter((move) => move.cut < cut).at(-1)
  const at = moves.filter((move) => move.cut === cut)
  const all = [before, ...at].flatMap((move) => (move?.version === undefined ? [] : [move.version]))
  return all.filter((version, index) => version !== all[index - 1])
}
