/**
 * The functions in TypeScript that one DuckDB knows, each under its name with a hash, so that those of different
 * versions stand side by side. State: which are registered; a process of an engine has few.
 *
 * A function whose code cannot be loaded is registered all the same and says why when it is called: the other views of
 * the engine go on, and the one that needs it waits.
 */

import { type DuckDBConnection, DuckDBScalarFunction } from '@duckdb/node-api'
import type { FoldSpec } from '../../define/fold.ts'
import type { FunctionSpec } from '../../define/function.ts'
import type { MergedFold, PlannedFunction } from '../../define/function-def.ts'
import { type CodePlace, type LoadedLogic, loadLogic } from '../../define/logic-modules.ts'
import { RefoldError } from '../../model/errors.ts'
import { systemClock } from '../../std/clock.ts'
import { mergeCall } from '../fold/merge-call.ts'
import { type ColumnCall, columnCall, FunctionFailed } from './call-function.ts'
import { duckdbType, readColumn, writeColumn } from './column-values.ts'
import { markedFailure } from './logic-failures.ts'

const AGAIN_MS = 500

export class EngineFunctions {
  readonly #connect: () => Promise<DuckDBConnection>
  readonly #place: CodePlace | undefined
  /** By the name with the hash. */
  readonly #known = new Map<string, Promise<void>>()
  #triedMs = Number.NEGATIVE_INFINITY

  constructor(connect: () => Promise<DuckDBConnection>, place: CodePlace | undefined) {
    this.#connect = connect
    this.#place = place
  }

  /** Returns when SQL may call them. Functions that cannot be loaded are tried again the next time. */
  async use(functions: readonly PlannedFunction[] = []): Promise<void> {
    for (const planned of functions) {
      const { sqlName } = planned
      const registering = this.#known.get(sqlName) ?? this.#register(planned)
      this.#known.set(sqlName, registering)
      await registering
    }
  }

  async #register(planned: PlannedFunction): Promise<void> {
    let call: ColumnCall
    try {
      call = await this.#load(planned)
    } catch (error) {
      this.#known.delete(planned.sqlName)
      call = () => {
        this.#tryAgain(planned)
        throw error
      }
    }
    const connection = await this.#connect()
    try {
      connection.registerScalarFunction(scalarFunction(planned, call))
    } finally {
      connection.closeSync()
    }
  }

  /** Somebody may have put the code back; the view that waits for it asks again and again. */
  #tryAgain(planned: PlannedFunction): void {
    const now = systemClock.monotonicMs()
    if (now < this.#triedMs + AGAIN_MS) return
    this.#triedMs = now
    this.use([planned]).catch(() => {})
  }

  async #load(planned: PlannedFunction): Promise<ColumnCall> {
    if (this.#place === undefined) {
      throw new RefoldError('LOGIC_MISSING', 'this engine was not told where code is kept')
    }
    const logic = await loadLogic(this.#place, planned.code)
    if (planned.merges !== undefined) return mergeOf(planned, planned.merges, logic)
    const spec = logic.find('function', planned.name) as FunctionSpec | undefined
    if (spec !== undefined) return columnCall(planned, spec, logic.artefacts)
    throw new RefoldError('LOGIC_MISSING', `"${logic.code.entry}" makes no function "${planned.name}"`)
  }
}

function mergeOf(planned: PlannedFunction, merges: MergedFold, logic: LoadedLogic): ColumnCall {
  const spec = logic.find('fold', planned.name) as FoldSpec | undefined
  if (spec === undefined) {
    throw new RefoldError('LOGIC_MISSING', `"${logic.code.entry}" makes no fold "${planned.name}"`)
  }
  return columnCall(planned, { vector: undefined, call: mergeCall(spec, merges) }, {})
}

export function scalarFunction(planned: PlannedFunction, call: ColumnCall): DuckDBScalarFunction {
  const { sqlName, args, returns } = planned
  return DuckDBScalarFunction.create({
    name: sqlName,
    parameterTypes: args.map(duckdbType),
    returnType: duckdbType(returns),
    // NULL is ours to handle: DuckDB would look at constants alone.
    specialHandling: true,
    mainFunction(info, chunk, output) {
      try {
        const rows = chunk.rowCount
        const columns = args.map((type, index) => readColumn(chunk.getColumnVector(index), rows, type))
        writeColumn(output, call(columns, rows), returns)
      } catch (error) {
        info.setError(markedFailure(failureOf(planned.name, error)))
      }
    },
  })
}

function failureOf(name: string, error: unknown): Parameters<typeof markedFailure>[0] {
  if (error instanceof FunctionFailed) {
    const { message, userStack } = error
    return { code: 'LOGIC_FAILED', message, ...(userStack === undefined ? {} : { stack: userStack }) }
  }
  const text = error instanceof Error ? error.message : String(error)
  if (error instanceof RefoldError) {
    // What the code's own files did when they were loaded is no event's fault either.
    return { code: 'LOGIC_MISSING', message: `function "${name}" cannot be loaded: ${text}` }
  }
  return { code: 'LOGIC_FAILED', message: `function "${name}" failed: ${text}` }
}
