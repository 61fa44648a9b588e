/**
 * What a project is once it is loaded: plain JSON-writable data with every default filled in, no Zod and no
 * functions left. Made by `loadProject`; everything above this folder builds on it.
 */

import type { RefoldError } from '../model/errors.ts'
import type { Field, StreamDef } from '../model/schema.ts'
import type { CodeDef } from './code.ts'
import type { FunctionDef } from './function-def.ts'

/** How slices of a view come to be. No part of a version: the same version runs in each of these ways. */
export type RunDef = KappaDef | LambdaDef | HybridDef

/** The tail is sealed, there is no batch layer. */
export interface KappaDef {
  readonly kind: 'kappa'
}

/** A batch layer folds the lake again up to a cut; the speed layer holds what came after it. */
export interface LambdaDef {
  readonly kind: 'lambda'
  readonly schedule: BatchScheduleDef
  /** Fold only ranges whose lake files are not those that the last batch read. */
  readonly incremental: boolean
  readonly whenSpeedFails: 'stale' | 'refuse'
  /** An alarm is raised when the speed layer spans more; left out: never. */
  readonly maxSpanMs?: number
  /** An alarm is raised when a batch differs from what was served in more rows. */
  readonly maxDivergence: number
}

export type BatchScheduleDef =
  | { readonly kind: 'every'; readonly everyMs: number }
  /** In UTC. */
  | { readonly kind: 'cron'; readonly cron: string }
  | { readonly kind: 'events'; readonly events: number }

/** Kappa whose replays begin at the nearest of the kept snapshots. */
export interface HybridDef {
  readonly kind: 'hybrid'
  readonly snapshotEveryMs: number
  readonly keep: number
}

/** A position in a source text; line and column count from 1. */
export interface SourcePlace {
  readonly file: string
  readonly line: number
  readonly column: number
}

/** Rows of a view that may differ between the version that serves and the one to come. No part of a version. */
export interface ExpectDef {
  readonly name: string
  /** A condition in SQL over `old.COLUMN` and `new.COLUMN`; either is NULL for a row that one side lacks. */
  readonly when: string
  /** Where the first character of the condition stands. */
  readonly place: SourcePlace
}

export interface ViewDef {
  readonly name: string
  /** As the user wrote it. */
  readonly sql: string
  /** Where the first character of the SQL text stands. */
  readonly sqlPlace: SourcePlace
  readonly run: RunDef
  /** What happens when folding an event fails: the view stops before it, or goes on without it. */
  readonly onError: 'stall' | 'skip'
  /**
   * What becomes of an event whose time lies before the watermark that its commit stores: at once into the rows it
   * belongs to (`correct`, also when left out), or held back until the next batch. A part of the version.
   */
  readonly late?: 'correct' | 'hold'
  /** In order: the first rule that takes a row counts. */
  readonly expect?: readonly ExpectDef[]
  /** The second definition, for everything up to the boundary of the batch layer; `sql` is then that for what comes after. */
  readonly batch?: BatchDef
  /** The logic, where it is TypeScript; `sql` then only names it. */
  readonly fold?: FoldDef
  /** Files that made the definition, relative to the project's folder → hash of their text. */
  readonly sources?: Readonly<Record<string, string>>
}

/** A view whose logic is TypeScript. All but the limits is a part of the version. */
export interface FoldDef {
  readonly stream: string
  /** Fields of the stream. */
  readonly key: readonly string[]
  /** Fields that `step` looks at beside the key's; left out: all. */
  readonly reads?: readonly string[]
  /** The columns beside the key. */
  readonly columns: readonly Field[]
  /** `finish` gives a list of rows for each key. */
  readonly several: boolean
  readonly merges: boolean
  /** Limits of one call, and of the functions and the states at hand together. */
  readonly stepMs: number
  readonly memoryBytes: number
  readonly code: CodeDef
}

/** What a view with two definitions has beside its speed SQL. All but the places is a part of the version. */
export interface BatchDef {
  /** Any SELECT over streams and reference files. */
  readonly sql: string
  readonly sqlPlace: SourcePlace
  /** Output columns by which rows of both layers belong together. */
  readonly key: readonly string[]
  readonly keyPlace: SourcePlace
  /** Column → how the values of both layers become one. */
  readonly merge: Readonly<Record<string, MergeDef>>
  readonly mergePlace: SourcePlace
  /** Columns that are exact in the batch layer alone. */
  readonly approximate: readonly string[]
  readonly approximatePlace: SourcePlace
  /** Reference file that the SQL names, relative to the project's folder → hash of its bytes. */
  readonly files: Readonly<Record<string, string>>
}

export type MergeDef =
  | { readonly kind: 'add' | 'replace' | 'min' | 'max' }
  /** An expression over `batch.COLUMN` and `speed.COLUMN`. */
  | { readonly kind: 'sql'; readonly sql: string; readonly place: SourcePlace }

