/** `kappa`, `lambda`, `hybrid`: how the slices of a view come to be. No part of a version. No state. */

import type { Duration, RunSpec } from './spec.ts'

/** One stream path: the tail is sealed into slices, a changed view is folded again from the log. */
export function kappa(): RunSpec {
  return Object.freeze({ kind: 'kappa' as const })
}

/** When the batch layer runs: exactly one of these. */
export type BatchSchedule =
  /** So long after the batch before was begun. */
  | { readonly every: Duration; readonly cron?: never; readonly afterEvents?: never }
  /** A cron expression of five or six fields, in UTC. */
  | { readonly cron: string; readonly every?: never; readonly afterEvents?: never }
  /** Once so many events of the view's streams came after the last batch. */
  | { readonly afterEvents: number; readonly every?: never; readonly cron?: never }

export type LambdaOptions = BatchSchedule & {
  /** Fold only ranges of the lake whose files are not the ones that the last batch read. Default: everything. */
  readonly incremental?: boolean
  /**
   * What readers get while the speed layer has failed: `stale` answers with the last batch and says so, `refuse`
   * answers 503 with the reason. Default `stale`.
   */
  readonly whenSpeedFails?: 'stale' | 'refuse'
  /** An alarm is raised when the speed layer spans more time than this. Default: three times `every`, else none. */
  readonly maxSpan?: Duration
  /** An alarm is raised when more rows than this differ between a batch and what was served. Default 0. */
  readonly maxDivergence?: number
}

/** A batch layer that folds the whole lake again up to a cut, and a speed layer for what came after it. */
export function lambda(options: LambdaOptions): RunSpec {
  return Object.freeze({ kind: 'lambda' as const, options })
}

export interface HybridOptions {
  /** How often the state of the view is kept as a snapshot. */
  readonly snapshotEvery: Duration
  /** How many snapshots are kept; a replay begins at the nearest one that is valid. Default 10. */
  readonly keep?: number
}

/** Kappa whose replays begin at snapshots. */
export function hybrid(options: HybridOptions): RunSpec {
  return Object.freeze({ kind: 'hybrid' as const, options })
}
