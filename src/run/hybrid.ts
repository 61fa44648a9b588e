/**
 * Hybrid as a policy: when a snapshot of a view is made, which are kept, and at which one a replay begins. Pure; who
 * acts on it is `server/batch/`.
 *
 * A snapshot is a border of a version's slice chain that is kept: the slices from the version's start to that cut stay,
 * whatever merges and thinning do. It stands for the events up to the cut as that version folds them and as that
 * engine writes partial rows, so for nothing else.
 */

import type { HybridDef } from '../define/types.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'

export interface Snapshot {
  readonly view: string
  readonly version: VersionId
  readonly cut: CommitSeq
  /** What wrote its slices. */
  readonly engine: string
  readonly madeMs: number
}

/** Of so many versions of a view, the newest, snapshots are kept. */
const VERSIONS_KEPT = 5

export function snapshotDue(
  { snapshotEveryMs }: HybridDef,
  lastMs: number | undefined,
  sinceMs: number,
  nowMs: number,
): boolean {
  return nowMs - (lastMs ?? sinceMs) >= snapshotEveryMs
}

/** The snapshots of a view that are let go of: all but the newest of each version, and those of versions long gone. */
export function snapshotsToForget(snapshots: readonly Snapshot[], keep: number): readonly Snapshot[] {
  const newestFirst = [...snapshots].sort((a, b) => b.madeMs - a.madeMs || b.cut - a.cut)
  const kept = new Map<VersionId, number>()
  return newestFirst.filter(({ version }) => {
    const count = kept.get(version)
    if (count === undefined && kept.size >= VERSIONS_KEPT) return true
    kept.set(version, (count ?? 0) + 1)
    return (count ?? 0) >= keep
  })
}

/** Snapshots at which a replay of a version to a cut may begin, the nearest first. */
export function snapshotsBefore(
  snapshots: readonly Snapshot[],
  version: VersionId,
  engine: string,
  cut: CommitSeq,
): readonly Snapshot[] {
  return snapshots
    .filter((snapshot) => snapshot.version === version && snapshot.engine === engine && snapshot.cut <= cut)
    .sort((a, b) => b.cut - a.cut)
}
