/**
 * What the HTTP surface asks of the running system about dead letters: events that were refused at the door
 * (`rejected`), and events that a view left out because its logic failed on them (`skipped`). Pure types.
 */

import type { CommitSeq, VersionId } from '../model/cut.ts'
import type { JsonValue } from '../model/schema.ts'

export type DeadState = 'open' | 'sent' | 'dropped'

export interface DeadLetterInfo {
  /** `COMMIT.NUMBER` of a rejected one, `COMMIT.INDEX/VIEW@VERSION` of a skipped one. */
  readonly id: string
  readonly kind: 'rejected' | 'skipped'
  readonly stream: string
  readonly commit: CommitSeq
  /** ISO 8601: of the commit, or of the skip. */
  readonly time: string
  readonly code: string
  readonly reason: string
  /** JSON pointer into the event, '' for the whole. */
  readonly place: string
  /** Of a skipped one. */
  readonly view?: string
  readonly version?: VersionId
  /** What logic in TypeScript threw, with its place. */
  readonly stack?: string
  readonly state: DeadState
}

/** Letters of one kind, stream, view, version, code and place. */
export interface DeadCause {
  readonly kind: DeadLetterInfo['kind']
  readonly stream: string
  readonly view?: string
  readonly version?: VersionId
  readonly code: string
  readonly place: string
  readonly count: number
  /** Of them, those that nobody sent again or dropped. */
  readonly open: number
  readonly first: string
  readonly last: string
  /** The newest one. */
  readonly example: DeadLetterDetail
}

export interface DeadLetterDetail extends DeadLetterInfo {
  /** The event as it came; null when it is no longer in the log. */
  readonly input: string | null
  /** Whether the text was longer than what is kept. */
  readonly cut: boolean
  /** How such a letter is mended. */
  readonly hint: string
  /** What was done about it, oldest first. */
  readonly acts: readonly {
    readonly time: string
    readonly who: string
    readonly what: 'sent' | 'dropped'
    readonly outcome: JsonValue
  }[]
}

/** Which letters; a field that is left out takes all. */
export interface DeadFilter {
  readonly kind?: DeadLetterInfo['kind']
  readonly stream?: string
  readonly view?: string
  readonly code?: string
  readonly state?: DeadState
}

export interface DeadSend {
  readonly letters: readonly string[]
  /** JSON text in place of the letter's own; only for one letter. */
  readonly event?: string
  /** JSON pointer → the value to put there, as JSON text. */
  readonly set?: Readonly<Record<string, string>>
  readonly dryRun: boolean
  /** Send copies of skipped events that other views have folded, and would fold once more. */
  readonly force: boolean
  readonly who: string
}

export interface DeadOutcome {
  readonly id: string
  readonly outcome: 'accepted' | 'duplicate' | 'rejected'
  /** Text of the event that was, or would be, sent. */
  readonly event?: string
  readonly code?: string
  readonly reason?: string
  readonly place?: string
  /** Views that folded the event which this is a copy of. */
  readonly alsoFolded?: readonly string[]
}

export interface CoreDead {
  /** Causes, the one with the most open letters first. */
  causes(filter: DeadFilter): Promise<readonly DeadCause[]>
  /** The newest ones first. */
  list(filter: DeadFilter, limit: number): Promise<readonly DeadLetterInfo[]>
  /** Throws DEAD_LETTER_UNKNOWN. */
  show(id: string): Promise<DeadLetterDetail>
  /** Throws DEAD_LETTER_UNKNOWN, DEAD_LETTER_FOLDED. */
  send(
    request: DeadSend,
  ): Promise<{ readonly cut: CommitSeq | null; readonly results: readonly DeadOutcome[] }>
  /** Says that nothing is to be done about these. */
  drop(letters: readonly string[], reason: string, who: string): Promise<number>
}
