/**
 * The event with which two versions first differ at all: the commit is found by halving the history, each half judged
 * by comparing both versions at its end; within that commit it is the first of the rows that differ there. No state.
 *
 * What is found: at the commit before, all rows are equal. Where versions differ, agree again and differ once more, it
 * may be any of these places.
 */

import type { CompareSummary, NamedEvent } from '../../deploy/types.ts'
import type { CommitSeq } from '../../model/cut.ts'
import type { ServerContext } from '../context.ts'
import { compareVersions } from './compare-versions.ts'
import { withFirstEvents } from './first-difference.ts'

/** Rows that differ at the first cut, of which the events are looked at. */
const ROWS = 20

/** Undefined when no event is found, such as where the versions differ before any. */
export async function earliestDifference(
  context: ServerContext,
  { view, from, to, cut, pairing }: CompareSummary,
  signal: AbortSignal,
): Promise<NamedEvent | undefined> {
  if (pairing === 'rows') return undefined
  const at = async (commit: CommitSeq): Promise<CompareSummary> =>
    await compareVersions(context, {
      ...{ view, from, to, cut: commit, expect: [], folded: false, sampleRows: ROWS, signal },
    })
  let [low, high] = [1, cut]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const { changed, added, removed } = await at(middle)
    if (changed + added + removed > 0) high = middle
    else low = middle + 1
  }
  const { sample } = await withFirstEvents(context, await at(low), ROWS, signal)
  const events = sample.flatMap(({ first }) => first ?? [])
  return events.sort((a, b) => a.commit - b.commit || a.index - b.index)[0]
}
