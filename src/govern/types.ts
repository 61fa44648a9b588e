/** What `verify` says: findings, each located as far as it can be, and the report of a run over one view. Pure types. */

import type { CommitRange, CommitSeq, VersionId } from '../model/cut.ts'
import type { JsonValue } from '../model/schema.ts'

export type FindingKind =
  /** An event of the log is missing in the state. */
  | 'skipped'
  /** An event is in the state more than once. */
  | 'doubled'
  /** A slice file that is not what was published. */
  | 'damaged slice'
  /** The right events were folded, and the row is another. */
  | 'wrong row'

/** Where the fault lies: in a stored slice, in a tick that no slice holds yet, or in what the engine merged of both. */
export type FindingPlace =
  | ({ readonly kind: 'slice'; readonly path: string } & CommitRange)
  | ({ readonly kind: 'tick' } & CommitRange)
  | { readonly kind: 'memory' }

export interface FoundEvent {
  readonly stream: string
  readonly commit: CommitSeq
  readonly index: number
  readonly partition?: number
  readonly offset?: number
  /** Its content as the log has it. */
  readonly event?: JsonValue
}

export interface VerifyFinding {
  readonly kind: FindingKind
  readonly place: FindingPlace
  /** Values of the group's keys as text, under the view's names where it shows them. */
  readonly key?: Readonly<Record<string, string | null>>
  /** Events too many (or, below zero, too few) in that group. */
  readonly events?: number
  /** Those that are missing or doubled, where the sums tell which. */
  readonly positions?: readonly FoundEvent[]
  /** The group's row as it is served and as the log gives it; null: there is none. */
  readonly served?: JsonValue
  readonly right?: JsonValue
  /** One sentence. */
  readonly text: string
}

export type VerifyMode = 'whole' | { readonly sample: number }

/** A run over one view. */
export interface VerifyReport {
  readonly view: string
  readonly version: VersionId
  /** Cut at which served state and log were compared. */
  readonly cut: CommitSeq
  /** Events up to here are no part of the version, or gone from the log. */
  readonly from: CommitSeq
  /** Share of the groups that were looked at. */
  readonly share: number
  readonly timeMs: number
  readonly tookMs: number
  /** Groups (for a view without grouping: rows) compared, and slice files read. */
  readonly groups: number
  readonly slices: number
  /** All of them; `findings` has the first. */
  readonly found: number
  readonly findings: readonly VerifyFinding[]
  /** Why the run did not come to its end. */
  readonly error?: string
}
