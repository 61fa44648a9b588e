/**
 * The vocabulary of changing a view: what a plan says, what a deploy does and how far it is, what a compare found,
 * what checks said, what a difference is made of. Pure, JSON-writable data; `serve/` shows it, `server/` makes it.
 */

import type { RunDef } from '../define/types.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'
import type { ErrorBody } from '../model/errors.ts'
import type { JsonValue } from '../model/schema.ts'

/** Who asked, and from which source. */
export interface DeployAuthor {
  readonly who: string
  /** Git commit of the project's folder, with `+changes` when it has uncommitted ones; left out without git. */
  readonly source?: string
}

// ---- plan -----------------------------------------------------------------------------------------------------

export interface Reason {
  readonly what: 'sql' | 'schema' | 'setting' | 'source' | 'release' | 'run' | 'expect' | 'late'
  /** One sentence: which field, which file, which words. */
  readonly text: string
}

export interface StreamChange {
  readonly stream: string
  readonly change: 'new' | 'changed' | 'removed'
  readonly reasons: readonly Reason[]
}

/** What a build will cost; ranges are honest guesses from rates measured on this machine. */
export interface BuildEstimate {
  /** Events and bytes of the log that are folded, after what slices of the same version already hold. */
  readonly events: number
  readonly bytes: number
  readonly reusedEvents: number
  readonly seconds: { readonly low: number; readonly likely: number; readonly high: number }
  readonly diskBytes: number
  /** Events/s: how fast the build folds, and how fast events of the view's stream arrive today. */
  readonly foldRate: number
  readonly inputRate: number
  readonly catchesUp: boolean
  /** Where the rates come from: builds measured before, or a default. */
  readonly basis: 'measured' | 'default'
}

/** How slices of a view come to be from now on; no part of its version. */
export interface RunChange {
  readonly from: RunDef
  readonly to: RunDef
  /**
   * What is done before it counts: the first batch, which is compared with what is served; a fold of all of history,
   * which is compared and dropped; nothing, where only options change or a new version is built anyway.
   */
  readonly proof: 'batch' | 'refold' | 'none'
}

export interface ViewChange {
  readonly view: string
  readonly change: 'new' | 'changed' | 'removed'
  /** Version that answers now. */
  readonly from?: VersionId
  /** Version that the project asks for. */
  readonly to?: VersionId
  readonly reasons: readonly Reason[]
  /** Left out where it runs as before. */
  readonly run?: RunChange
  /** Of the build, or of what stands behind a change of `run`. */
  readonly estimate?: BuildEstimate
  /** The log no longer holds events up to this cut, so the new version cannot count them. */
  readonly trimmed?: { readonly cut: CommitSeq; readonly events: number }
}

/** A check is no part of a version: changing one builds nothing. */
export interface CheckChange {
  readonly check: string
  readonly change: 'new' | 'changed' | 'removed'
}

export interface DeployPlan {
  readonly cut: CommitSeq
  readonly streams: readonly StreamChange[]
  readonly views: readonly ViewChange[]
  /** Left out when there are none, and where nothing was deployed before. */
  readonly checks?: readonly CheckChange[]
  readonly empty: boolean
}

// ---- deploy ---------------------------------------------------------------------------------------------------

/** Where a new version's history begins. */
export type StartPoint =
  | { readonly kind: 'zero' }
  /** Where the log begins, when its start was trimmed. */
  | { readonly kind: 'trimmed' }
  | { readonly kind: 'cut'; readonly cut: CommitSeq }
  | { readonly kind: 'offset'; readonly partition: number; readonly offset: number }
  | { readonly kind: 'time'; readonly timeMs: number }

export interface ReplayBudget {
  readonly eventsPerSecond?: number
  /** Of one worker's time, above 0 up to 1. */
  readonly cpuShare?: number
  /** The replay stands still while a live view is further behind than this. */
  readonly lagMs?: number
}

