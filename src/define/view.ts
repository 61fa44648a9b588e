/** `view`: names a view and its SQL; `kappa`: how its slices come to be. No state. */

import { callStack, type ViewSpec } from './spec.ts'
import type { RunDef } from './types.ts'

export interface ViewOptions {
  /** A SELECT over streams, in DuckDB's dialect. */
  readonly sql: string
  /** Default `kappa()`. */
  readonly run?: RunDef
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
    onError: options?.onError,
    expect: options?.expect,
    calledAt: callStack(view),
  })
}

/** One stream path: the tail is sealed into slices, a changed view is folded again from the log. */
export function kappa(): RunDef {
  return Object.freeze({ kind: 'kappa' as const })
}
