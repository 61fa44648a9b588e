/**
 * Versions that hold late events back: up to which cut late events are a part of them. Functions over the catalog; no
 * state here.
 *
 * Such a version has every event up to its late cut T, and after it those that are not late. A batch moves T to its
 * own cut; a version that is built over history begins with a T too, so that what was late long ago is not held back
 * until its first batch. T never goes back, because rows that readers have seen would lose events.
 */

import type { CommitSeq, VersionId } from '../model/cut.ts'
import type { ViewPlan } from '../plan/plan.ts'
import type { Catalog } from './open-catalog.ts'

export function holdsLate(plan: Pick<ViewPlan, 'stages'>): boolean {
  return plan.stages.some(({ source }) => source.late === 'hold')
}

/** T of a version that holds late events back. */
export function lateCut(catalog: Catalog, view: string, version: VersionId): CommitSeq {
  const row = catalog.get('SELECT late_cut FROM versions WHERE view = ? AND version = ?', view, version)
  return Number(row?.late_cut ?? 0)
}

/** T, and by stream how many late events the log had counted there. */
export interface LateStand {
  readonly cut: CommitSeq
  readonly counts: Readonly<Record<string, number>>
}

export function lateStand(catalog: Catalog, view: string, version: VersionId): LateStand {
  const row = catalog.get(
    'SELECT late_cut, late_counts FROM versions WHERE view = ? AND version = ?',
    view,
    version,
  )
  const counts = JSON.parse(String(row?.late_counts ?? '{}')) as LateStand['counts']
  return { cut: Number(row?.late_cut ?? 0), counts }
}

/** The T on which a version stood when it stood at a cut: that of the last batch up to there. */
export function lateCutAt(catalog: Catalog, view: string, version: VersionId, cut: CommitSeq): CommitSeq {
  const row = catalog.get(
    `SELECT max(coalesce((SELECT min(late_from, ?3) FROM versions WHERE view = ?1 AND version = ?2), 0),
       coalesce((SELECT max(cut) FROM batches
         WHERE view = ?1 AND version = ?2 AND state = 'published' AND cut <= ?3), 0)) AS cut`,
    view,
    version,
    cut,
  )
  return Number(row?.cut ?? 0)
}

/** As `lateCutAt`, of batches that were published at or before a time: what readers had then. */
export function lateCutWhen(
  catalog: Catalog,
  at: { readonly view: string; readonly version: VersionId; readonly cut: CommitSeq },
  timeMs: number,
): CommitSeq {
  const { view, version, cut } = at
  const row = catalog.get(
    `SELECT max(coalesce((SELECT min(late_from, ?3) FROM versions WHERE view = ?1 AND version = ?2), 0),
       coalesce((SELECT max(cut) FROM batches
         WHERE view = ?1 AND version = ?2 AND state = 'published' AND cut <= ?3 AND ended_ms <= ?4), 0)) AS cut`,
    view,
    version,
    cut,
    timeMs,
  )
  return Number(row?.cut ?? 0)
}

/** The first published batch of a version that has a commit. */
export function batchThatTook(
  catalog: Catalog,
  view: string,
  version: VersionId,
  commit: CommitSeq,
): { readonly id: number; readonly cut: CommitSeq } | undefined {
  const row = catalog.get(
    `SELECT id, cut FROM batches WHERE view = ? AND version = ? AND state = 'published' AND cut >= ?
     ORDER BY cut, id LIMIT 1`,
    view,
    version,
    commit,
  )
  return row === undefined ? undefined : { id: Number(row.id), cut: Number(row.cut) }
}

/** What the published batches of a version took, oldest first: cuts, and how many late events the log had counted there. */
export function lateTakings(
  catalog: Catalog,
  view: string,
  version: VersionId,
): readonly (LateStand & { readonly id: number; readonly endedMs: number })[] {
  return catalog
    .all(
      `SELECT id, cut, ended_ms, promise FROM batches WHERE view = ? AND version = ? AND state = 'published' ORDER BY cut, id`,
      view,
      version,
    )
    .map((row) => ({
      id: Number(row.id),
      cut: Number(row.cut),
      endedMs: Number(row.ended_ms),
      counts: (JSON.parse(String(row.promise)) as { readonly late?: LateStand['counts'] }).late ?? {},
    }))
}

/** Up to this cut late events are a part of the version because it was built over them. */
export function builtUpTo(catalog: Catalog, view: string, version: VersionId): LateStand {
  const row = catalog.get(
    'SELECT late_from, late_from_counts FROM versions WHERE view = ? AND version = ?',
    view,
    version,
  )
  const counts = JSON.parse(String(row?.late_from_counts ?? '{}')) as LateStand['counts']
  return { cut: Number(row?.late_from ?? 0), counts }
}

/** A version that is built takes late events up to this cut like the others. */
export function beginLateCut(
  catalog: Catalog,
  view: string,
  version: VersionId,
  { cut, counts }: LateStand,
): void {
  catalog.run(
    `UPDATE versions SET late_from = ?1, late_cut = ?1, late_from_counts = ?2, late_counts = ?2
     WHERE view = ?3 AND version = ?4 AND late_cut < ?1`,
    cut,
    JSON.stringify(counts),
    view,
    version,
  )
}

/** Whether a slice holds what a version with this T has of the slice's range; slices of other versions always do. */
export function fitsLateCut(
  slice: { readonly from: CommitSeq; readonly to: CommitSeq; readonly lateAfter?: CommitSeq },
  cut: CommitSeq,
): boolean {
  if (slice.lateAfter === undefined) return true
  const within = (at: CommitSeq) => Math.max(slice.from, Math.min(slice.to, at))
  return within(slice.lateAfter) === within(cut)
}
