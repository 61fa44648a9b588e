/** Where the batch layer of a view stands, and what is to be told of it. Functions over catalog and history; no state. */

import { type BatchRow, batchCut, batchesAfter, newestBatch } from '../../catalog/batches.ts'
import type { LambdaDef } from '../../define/types.ts'
import type { CommitSeq, VersionId } from '../../model/cut.ts'
import { type BatchAlarm, batchAlarms } from '../../run/lambda.ts'
import type { ServerContext } from '../context.ts'

/** Age of the oldest event that the batch layer does not hold; 0 when it holds all, or there is none yet. */
export function spanMs({ history, clock, log }: ServerContext, published: BatchRow | undefined): number {
  if (published === undefined || log.state().cut.commit <= published.cut) return 0
  const nowMs = clock.nowMs()
  // After a restart the history may begin after T: then the time of T's own commit is the nearest that is known.
  const isKnown = history.at(published.cut) !== undefined
  return isKnown ? history.lagMs(published.cut, nowMs) : Math.max(0, nowMs - published.promise.timeMs)
}

/** Events of the version's streams after T, in offsets of its partitions. */
export function eventsSince(
  { log }: ServerContext,
  streams: readonly string[],
  published: BatchRow | undefined,
): number {
  const { offsets } = log.state().cut
  const total = (vector: Readonly<Record<string, readonly number[]>>) =>
    streams.reduce((sum, stream) => sum + (vector[stream] ?? []).reduce((a, b) => a + b, 0), 0)
  return total(offsets) - total(published?.promise.offsets ?? {})
}

/** Rows that differ and should not: late events that were held and approximate columns are what the view says. */
function unexpectedRows({ divergence, comparison }: BatchRow): number | null {
  if (divergence === null || comparison === null) return divergence
  const { late = 0, approximate = 0 } = comparison.causes
  return divergence - late - approximate
}

export interface LayerInfo {
  readonly cut: CommitSeq
  /** The last batch of the version that was published. */
  readonly published: BatchRow | undefined
  readonly spanMs: number
  readonly alarms: readonly BatchAlarm[]
}

export function layerInfo(
  context: ServerContext,
  view: string,
  version: VersionId,
  run: LambdaDef,
): LayerInfo {
  const { catalog, clock } = context
  const published = newestBatch(catalog, view, ['published'], version)
  const after = batchesAfter(catalog, view, published?.id ?? 0)
  const span = spanMs(context, published)
  const timeOf = ({ endedMs, startedMs }: BatchRow) => endedMs ?? startedMs
  const alarms = batchAlarms(run, {
    view,
    nowMs: clock.nowMs(),
    spanMs: span,
    failed: after
      .filter(({ state }) => state === 'failed')
      .map((batch) => ({ timeMs: timeOf(batch), reason: batch.reason })),
    skipped: after.filter(({ state }) => state === 'skipped').map((batch) => ({ timeMs: batch.startedMs })),
    published:
      published === undefined
        ? undefined
        : { timeMs: timeOf(published), divergence: unexpectedRows(published) },
  })
  return { cut: batchCut(catalog, view, version), published, spanMs: span, alarms }
}
