/** Slices as the unit that is merged and folded again: all parts of one range. Pure. */

import type { SliceInfo } from '../engine/engine.ts'

/** Slices of all parts, grouped by their range, in the order of the log. */
export function slicesByRange(slices: readonly SliceInfo[]): readonly (readonly SliceInfo[])[] {
  const ranges = new Map<string, SliceInfo[]>()
  for (const slice of slices) {
    const key = `${slice.from}-${slice.to}`
    const group = ranges.get(key)
    if (group === undefined) ranges.set(key, [slice])
    else group.push(slice)
  }
  return [...ranges.values()].sort((a, b) => (a[0]?.from ?? 0) - (b[0]?.from ?? 0))
}
