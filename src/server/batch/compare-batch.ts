/** The seam by which a batch is held against what was served at its cut, before it is published. No state. */

import type { VersionRow } from '../../catalog/versions.ts'
import type { CapturedView, SliceInfo } from '../../engine/engine.ts'
import type { CommitSeq } from '../../model/cut.ts'
import type { ServerContext } from '../context.ts'

export interface CompareRequest {
  /** Of the batch, which is running. */
  readonly batch: number
  readonly row: VersionRow
  /** T. */
  readonly cut: CommitSeq
  /** What was served at T, in a staged file. */
  readonly captured: CapturedView
  /** What the batch has made of everything up to T; files of the staging folder among them. */
  readonly slices: readonly SliceInfo[]
  readonly signal: AbortSignal
}

export interface BatchComparison {
  /** Rows that differ. */
  readonly differing: number
  /** Some of them differ although both sides fold the same events in the same way: what was served is damaged. */
  readonly damaged: boolean
}

/** Undefined where nothing was compared. */
export type CompareBatch = (
  context: ServerContext,
  request: CompareRequest,
) => Promise<BatchComparison | undefined>

export const compareBatch: CompareBatch = async () => undefined
