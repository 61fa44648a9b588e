/** `view`: names a view and its SQL. No state. */

import { callStack, type RunSpec, type ViewSpec } from './spec.ts'

export interface ViewOptions {
  /** A SELECT over streams, in DuckDB's dialect. */
  readonly sql: string
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
  return Object.freeze({
    kind: 'view' as const,
    name,
    sql: options?.sql,
    run: options?.run,
    late: options?.late,
    onError: options?.onError,
    expect: options?.expect,
    calledAt: callStack(view),
  })
}
