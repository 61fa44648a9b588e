/**
 * How much of a stream lies where in the log: pieces of lake files and hot segments with their events, and how a
 * replay over them is divided into ranges. Pure. Within one piece events are taken to be spread evenly over commits.
 */

import type { LogSources } from '../engine/engine.ts'
import type { CommitRange, CommitSeq } from '../model/cut.ts'
import { foldRanges } from '../run/kappa.ts'

export interface HistoryPiece extends CommitRange {
  readonly events: number
  readonly bytes: number
}

/** In order, without overlap; where a stream has no events there is no piece. */
export function streamHistory({ lake, log }: LogSources, stream: string): readonly HistoryPiece[] {
  const cold = lake.files
    .filter((file) => file.stream === stream)
    .map(({ from, to, rows, bytes }) => ({ from, to, events: rows, bytes }))
  const hot = log.segments
    .filter((segment) => segment.last > lake.through && (segment.events[stream] ?? 0) > 0)
    .map((segment) => {
      const events = segment.events[stream] ?? 0
      const all = Object.values(segment.events).reduce((sum, count) => sum + count, 0)
      const bytes = Math.round((segment.bytes * events) / all)
      return { from: segment.base, to: segment.last, events, bytes }
    })
  return [...cold, ...hot].sort((a, b) => a.from - b.from)
}

/** Events and bytes of a range. */
export function sizeOf(
  history: readonly HistoryPiece[],
  range: CommitRange,
): { readonly events: number; readonly bytes: number } {
  let events = 0
  let bytes = 0
  for (const piece of history) {
    const within = Math.min(piece.to, range.to) - Math.max(piece.from, range.from)
    if (within <= 0) continue
    const share = within / (piece.to - piece.from)
    events += piece.events * share
    bytes += piece.bytes * share
  }
  return { events: Math.round(events), bytes: Math.round(bytes) }
}

/** Divides a range into parts of about `eventsMax` events at most, at ends of files and segments where that serves. */
export function replayRanges(
  history: readonly HistoryPiece[],
  range: CommitRange,
  eventsMax: number,
): readonly CommitRange[] {
  const borders: { to: CommitSeq; events: number }[] = []
  for (const piece of history) {
    const commits = piece.to - piece.from
    const count = Math.max(1, Math.min(commits, Math.ceil(piece.events / eventsMax)))
    for (let part = 1; part <= count; part++) {
      borders.push({
        to: piece.from + Math.round((commits * part) / count),
        events: piece.events / count,
      })
    }
  }
  return foldRanges(range.from, range.to, borders, eventsMax)
}
