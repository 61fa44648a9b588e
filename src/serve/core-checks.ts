/** What the HTTP surface asks of the running system about checks. Pure types. */

import type { CheckResult } from '../deploy/types.ts'
import type { VersionId } from '../model/cut.ts'

export interface CheckInfo {
  readonly name: string
  /** Sql that must give nothing; sql that must equal a truth; changed rows; number of rows. */
  readonly kind: 'nothing' | 'truth' | 'changed' | 'rows'
  readonly sql?: string
  readonly view?: string
  /** Where the truth comes from: the path of a file, or `function`. */
  readonly truth?: string
  readonly everyMs?: number
  readonly cutover: boolean
  /** It is being run at this moment. */
  readonly running: boolean
  /** Newest verdict about the versions that answer now; null before the first. */
  readonly last: CheckResult | null
}

export interface ChecksRequest {
  /** Left out: all that can be decided without a deploy. */
  readonly names?: readonly string[]
  /** By view: a version, or the beginning of its id, that stands for the one that answers. */
  readonly versions?: Readonly<Record<string, VersionId>>
  readonly signal?: AbortSignal
}

export interface CoreChecks {
  list(): readonly CheckInfo[]
  /** Throws CHECK_UNKNOWN, VIEW_UNKNOWN, VERSION_UNKNOWN. */
  run(request: ChecksRequest): Promise<readonly CheckResult[]>
}
