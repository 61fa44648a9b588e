/**
 * The thread that tries functions before a version is made with them: each is called twice with the same generated
 * values, the second time in the opposite order, and has to give the same. State: the one request.
 */

import { parentPort, workerData } from 'node:worker_threads'
import type { FunctionSpec } from '../../define/function.ts'
import type { FunctionType, PlannedFunction } from '../../define/function-def.ts'
import { type CodePlace, loadLogic } from '../../define/logic-modules.ts'
import { ImpureError } from '../../define/pure-context.ts'
import { type ColumnCall, columnCall, FunctionFailed } from './call-function.ts'
import { generatedValues } from './generated-values.ts'

export interface CheckRequest {
  readonly place: CodePlace
  readonly functions: readonly PlannedFunction[]
}

export interface FunctionFault {
  readonly name: string
  readonly code: 'LOGIC_IMPURE' | 'LOGIC_FAILED' | 'LOGIC_INVALID'
  readonly message: string
}

const ROWS = 100

const { place, functions } = workerData as CheckRequest
const faults: FunctionFault[] = []
for (const planned of functions) {
  const fault = await faultOf(planned)
  if (fault !== undefined) faults.push({ name: planned.name, ...fault })
}
parentPort?.postMessage(faults)

async function faultOf(planned: PlannedFunction): Promise<Omit<FunctionFault, 'name'> | undefined> {
  let call: ColumnCall
  try {
    const logic = await loadLogic(place, planned.code)
    const spec = logic.find('function', planned.name) as FunctionSpec | undefined
    if (spec === undefined) {
      const message = `importing "${logic.code.entry}" alone does not make it: call fn() where the file is loaded`
      return { code: 'LOGIC_INVALID', message }
    }
    call = columnCall(planned, spec, logic.artefacts)
  } catch (error) {
    return { code: isImpure(error) ? 'LOGIC_IMPURE' : 'LOGIC_FAILED', message: textOf(error) }
  }
  return differingRow(planned, call)
}

function differingRow({ args }: PlannedFunction, call: ColumnCall): Omit<FunctionFault, 'name'> | undefined {
  const rows = generatedRows(args)
  const outcome = (row: readonly unknown[]): string => {
    const columns = row.map((value) => ({ values: [value], hasNulls: value === null }))
    try {
      const [result] = Array.from(call(columns, 1))
      return JSON.stringify({ result: plain(result) })
    } catch (error) {
      if (isImpure(error) || /did not end within/.test(textOf(error))) throw error
      return textOf(error)
    }
  }
  try {
    const first = rows.map(outcome)
    const again = rows.toReversed().map(outcome).toReversed()
    const at = first.findIndex((one, index) => one !== again[index])
    if (at < 0) return undefined
    const given = JSON.stringify(rows[at], (_key, value: unknown) => plain(value)).slice(0, 200)
    const message = `it gives one thing and then another for the same arguments ${given}: ${first[at]}, then ${again[at]}`
    return { code: 'LOGIC_IMPURE', message }
  } catch (error) {
    return { code: isImpure(error) ? 'LOGIC_IMPURE' : 'LOGIC_FAILED', message: textOf(error) }
  }
}

/** Values of every type together, each row another mixture; the same in every run. */
function generatedRows(args: readonly FunctionType[]): readonly (readonly unknown[])[] {
  const columns = args.map((type, index) => generatedValues(type, ROWS, index + 1))
  return Array.from({ length: ROWS }, (_, row) => columns.map((values) => values[row]))
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}n`
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
}

function isImpure(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof ImpureError) return true
  return error instanceof FunctionFailed && /logic may not use/.test(error.message)
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
