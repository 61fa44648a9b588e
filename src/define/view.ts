/** `view`: names a view and its SQL. No state. */

import { callStack, type MergeOption, type RunSpec, type ViewSpec } from './spec.ts'

export type ViewOptions = OneDefinition | TwoDefinitions

/** One SQL for history and for what arrives. */
export interface OneDefinition extends CommonOptions {
  /** A SELECT over streams, in DuckDB's dialect. */
  readonly sql: string
  readonly batch?: never
  readonly speed?: never
}

/**
 * One SQL for everything up to the boundary of the batch layer, another with the same columns for what came after it;
 * a row of the view is a row of each, merged. Wants `run: lambda(…)`.
 */
export interface TwoDefinitions extends CommonOptions {
  readonly sql?: never
  /** Any SELECT that DuckDB can do over streams and reference files. Left out: it stands in `views/NAME.batch.sql`. */
  readonly batch?: string
  /** A SELECT that can be folded. Left out: it stands in `views/NAME.speed.sql`. */
  readonly speed?: string
  /** The columns by which the speed SQL groups: rows of both with the same key are one row of the view. */
  readonly key: readonly string[]
  /**
   * For every other column how both values become one: `add`, `replace` (the speed layer's, unless it is null), `min`,
   * `max`, or an SQL expression over `batch.COLUMN` and `speed.COLUMN`.
   */
  readonly merge?: Readonly<Record<string, MergeOption>>
  /** Columns that are exact in the batch layer alone; answers say so while the speed layer has rows. */
  readonly approximate?: readonly string[]
}

interface CommonOptions {
  /** Default `kappa()`. */
  readonly run?: RunSpec
  /**
   * An event whose time lies before its stream's watermark: `correct` takes it at once into the rows it belongs to,
   * `hold` keeps it for the next batch and wants `run: lambda(…)`. Default `correct`.
   */
  readonly late?: 'correct' | 'hold'
  /** When folding an event fails: `stall` stops this view before it, `skip` goes on and keeps a record. Default `stall`. */
  readonly onError?: 'stall' | 'skip'
  /**
   * Rows that may differ when the view is changed: conditions over `old.COLUMN` and `new.COLUMN`, e.g.
   * `new.country = 'JP' AND new.revenue <> old.revenue`. A compare counts them as expected.
   */
  readonly expect?: readonly { readonly name: string; readonly when: string }[]
}

/** Declares a view; put it into `project({ views })`. */
export function view<const Name extends string>(name: Name, options: ViewOptions): ViewSpec<Name> {
  const layers = options as Partial<TwoDefinitions> | undefined
  return Object.freeze({
    kind: 'view' as const,
    name,
    sql: options?.sql,
    batch: layers?.batch,
    speed: layers?.speed,
    key: layers?.key,
    merge: layers?.merge,
    approximate: layers?.approximate,
    run: options?.run,
    late: options?.late,
    onError: options?.onError,
    expect: options?.expect,
    calledAt: callStack(view),
  })
}
