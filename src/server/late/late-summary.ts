/** What `refold.late` shows: of each view its late events by stretches of commits, and what became of them. No state. */

import { builtUpTo, holdsLate, lateStand, lateTakings } from '../../catalog/late-cuts.ts'
import { readVersion, serving, type VersionRow } from '../../catalog/versions.ts'
import type { CommitSeq } from '../../model/cut.ts'
import type { LateEvent } from '../../serve/core-late.ts'
import type { ServerContext } from '../context.ts'

export interface LateStretch {
  readonly view: string
  readonly version: string
  readonly stream: string
  readonly late: 'hold' | 'correct'
  readonly state: LateEvent['state']
  /** Commits (from, to]. */
  readonly from: CommitSeq
  readonly to: CommitSeq
  readonly events: number
  readonly batch: number | null
  readonly takenMs: number | null
}

/** Of views that hold late events back a stretch for each batch, then what is held; of others one for all. */
export function lateStretches(context: ServerContext): readonly LateStretch[] {
  const { catalog, history, supervisor } = context
  return Object.entries(serving(catalog)).flatMap(([view, version]) => {
    const row = readVersion(catalog, view, version)
    const stream = row?.plan.streams[0]
    if (row === undefined || stream === undefined) return []
    if (context.streams().find(({ name }) => name === stream)?.time === undefined) return []
    const to = supervisor.viewProgress(view, version)?.cut ?? row.sealed
    const counted = history.at(to)?.late?.[stream] ?? 0
    return stretchesOf(context, row, stream, { to, counted })
  })
}

function stretchesOf(
  { catalog }: ServerContext,
  { view, version, plan }: VersionRow,
  stream: string,
  { to, counted }: { readonly to: CommitSeq; readonly counted: number },
): readonly LateStretch[] {
  const common = { view, version, stream }
  if (!holdsLate(plan)) {
    return [
      {
        ...common,
        late: 'correct',
        state: 'corrected',
        from: 0,
        to,
        events: counted,
        batch: null,
        takenMs: null,
      },
    ]
  }
  const stretches: LateStretch[] = []
  const built = builtUpTo(catalog, view, version)
  let [from, before] = [built.cut, built.counts[stream] ?? 0]
  if (built.cut > 0) {
    const whole = { from: 0, to: built.cut, events: before, batch: null, takenMs: null }
    stretches.push({ ...common, late: 'hold', state: 'built', ...whole })
  }
  for (const { id, cut, counts, endedMs } of lateTakings(catalog, view, version)) {
    const events = (counts[stream] ?? 0) - before
    stretches.push({
      ...common,
      ...{ late: 'hold', state: 'batch', from, to: cut, events, batch: id, takenMs: endedMs },
    })
    ;[from, before] = [cut, counts[stream] ?? 0]
  }
  const stand = lateStand(catalog, view, version)
  const held = to > stand.cut ? counted - (stand.counts[stream] ?? 0) : 0
  return [
    ...stretches,
    {
      ...common,
      ...{ late: 'hold', state: 'held', from: stand.cut, to, events: held, batch: null, takenMs: null },
    },
  ]
}
