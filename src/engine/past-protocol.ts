/**
 * What the server and the past engine say to each other over the child process's IPC channel: settings first, then
 * numbered calls with one answer each. Pure types; both sides check nothing else, since they are one release.
 */

import type { CodePlace } from '../define/logic-modules.ts'
import type { ErrorBody } from '../model/errors.ts'
import type { Rows } from './engine.ts'
import type { PastQuery, PastSqlRead, PastViewRead } from './past.ts'

export interface PastSettings {
  /** DuckDB's memory limit in bytes. */
  readonly memoryBytes: number
  readonly threads: number
  /** Private folder for spills and copies; emptied at start. */
  readonly scratchDir: string
  /** Where logic in TypeScript is. */
  readonly code?: CodePlace
}

/** Every call: its arguments and its answer. */
export interface PastCalls {
  query: { args: PastQuery; result: readonly Rows[] }
  read: { args: PastViewRead; result: Rows }
  sql: { args: PastSqlRead; result: Rows & { readonly views: readonly string[] } }
}

export type PastMethod = keyof PastCalls

export type ToPast =
  | { readonly kind: 'settings'; readonly settings: PastSettings }
  | { readonly kind: 'call'; readonly id: number; readonly method: PastMethod; readonly args: unknown }
  | { readonly kind: 'cancel'; readonly id: number }
  | { readonly kind: 'stop' }

export type FromPast =
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly error: ErrorBody }
