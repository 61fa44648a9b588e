/**
 * The seam to the past engine: a process of its own, niced, that rebuilds the state of any version at any cut and
 * answers questions over one or several of them: reads of the past, a compare of two versions, checks before a
 * cutover, the parts of a difference. The live engine never waits for it. Pure types.
 *
 * A state is `finish(merge(slices up to the border, fold of the events after it))`: exactly what a reader of the
 * live engine gets, because the same plan makes it. The engine keeps the states it was last asked for.
 */

import type { PlannedFunction } from '../define/function-def.ts'
import type { CommitRange, CommitSeq, VersionId } from '../model/cut.ts'
import type { ErrorBody } from '../model/errors.ts'
import type { StreamDef } from '../model/schema.ts'
import type { ViewPlan } from '../plan/plan.ts'
import type { EventPosition, LogSources, Rows, SliceInfo, SqlRead, ViewRead } from './engine.ts'

/** The finished rows of one version at one cut. */
export interface PastState {
  readonly view: string
  readonly version: VersionId
  readonly plan: ViewPlan
  /** For each part a chain without gap or overlap over (start, border]. */
  readonly slices: readonly SliceInfo[]
  /** Events after this cut are folded from the log. */
  readonly border: CommitSeq
  readonly cut: CommitSeq
  /**
   * Slices up to the border that say the states a fold in TypeScript goes on from, where they are no part of the state;
   * left out: `slices` do.
   */
  readonly before?: readonly SliceInfo[]
  /** Events that the version leaves out. */
  readonly skipped: readonly EventPosition[]
  /** The batch whose cut the version stood on; left out: none. A plan that holds late events back leaves those out after it. */
  readonly batch?: { readonly cut: CommitSeq }
  /**
   * Of a view with two definitions: the range of its batch layer, whose rows are those of the slice of its part or, where
   * that is not there, of the batch SQL over it. All else is the speed layer, which begins where it ends.
   */
  readonly definition?: CommitRange & {
    /** Folder with the copies of reference files. */ readonly copies: string
  }
  /** Also the late events of these commits, which a batch took and the state's own batch had not; after the border. */
  readonly alsoLate?: CommitRange
  /** After the border, take late events alone; each has its commit's watermark as `$watermark`. */
  readonly onlyLate?: true
  /** The stream as the version reads it; left out, the request's. */
  readonly stream?: StreamDef
  /** After the border, take only events whose time lies before this; for telling late events from new ones. */
  readonly lateOnly?: {
    /** Top-level timestamp field of the stream. */
    readonly field: string
    readonly after: CommitSeq
    readonly beforeUs: number
  }
}

export interface PastRequest {
  readonly streams: readonly StreamDef[]
  readonly sources: LogSources
  readonly timeoutMs: number
  /** Functions in TypeScript that statements call, beside those of the states' plans. */
  readonly functions?: readonly PlannedFunction[]
}

/**
 * Statements of our own over states: each name of `states` stands for a table of the state's finished rows, which
 * come in the order of finish where the view has one.
 */
export interface PastQuery extends PastRequest {
  readonly states: Readonly<Record<string, PastState>>
  /** Run in order on one connection; the answer has one entry for each. Text made by Refold, never by a user. */
  readonly statements: readonly { readonly sql: string; readonly limit: number }[]
}

/** A person's read of one view as it was. */
export interface PastViewRead extends PastRequest {
  readonly state: PastState
  readonly read: Omit<ViewRead, 'view' | 'version' | 'timeoutMs'>
}

/** A person's SQL over views and streams as they were at one cut; goes through the same jail as live SQL. */
export interface PastSqlRead extends PastRequest {
  readonly cut: CommitSeq
  /** By the view's name. */
  readonly states: Readonly<Record<string, PastState>>
  readonly sql: Omit<SqlRead, 'timeoutMs'>
  /** Names that exist but cannot be read at this cut, each with why; told when the SQL names one. */
  readonly refused?: Readonly<Record<string, ErrorBody>>
}

export interface PastEngine {
  query(request: PastQuery, signal?: AbortSignal): Promise<readonly Rows[]>
  read(request: PastViewRead, signal?: AbortSignal): Promise<Rows>
  sql(
    request: PastSqlRead,
    signal?: AbortSignal,
  ): Promise<Rows & { /** Views that the SQL named. */ readonly views: readonly string[] }>
  /** Ends the process; it starts again with the next request. */
  stop(): Promise<void>
}
