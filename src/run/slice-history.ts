/**
 * Which slices of the past are kept. Pure.
 *
 * A slice that a merge took the place of is kept for a while, so that answers as of then are quick. What is older is
 * thinned: of the borders whose age lies between the limit and twice the limit one is kept, the oldest, of those
 * between twice and four times one, and so on. So an answer of any age folds events of about twice its own age at
 * most, and the number of kept states grows with the logarithm of the time. Bases are never let go.
 */

import type { SliceInfo } from '../engine/engine.ts'
import type { CommitSeq } from '../model/cut.ts'
import { sliceChain } from './slice-chain.ts'

export interface KeptSlice extends SliceInfo {
  readonly supersededMs: number | null
  readonly publishedMs: number
  readonly base: boolean
}

export interface VersionHistory {
  readonly slices: readonly KeptSlice[]
  /** Names of the parts that a range needs to be whole. */
  readonly parts: readonly string[]
  readonly start: CommitSeq
}

/** The superseded slices that are no longer worth their space. */
export function slicesToForget(
  { slices, parts, start }: VersionHistory,
  nowMs: number,
  quickMs: number,
): readonly KeptSlice[] {
  const isOld = (slice: KeptSlice) =>
    slice.supersededMs !== null && !slice.base && nowMs - slice.supersededMs >= quickMs
  if (!slices.some(isOld)) return []
  const kept = new Set<SliceInfo>()
  for (const border of bordersToKeep(bordersOf(slices), nowMs, quickMs)) {
    const chain = sliceChain(slices, parts, start, border)
    if (chain.border === border) for (const slice of chain.slices) kept.add(slice)
  }
  return slices.filter((slice) => isOld(slice) && !kept.has(slice))
}

interface Border {
  readonly cut: CommitSeq
  readonly timeMs: number
}

/** Of all borders older than the limit the oldest of each stretch of ages, each stretch twice as long as the one before. */
export function bordersToKeep(
  borders: readonly Border[],
  nowMs: number,
  quickMs: number,
): readonly CommitSeq[] {
  const oldest = new Map<number, Border>()
  for (const border of borders) {
    const age = nowMs - border.timeMs
    if (age < quickMs) continue
    const stretch = Math.floor(Math.log2(age / quickMs))
    const known = oldest.get(stretch)
    if (known === undefined || border.cut < known.cut) oldest.set(stretch, border)
  }
  return [...oldest.values()].map(({ cut }) => cut)
}

/** A border is as old as the first slice that was published with it. */
function bordersOf(slices: readonly KeptSlice[]): readonly Border[] {
  const times = new Map<CommitSeq, number>()
  for (const { to, publishedMs } of slices) times.set(to, Math.min(publishedMs, times.get(to) ?? publishedMs))
  return [...times].map(([cut, timeMs]) => ({ cut, timeMs }))
}
