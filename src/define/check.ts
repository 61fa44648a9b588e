/**
 * `check`: names something that must hold before a changed view is served, and while it is. What does not go together
 * fails in the editor with a sentence; loading checks everything again. No state.
 */

import { type CheckSpec, callStack, type Duration } from './spec.ts'

/** Rows that a function fetched; a date, a whole number beyond 2^53 and a decimal's text come through exactly. */
export type TruthRow = Readonly<Record<string, null | boolean | number | bigint | string | Date>>

export interface Tolerance {
  /** In the column's own unit; as a text a decimal stays exact. */
  readonly absolute?: number | string
  /** Share of the truth: 0.001 is a tenth of a per cent. */
  readonly relative?: number | string
}

export interface CheckOptions {
  /** A SELECT over views and streams. Alone: it must give no row. */
  readonly sql?: string
  /** What the rows of `sql` must equal: a CSV, JSON or Parquet file beside the project file, or a function. */
  readonly truth?: { readonly file: string } | (() => Promise<readonly TruthRow[]> | readonly TruthRow[])
  /** Columns that tell the rows of `sql` and `truth` apart. Left out: each has one row. */
  readonly key?: readonly string[]
  /** By column. A total within either bound is equal; without one it must be equal to the digit. */
  readonly tolerance?: Readonly<Record<string, Tolerance>>
  /** The view whose rows `changed` or `rows` counts. */
  readonly view?: string
  /** At most so many rows of the view may differ from the version that answers now. */
  readonly changed?: { readonly rows: number } | { readonly share: number }
  /** The view must have so many rows. */
  readonly rows?: { readonly min?: number; readonly max?: number }
  /** Runs on the live versions too, so often. */
  readonly every?: Duration
  /** False: no cutover waits for it. Default true. */
  readonly cutover?: boolean
  /** Default 30 s. */
  readonly timeout?: Duration
}

/** Declares a check; put it into `project({ checks })`. */
export function check<const Name extends string, const Options extends CheckOptions>(
  name: Name,
  options: Options & Sound<Options>,
): CheckSpec<Name> {
  return Object.freeze({
    kind: 'check' as const,
    name,
    options: options as CheckOptions,
    calledAt: callStack(check),
  })
}

/** What a call must be beside `CheckOptions`; options whose type is not known in detail are left to loading. */
type Sound<Options> = CheckOptions extends Options
  ? unknown
  : Known<Options> & OneKind<Options> & Runs<Options>

type Known<Options> = {
  readonly [Name in Exclude<
    keyof Options,
    keyof CheckOptions
  >]: Sentence<`a check has no option "${Name & string}"`>
}

type OneKind<Options> = Options extends { readonly sql: unknown }
  ? OfSql<Options>
  : Options extends { readonly view: unknown }
    ? OfView<Options>
    : { readonly sql: Sentence<'a check needs `sql`, or `view` with `changed` or `rows`'> }

type OfSql<Options> = Refused<
  Options,
  'view' | 'changed' | 'rows',
  'a check is over `sql` or over a `view`, not both'
> &
  (Options extends { readonly truth: unknown }
    ? unknown
    : Refused<Options, 'key' | 'tolerance', '`key` and `tolerance` go with `truth`'>)

type OfView<Options> = Refused<
  Options,
  'truth' | 'key' | 'tolerance',
  '`truth`, `key` and `tolerance` go with `sql`'
> &
  (Options extends { readonly changed: unknown }
    ? Refused<Options, 'rows', 'a check is about `changed` or about `rows`; declare two'>
    : Options extends { readonly rows: unknown }
      ? unknown
      : { readonly rows: Sentence<'a check over a `view` needs `rows` or `changed`'> })

type Runs<Options> = Options extends { readonly changed: unknown }
  ? Refused<Options, 'every' | 'cutover', 'rows change at a cutover, so `changed` is checked there alone'>
  : Options extends { readonly cutover: false; readonly every?: undefined }
    ? { readonly cutover: Sentence<'without `every` it would never run'> }
    : unknown

type Refused<Options, Names extends string, Text extends string> = {
  readonly [Name in Extract<keyof Options, Names>]: Sentence<Text>
}

/** A type that no value has, whose name is what the editor shows. */
interface Sentence<Text extends string> {
  readonly ' ': Text
}