export interface DeployOptions {
  /** Build and compare, never serve. */
  readonly shadow: boolean
  readonly from: StartPoint
  readonly budget: ReplayBudget
  /** How long the version that answered before stays warm and current. */
  readonly warmMs: number
  /** Why a red gate is passed all the same; recorded. */
  readonly accept?: string
  /** While the old version is warm: roll back by itself. */
  readonly autoRollback: { readonly checks: boolean; readonly lagMs?: number }
}

export type DeployState =
  | 'planned'
  | 'building'
  | 'catching_up'
  | 'comparing'
  /** Built and compared; a gate is red, and it waits for `--accept` or for being cancelled. */
  | 'refused'
  /** A deploy of kind shadow: compared, ticking, never served. */
  | 'shadow'
  | 'paused'
  | 'live'
  | 'rolled_back'
  | 'cancelled'
  | 'failed'

export interface BuildProgress {
  /** Events, by offsets. */
  readonly done: number
  readonly total: number
  readonly percent: number
  /** Events/s over the last seconds. */
  readonly rate: number
  readonly etaMs?: { readonly low: number; readonly likely: number; readonly high: number }
  /** Why it goes slower than it could, or stands still. */
  readonly held?: 'budget' | 'lag' | 'paused'
}

export interface DeployView {
  readonly view: string
  readonly change: 'new' | 'changed' | 'removed'
  readonly from?: VersionId
  readonly to?: VersionId
  readonly run?: RunChange
  readonly state: string
  readonly progress?: BuildProgress
  readonly compare?: CompareSummary
}

export interface DeployInfo {
  readonly id: number
  readonly state: DeployState
  readonly author: DeployAuthor
  readonly options: DeployOptions
  readonly plan: DeployPlan
  readonly views: readonly DeployView[]
  readonly checks: readonly CheckResult[]
  /** Cut of compare and checks, and of the cutover. */
  readonly comparedAt?: CommitSeq
  readonly cutoverAt?: CommitSeq
  readonly accepted?: string
  readonly reason?: string
  readonly error?: ErrorBody
  /** What it took, beside what the plan said. */
  readonly outcome?: {
    readonly seconds: number
    readonly events: number
    readonly bytes: number
    readonly rate: number
  }
  readonly createdMs: number
  readonly changedMs: number
}

// ---- compare --------------------------------------------------------------------------------------------------

/** Why a row differs between two versions at one cut; the first that is true counts. */
export type DifferenceCause =
  /** A version folded again from the log gives something else than it serves. */
  | 'unexplained'
  /** A rule of the project says that it does. */
  | 'expected'
  /** With the events that neither version leaves out, both give the same row: events, not logic, make the difference. */
  | 'events'
  /** The new logic. */
  | 'logic'

/** A column that is not the same column on both sides. */
export interface ShapeChange {
  readonly column: string
  readonly change: 'added' | 'removed' | 'retyped'
  /** DuckDB's types. */
  readonly old?: string
  readonly new?: string
}

export interface ColumnDifference {
  readonly column: string
  readonly changed: number
  /** For numbers: of new minus old, over changed rows in which both have a value; exact numbers as exact text. */
  readonly difference?: {
    readonly min: string
    readonly p05: string
    readonly median: string
    readonly p95: string
    readonly max: string
    readonly sum: string
  }
}

