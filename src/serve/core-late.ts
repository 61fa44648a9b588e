/** What the HTTP surface asks of the running system about late events. Pure types. */

import type { EventPosition } from '../engine/engine.ts'
import type { LogEvent } from '../log/types.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'

export interface LateRequest {
  readonly view: string
  /** Of a view that holds late events back: also those that batches took. */
  readonly all: boolean
  /** Only events accepted after this cut, or from this time on; left out: all that the log has. */
  readonly since?:
    | { readonly kind: 'cut'; readonly cut: CommitSeq }
    | { readonly kind: 'time'; readonly timeMs: number }
  readonly limit: number
  /** Only events after this one. */
  readonly after?: EventPosition
  readonly signal?: AbortSignal
}

export interface LateEvent extends LogEvent {
  /** Event time, ISO 8601. */
  readonly at: string
  /** Of the stream, as the event's commit stores it. */
  readonly watermark: string
  /** How far the event lies before the watermark. */
  readonly lateMs: number
  /**
   * `held` until the next batch; `batch`: a batch took it; `built`: it came before the version was built, which took
   * it; `corrected`: it went into its rows at once.
   */
  readonly state: 'held' | 'batch' | 'built' | 'corrected'
  /** The batch that took it, and its cut. */
  readonly batch?: { readonly id: number; readonly cut: CommitSeq }
  /** Keys of the rows that it belongs to; none where the view leaves it out, undefined where rows cannot be told. */
  readonly rows?: readonly Readonly<Record<string, string | null>>[]
}

export interface LateAnswer {
  readonly view: string
  readonly version: VersionId
  readonly late: 'hold' | 'correct'
  /** Where the view stands. */
  readonly cut: CommitSeq
  /** Of a view that holds late events back: the cut up to which it has them. */
  readonly lateCut: CommitSeq | null
  /** Late events that wait for the next batch; null where none is held. */
  readonly held: number | null
  /** Late events of all pages. */
  readonly total: number
  readonly events: readonly LateEvent[]
  /** Where the next page goes on; left out when there is none. */
  readonly next?: EventPosition
}

export interface CoreLate {
  /** One page. Throws VIEW_UNKNOWN, HISTORY_TRIMMED. */
  list(request: LateRequest): Promise<LateAnswer>
}