/** Something that must hold, at a cutover, on a schedule or at both. No part of any version. */
export interface CheckDef {
  readonly name: string
  /** Where its declaration stands. */
  readonly place: SourcePlace
  readonly rule: CheckRule
  /** Milliseconds from one scheduled run on the live versions to the next; left out: none. */
  readonly everyMs?: number
  /** Whether a cutover waits for it. */
  readonly cutover: boolean
  readonly timeoutMs: number
}

export type CheckRule =
  /** The SELECT gives no row. */
  | { readonly kind: 'nothing'; readonly sql: string; readonly sqlPlace: SourcePlace }
  /** The SELECT gives the truth's rows. */
  | {
      readonly kind: 'truth'
      readonly sql: string
      readonly sqlPlace: SourcePlace
      readonly truth: TruthDef
      readonly key: readonly string[]
      readonly tolerance: Readonly<Record<string, ToleranceDef>>
    }
  /** At most so many rows, or such a share of them, differ from the version that answers. */
  | {
      readonly kind: 'changed'
      readonly view: string
      readonly limit: { readonly rows: number } | { readonly share: number }
    }
  | { readonly kind: 'rows'; readonly view: string; readonly min?: number; readonly max?: number }

export type TruthDef =
  | { readonly kind: 'file'; readonly path: string; readonly format: 'csv' | 'json' | 'parquet' }
  /** The check's function in this project file. */
  | { readonly kind: 'function'; readonly file: string }

/** Decimals as text. */
export interface ToleranceDef {
  readonly absolute: string
  readonly relative: string
}

export interface ServerSettings {
  /** Default 127.0.0.1; anything that is not loopback needs a token. */
  readonly host: string
  /** Default 7717; 0 lets the system choose. */
  readonly port: number
  /** When set, every /v1 route asks for it as `Authorization: Bearer`. REFOLD_TOKEN overrides it. */
  readonly token?: string
}

export interface EngineTuning {
  /** Memory limit of the live engine's DuckDB. Default 2 GB. */
  readonly memoryBytes: number
  /** Threads of the live engine. Default: one for each core, at most 16. */
  readonly threads: number
  /** Default time limit for one statement. Default 30 s. */
  readonly statementTimeoutMs: number
  /** Heavy statements that may run at once. Default: one fewer than the cores, at least one. */
  readonly heavyStatements: number
}

/** The tail of a view is sealed when it reaches one of these. */
export interface SealSettings {
  /** Partial rows in memory. Default 1,000,000. */
  readonly rows: number
  /** Estimated memory of the partial rows. Default 256 MB. */
  readonly bytes: number
  /** Age of the oldest partial row. Default 1 min. */
  readonly ageMs: number
}

/** How much of the past is kept ready beside the log, which has all of it. */
export interface HistorySettings {
  /** So far back, answers as of then come from slices; further back they are thinned. Default 24 h. */
  readonly quickMs: number
  /** So far back, what was reported is known to the answer; further back to the second. Default 30 d. */
  readonly fineMs: number
}

/** Views are folded again and compared with what is served, on a schedule. */
export interface VerifySettings {
  readonly everyMs: number
  /** Share of the groups that each run looks at, another one each time; left out: all. */
  readonly sample?: number
}

/** What ingest takes before it refuses; checked before parsing. */
export interface LimitSettings {
  /** One event's JSON text. Default 1 MiB. */
  readonly eventBytes: number
  /** One request's body as it arrives. Default 32 MiB. */
  readonly requestBytes: number
  /** One request's body after gzip is undone. Default 256 MiB. */
  readonly expandedBytes: number
  /** Nesting of one event. Default 64. */
  readonly depth: number
  /** Events in one request. Default 100,000. */
  readonly requestEvents: number
  /** Events that wait for their commit, as bytes; above it requests get 429. Default 64 MiB. */
  readonly queueBytes: number
}

export interface ProjectDef {
  /** Default: the folder's name. */
  readonly name: string
  /** Absolute folder of the project file. */
  readonly root: string
  /** Absolute path of the project file. */
  readonly file: string
  /** Absolute folder that holds the log, the lake and the catalog. Default `.refold` in the root. */
  readonly dataDir: string
  readonly streams: readonly StreamDef[]
  readonly views: readonly ViewDef[]
  /** Functions in TypeScript that SQL can call. */
  readonly functions?: readonly FunctionDef[]
  readonly checks: readonly CheckDef[]
  readonly server: ServerSettings
  readonly engine: EngineTuning
  readonly seal: SealSettings
  readonly history?: HistorySettings
  /** Left out: only by hand. */
  readonly verify?: VerifySettings
  readonly limits: LimitSettings
  /** How long a version that was replaced stays current for a rollback. Default 24 h. */
  readonly warmMs?: number
}

export type LoadResult =
  | {
      readonly ok: true
      readonly project: ProjectDef
      /** Absolute paths of all files the project was read from, for watching. */
      readonly files: readonly string[]
    }
  | {
      readonly ok: false
      /** In order of file and line. */
      readonly mistakes: readonly RefoldError[]
      readonly files: readonly string[]
    }
