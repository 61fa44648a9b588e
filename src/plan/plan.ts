/**
 * The plan of a view: frozen, JSON-writable data that says how a view is folded, merged and finished. Made once by
 * `planView`, kept in the catalog with the version, executed by `engine/`. Nothing hangs methods on it.
 *
 * SQL texts in a plan name their inputs by these relations, which the engine binds as CTEs:
 *   "$events"   the events of the stage's stream in some range, one column per schema field, typed, defaults applied
 *   "$merged"   in `finish`: one row per group with the stage's `merged` columns (or, for a row stage, the rows)
 *
 * A view of today has one stage. `stages` is a graph all the same: a later stage names an earlier one as its source.
 */

import type { PlannedFunction } from '../define/function-def.ts'
import type { Field } from '../model/schema.ts'

export interface Column {
  readonly name: string
  /** DuckDB's type name, as DESCRIBE prints it. */
  readonly type: string
}

export interface ViewPlan {
  readonly format: 1
  readonly view: string
  /** The SQL as the user wrote it. */
  readonly sql: string
  readonly streams: readonly string[]
  /** The fields that it reads as they were when it was planned; left out by plans of earlier releases. */
  readonly reads?: readonly { readonly stream: string; readonly fields: readonly Field[] }[]
  /** What readers see, with the types that the original SQL has. */
  readonly columns: readonly Column[]
  readonly stages: readonly StagePlan[]
  readonly finish: FinishPlan
  /** For `explain`: columns whose value is not exact (sums of DOUBLE), with the stated tolerance. */
  readonly inexact: readonly { readonly column: string; readonly why: string }[]
  /** Left out where it cannot be said, and by plans of earlier releases. */
  readonly events?: EventsPlan
  /** Functions in TypeScript that its SQL calls, by their names with a hash. */
  readonly functions?: readonly PlannedFunction[]
  /** The second definition: stages and finish are then of the speed layer alone. */
  readonly batch?: BatchPlan
  /** Of a view whose logic is TypeScript. */
  readonly limits?: CodeLimits
}

/** The batch layer of a view with two definitions: one SELECT over all of history, its rows stored by key. */
export interface BatchPlan {
  /** As the user wrote it. */
  readonly sql: string
  /** Checked, parsed and printed; it names streams and files by their `bindName`s. */
  readonly boundSql: string
  readonly streams: readonly BatchStream[]
  readonly files: readonly BatchFile[]
  /** Output column → key of the stage that it is, in the order of the stage's keys. */
  readonly key: readonly { readonly column: string; readonly key: string }[]
  /** One for every column that is no key, in the order of the columns. */
  readonly merge: readonly MergeRule[]
  /** Columns that are exact in the batch layer alone. */
  readonly approximate: readonly string[]
}

export interface BatchStream {
  readonly bindName: string
  readonly stream: string
  /** Top-level schema fields that the SQL may read, in the schema's order. */
  readonly fields: readonly string[]
  /** Whether it may read the columns that say where an event stands and when it came in. */
  readonly system: boolean
}

export interface BatchFile {
  readonly bindName: string
  /** Relative to the project's folder. */
  readonly path: string
  /** SHA-256 of its bytes, by which the copy of this version is found. */
  readonly hash: string
  readonly reader: 'read_csv' | 'read_parquet' | 'read_json'
  readonly options: readonly string[]
  readonly columns: readonly Column[]
}

export type MergeRule = { readonly column: string } & (
  | { readonly kind: 'add' | 'replace' | 'min' | 'max' }
  /** Over `batch.COLUMN` and `speed.COLUMN`. */
  | { readonly kind: 'sql'; readonly sql: string }
)

/** Which events made a row: the fold's source with the positions of its events. Nothing of it decides the rows. */
export interface EventsPlan {
  /**
   * SELECT over "$events", which also has `$commit` and `$index`, that gives both and the keys (for a row stage the
   * columns) of each event that the fold takes, under the stage's names; an event more than once where it is unnested.
   */
  readonly sql: string
  /** Top-level schema fields that it reads. */
  readonly fields: readonly string[]
  /** Output columns by which a row finds its events: output name → key or column of the stage, untouched. */
  readonly columns: Readonly<Record<string, string>>
}

export type StagePlan = GroupStage | RowStage

/** `GROUP BY` with mergeable aggregates. With no keys it is one group that always exists. */
export interface GroupStage {
  readonly kind: 'group'
  readonly name: string
  readonly source: StageSource
  /** Names `k0`, `k1`, … */
  readonly keys: readonly Column[]
  /**
   * The first part is the main one: one partial row per group, present even when there are no aggregates but
   * distinct ones, because it says which groups exist. Then one part per exact-distinct argument.
   */
  readonly parts: readonly [MainPart, ...DistinctPart[]]
  /** The fold is TypeScript: its partial rows come from functions, and are what "$events" means in `foldSql`. */
  readonly code?: CodeFold
}

