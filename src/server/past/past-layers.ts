/**
 * Where the batch layer of a version ended at a moment of the past, and each of its layers as it was then. No state.
 *
 * What was reported says its T itself, because an answer shows rows that depend on it where late events are held back,
 * where there are two definitions, or where a layer was read by itself. Of other moments it is the last batch that was
 * published by then.
 */

import { builtUpTo, holdsLate, lateCutWhen } from '../../catalog/late-cuts.ts'
import { runOf } from '../../catalog/runs.ts'
import { readVersion } from '../../catalog/versions.ts'
import type { LayerName } from '../../engine/engine.ts'
import type { PastState } from '../../engine/past.ts'
import type { CommitSeq, VersionId } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import type { ServerContext } from '../context.ts'
import type { PastPoint } from './past-reads.ts'

export interface PastVersion {
  readonly view: string
  readonly version: VersionId
  readonly cut: CommitSeq
}

type Point = Pick<PastPoint, 'us' | 'batches'>

/** SQL that may name a layer. */
export function namesLayers(sql: string): boolean {
  return /\b(batch|speed)"?\s*\./i.test(sql)
}

/** Up to where a version took every event; undefined where its rows do not depend on it, or nothing is known of it. */
export function lateCutOf(
  { catalog }: Pick<ServerContext, 'catalog'>,
  wanted: PastVersion,
  { us, batches }: Point,
): CommitSeq | undefined {
  const { view, version, cut } = wanted
  const plan = readVersion(catalog, view, version)?.plan
  const isHeld = plan !== undefined && holdsLate(plan)
  if (!isHeld && plan?.batch === undefined) return undefined
  if (batches !== undefined) {
    const built = isHeld ? Math.min(builtUpTo(catalog, view, version).cut, cut) : 0
    return Math.max(built, batches[view] ?? 0)
  }
  return us === undefined ? undefined : lateCutWhen(catalog, wanted, Math.floor(us / 1000))
}

/** One layer as it was. Throws VIEW_NO_LAYERS, VIEW_NO_BATCH. */
export function layerState(
  context: ServerContext,
  wanted: PastVersion,
  point: Point,
  layer: LayerName,
): PastState {
  const { view, version, cut } = wanted
  const batch = layerCutOf(context, wanted, point)
  if (batch === undefined) {
    throw new RefoldError('VIEW_NO_LAYERS', `view "${view}" had no ${layer} layer: it did not run as lambda`)
  }
  if (layer === 'speed') return context.past.stateAt(view, version, cut, { lateCut: batch, after: batch })
  if (batch > 0) return context.past.stateAt(view, version, batch, { lateCut: batch })
  throw new RefoldError('VIEW_NO_BATCH', `no batch of view "${view}" had been published`)
}

/** T; 0 for a view that runs as lambda and had no batch then; undefined: it had no layers. */
function layerCutOf(
  { catalog }: ServerContext,
  { view, version, cut }: PastVersion,
  { us, batches }: Point,
): CommitSeq | undefined {
  const none = runOf(catalog, view).kind === 'lambda' ? 0 : undefined
  if (batches !== undefined) return batches[view] ?? none
  const row = catalog.get(
    `SELECT max(cut) AS cut FROM batches
     WHERE view = ? AND version = ? AND state = 'published' AND cut <= ? AND ended_ms <= ?`,
    view,
    version,
    cut,
    us === undefined ? Number.MAX_SAFE_INTEGER : Math.floor(us / 1000),
  )
  return row?.cut === null || row?.cut === undefined ? none : Number(row.cut)
}
