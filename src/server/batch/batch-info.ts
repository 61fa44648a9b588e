/** A batch as people see it. Pure. */

import type { BatchRow } from '../../catalog/batches.ts'
import { utcText } from '../../model/utc-text.ts'
import type { BatchInfo } from '../../serve/core-batches.ts'

export function batchInfo(row: BatchRow): BatchInfo {
  const { id, view, version, state, cut, from, promise, events, foldMs, divergence, reason } = row
  const watermarks = Object.fromEntries(
    Object.entries(promise.watermarksUs).map(([stream, us]) => [stream, utcText(us)]),
  )
  return {
    ...{ id, view, version, state, from, events, foldMs, divergence, reason },
    cut: cut === 0 ? null : cut,
    promise: { offsets: promise.offsets, watermarks },
    startedAt: new Date(row.startedMs).toISOString(),
    endedAt: row.endedMs === null ? null : new Date(row.endedMs).toISOString(),
  }
}
