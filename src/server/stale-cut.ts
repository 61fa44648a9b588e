/** What a view answers while its speed layer fails: what its deploy said. No state. */

import { batchCut } from '../catalog/batches.ts'
import type { Catalog } from '../catalog/open-catalog.ts'
import { runOf } from '../catalog/runs.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'

/** The cut at which a view answers while it is not folded; undefined: it does not answer. */
export function staleCut(catalog: Catalog, view: string, version: VersionId): CommitSeq | undefined {
  const run = runOf(catalog, view)
  if (run.kind !== 'lambda' || run.whenSpeedFails !== 'stale') return undefined
  const cut = batchCut(catalog, view, version)
  return cut === 0 ? undefined : cut
}
