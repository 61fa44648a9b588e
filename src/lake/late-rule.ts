/**
 * Late events: those whose time lies before the watermark of their stream that their own commit stores. Hot frames say
 * it in their headers, lake files in a column beside the events, so lateness is a function of the log and the same
 * wherever an event is read. Pure text, no state.
 *
 * What an earlier release accepted stored no lateness (`src/log/frame.ts`): it has no watermark here and is not late.
 */

import type { CommitSeq } from '../model/cut.ts'

/** The extra column of lake files of streams with a time field; listed among a file's `fields` when it has it. */
export const watermarkColumn = '_watermark'

/** The watermark (TIMESTAMP, or NULL) that a commit stores: from the SQL of its number to the SQL of the watermark. */
export type WatermarkSql = (commit: string) => string

export interface LateRule {
  /** `out` leaves late events out; `only` takes no others, and gives the watermark of each as `$watermark`. */
  readonly take: 'out' | 'only'
  /** Events up to this cut are not asked: `out` takes them, `only` does not. */
  readonly after: CommitSeq
  /** Of hot commits after `after`; lake files have a column. */
  readonly watermark: WatermarkSql
}

/** A condition on events, given the SQL of an event's time, of its commit and of that commit's watermark. */
export function lateCondition(
  { take, after }: Pick<LateRule, 'take' | 'after'>,
  time: string,
  commit: string,
  watermark: string,
): string {
  const isLate = `(${commit} > ${after} AND coalesce(${time} < ${watermark}, false))`
  return take === 'only' ? isLate : `NOT ${isLate}`
}
