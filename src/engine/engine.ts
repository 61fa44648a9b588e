/**
 * The seam between the server and an engine. The server sends durable cuts and published files; the engine folds,
 * answers reads and stages files, and never publishes anything itself. An engine is crash-only: after a failure the
 * server starts another from the catalog, and the result is the same.
 *
 * Callers owe: cuts only grow; a file named in a spec or manifest stays until `setSources` has resolved with one
 * that no longer names it (slices: until `published` has resolved).
 */

import type { PlannedFunction } from '../define/function-def.ts'
import type { CodePlace } from '../define/logic-modules.ts'
import type { LakeFile, LakeManifest } from '../lake/types.ts'
import type { LogManifest } from '../log/types.ts'
import type { CommitRange, CommitSeq, Offset, Partition, VersionId } from '../model/cut.ts'
import type { ErrorBody } from '../model/errors.ts'
import type { JsonValue, StreamDef } from '../model/schema.ts'
import type { Column, ViewPlan } from '../plan/plan.ts'

/** Where events are read from: the lake up to its cut, the hot log after it. */
export interface LogSources {
  readonly log: LogManifest
  readonly lake: LakeManifest
}

/** The stored fold of one part of a view's stage over one range; rows sorted by key. */
export interface SliceInfo extends CommitRange {
  readonly view: string
  readonly version: VersionId
  readonly stage: string
  /** Part name: `main`, `d0`, …; `rows` for a row stage. */
  readonly part: string
  readonly path: string
  readonly rows: number
  readonly bytes: number
  /** CRC-32 of the file's bytes. */
  readonly checksum: number
  /**
   * Of the part that says which groups exist: how many events were folded, and the sum modulo 2 of the hashes of their
   * positions, in decimal. Left out by slices of earlier releases.
   */
  readonly events?: number
  readonly positions?: string
  /** Of a view that holds late events back: after this cut, within the range, they are left out. */
  readonly lateAfter?: CommitSeq
}

/** The position of one event, for skipping it. */
export interface EventPosition {
  readonly commit: CommitSeq
  readonly index: number
}

export interface EngineView {
  readonly view: string
  readonly version: VersionId
  readonly plan: ViewPlan
  readonly slices: readonly SliceInfo[]
  /** Cut that the slices reach; folding goes on from here. */
  readonly sealed: CommitSeq
  /** The cut T of the last published batch: slices up to it are the batch layer's. */
  readonly batch?: CommitSeq
  /** Where the plan holds late events back: those up to this cut are taken all the same, as those up to T are. */
  readonly lateCut?: CommitSeq
  readonly onError: 'stall' | 'skip'
  readonly skipped: readonly EventPosition[]
  /** Why it is not folded: it answers from its slices, at the cut that they reach. */
  readonly paused?: string
}

export interface EngineSettings {
  /** DuckDB's memory limit in bytes. */
  readonly memoryBytes: number
  readonly threads: number
  /** Private folder for spills and staged files; emptied at start. */
  readonly scratchDir: string
  /** Default time limit for a read. */
  readonly statementTimeoutMs: number
  /** How many heavy statements may run at once. */
  readonly heavyStatements: number
  /** Where logic in TypeScript is; left out: there is none. */
  readonly code?: CodePlace
}

export interface EngineSpec {
  readonly streams: readonly StreamDef[]
  readonly sources: LogSources
  readonly views: readonly EngineView[]
  /** View name → version that answers for it. */
  readonly serving: Readonly<Record<string, VersionId>>
  /** Cuts from which somebody will ask for a delta: ticks stop there once, so that the state at them is known. */
  readonly followed: readonly CommitSeq[]
  readonly settings: EngineSettings
  /** Engines before this one died without getting on: views are folded one by one until all have caught up. */
  readonly careful?: true
}

export interface StallInfo {
  readonly position: EventPosition & {
    readonly stream: string
    readonly partition: Partition
    readonly offset: Offset
  }
  readonly message: string
  /** Where logic in TypeScript failed: its stack, and what kind of failure it is. */
  readonly stack?: string
  readonly code?: string
}

export interface ViewProgress {
  readonly view: string
  readonly version: VersionId
  /** Cut up to which the view has folded. */
  readonly cut: CommitSeq
  readonly stalled?: StallInfo
  /** Why it is not folded. */
  readonly paused?: string
  /** Partial rows in memory that no slice holds yet. */
  readonly tailRows: number
  readonly groups: number
}

