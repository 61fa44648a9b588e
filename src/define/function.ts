/**
 * `fn`: a scalar function in TypeScript that SQL can call. No state.
 *
 * Argument and result types are typed from what is declared: a SQL type by its name, or a Zod type as in a schema.
 */

import type { z } from 'zod'
import { noteLogic } from './made-logic.ts'
import { callStack } from './spec.ts'

/** SQL types that a function may take and give; with `[]` a list of them. */
export type SqlTypeName =
  | 'BOOLEAN'
  | 'INTEGER'
  | 'BIGINT'
  | 'DOUBLE'
  | 'VARCHAR'
  | 'DATE'
  | 'TIMESTAMP'
  | 'UUID'
  | 'JSON'
  | `DECIMAL(${number},${number})`

export type FunctionTypeOption = SqlTypeName | `${SqlTypeName}[]` | z.ZodType

/** What a value of a declared type is in TypeScript. */
export type ValueOf<T> = T extends `${infer Element extends SqlTypeName}[]`
  ? readonly ValueOf<Element>[]
  : T extends 'BOOLEAN'
    ? boolean
    : T extends 'INTEGER' | 'DOUBLE'
      ? number
      : T extends 'BIGINT'
        ? bigint
        : T extends 'JSON'
          ? unknown
          : T extends string
            ? string
            : T extends z.ZodType
              ? z.output<T>
              : never

/** By name: what `JSON.parse` gives for a `.json` file, the bytes for any other. */
export type Artefacts = Readonly<Record<string, string>>

/** An artefact as the function gets it; name its type where it is used, e.g. `artefacts.model as Model`. */
export type ArtefactValues<A extends Artefacts> = { readonly [Name in keyof A]: unknown }

type Values<Args extends readonly unknown[], Null> = {
  readonly [Index in keyof Args]: ValueOf<Args[Index]> | Null
}

/** A column of a vectorised call: numbers come as a typed array unless one of them is NULL. */
export type ColumnOf<T, Null> = T extends 'DOUBLE'
  ? Float64Array | readonly (number | Null)[]
  : T extends 'INTEGER'
    ? Int32Array | readonly (number | Null)[]
    : readonly (ValueOf<T> | Null)[]

type NullOf<Nulls> = Nulls extends 'pass' ? null : never

interface CommonOptions<
  Args extends readonly FunctionTypeOption[],
  Returns extends FunctionTypeOption,
  Nulls extends 'skip' | 'pass',
  A extends Artefacts,
> {
  /** Types of the arguments, in order. */
  readonly args: Args
  readonly returns: Returns
  /** `skip`: where an argument is NULL the result is, without a call. `pass`: the function gets null. Default `skip`. */
  readonly nulls?: Nulls
  /** Files that the function is given, by name; relative to the file in which `fn` is called. A part of its identity. */
  readonly artefacts?: A
}

export type FunctionOptions<
  Args extends readonly FunctionTypeOption[],
  Returns extends FunctionTypeOption,
  Nulls extends 'skip' | 'pass',
  A extends Artefacts,
> = CommonOptions<Args, Returns, Nulls, A> &
  (
    | {
        /** Called for each row with its arguments, and the artefacts behind them. The same must always give the same. */
        readonly call: (
          ...given: [...Values<Args, NullOf<Nulls>>, artefacts: ArtefactValues<A>]
        ) => ValueOf<Returns> | null
        readonly vector?: never
      }
    | {
        readonly call?: never
        /** Called for up to 2,048 rows at once with a column for each argument; gives as many results. */
        readonly vector: (
          columns: { readonly [Index in keyof Args]: ColumnOf<Args[Index], NullOf<Nulls>> },
          artefacts: ArtefactValues<A>,
        ) => ArrayLike<ValueOf<Returns> | null>
      }
  )

/** What `fn` returns; nobody but the engine calls the function itself. */
export interface FunctionSpec<Name extends string = string> {
  readonly kind: 'function'
  readonly name: Name
  readonly args: readonly FunctionTypeOption[]
  readonly returns: FunctionTypeOption
  readonly nulls: 'skip' | 'pass' | undefined
  readonly artefacts: Artefacts | undefined
  readonly call: ((...given: never[]) => unknown) | undefined
  readonly vector: ((columns: never, artefacts: never) => unknown) | undefined
  readonly calledAt: string
}

/** Declares a function for SQL; put it into `project({ functions })`. */
export function fn<
  const Name extends string,
  const Args extends readonly FunctionTypeOption[],
  const Returns extends FunctionTypeOption,
  const Nulls extends 'skip' | 'pass' = 'skip',
  const A extends Artefacts = Record<never, string>,
>(name: Name, options: FunctionOptions<Args, Returns, Nulls, A>): FunctionSpec<Name> {
  return noteLogic(
    Object.freeze({
      kind: 'function' as const,
      name,
      args: options?.args,
      returns: options?.returns,
      nulls: options?.nulls,
      artefacts: options?.artefacts,
      call: options?.call as FunctionSpec['call'],
      vector: options?.vector as FunctionSpec['vector'],
      calledAt: callStack(fn),
    }),
  )
}
