/** How many late events a version holds back: a difference of two of the log's own counts. No state. */

import { lateStand } from '../../catalog/late-cuts.ts'
import type { VersionRow } from '../../catalog/versions.ts'
import type { CommitSeq } from '../../model/cut.ts'
import type { ServerContext } from '../context.ts'

/** Late events after the version's T, up to a cut at which it stands. */
export function heldBack(
  { catalog, history }: Pick<ServerContext, 'catalog' | 'history'>,
  { view, version, plan }: Pick<VersionRow, 'view' | 'version' | 'plan'>,
  cut: CommitSeq,
): number {
  const stand = lateStand(catalog, view, version)
  if (cut <= stand.cut) return 0
  const late = history.at(cut)?.late ?? {}
  return plan.streams.reduce((sum, stream) => sum + (late[stream] ?? 0) - (stand.counts[stream] ?? 0), 0)
}
