/**
 * Finds the events on which a fold fails, by halving. No state.
 *
 * Most failures are an event's own: a value that a cast refuses fails in every range that has the event. Those are
 * found by halving the range and looking into each half that fails, all of them in one go, so that the work grows
 * with the number of bad events and not with that times the range. A failure may also need company, such as a sum
 * that overflows; then both halves fold alone, and the first position is sought whose range from the beginning on
 * fails. Either way leaving out what was found takes away the failure, or the next search finds more.
 */

import type { CommitRange } from '../model/cut.ts'
import { must } from '../std/assert.ts'
import type { EventPosition } from './engine.ts'

export interface FailingRange {
  readonly range: CommitRange
  /** Whether the events after one position, up to another, fold without failure. */
  folds(after: EventPosition, upTo: EventPosition): Promise<boolean>
  /** Commits of the range that hold events, ascending. */
  commits(range: CommitRange): Promise<readonly number[]>
  /** Indexes of a commit's events, ascending. */
  indexes(commit: number): Promise<readonly number[]>
}

/** As a position's index: all events of the commit. */
export const LAST_INDEX = 2 ** 31 - 1

/** Up to `limit` failing positions in order; empty when the whole range folds. */
export async function failingPositions(
  search: FailingRange,
  limit: number,
): Promise<readonly EventPosition[]> {
  const ends = (await search.commits(search.range)).map((commit) => ({ commit, index: LAST_INDEX }))
  const start = { commit: search.range.from, index: LAST_INDEX }
  const found: EventPosition[] = []
  for (const { since, step } of await failingStretches(search, start, ends, limit)) {
    const { commit } = step
    const indexes = (await search.indexes(commit)).map((index) => ({ commit, index }))
    const own = await failingStretches(search, { commit, index: -1 }, indexes, limit - found.length)
    // The commit alone folds: it fails in the company of what came before it in its stretch.
    const stretches = own.length > 0 ? own : [await firstInCompany(search, since, indexes)]
    found.push(...stretches.map((stretch) => stretch.step))
    if (found.length >= limit) break
  }
  return found
}

/** The events after `since` up to `step` fail, and those up to the step before do not. */
interface Stretch {
  readonly since: EventPosition
  readonly step: EventPosition
}

/** The stretches at whose last step the fold fails; none if the whole folds. */
async function failingStretches(
  search: FailingRange,
  since: EventPosition,
  steps: readonly EventPosition[],
  limit: number,
): Promise<Stretch[]> {
  const last = steps.at(-1)
  if (limit <= 0 || last === undefined || (await search.folds(since, last))) return []
  if (steps.length === 1) return [{ since, step: last }]
  const middle = steps.length >> 1
  const border = must(steps[middle - 1], 'a half has a last step')
  const left = await failingStretches(search, since, steps.slice(0, middle), limit)
  const right = await failingStretches(search, border, steps.slice(middle), limit - left.length)
  return left.length + right.length > 0 ? [...left, ...right] : [await firstInCompany(search, since, steps)]
}

/** The first step such that everything after `since` up to it fails. */
async function firstInCompany(
  search: FailingRange,
  since: EventPosition,
  steps: readonly EventPosition[],
): Promise<Stretch> {
  let good = 0
  let bad = steps.length
  while (bad - good > 1) {
    const middle = (good + bad) >> 1
    if (await search.folds(since, must(steps[middle - 1], 'the middle is a step'))) good = middle
    else bad = middle
  }
  return { since, step: must(steps[bad - 1], 'there are steps') }
}
