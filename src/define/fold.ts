/**
 * `fold`: a view whose logic is TypeScript. No state.
 *
 * Everything is typed from the stream and the schema of the rows: the event that `step` gets, the key, and what
 * `finish` has to give. The type of the state is what `init` gives.
 */

import type { z } from 'zod'
import { noteLogic } from './made-logic.ts'
import { callStack, type Duration, type EventOf, type RunSpec, type Size, type StreamSpec } from './spec.ts'

/** A field of the stream, or several in a list. */
export type FoldKey<S extends StreamSpec> = FieldOf<S> | readonly [FieldOf<S>, ...FieldOf<S>[]]

export type FieldOf<S extends StreamSpec> = keyof EventOf<S> & string

/** The names of the key's fields. */
type KeyFieldsOf<S extends StreamSpec, Key> = Key extends readonly FieldOf<S>[]
  ? Key[number]
  : Key & FieldOf<S>

/** What `step` and `finish` get as the key: the value of the one field, or an object of the fields in the list. */
export type KeyOf<S extends StreamSpec, Key> =
  Key extends FieldOf<S>
    ? EventOf<S>[Key]
    : Key extends readonly FieldOf<S>[]
      ? { readonly [Name in Key[number]]: EventOf<S>[Name] }
      : never

/** Where an event stands. There is no clock: the time of an event is a field of it. */
export interface FoldContext<Key = unknown> {
  readonly key: Key
  /** The commit of the event and its place in it: a total order of all events. */
  readonly commit: number
  readonly index: number
}

/** What `finish` gives: a row, or none; with `several`, a list. */
export type FoldRows<Row extends z.ZodObject, Several> = Several extends true
  ? readonly z.input<Row>[]
  : z.input<Row> | null

export interface FoldLimits {
  /** Time that one call of `step`, `merge` or `finish` may take. Default 50 ms. */
  readonly step?: Duration
  /** Memory of the functions and of the states that they keep at hand. Default 256 MB. */
  readonly memory?: Size
}

export interface FoldOptions<
  S extends StreamSpec,
  Key extends FoldKey<S>,
  State,
  Row extends z.ZodObject,
  Several extends boolean,
  Reads extends FieldOf<S> = FieldOf<S>,
> {
  /** The stream whose events are folded. */
  readonly from: S
  /** The fields that `step` looks at, beside those of the key: others are not even read. Default: all. */
  readonly reads?: readonly Reads[]
  /** There is a state for each value of this field, or of these together. They are the first columns of the view. */
  readonly key: Key
  /** The columns beside the key. */
  readonly row: Row
  /** `finish` gives a list of rows for a key. Default false. */
  readonly several?: Several
  /** The state of a key before its first event. JSON; see `docs/typescript-folds.md`. */
  readonly init: () => State
  /** The state after an event. Events of a key come in the order of the log. It may change the state it got. */
  readonly step: (
    state: NoInfer<State>,
    event: Pick<EventOf<S>, Reads | KeyFieldsOf<S, Key>>,
    context: FoldContext<KeyOf<S, Key>>,
  ) => NoInfer<State>
  /** The state after the events of two ranges, of which `earlier` came first. Associative; checked at load. */
  readonly merge?: (earlier: NoInfer<State>, later: NoInfer<State>) => NoInfer<State>
  /** The rows that people see. */
  readonly finish: (state: NoInfer<State>, key: KeyOf<S, Key>) => FoldRows<Row, Several>
  readonly limits?: FoldLimits
  /** Default `kappa()`. `lambda(…)` needs `merge`. */
  readonly run?: RunSpec
  readonly late?: 'correct' | 'hold'
  /** An event on which `step` fails: `skip` puts it into the dead letters, `stall` stops the view. Default `skip`. */
  readonly onError?: 'stall' | 'skip'
  readonly expect?: readonly { readonly name: string; readonly when: string }[]
}

/** What `fold` returns; the functions are of any type, because nobody but the fold itself calls them. */
export interface FoldSpec<Name extends string = string> {
  readonly kind: 'fold'
  readonly name: Name
  readonly from: StreamSpec
  readonly key: string | readonly string[]
  readonly row: z.ZodObject
  readonly several: boolean | undefined
  readonly reads: readonly string[] | undefined
  readonly functions: FoldFunctions
  readonly limits: FoldLimits | undefined
  readonly run: RunSpec | undefined
  readonly late: 'correct' | 'hold' | undefined
  readonly onError: 'stall' | 'skip' | undefined
  readonly expect: readonly { readonly name: string; readonly when: string }[] | undefined
  readonly calledAt: string
}

export interface FoldFunctions {
  readonly init: () => unknown
  readonly step: (state: unknown, event: unknown, context: FoldContext) => unknown
  readonly merge: ((earlier: unknown, later: unknown) => unknown) | undefined
  readonly finish: (state: unknown, key: unknown) => unknown
}

/** Declares a view whose logic is TypeScript; put it into `project({ views })`. */
export function fold<
  const Name extends string,
  S extends StreamSpec,
  const Key extends FoldKey<S>,
  State,
  Row extends z.ZodObject,
  const Several extends boolean = false,
  const Reads extends FieldOf<S> = FieldOf<S>,
>(name: Name, options: FoldOptions<S, Key, State, Row, Several, Reads>): FoldSpec<Name> {
  const { init, step, merge, finish } = options ?? {}
  return noteLogic(
    Object.freeze({
      kind: 'fold' as const,
      name,
      from: options?.from,
      key: options?.key,
      row: options?.row,
      several: options?.several,
      reads: options?.reads,
      functions: { init, step, merge, finish } as unknown as FoldFunctions,
      limits: options?.limits,
      run: options?.run,
      late: options?.late,
      onError: options?.onError,
      expect: options?.expect,
      calledAt: callStack(fold),
    }),
  )
}
