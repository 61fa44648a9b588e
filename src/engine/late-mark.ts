/** Which late events a view leaves out, and what its slices say of it. Pure. */

import type { CommitRange, CommitSeq } from '../model/cut.ts'
import type { EngineView, SliceInfo } from './engine.ts'
import { soleStage } from './merged-relation.ts'

/** The cut after which the view leaves late events out; undefined: it takes all events. */
export function lateAfter({
  plan,
  batch = 0,
  lateCut = 0,
}: Pick<EngineView, 'plan' | 'batch' | 'lateCut'>): CommitSeq | undefined {
  return soleStage(plan).source.late === 'hold' ? Math.max(batch, lateCut) : undefined
}

/** Of a slice over this range. */
export function lateMark(
  view: Pick<EngineView, 'plan' | 'batch' | 'lateCut'>,
  { from, to }: CommitRange,
): Pick<SliceInfo, 'lateAfter'> {
  const after = lateAfter(view)
  return after === undefined ? {} : { lateAfter: Math.max(from, Math.min(to, after)) }
}
