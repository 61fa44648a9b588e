/** What the HTTP surface asks of the running system about differences: between versions, and between reports. */

import type { CompareSummary, WhyReport } from '../deploy/types.ts'
import type { EventPosition } from '../engine/engine.ts'
import type { LogEvent } from '../log/types.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'
import type { Moment } from './core.ts'

/** Column → value as text; null for NULL. */
export type RowKey = Readonly<Record<string, string | null>>

export interface CompareRequest {
  readonly view: string
  /** Versions or the first digits of them; left out: the one that serves against the one being deployed. */
  readonly from?: string
  readonly to?: string
  readonly cut?: CommitSeq
  /** Fold both again from the log, so that damage is told apart. */
  readonly folded: boolean
  readonly sampleRows: number
  /** Rows of the sample for which the first event is found with which the versions differ. */
  readonly firstEvents?: number
  readonly signal?: AbortSignal
}

export interface RowEventsRequest {
  readonly view: string
  readonly key: RowKey
  readonly version?: string
  readonly cut?: CommitSeq
  readonly limit: number
  /** Only events after this one. */
  readonly after?: EventPosition
  readonly signal?: AbortSignal
}

export interface RowEventsAnswer {
  readonly view: string
  readonly version: VersionId
  readonly cut: CommitSeq
  readonly key: RowKey
  /** Of all pages. */
  readonly total: number
  /** Events up to this cut were trimmed and cannot be shown. */
  readonly gone?: CommitSeq
  readonly events: readonly LogEvent[]
  /** Where the next page goes on; left out when there is none. */
  readonly next?: EventPosition
}

export interface WhyRequest {
  readonly view: string
  readonly from: Moment
  /** Left out: now. */
  readonly to?: Moment
  /** Only rows with these values in key columns. */
  readonly key: RowKey
  readonly limit: number
  readonly signal?: AbortSignal
}

export interface CoreCompare {
  versions(request: CompareRequest): Promise<CompareSummary>
  rowEvents(request: RowEventsRequest): Promise<RowEventsAnswer>
  why(request: WhyRequest): Promise<WhyReport>
}
