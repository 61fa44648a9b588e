/** What the HTTP surface asks of the running system about batches. Pure types. */

import type { CommitSeq, VersionId } from '../model/cut.ts'

export interface BatchInfo {
  readonly id: number
  readonly view: string
  readonly version: VersionId
  readonly state: 'running' | 'published' | 'failed' | 'skipped'
  /** T, the cut that it folds up to; null while it is not chosen. */
  readonly cut: CommitSeq | null
  /** T of the batch before. */
  readonly from: CommitSeq
  /** What T promises: every event before these offsets, complete in event time up to these watermarks. */
  readonly promise: {
    readonly offsets: Readonly<Record<string, readonly number[]>>
    readonly watermarks: Readonly<Record<string, string>>
  }
  readonly events: number | null
  /** How long folding them took. */
  readonly foldMs: number | null
  /** Rows that differ from what was served at T; null where nothing was compared. */
  readonly divergence: number | null
  readonly reason: string | null
  readonly startedAt: string
  readonly endedAt: string | null
}

export interface CoreBatches {
  /** Newest first. Throws VIEW_UNKNOWN. */
  list(view: string, limit: number): readonly BatchInfo[]
  /**
   * Begins a batch now. With `wait` it resolves when the batch has ended, else when it was begun. Throws VIEW_UNKNOWN,
   * BATCH_NOT_LAMBDA, BATCH_RUNNING.
   */
  run(view: string, options: { readonly wait: boolean; readonly signal?: AbortSignal }): Promise<BatchInfo>
}
