/**
 * One function in TypeScript as DuckDB calls it: columns in, a column out, under the guard and with a time limit. State:
 * arguments with which the function did not end, so that nobody waits for them twice; it is pure, so they stay so.
 */

import vm from 'node:vm'
import type { FunctionSpec } from '../../define/function.ts'
import type { PlannedFunction } from '../../define/function-def.ts'
import { userStack, userText } from '../../define/logic-modules.ts'
import { runPure } from '../../define/pure-context.ts'
import type { Column } from './column-values.ts'

/** For one call with up to 2,048 rows. */
export const CALL_MS_MAX = 2_000
/** Arguments that are remembered. */
const ENDLESS_KEPT = 1_000

/** A function failed; `stack` has the frames in the user's own files. */
export class FunctionFailed extends Error {
  override readonly name = 'FunctionFailed'
  readonly userStack: string | undefined

  constructor(message: string, stack?: string) {
    super(message)
    this.userStack = stack
  }
}

export type ColumnCall = (columns: readonly Column[], rows: number) => ArrayLike<unknown>

export function columnCall(
  planned: PlannedFunction,
  spec: Pick<FunctionSpec, 'call' | 'vector'>,
  artefacts: Readonly<Record<string, unknown>>,
): ColumnCall {
  const skips = planned.nulls === 'skip'
  return spec.vector === undefined
    ? rowCalls(planned, spec.call as (...given: unknown[]) => unknown, artefacts, skips)
    : vectorCall(planned, spec.vector as VectorFunction, artefacts, skips)
}

type VectorFunction = (columns: readonly ArrayLike<unknown>[], artefacts: unknown) => unknown

function rowCalls(
  planned: PlannedFunction,
  call: (...given: unknown[]) => unknown,
  artefacts: unknown,
  skips: boolean,
): ColumnCall {
  const endless = new Set<string>()
  const { name } = planned
  return (columns, rows) => {
    const given = columns.map(({ values }) => values)
    const mayBeNull = skips && columns.some(({ hasNulls }) => hasNulls)
    const results = new Array<unknown>(rows)
    const row = (at: number): unknown[] => given.map((values) => values[at])
    const isNull = (at: number) => mayBeNull && given.some((values) => values[at] === null)
    let at = 0
    if (endless.size > 0) {
      for (let one = 0; one < rows; one++)
        if (!isNull(one) && endless.has(keyOf(row(one)))) throw tookTooLong(name)
    }
    const loop = loopOf(call, given, artefacts)
    const all = () => {
      for (at = 0; at < rows; at++) results[at] = isNull(at) ? null : loop(at)
    }
    try {
      runPure(() => timed(all))
    } catch (error) {
      if (!isTimeout(error)) throw failed(name, error, row(at))
      if (endless.size < ENDLESS_KEPT) endless.add(keyOf(row(at)))
      throw tookTooLong(name)
    }
    return results
  }
}

/** Without a list of arguments for each row, where they are few. */
function loopOf(
  call: (...given: unknown[]) => unknown,
  given: readonly ArrayLike<unknown>[],
  artefacts: unknown,
): (row: number) => unknown {
  const [a = [], b = [], c = [], d = []] = given
  switch (given.length) {
    case 1:
      return (row) => call(a[row], artefacts)
    case 2:
      return (row) => call(a[row], b[row], artefacts)
    case 3:
      return (row) => call(a[row], b[row], c[row], artefacts)
    case 4:
      return (row) => call(a[row], b[row], c[row], d[row], artefacts)
    default:
      return (row) => call(...given.map((values) => values[row]), artefacts)
  }
}

function vectorCall(
  { name }: PlannedFunction,
  call: VectorFunction,
  artefacts: unknown,
  skips: boolean,
): ColumnCall {
  return (columns, rows) => {
    const given = columns.map(({ values }) => values)
    const kept = skips && columns.some(({ hasNulls }) => hasNulls) ? rowsWithoutNull(given, rows) : undefined
    if (kept?.length === 0) return new Array<null>(rows).fill(null)
    const taken = kept === undefined ? given : given.map((values) => kept.map((row) => values[row]))
    const wanted = kept?.length ?? rows
    let results: unknown
    try {
      runPure(() =>
        timed(() => {
          results = call(taken, artefacts)
        }),
      )
    } catch (error) {
      throw isTimeout(error) ? tookTooLong(name) : failed(name, error)
    }
    const length = (results as ArrayLike<unknown> | null | undefined)?.length
    if (typeof results !== 'object' || length !== wanted) {
      const what = results instanceof Promise ? 'a promise' : `${length ?? typeof results} results`
      throw new FunctionFailed(`function "${name}" gave ${what} for ${wanted} rows`)
    }
    if (kept === undefined) return results as ArrayLike<unknown>
    const spread = new Array<unknown>(rows).fill(null)
    kept.forEach((row, index) => {
      spread[row] = (results as ArrayLike<unknown>)[index]
    })
    return spread
  }
}

function rowsWithoutNull(columns: readonly ArrayLike<unknown>[], rows: number): readonly number[] {
  const kept: number[] = []
  for (let row = 0; row < rows; row++) if (columns.every((values) => values[row] !== null)) kept.push(row)
  return kept
}

const held = Symbol.for('refold.timed')
const script = new vm.Script(`globalThis[Symbol.for('refold.timed')]()`)

/** Ends `call` where it takes too long, even in an endless loop. */
function timed(call: () => void): void {
  const record = globalThis as { [held]?: () => void }
  record[held] = call
  try {
    script.runInThisContext({ timeout: CALL_MS_MAX })
  } finally {
    delete record[held]
  }
}

function isTimeout(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
}

function tookTooLong(name: string): FunctionFailed {
  return new FunctionFailed(`function "${name}" did not end within ${CALL_MS_MAX} ms`)
}

function failed(name: string, error: unknown, args?: readonly unknown[]): FunctionFailed {
  const { stack, at } = userStack(error)
  const message = error instanceof Error ? userText(error.message) : `it threw ${String(error)}`
  const where = at === undefined ? '' : ` at ${at}`
  const input = args === undefined ? '' : `; arguments: ${shortArgs(args)}`
  return new FunctionFailed(
    `function "${name}" failed: ${message}${where}${input}`,
    stack === '' ? undefined : stack,
  )
}

function shortArgs(args: readonly unknown[]): string {
  const text = keyOf(args).slice(1, -1)
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}

function keyOf(args: readonly unknown[]): string {
  return JSON.stringify(args, (_key, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))
}
