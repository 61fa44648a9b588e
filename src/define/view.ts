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
}

/** Declares a view; put it into `project({ views })`. */
export function view<const Name extends string>(name: Name, options: ViewOptions): ViewSpec<Name> {
  return Object.freeze({
    kind: 'view' as const,
    name,
    sql: options?.sql,
    run: options?.run,
    onError: options?.onError,
    calledAt: callStack(view),
  })
}

/** One stream path: the tail is sealed into slices, a changed view is folded again from the log. */
export function kappa(): RunDef {
  return Object.freeze({ kind: 'kappa' as const })
}