/** Sent after every tick, at most every few milliseconds. */
export interface EngineProgress {
  /** Cut at which all views that answer and are not stalled stand. */
  readonly cut: CommitSeq
  readonly views: readonly ViewProgress[]
  readonly ticks: number
  readonly tickMs: number
  /** Commits that the last tick folded. */
  readonly commits: number
  /** Events skipped by views with `onError: 'skip'` since the last report; the server records them durably. */
  readonly skipped: readonly {
    readonly view: string
    readonly version: VersionId
    readonly stall: StallInfo
  }[]
}

/** Rows as JSON text: an array of objects, integers exact, decimals as strings, timestamps ISO 8601 in UTC. */
export interface Rows {
  readonly columns: readonly Column[]
  readonly json: string
  readonly count: number
  /** True when the row limit cut the answer. */
  readonly truncated: boolean
}

export interface ReadStamp {
  readonly cut: CommitSeq
  /** Version per view that the answer read. */
  readonly versions: Readonly<Record<string, VersionId>>
  /** Views of the answer that are stalled, with the reason. */
  readonly stalled: Readonly<Record<string, StallInfo>>
  /** Views of the answer that are not folded, with the reason. */
  readonly paused?: Readonly<Record<string, string>>
  /** Where there are any: the cut at which each view was read that is stalled or paused. */
  readonly stalledAt?: Readonly<Record<string, CommitSeq>>
  /** Of views that run as lambda: the cut T of the batch that the answer read. */
  readonly batches?: Readonly<Record<string, CommitSeq>>
}

/** The part of a lambda view that a reader asks for by itself. */
export type LayerName = 'batch' | 'speed'

export interface ViewRead {
  readonly view: string
  readonly version?: VersionId
  /** Left out: both layers, merged. */
  readonly layer?: LayerName
  /** Column equality. */
  readonly where: Readonly<Record<string, JsonValue>>
  readonly order: readonly { readonly column: string; readonly descending: boolean }[]
  readonly limit: number
  readonly timeoutMs: number
}

export interface SqlRead {
  readonly sql: string
  readonly limit: number
  readonly timeoutMs: number
  /** Rows of the `refold.*` system tables that the SQL names, as JSON; filled in by the server. */
  readonly system: Readonly<
    Record<string, { readonly columns: readonly Column[]; readonly rows: readonly JsonValue[] }>
  >
  /** Functions in TypeScript that the SQL may call by their plain names. */
  readonly functions?: readonly PlannedFunction[]
  /** Views that exist and do not answer: told why when the SQL names one. A layer is named `batch.VIEW`. */
  readonly refused?: Readonly<Record<string, RefusedView>>
}

export interface RefusedView {
  readonly columns: readonly Column[]
  readonly error: ErrorBody
}

export interface Delta {
  readonly from: CommitSeq
  readonly to: CommitSeq
  readonly columns: readonly Column[]
  /** JSON array of `{"op":"insert"|"update"|"delete","old":{…},"new":{…}}`. */
  readonly json: string
  readonly count: number
  /** Batch whose repair of what was served the rows at `to` include. */
  readonly repaired?: number
  /** There is more to tell, although no event came after `to`. */
  readonly more?: true
  /** These rows changed because a batch found them wrong, and not by an event. */
  readonly cause?: { readonly kind: 'batch'; readonly batch: number }
}

/** What a publication is beside its slices. */
export interface PublishedAs {
  /** Cut T of the version's last batch, where it runs as lambda and has one. */
  readonly batch?: CommitSeq
  /** Everything up to the sealed cut is read again from the slices. */
  readonly reload?: boolean
  /** The slices differ from what was served: followers are told the difference, as caused by this batch. */
  readonly repair?: number
}

export interface SealedGeneration {
  readonly view: string
  readonly version: VersionId
  readonly range: CommitRange
  /** Staged files, one per part; `path` is the staging path. Synced. */
  readonly slices: readonly SliceInfo[]
}

/** What one tick folded into a view, as its partial rows say. */
export interface CapturedTick {
  /** Cut that the tick reached. */
  readonly cut: CommitSeq
  readonly events: number
  /** The sum modulo 2 of the hashes of their positions, in decimal. */
  readonly positions: string
}

/** What a view's readers are answered from: its merged rows before `finish`, in a staged file. */
export interface CapturedView {
  readonly view: string
  readonly version: VersionId
  readonly cut: CommitSeq
  readonly path: string
  readonly rows: number
  readonly bytes: number
  readonly checksum: number
  /** T of the batch that it was answered from; 0 without one. */
  readonly batch?: CommitSeq
  /** The ticks after this cut, which no slice holds yet. */
  readonly from: CommitSeq
  readonly ticks: readonly CapturedTick[]
}

