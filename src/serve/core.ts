/**
 * The seam between the HTTP surface and the running system. `server/` implements it; `serve/` turns requests into
 * calls of it and answers into bytes. Every method may throw a `RefoldError`; nothing else reaches a user.
 */

import type { TrimNote } from '../catalog/trims.ts'
import type { DeployPlan } from '../deploy/types.ts'
import type { Delta, ReadStamp, Rows, SqlRead, ViewRead } from '../engine/engine.ts'
import type { AppendRequest, AppendResult, LogEvent } from '../log/types.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'
import type { JsonValue, StreamDef } from '../model/schema.ts'
import type { Column } from '../plan/plan.ts'
import type { CoreBatches } from './core-batches.ts'
import type { CoreChecks } from './core-checks.ts'
import type { CoreCompare } from './core-compare.ts'
import type { CoreDead } from './core-dead.ts'
import type { CoreDeploys } from './core-deploys.ts'
import type { CoreDivergence } from './core-divergence.ts'
import type { CoreLake } from './core-lake.ts'
import type { CoreLate } from './core-late.ts'
import type { CorePauses } from './core-pauses.ts'
import type { CoreVerify } from './core-verify.ts'

/** What an answer says of a view's batch layer, and of the speed layer beside it. */
export interface BatchMeta {
  /** T: the batch layer has every event up to this cut. */
  readonly cut: CommitSeq
  /** When the batch was published, ISO 8601. */
  readonly at: string
  readonly ageMs: number
  /** Age of the oldest event that only the speed layer has; 0 when it has none. */
  readonly spanMs: number
  /** Columns that are approximate as long as the speed layer has events. */
  readonly approximate?: readonly string[]
  /** Why the answer has nothing of the speed layer: it shows the view as it was at `cut`. */
  readonly stale?: string
}

/** What every answer carries beside its rows. */
export interface AnswerMeta {
  readonly cut: CommitSeq
  /** The moment at which this was reported: `as_reported_at` gives the same rows again. Null for `as_of`. */
  readonly at: string | null
  readonly versions: Readonly<Record<string, VersionId>>
  /** Per stream read: ISO 8601, or null before the first event or without a time field. */
  readonly watermarks: Readonly<Record<string, string | null>>
  /** Age of the oldest acknowledged event that the answer does not include; 0 when it includes all. */
  readonly lagMs: number
  readonly stalled: ReadStamp['stalled']
  /** By view, where it has a batch layer. */
  readonly batches?: Readonly<Record<string, BatchMeta>>
  /** Streams that the SQL may have read and whose older events were trimmed; left out where there is none. */
  readonly trimmed?: Readonly<Record<string, TrimNote>>
}

/** A moment of the past that a read is asked for. */
export type Moment =
  /** The events up to a cut, or up to a time of ingest, by the version that answers now. */
  | { readonly kind: 'cut'; readonly cut: CommitSeq }
  | { readonly kind: 'time'; readonly us: number }
  /** What a reader got at that moment, from the version that answered then. */
  | { readonly kind: 'reported'; readonly us: number }

/** What a read of a view as it was costs before the answer is kept for later ones: slices to read, events to fold. */
export interface PastCost {
  readonly view: string
  readonly version: VersionId
  readonly cut: CommitSeq
  readonly slices: {
    readonly files: number
    readonly rows: number
    readonly bytes: number
    /** Cut that they reach; events after it are folded. */
    readonly through: CommitSeq
  }
  readonly events: number
  readonly bytes: number
  readonly seconds: { readonly low: number; readonly likely: number; readonly high: number }
  /** Where the rates come from: builds measured before, or a default. */
  readonly basis: 'measured' | 'default'
}

export interface ReadOptions {
  /** Left out: now. */
  readonly moment?: Moment
  /** Wait until the answer includes this cut. */
  readonly after?: CommitSeq
  /** Limit for waiting and for the statement, together. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface ViewInfo {
  readonly name: string
  readonly version: VersionId
  readonly sql: string
  readonly columns: readonly Column[]
  readonly state: 'building' | 'live' | 'stalled' | 'paused'
  readonly cut: CommitSeq
  /** Names under which SQL reads each layer of a view that runs as lambda. */
  readonly layers?: readonly string[]
}

/** Where a range of the log begins or ends. */
export type LogPoint =
  | { readonly kind: 'cut'; readonly commit: CommitSeq }
  | { readonly kind: 'offset'; readonly partition: number; readonly offset: number }
  | { readonly kind: 'time'; readonly timeMs: number }

export interface EventsRequest {
  readonly stream: string
  readonly partition?: number
  readonly from?: LogPoint
  readonly to?: LogPoint
  readonly limit?: number
  /** After the end of the log go on with what arrives, until the signal aborts. */
  readonly follow: boolean
  readonly signal?: AbortSignal
}

/** A step of a view's changes. */
export type ViewDelta = Omit<Delta, 'cause' | 'repaired' | 'more'> & {
  readonly version: VersionId
  /** T, where the view has a batch layer. */
  readonly batch?: CommitSeq
  /**
   * Why rows changed that no event touched: another version answers from here on (`to` is null for a view that went),
   * or a batch found them wrong.
   */
  readonly cause?:
    | { readonly kind: 'version'; readonly from: VersionId; readonly to: VersionId | null }
    | { readonly kind: 'batch'; readonly batch: number }
}

export interface Core {
  streams(): readonly StreamDef[]
  stream(name: string): StreamDef | undefined
  views(): readonly ViewInfo[]
  /** Resolves once durable. */
  append(request: AppendRequest): Promise<AppendResult>
  readView(request: Omit<ViewRead, 'timeoutMs'>, options: ReadOptions): Promise<Rows & AnswerMeta>
  sql(request: Pick<SqlRead, 'sql' | 'limit'>, options: ReadOptions): Promise<Rows & AnswerMeta>
  /** What a read of the past would cost; nothing is read. */
  pastCost(request: Pick<ViewRead, 'view' | 'version'>, moment: Moment): Promise<PastCost>
  /** Yields one delta a tick, from a cut on (default: a first delta that inserts all rows). */
  changes(
    view: string,
    options: {
      readonly from?: CommitSeq
      /** Of the rows that the reader holds at `from`. */
      readonly version?: VersionId
      readonly follow: boolean
      readonly signal?: AbortSignal
    },
  ): AsyncIterable<ViewDelta>
  events(request: EventsRequest): AsyncIterable<LogEvent>
  explain(view: string): Promise<JsonValue>
  /** What a deploy of this project, as a client sent it, would do. */
  plan(project: unknown): Promise<DeployPlan>
  readonly lake: CoreLake
  readonly batches: CoreBatches
  readonly checks: CoreChecks
  readonly compare: CoreCompare
  readonly late: CoreLate
  readonly dead: CoreDead
  readonly deploys: CoreDeploys
  readonly verify: CoreVerify
  readonly pauses: CorePauses
  readonly divergence: CoreDivergence
  /** Everything about the state, for `refold status`, as JSON. */
  status(): Promise<JsonValue>
  /** Resolves when a real query was answered; throws the reason otherwise. */
  probe(): Promise<void>
  /** Gauges and counters for Prometheus: name → value, with labels in the name where needed. */
  metrics(): Promise<readonly Metric[]>
}

export interface Metric {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly samples: readonly {
    readonly labels: Readonly<Record<string, string>>
    readonly value: number
    readonly suffix?: string
  }[]
}
