/** What the HTTP surface asks of the running system about verification. Pure types. */

import type { VerifyReport } from '../govern/types.ts'
import type { CommitSeq } from '../model/cut.ts'

export interface VerifyRequest {
  /** Left out: all views that answer. */
  readonly views?: readonly string[]
  /** Left out: what readers are served now; else what reads of the past get at that cut. */
  readonly cut?: CommitSeq
  /** Share of the groups to look at; left out: all. */
  readonly sample?: number
  readonly signal?: AbortSignal
}

export interface CoreVerify {
  /** The newest report of each view. */
  last(): readonly VerifyReport[]
  /** One run at a time; others wait. Throws VIEW_UNKNOWN, CUT_NOT_REACHED, HISTORY_TRIMMED. */
  run(request: VerifyRequest): Promise<readonly VerifyReport[]>
}
