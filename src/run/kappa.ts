/**
 * Kappa as a policy: when the tail is sealed, which slices are merged next, when the open segment is rolled and when
 * closed segments move to the lake. Pure functions over what the server measured; who acts on them is `server/`.
 */

export interface SealPolicy {
  /** Partial rows in memory. */
  readonly rows: number
  /** Bytes of the log that a restart would fold again. */
  readonly bytes: number
  /** Age of the oldest event that no slice covers. */
  readonly ageMs: number
}

export interface TailState {
  readonly rows: number
  readonly bytes: number
  readonly ageMs: number
  /** Commits that no slice covers; without any there is nothing to seal. */
  readonly commits: number
}

export function shouldSeal(policy: SealPolicy, tail: TailState): boolean {
  if (tail.commits === 0) return false
  return tail.rows >= policy.rows || tail.bytes >= policy.bytes || tail.ageMs >= policy.ageMs
}

/** Up to this many slices nothing is merged. */
export const SLICES_FREE = 4
/** Fewer than this are not worth a worker. */
const MERGE_MIN = 4
/** A view may keep one slice more for each time that its size grew by this factor. */
const GROWTH = 4

/**
 * Chooses which adjacent slices are merged next, given their sizes from the oldest to the newest, or says that there
 * are few enough. Of all runs it takes the one that rewrites the least for each slice that goes: small neighbours
 * first, so that a row is rewritten about once for each time that the view grows by a factor. Sizes must be positive.
 */
export function chooseMerge(
  sizes: readonly number[],
): { readonly first: number; readonly count: number } | undefined {
  if (sizes.length <= slicesMax(sizes)) return undefined
  let best: { first: number; count: number; cost: number } | undefined
  for (let first = 0; first + MERGE_MIN <= sizes.length; first++) {
    let total = 0
    for (let end = first; end < sizes.length; end++) {
      total += sizes[end] ?? 0
      const count = end - first + 1
      if (count < MERGE_MIN) continue
      const cost = total / (count - 1)
      // Of equally cheap runs the newest: old slices are the large ones, and stay.
      if (best === undefined || cost <= best.cost) best = { first, count, cost }
    }
  }
  return best === undefined ? undefined : { first: best.first, count: best.count }
}

/** How many slices a view of this size may have: 4, and one for each fourfold growth over its smallest slice. */
export function slicesMax(sizes: readonly number[]): number {
  const total = sizes.reduce((sum, size) => sum + size, 0)
  const smallest = sizes.reduce((least, size) => Math.min(least, size), Number.POSITIVE_INFINITY)
  if (sizes.length === 0 || smallest <= 0) return SLICES_FREE
  const growth = total / (smallest * SLICES_FREE)
  return SLICES_FREE + Math.max(0, Math.floor(Math.log(growth) / Math.log(GROWTH)))
}

export interface SegmentPolicy {
  /** The log closes its open segment when that reaches this size, */
  readonly rollBytes: number
  /** or when its first event is this old. */
  readonly rollAgeMs: number
  /** Closed segments move to the lake when together they reach this size, */
  readonly moveBytes: number
  /** or when the oldest of them was closed this long ago. */
  readonly moveAgeMs: number
  /** At most this much in one job; a segment that is larger goes alone. */
  readonly jobBytes: number
}

export const segmentPolicy: SegmentPolicy = {
  rollBytes: 128 << 20,
  rollAgeMs: 10 * 60_000,
  moveBytes: 512 << 20,
  moveAgeMs: 60_000,
  jobBytes: 1 << 30,
}

export interface ClosedSegment {
  readonly bytes: number
  /** How long it has been closed. */
  readonly ageMs: number
}

/** How many of the closed segments, from the oldest on, move to the lake now. */
export function segmentsToMove(policy: SegmentPolicy, closed: readonly ClosedSegment[]): number {
  const total = closed.reduce((sum, segment) => sum + segment.bytes, 0)
  const oldest = closed[0]
  if (oldest === undefined || (total < policy.moveBytes && oldest.ageMs < policy.moveAgeMs)) return 0
  let bytes = 0
  for (const [index, segment] of closed.entries()) {
    bytes += segment.bytes
    if (bytes > policy.jobBytes) return Math.max(1, index)
  }
  return closed.length
}

/** A bulk fold over a long range is done in parts of about this many events, each published when it is there. */
export const FOLD_EVENTS = 50_000_000

/** Divides a range at borders (of lake files or segments) into parts of at most about `eventsMax` events. */
export function foldRanges(
  from: number,
  to: number,
  borders: readonly { readonly to: number; readonly events: number }[],
  eventsMax: number = FOLD_EVENTS,
): readonly { readonly from: number; readonly to: number }[] {
  const ranges: { from: number; to: number }[] = []
  let start = from
  let events = 0
  for (const border of borders) {
    if (border.to <= from || border.to >= to) continue
    if (border.to > start && events > 0 && events + border.events > eventsMax) {
      const last = borders.filter((earlier) => earlier.to < border.to && earlier.to > start).at(-1)
      if (last !== undefined) {
        ranges.push({ from: start, to: last.to })
        start = last.to
        events = 0
      }
    }
    events += border.events
  }
  if (start < to) ranges.push({ from: start, to })
  return ranges
}
