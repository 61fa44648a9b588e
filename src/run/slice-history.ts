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

/** Superseded slices may take so many times the space of the current ones, */
const SPACE_TIMES = 8
/** and this much in any case. */
const SPACE_BYTES = 256 << 20
const QUICK_MS_MIN = 60_000

/**
 * The superseded slices that are no longer worth their space. A view whose every seal is about as large as its whole
 * state would fill the disk within the limit; there the limit is halved until what stays is a few times the state.
 */
export function slicesToForget(
  history: VersionHistory,
  nowMs: number,
  quickMs: number,
): readonly KeptSlice[] {
  const superseded = history.slices.filter((slice) => slice.supersededMs !== null)
  const space = Math.max(SPACE_BYTES, SPACE_TIMES * (bytesOf(history.slices) - bytesOf(superseded)))
  let forgotten = forgottenBy(history, nowMs, quickMs)
  for (let limit = quickMs / 2; limit >= QUICK_MS_MIN; limit /= 2) {
    if (bytesOf(superseded) - bytesOf(forgotten) <= space) break
    forgotten = forgottenBy(history, nowMs, limit)
  }
  return forgotten
}

function bytesOf(slices: readonly SliceInfo[]): number {
  return slices.reduce((sum, slice) => sum + slice.bytes, 0)
}

function forgottenBy(
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