export interface LiveEngine {
  readonly pid: number
  /** Resolves once every view answers at the cut that its slices reach; folding of the tail goes on. */
  start(spec: EngineSpec): Promise<{ readonly badSlices: readonly SliceInfo[] }>
  /** Tells the newest durable cut. Cheap; no answer. */
  advance(log: LogManifest): void
  /** Swaps lake and log manifests; resolves when nothing reads the old ones any more. */
  setSources(sources: LogSources): Promise<void>
  /** Freezes the tail of these views at one cut and writes it as staged slices. */
  seal(
    views: readonly { readonly view: string; readonly version: VersionId }[],
    stagingDir: string,
  ): Promise<readonly SealedGeneration[]>
  /**
   * Swaps the slices of a version after they were published, and lets go of the generations they hold. With `reload`
   * readers go on reading what there was until a new image of the slices takes its place, between two ticks.
   */
  published(
    view: string,
    version: VersionId,
    sealed: CommitSeq,
    slices: readonly SliceInfo[],
    as?: PublishedAs,
  ): Promise<void>
  /** Adds a version beside the others; resolves once it ticks at the common cut. */
  addVersion(view: EngineView): Promise<void>
  removeVersion(view: string, version: VersionId): Promise<void>
  /** Moves the pointers of all these views at once. */
  setServing(serving: Readonly<Record<string, VersionId>>): Promise<ReadStamp>
  /** Folds again from here a view that stalled, e.g. after the event was skipped. */
  skip(view: string, version: VersionId, position: EventPosition): Promise<void>
  read(request: ViewRead, signal?: AbortSignal): Promise<Rows & ReadStamp>
  sql(request: SqlRead, signal?: AbortSignal): Promise<Rows & ReadStamp>
  /** Stages what these views answer from; those that go on are captured at one cut. For `verify`. */
  capture(
    views: readonly string[],
    stagingDir: string,
    signal?: AbortSignal,
  ): Promise<readonly CapturedView[]>
  /** Finished rows that changed between two cuts. Throws DELTA_TOO_OLD when `from` is behind what is kept. */
  delta(
    view: string,
    from: CommitSeq,
    to?: CommitSeq,
    /** Left out: the one that serves. */
    version?: VersionId,
    /** The batch whose repair the reader's rows include, as its last delta said. */
    repaired?: number,
  ): Promise<Delta & ReadStamp>
  onProgress(listener: (progress: EngineProgress) => void): void
  onExit(listener: (reason: string) => void): void
  /** Ends the process: gently, then with SIGKILL. */
  stop(): Promise<void>
}

/** Work of a worker engine: one process a job, killed without harm, its files published by the server. */
export type Job =
  | {
      readonly kind: 'lake'
      readonly streams: readonly StreamDef[]
      readonly segments: LogManifest
      readonly range: CommitRange
      readonly stagingDir: string
    }
  | {
      readonly kind: 'lake-merge'
      /** Neighbouring files of one stream with the same columns, oldest first. */
      readonly inputs: readonly LakeFile[]
      readonly stagingDir: string
    }
  | {
      readonly kind: 'compact'
      readonly view: EngineView
      readonly inputs: readonly SliceInfo[]
      readonly stagingDir: string
    }
  | {
      readonly kind: 'fold'
      readonly view: EngineView
      readonly streams: readonly StreamDef[]
      readonly sources: LogSources
      readonly range: CommitRange
      readonly stagingDir: string
    }
  | {
      /** The batch definition of a view with two, over everything in the range. */
      readonly kind: 'batch'
      readonly view: EngineView
      readonly streams: readonly StreamDef[]
      readonly sources: LogSources
      readonly range: CommitRange
      /** Folder with the copies of reference files. */
      readonly copies: string
      readonly stagingDir: string
    }

export type JobResult =
  | { readonly kind: 'lake'; readonly manifest: LakeManifest }
  | { readonly kind: 'lake-merge'; readonly file: LakeFile }
  | { readonly kind: 'compact'; readonly slices: readonly SliceInfo[] }
  | {
      readonly kind: 'fold'
      readonly slices: readonly SliceInfo[]
      readonly events: number
      readonly skipped: readonly SkippedEvent[]
    }
  | { readonly kind: 'batch'; readonly slices: readonly SliceInfo[]; readonly events: number }

/** An event that a bulk fold left out because the fold fails on it. */
export type SkippedEvent = StallInfo['position'] & Omit<StallInfo, 'position'>

export interface JobProgress {
  readonly done: number
  readonly total: number
}

export type JobFailure = ErrorBody & { readonly stall?: StallInfo }
