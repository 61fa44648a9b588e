/** A plan that holds late events back: its stages say so, and its stream must have late events at all. Pure. */

import { type ErrorPlace, RefoldError } from '../model/errors.ts'
import type { StreamDef } from '../model/schema.ts'
import type { ViewPlan } from './plan.ts'

export function heldPlan(plan: ViewPlan): ViewPlan {
  return {
    ...plan,
    stages: plan.stages.map((stage) => ({ ...stage, source: { ...stage.source, late: 'hold' } })),
  }
}

/** Why nothing could be held back as it was meant. */
export function holdMistakes(
  view: string,
  plan: Pick<ViewPlan, 'streams'>,
  streams: readonly StreamDef[],
  place: ErrorPlace,
): readonly RefoldError[] {
  return streams
    .filter(({ name }) => plan.streams.includes(name))
    .flatMap(({ name, time, latenessMs }) => {
      if (time === undefined) {
        const fact = `view "${view}" holds late events back, but stream "${name}" has no event time`
        return [new RefoldError('VIEW_LATE', fact, { place, hint: `Give stream "${name}" \`time\`.` })]
      }
      if (latenessMs > 0) return []
      const fact = `view "${view}" holds late events back, but stream "${name}" states no lateness: whatever is out of order would be held`
      return [
        new RefoldError('VIEW_LATE', fact, { place, hint: `Give stream "${name}" e.g. lateness: '10m'.` }),
      ]
    })
}
