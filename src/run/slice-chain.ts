/**
 * Chooses the slices from which a state of the past is made. Pure.
 *
 * Of slices of a version over the same range, superseded or not, each is as good as the others, since merging is
 * associative. So a state at a cut begins with a chain of slices from the version's start to the latest border at or
 * before the cut, for an event that need not be folded again saves most; of several such chains it takes the one with
 * the fewest bytes.
 */

import type { SliceInfo } from '../engine/engine.ts'
import type { CommitSeq } from '../model/cut.ts'

export interface SliceChain {
  readonly slices: readonly SliceInfo[]
  /** Cut that the chain reaches; the version's start when there is no slice. */
  readonly border: CommitSeq
}

/** `parts` are the names of the parts that a range needs to be whole. */
export function sliceChain(
  slices: readonly SliceInfo[],
  parts: readonly string[],
  start: CommitSeq,
  cut: CommitSeq,
): SliceChain {
  const ranges = wholeRanges(slices, parts, start, cut)
  const cheapest = new Map<CommitSeq, { readonly bytes: number; readonly last: Range | undefined }>()
  cheapest.set(start, { bytes: 0, last: undefined })
  let border = start
  // Ranges come in the order of their beginnings, so whatever leads to one has been looked at before it.
  for (const range of ranges) {
    const before = cheapest.get(range.from)
    if (before === undefined) continue
    const bytes = before.bytes + range.bytes
    const known = cheapest.get(range.to)
    if (known === undefined || bytes < known.bytes) cheapest.set(range.to, { bytes, last: range })
    border = Math.max(border, range.to)
  }
  const chain: SliceInfo[] = []
  for (let at = border; at !== start; ) {
    const last = cheapest.get(at)?.last
    if (last === undefined) break
    chain.unshift(...last.slices)
    at = last.from
  }
  return { slices: chain, border }
}

interface Range {
  readonly from: CommitSeq
  readonly to: CommitSeq
  readonly slices: readonly SliceInfo[]
  readonly bytes: number
}

/** The ranges within (start, cut] of which every part is there, by their beginning. */
function wholeRanges(
  slices: readonly SliceInfo[],
  parts: readonly string[],
  start: CommitSeq,
  cut: CommitSeq,
): readonly Range[] {
  const byRange = new Map<string, Map<string, SliceInfo>>()
  for (const slice of slices) {
    if (slice.from < start || slice.to > cut || slice.to <= slice.from) continue
    const key = `${slice.from}-${slice.to}`
    const known = byRange.get(key) ?? new Map<string, SliceInfo>()
    known.set(slice.part, slice)
    byRange.set(key, known)
  }
  return [...byRange.values()]
    .filter((found) => parts.every((part) => found.has(part)))
    .map((found) => {
      const whole = parts.flatMap((part) => found.get(part) ?? [])
      const { from, to } = whole[0] as SliceInfo
      return { from, to, slices: whole, bytes: whole.reduce((sum, slice) => sum + slice.bytes, 0) }
    })
    .sort((a, b) => a.from - b.from || a.to - b.to)
}
