/**
 * What `stream`, `view` and `project` return: the user's words untouched, with the place of the call. Builders
 * check nothing, so that loading can report all mistakes of a project at once.
 */

import type { z } from 'zod'
import type { Compatibility } from '../model/schema.ts'
import type { CheckOptions } from './check.ts'
import type { FoldSpec } from './fold.ts'
import type { FunctionSpec } from './function.ts'
import type { AliasOptions } from './resolve-aliases.ts'
import type { HybridOptions, LambdaOptions } from './run.ts'

/** Milliseconds, or a text such as `15m`; units ms, s, m, h, d. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

/** Bytes, or a text such as `256MB`; KB, MB, GB count by 1000, KiB, MiB, GiB by 1024. */
export type Size = number | `${number}${'B' | 'KB' | 'MB' | 'GB' | 'KiB' | 'MiB' | 'GiB'}`

/** How long events are kept, hot and cold. */
export interface RetentionOptions {
  /** How long events stay in the hot log after the lake has them; the longest of all streams holds. Default 0. */
  readonly hot?: Duration
  /** How long, or how much of, the stream's lake is kept. Default: all of it, for ever. */
  readonly lake?:
    | Duration
    | {
        /** Files whose last event came in before this go. */
        readonly age?: Duration
        /** The oldest files go while the stream's files are larger together. */
        readonly bytes?: Size
        /**
         * Before events go, the states that versions of views need at that point are recorded as bases. Default true;
         * with false nothing goes that a version needs, and the server says so.
         */
        readonly promote?: boolean
      }
}

export interface StreamSpec<Name extends string = string, Schema extends z.ZodObject = z.ZodObject> {
  readonly kind: 'stream'
  readonly name: Name
  readonly schema: Schema
  readonly id: string | undefined
  readonly key: string | undefined
  readonly time: string | undefined
  readonly partitions: number | undefined
  readonly dedupe: { readonly window?: Duration; readonly count?: number } | undefined
  readonly lateness: Duration | undefined
  readonly aliases: AliasOptions | undefined
  readonly compatibility: Compatibility | undefined
  readonly retention?: RetentionOptions | undefined
  /** Stack of the builder's call. */
  readonly calledAt: string
}

/** An event of a stream as its readers see it, defaults applied. */
export type EventOf<S extends StreamSpec> = z.output<S['schema']>

/** An event of a stream as producers send it. */
export type EventInputOf<S extends StreamSpec> = z.input<S['schema']>

/** What `kappa`, `lambda` and `hybrid` return. */
export type RunSpec =
  | { readonly kind: 'kappa' }
  | { readonly kind: 'lambda'; readonly options: LambdaOptions }
  | { readonly kind: 'hybrid'; readonly options: HybridOptions }

/** How the value of a column in the batch layer and that in the speed layer become one. */
export type MergeOption = 'add' | 'replace' | 'min' | 'max' | { readonly sql: string }

export interface ViewSpec<Name extends string = string> {
  readonly kind: 'view'
  readonly name: Name
  readonly sql: string | undefined
  /** The two definitions of a view that has them. */
  readonly batch: string | undefined
  readonly speed: string | undefined
  readonly key: readonly string[] | undefined
  readonly merge: Readonly<Record<string, MergeOption>> | undefined
  readonly approximate: readonly string[] | undefined
  readonly run: RunSpec | undefined
  readonly late: 'correct' | 'hold' | undefined
  readonly onError: 'stall' | 'skip' | undefined
  readonly expect: readonly { readonly name: string; readonly when: string }[] | undefined
  readonly calledAt: string
}

export interface CheckSpec<Name extends string = string> {
  readonly kind: 'check'
  readonly name: Name
  readonly options: CheckOptions
  readonly calledAt: string
}

export interface ProjectOptions {
  /** Default: the folder's name. */
  readonly name?: string
  readonly streams: readonly StreamSpec[]
  /** Views beside those in `views/NAME.sql`. */
  readonly views?: readonly (ViewSpec | FoldSpec)[]
  /** Functions in TypeScript that the SQL of views, checks and people can call. */
  readonly functions?: readonly FunctionSpec[]
  /** What must hold before a changed view is served, and while it is. */
  readonly checks?: readonly CheckSpec[]
  /** Data folder, relative to the project file. Default `.refold`. */
  readonly data?: string
  readonly server?: { readonly host?: string; readonly port?: number; readonly token?: string }
  readonly engine?: {
    readonly memory?: Size
    readonly threads?: number
    readonly statementTimeout?: Duration
    readonly heavyStatements?: number
  }
  readonly seal?: { readonly rows?: number; readonly bytes?: Size; readonly age?: Duration }
  /** How long a version that was replaced stays current for a rollback. Default `'24h'`. */
  readonly warm?: Duration
  readonly history?: { readonly quick?: Duration; readonly fine?: Duration }
  /** How often views are folded again and compared with what is served, and which share of their groups. */
  readonly verify?: { readonly every: Duration; readonly sample?: number }
  readonly limits?: {
    readonly eventBytes?: Size
    readonly requestBytes?: Size
    readonly expandedBytes?: Size
    readonly depth?: number
    readonly requestEvents?: number
    readonly queueBytes?: Size
  }
}

export interface ProjectSpec {
  readonly kind: 'project'
  readonly options: ProjectOptions
  readonly calledAt: string
}

/** The stack above the builder that called this, for the place of its call. */
export function callStack(builder: (...args: never[]) => unknown): string {
  const holder: { stack?: string } = {}
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 20
  Error.captureStackTrace(holder, builder)
  Error.stackTraceLimit = limit
  return holder.stack ?? ''
}
