/** What the thread of a fold and the one that uses it say to each other. Pure types. */

import type { CodePlace } from '../../define/logic-modules.ts'
import type { Field } from '../../model/schema.ts'
import type { CodeFold } from '../../plan/plan.ts'
import type { FoldFault } from './check-steps.ts'
import type { EventBatch } from './event-batch.ts'

/** What the thread is started with. */
export interface FoldThreadData {
  readonly code: CodeFold
  /** The fields that events have, in the order of their rows. */
  readonly fields: readonly Field[]
  /** Where the code is stored. */
  readonly place: CodePlace
  readonly memoryBytes: number
  readonly progress: SharedArrayBuffer
}

/** An event on which a function failed. */
export interface FoldFailure {
  readonly commit: number
  readonly index: number
  readonly message: string
  readonly stack?: string
  readonly code: string
}

export interface FoldCalls {
  /** The states of all keys that have one, as the text of a JSON array's elements `[…key, state]`. */
  giveAll: { readonly args: string; readonly result: null }
  /** Begins a batch of events; gives the keys whose states are needed, each as the texts of its values. */
  begin: { readonly args: EventBatch; readonly result: readonly (readonly unknown[])[] }
  /** States that were asked for, in the same form; keys that are left out have none yet. */
  give: { readonly args: string; readonly result: null }
  /** Steps through the batch, leaving out the events given as `commit:index`. */
  run: { readonly args: readonly string[]; readonly result: Stepped }
  redo: {
    readonly args: { readonly skipped: readonly string[]; readonly events?: EventBatch }
    readonly result: readonly FoldFailure[]
  }
  /** Writes the partial rows since the last flush into a file; their number, or the keys that failed. */
  flush: {
    readonly args: { readonly file: string }
    readonly result: { readonly rows: number } | { readonly failed: readonly (readonly unknown[])[] }
  }
  commit: { readonly args: null; readonly result: null }
  abort: { readonly args: null; readonly result: null }
  /** Tries the functions on generated events; gives what is wrong. */
  check: { readonly args: null; readonly result: FoldFault | null }
}

export interface Stepped {
  /** Keys on which a function failed. */
  readonly failed: readonly (readonly unknown[])[]
  /** So much is kept that it should be flushed and committed. */
  readonly full: boolean
}

export type FoldMethod = keyof FoldCalls

export interface ToFold {
  readonly id: number
  readonly method: FoldMethod
  readonly args: unknown
}

export type FromFold =
  | { readonly kind: 'ready' }
  /** The functions could not be loaded. */
  | { readonly kind: 'unusable'; readonly message: string; readonly stack?: string }
  | { readonly kind: 'answer'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly message: string; readonly stack?: string }
