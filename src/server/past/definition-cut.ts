/** Where the batch layer of a version with two definitions ended when the version stood at a cut. No state. */

import type { Catalog } from '../../catalog/open-catalog.ts'
import { versionsAtCut } from '../../catalog/pointer-history.ts'
import type { VersionRow } from '../../catalog/versions.ts'
import type { CommitSeq } from '../../model/cut.ts'

/**
 * The cut of the last batch up to there. Before its first batch a version that answered had no batch layer; one that
 * did not answer yet is as it would have been built there, which is by a batch.
 */
export function definitionCutAt(catalog: Catalog, row: VersionRow, cut: CommitSeq): CommitSeq {
  const { view, version, start } = row
  const found = catalog.get(
    `SELECT max(cut) AS cut FROM batches WHERE view = ? AND version = ? AND state = 'published' AND cut <= ?`,
    view,
    version,
    cut,
  )
  if (found !== undefined && found.cut !== null) return Number(found.cut)
  return versionsAtCut(catalog, view, cut).includes(version) ? start : cut
}
