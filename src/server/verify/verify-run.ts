/** A run of `verify` over one view: what was asked, and what is known before anything is compared. No state. */

import type { VersionRow } from '../../catalog/versions.ts'
import type { CapturedView, SliceInfo } from '../../engine/engine.ts'
import type { PastState } from '../../engine/past.ts'
import { keysOf, soleStage } from '../../govern/verify-plans.ts'
import type { GroupDifference } from '../../govern/verify-sql.ts'
import type { CommitSeq } from '../../model/cut.ts'
import type { ServerContext } from '../context.ts'

export interface VerifyOne {
  readonly view: string
  readonly version: string
  readonly cut: CommitSeq
  /** What readers are served; left out: what reads of the past are. */
  readonly captured?: CapturedView
  readonly share: number
  readonly signal: AbortSignal
}

/** What a run knows, for those that look closer. */
export interface VerifyRun extends VerifyOne {
  readonly context: ServerContext
  readonly row: VersionRow
  /** Events up to here are no part of the version, or gone from the log. */
  readonly from: CommitSeq
  /** Current slices up to the cut. */
  readonly slices: readonly SliceInfo[]
  /** States of the merged rows at the cut, by the names that statements use. */
  readonly states: Readonly<Record<'served' | 'again', PastState>>
  /** Tells the states of this run from those of others: what was made for an earlier one proves nothing now. */
  readonly tag: string
}

/** Folding all of history may take a while. */
export const VERIFY_TIMEOUT_MS = 60 * 60_000
/** Findings that are told apart and located; the others are counted. */
export const DETAILS_MAX = 20

export function toDifference(run: VerifyRun, row: Readonly<Record<string, unknown>>): GroupDifference {
  const keys = keysOf(soleStage(run.row.plan)).map(({ name }) => {
    const value = row[name]
    return [name, value === null || value === undefined ? null : String(value)] as const
  })
  const count = (value: unknown) => (value === null || value === undefined ? null : Number(value))
  return {
    keys: Object.fromEntries(keys),
    served: count(row.$served),
    right: count(row.$right),
    positions: String(row.$positions),
  }
}
