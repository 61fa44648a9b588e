/**
 * The seam to the past inside the server: states of versions at earlier cuts, and questions over them. Implemented
 * beside this file; deploys, compares, checks, `why` and reads of the past ask it. Pure types.
 */

import type { PlannedFunction } from '../../define/function-def.ts'
import type { Rows } from '../../engine/engine.ts'
import type { PastSqlRead, PastState, PastViewRead } from '../../engine/past.ts'
import type { CommitSeq, VersionId } from '../../model/cut.ts'

export interface StateOptions {
  /** Fold everything again from the log, whatever slices say. */
  readonly fromLog?: boolean
  /**
   * Of a version that holds late events back: the cut up to which they are a part of it; of one with two definitions:
   * the cut of its batch layer. Left out: that of its last batch up to the cut.
   */
  readonly lateCut?: CommitSeq
  /** What came after this cut alone: the speed layer over a batch that ends there. */
  readonly after?: CommitSeq
}

export interface PastQuestion {
  readonly states: Readonly<Record<string, PastState>>
  readonly statements: readonly { readonly sql: string; readonly limit: number }[]
  /** Functions in TypeScript that statements call, beside those of the states' plans and of the served project. */
  readonly functions?: readonly PlannedFunction[]
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface AskOptions {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface Past {
  /**
   * What a version is at a cut, by the cheapest chain of slices. Throws VERSION_UNKNOWN; HISTORY_TRIMMED when the log
   * no longer holds events that it needs and no base stands for them.
   */
  stateAt(view: string, version: VersionId, cut: CommitSeq, options?: StateOptions): PastState
  /** One answer for each statement. The log and lake files it reads stay while it runs. */
  query(question: PastQuestion): Promise<readonly Rows[]>
  /** A person's read of one view. */
  read(state: PastState, read: PastViewRead['read'], options?: AskOptions): Promise<Rows>
  /** A person's SQL, in the same jail as live SQL. */
  sql(
    read: Pick<PastSqlRead, 'cut' | 'states' | 'sql' | 'refused'>,
    options?: AskOptions,
  ): Promise<Rows & { readonly views: readonly string[] }>
  /** Whether a question that runs now reads this slice file. */
  isUsed(path: string): boolean
  /** Ends the past engine's process. */
  stop(): Promise<void>
}
