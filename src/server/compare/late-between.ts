/**
 * Which of the events between two reports of a view are late, as states of the past engine. Pure, but for the watermark.
 *
 * A view that takes late events at once: those that lie before the watermark that its stream had at the first report.
 * One that holds them back: those that batches took between the reports, each late by the watermark of its own commit;
 * they may have come long before the first report.
 */

import type { PastState } from '../../engine/past.ts'
import type { CommitRange } from '../../model/cut.ts'
import { quoteIdentifier } from '../../model/schema.ts'
import { heldPlan } from '../../plan/hold-late.ts'
import { countingState } from './counting-state.ts'

export interface LateBetween {
  /** The first report with the late events added. */
  readonly added: PastState
  /** Relations `counted_late` and `counted_new`, with one column `n` each. */
  readonly counted: Readonly<Record<'counted_late' | 'counted_new', PastState>>
}

/** Of a view that takes late events at once; nothing is late without a watermark. */
export function lateAtOnce(
  first: PastState,
  arrived: PastState,
  field: string | undefined,
  watermarkUs: number | undefined,
): LateBetween {
  const between = { from: first.cut, to: arrived.cut }
  const fields = field === undefined ? [] : [field]
  const isLate =
    field === undefined || watermarkUs === undefined
      ? 'false'
      : `coalesce(${quoteIdentifier(field)} < make_timestamp(${watermarkUs}), false)`
  const counted = {
    counted_late: countWhere(arrived, between, fields, isLate),
    counted_new: countWhere(arrived, between, fields, `NOT ${isLate}`),
  }
  if (field === undefined || watermarkUs === undefined || first.cut === arrived.cut)
    return { added: first, counted }
  const lateOnly = { field, after: first.cut, beforeUs: watermarkUs }
  return { added: { ...first, cut: arrived.cut, skipped: arrived.skipped, lateOnly }, counted }
}

/**
 * Of a view that holds late events back. `base` is the first report by slices that end at its batch's cut at the
 * latest, so that what that batch had not can be folded after them.
 */
export function lateByBatches(base: PastState, arrived: PastState): LateBetween {
  const [before, after] = [base.batch?.cut ?? 0, arrived.batch?.cut ?? 0]
  const taken = { from: before, to: Math.max(before, after) }
  const between = { from: base.cut, to: arrived.cut }
  const fresh = countWhere(arrived, between, [], 'true')
  return {
    added: taken.to > taken.from ? { ...base, skipped: arrived.skipped, alsoLate: taken } : base,
    counted: {
      counted_late: { ...countWhere(arrived, taken, [], 'true'), onlyLate: true },
      counted_new: {
        ...fresh,
        version: `${fresh.version} in time`,
        plan: heldPlan(fresh.plan),
        batch: { cut: between.from },
      },
    },
  }
}

function countWhere(own: PastState, range: CommitRange, fields: readonly string[], where: string): PastState {
  return countingState({ ...own, skipped: [] }, range, fields, [
    { name: 'n', type: 'BIGINT', sql: `count(*) FILTER (WHERE ${where})`, merge: 'sum', emptySql: '0' },
  ])
}
