/** What a read of the past costs, said before it runs: the slices it begins with and the events it folds. No state. */

import { lakeManifest } from '../../catalog/lake.ts'
import { measuredBuilds } from '../../catalog/measured-builds.ts'
import { estimateBuild } from '../../deploy/plan-estimate.ts'
import { streamHistory } from '../../deploy/stream-history.ts'
import type { BuildEstimate } from '../../deploy/types.ts'
import type { ViewRead } from '../../engine/engine.ts'
import type { CommitSeq } from '../../model/cut.ts'
import type { Moment, PastCost } from '../../serve/core.ts'
import type { ServerContext } from '../context.ts'
import { pointAt, stateOfView, versionNamed } from './past-reads.ts'

/** So many of the builds before decide the rate. */
const BUILDS_KEPT_IN_MIND = 20

export async function pastCost(
  context: ServerContext,
  request: Pick<ViewRead, 'view' | 'version'>,
  moment: Moment,
): Promise<PastCost> {
  const { view } = request
  const point = await pointAt(context, moment, context.serving())
  const pinned = request.version === undefined ? undefined : versionNamed(context, view, request.version)
  const state = stateOfView(context, view, pinned, point)
  const { version, cut, border, slices, plan } = state
  const estimate = estimateOf(context, plan.streams[0] ?? '', border, cut)
  const sum = (of: 'rows' | 'bytes') => slices.reduce((total, slice) => total + slice[of], 0)
  return {
    view,
    version,
    cut,
    slices: { files: slices.length, rows: sum('rows'), bytes: sum('bytes'), through: border },
    events: estimate.events,
    bytes: estimate.bytes,
    seconds: estimate.seconds,
    basis: estimate.basis,
  }
}

/** The fold of the events in (border, cut], as if it were a build. */
function estimateOf(
  context: ServerContext,
  stream: string,
  border: CommitSeq,
  cut: CommitSeq,
): BuildEstimate {
  const sources = { log: context.log.manifest(), lake: lakeManifest(context.catalog) }
  const pieces = streamHistory(sources, stream).flatMap((piece) => {
    const to = Math.min(piece.to, cut)
    if (to <= piece.from) return []
    const share = (to - piece.from) / (piece.to - piece.from)
    return [{ from: piece.from, to, events: piece.events * share, bytes: piece.bytes * share }]
  })
  const measured = measuredBuilds(context.catalog, BUILDS_KEPT_IN_MIND)
  return estimateBuild({ pieces, sealed: border, measured, inputRate: 0, sliceBytesPerEvent: 0 })
}