export interface CompareSummary {
  readonly view: string
  readonly from: VersionId
  readonly to: VersionId
  readonly cut: CommitSeq
  /** How rows were told apart: by `key`, as the one row that each side has, or as bags of whole rows. */
  readonly pairing: 'key' | 'single' | 'rows'
  readonly key: readonly string[]
  readonly shape: readonly ShapeChange[]
  readonly oldRows: number
  readonly newRows: number
  /** By the columns that both have. */
  readonly equal: number
  readonly changed: number
  readonly added: number
  readonly removed: number
  /** Columns that both have, keys left out; empty for whole rows. */
  readonly columns: readonly ColumnDifference[]
  /** Differing rows by cause; `unexplained` only when states were folded again. */
  readonly causes: Readonly<Record<DifferenceCause, number>>
  /** Rows by expectation rule that took them; columns that a rule names and one version lacks. */
  readonly expectations: readonly {
    readonly rule: string
    readonly rows: number
    readonly missing?: readonly string[]
  }[]
  /** Whether both versions were folded again from the log. */
  readonly folded: boolean
  /** With `folded`: rows in which a version folded again differs from what it serves, whether old and new agree or not. */
  readonly damaged?: { readonly old: number; readonly new: number }
  /** What could not be told, in sentences. */
  readonly notes?: readonly string[]
  readonly sample: readonly ComparedRow[]
}

export interface ComparedRow {
  readonly kind: 'changed' | 'added' | 'removed'
  readonly cause: DifferenceCause
  readonly rule?: string
  /** How many such rows there are, where whole rows are compared and there is more than one. */
  readonly times?: number
  /** Integers beyond 2^53 and decimals as text. */
  readonly old?: JsonValue
  readonly new?: JsonValue
  /** The first event with which the versions differ in this row, where it was asked for. */
  readonly first?: NamedEvent
}

/** An event by its position, and what it says. */
export interface NamedEvent {
  readonly stream: string
  readonly partition: number
  readonly offset: number
  readonly commit: CommitSeq
  readonly index: number
  readonly time: string
  readonly event: JsonValue
}

// ---- checks ---------------------------------------------------------------------------------------------------

export interface CheckResult {
  readonly name: string
  readonly verdict: 'green' | 'red' | 'error'
  readonly cut: CommitSeq
  readonly timeMs: number
  readonly deploy?: number
  /** One sentence for people. */
  readonly text: string
  /** Rows that broke it, or totals that differ, a few of them. */
  readonly rows: readonly JsonValue[]
}

// ---- why ------------------------------------------------------------------------------------------------------

/** The steps from one report to the other, in order. */
export type WhyStep = 'late' | 'arrived' | 'logic'

/** The difference between two reports, in sequence; for each numeric column the parts add up exactly. */
export interface WhyReport {
  readonly view: string
  /** `at`: the moment of the report; null where a cut was named. */
  readonly from: { readonly at: string | null; readonly cut: CommitSeq; readonly version: VersionId }
  readonly to: { readonly at: string | null; readonly cut: CommitSeq; readonly version: VersionId }
  /** The stream's watermark at the first cut; null without a time field or an event. */
  readonly watermark: string | null
  /** Events of the stream after the first cut with an event time before its watermark, and the others. */
  readonly lateEvents: number
  readonly newEvents: number
  /** Of a view that holds late events back: up to which cut each report had them. */
  readonly lateCuts?: { readonly from: CommitSeq; readonly to: CommitSeq }
  /** Columns that tell rows apart; empty where only totals can be told. */
  readonly key: readonly string[]
  /** Number of rows. */
  readonly rowCount: WhyParts
  /** Sums over all rows, or over those that were asked for. */
  readonly totals: readonly WhyColumn[]
  /** Rows that some step changes, the largest changes first. */
  readonly rows: readonly WhyRow[]
  readonly truncated: boolean
}

/** Numbers as exact text; null where a row or a value was not there. first + late + arrived + logic = last. */
export interface WhyParts {
  readonly first: string | null
  readonly late: string
  readonly arrived: string
  readonly logic: string
  readonly last: string | null
}

export interface WhyColumn extends WhyParts {
  readonly column: string
}

/** A column that is no number: before and after, with the steps in which it changed. */
export interface WhyValue {
  readonly column: string
  readonly first: JsonValue
  readonly last: JsonValue
  readonly changed: readonly WhyStep[]
}

export interface WhyRow {
  readonly key: Readonly<Record<string, JsonValue>>
  readonly columns: readonly WhyColumn[]
  /** Those that changed. */
  readonly values: readonly WhyValue[]
}
