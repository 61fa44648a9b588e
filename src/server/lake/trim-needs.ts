/**
 * Who needs the events of a stream up to a cut: every version over the stream that is on its way, answers, is warm,
 * or was ever live according to the journal, because what it reported can be asked for again. No state.
 */

import { everLive } from '../../catalog/journal.ts'
import { fitsLateCut, holdsLate, lateCut } from '../../catalog/late-cuts.ts'
import type { Catalog } from '../../catalog/open-catalog.ts'
import { pastSlicesOf } from '../../catalog/slices.ts'
import { type VersionRow, type VersionState, versions } from '../../catalog/versions.ts'
import type { CommitSeq, VersionId } from '../../model/cut.ts'
import { partNames } from '../../plan/queries.ts'
import { type SliceChain, sliceChain } from '../../run/slice-chain.ts'

export interface TrimNeed {
  readonly view: string
  readonly version: VersionId
  readonly state: VersionState
  /**
   * What stands for the events: `base` if the version's slices end at the cut and are flagged already, `slices` if
   * they end there, `fold` if the last events up to the cut have to be folded first.
   */
  readonly by: 'base' | 'slices' | 'fold'
}

/** Versions whose history begins before the cut and that somebody may ask for. */
export function versionsOver(catalog: Catalog, stream: string, cut: CommitSeq): readonly VersionRow[] {
  const reported = everLive(catalog)
  return versions(catalog).filter(
    ({ view, version, plan, start, state }) =>
      plan.streams.includes(stream) &&
      start < cut &&
      ((state !== 'retired' && state !== 'failed') || reported.get(view)?.has(version) === true),
  )
}

export function trimNeed(catalog: Catalog, row: VersionRow, cut: CommitSeq): TrimNeed {
  const { view, version, state } = row
  const flagged = chainTo(catalog, row, cut, { basesOnly: true })
  const by = flagged.border === cut ? 'base' : chainTo(catalog, row, cut).border === cut ? 'slices' : 'fold'
  return { view, version, state, by }
}

/** The version's slices, superseded ones too, that come nearest to the cut. */
export function chainTo(
  catalog: Catalog,
  row: VersionRow,
  cut: CommitSeq,
  options: { readonly basesOnly?: boolean; readonly damaged?: ReadonlySet<string> } = {},
): SliceChain {
  const stage = row.plan.stages[0]
  const late = holdsLate(row.plan) ? lateCut(catalog, row.view, row.version) : undefined
  const usable = pastSlicesOf(catalog, row.view, row.version).filter(
    (slice) =>
      (options.basesOnly !== true || slice.base) &&
      options.damaged?.has(slice.path) !== true &&
      (late === undefined || fitsLateCut(slice, late)),
  )
  return sliceChain(usable, stage === undefined ? [] : partNames(stage), row.start, cut)
}

/** Retired versions need nothing any more when their slices say what they were at the cut. */
export function needsPromotion({ state, by }: TrimNeed): boolean {
  if (by === 'base') return false
  return by === 'fold' || (state !== 'retired' && state !== 'failed')
}