/** Functions that fold a stream: where they are, and what of them decides the rows. */
export interface CodeFold {
  /** Of the stored code. */
  readonly hash: string
  /** The file in it that declares the fold. */
  readonly entry: string
  /** The name under which it is declared. */
  readonly name: string
  /** Top-level fields of the stream that are the key. */
  readonly keys: readonly string[]
  /** The columns that `finish` gives. */
  readonly row: readonly Field[]
  /** `finish` gives a list of rows for each key. */
  readonly several: boolean
  /** A partial row is the fold of its range alone and merges by a function; else it is the state at its end. */
  readonly merges: boolean
}

/** What the functions of a fold may take; no part of what decides its rows. */
export interface CodeLimits {
  readonly stepMs: number
  readonly memoryBytes: number
}

export interface StageSource {
  readonly kind: 'stream'
  readonly stream: string
  /** Top-level schema fields the fold reads; the engine decodes no others. */
  readonly fields: readonly string[]
  /** The fold also reads each event's position, as `$commit` and `$index`. */
  readonly positions?: true
  /** After the cut of the last batch it leaves late events out; the next batch takes them. */
  readonly late?: 'hold'
}

/** Fold gives columns `k0…`, `a0…`; all names are unique within the stage. */
export interface MainPart {
  readonly kind: 'main'
  readonly name: 'main'
  /** SELECT over "$events" that gives the key columns, then the aggregates' columns. */
  readonly foldSql: string
  readonly aggregates: readonly PartialColumn[]
  /** Left out by plans of earlier releases. */
  readonly tally?: Tally
}

/** Which aggregates say what was folded into a group, for `verify`; `finish` reads no more of them than the view does. */
export interface Tally {
  /** Events, one that was unnested as often as it has elements. */
  readonly count: string
  /** The sum modulo 2, bit by bit, of the hashes of their positions (`positionHash`). */
  readonly positions: string
}

export interface PartialColumn extends Column {
  /** How partial values of one group combine; every one is associative and commutative, and ignores NULL. */
  readonly merge: 'sum' | 'min' | 'max' | 'bool_and' | 'bool_or' | 'bit_xor' | CodeMerge
  /** Value for a group without partial rows, as SQL: only for the one group of a stage without keys (`0` for counts). */
  readonly emptySql: string
}

/** `latest`: the value of the row with the greatest `at`. `code`: by the fold's function, in the order of `at`. */
export type CodeMerge = 'latest' | 'code'

/** Fold gives `k0…`, `v` (the value, never NULL) and `n` (BIGINT, its multiplicity). */
export interface DistinctPart {
  readonly kind: 'distinct'
  /** `d0`, `d1`, … */
  readonly name: string
  readonly foldSql: string
  /**
   * SELECT over "$events" that gives `v` and the main part's columns, by keys and value, where `v` is NULL for events
   * that this part does not take: from it both parts follow without reading the events twice. The first such part of a
   * stage has it; left out by plans of earlier releases.
   */
  readonly withMainSql?: string
  readonly value: Column
  /** What is computed from the distinct values of a group; columns of "$merged". */
  readonly results: readonly DistinctResult[]
}

export interface DistinctResult extends Column {
  /** Aggregate over the group's distinct values `v`, e.g. `count(v)`, `sum(v)::DECIMAL(38,0)`. */
  readonly sql: string
  /** Value for a group that has no distinct value, as SQL (`0` for a count, `NULL::…` for a sum). */
  readonly emptySql: string
}

/** Projections and filters without aggregation: the rows themselves are the partial rows, as a bag. */
export interface RowStage {
  readonly kind: 'rows'
  readonly name: string
  readonly source: StageSource
  /** SELECT over "$events" that gives `c0`, `c1`, …, the inner select's columns, and the position of each row's event. */
  readonly foldSql: string
  /** `$commit` and `$index` among them are for `verify`; plans of earlier releases have none. */
  readonly columns: readonly Column[]
}

export interface FinishPlan {
  /** SELECT over "$merged" that gives the view's columns, cast to their types; HAVING, ORDER BY and LIMIT included. */
  readonly sql: string
  /** Whether an ORDER BY decides the rows' order; ties are already broken in `sql` so that the order is total. */
  readonly ordered: boolean
  /** Whether a LIMIT or OFFSET makes a row depend on other rows: then a delta compares whole answers. */
  readonly limited: boolean
  /** Output columns that are group keys untouched, for lookups: output name → key name. */
  readonly keyColumns: Readonly<Record<string, string>>
  /** A group may have several rows. */
  readonly several?: true
}
