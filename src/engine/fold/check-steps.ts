/**
 * Tries the functions of a fold on generated events, in the thread that they will run in: the same events have to give
 * the same states and rows however they are divided, kept or begun again, and `merge` has to put ranges together. Gives
 * what is wrong as sentences about the fold. No state of its own; what functions keep beside their states is found.
 */

import type { FoldFunctions } from '../../define/fold.ts'
import { ImpureError } from '../../define/pure-context.ts'
import type { Field } from '../../model/schema.ts'
import type { CodeFold } from '../../plan/plan.ts'
import type { EventBatch } from './event-batch.ts'
import type { Progress } from './fold-progress.ts'
import { rowsWriter, stateText } from './fold-shape.ts'
import { FoldSteps } from './fold-steps.ts'
import { type GeneratedRow, generatedRows } from './generated-rows.ts'
import { checkState } from './state-value.ts'

export interface FoldFault {
  readonly code: 'LOGIC_IMPURE' | 'LOGIC_INVALID'
  readonly message: string
}

interface Tried {
  readonly code: CodeFold
  readonly fields: readonly Field[]
  readonly functions: FoldFunctions
  readonly progress: Progress
}

const EVENTS = 150
const SEEDS = [1, 2, 3, 4]
const MEMORY_BYTES = 64_000_000

/** The first fault, if there is one. */
export function checkSteps(given: Tried): FoldFault | undefined {
  const tried = { ...given, functions: { ...given.functions, finish: finishOrNothing(given) } }
  for (const seed of SEEDS) {
    const rows = generatedRows(tried.fields, tried.code.keys, EVENTS, seed)
    const fault = divisionFault(tried, rows) ?? mergeFault(tried, rows, seed)
    if (fault !== undefined) return fault
  }
  return undefined
}

/** On which states it fails depends on where a tick ends, and generated events are none that anybody sent. */
function finishOrNothing({ functions, code }: Tried): FoldFunctions['finish'] {
  const write = rowsWriter(code.row, code.several)
  return (state, key) => {
    try {
      const rows = functions.finish(state, key)
      write(rows)
      return rows
    } catch (error) {
      if (error instanceof ImpureError) throw error
      return code.several ? [] : null
    }
  }
}

interface Result {
  /** Partial rows, sorted by key. */
  readonly lines: readonly string[]
  readonly impure: string | undefined
}

/** Folds batches one after the other; `again` begins each with what was written of the states before. */
function foldAll(tried: Tried, batches: readonly (readonly GeneratedRow[])[], again: boolean): Result {
  const { fields, functions, progress } = tried
  // Without `merge` in it, states go on from batch to batch.
  const code = { ...tried.code, merges: false }
  let steps = new FoldSteps(code, fields, functions, progress, MEMORY_BYTES)
  steps.giveAll([])
  const last = new Map<string, string>()
  let impure: string | undefined
  for (const batch of batches) {
    steps.begin(batchOf(batch, fields.length))
    steps.run(noSkips)
    let flushed = steps.flush()
    while (flushed === undefined) {
      steps.redo(noSkips)
      impure ??= steps.takeFailures().find(({ message }) => message.startsWith('ImpureError'))?.message
      flushed = steps.flush()
    }
    for (const line of flushed.lines.split('\n').filter((one) => one !== '')) {
      last.set(line.slice(0, line.indexOf('"events":')), line.slice(line.indexOf('"at":')))
    }
    steps.commit()
    if (!again) continue
    const states = [...last].map(([key, rest]) => {
      const { state, ...raw } = JSON.parse(`${key}${rest}`) as Record<string, unknown>
      return [...code.keys.map((_, at) => raw[`k${at}`]), state]
    })
    steps = new FoldSteps(code, fields, functions, progress, MEMORY_BYTES)
    steps.giveAll(states)
  }
  return { lines: [...last].map(([key, rest]) => key + rest).sort(), impure }
}

/** Generated values are texts already. */
function batchOf(rows: readonly GeneratedRow[], fields: number): EventBatch {
  const column = (at: number) => rows.map((row) => row[at + 2] as string | null)
  return {
    count: rows.length,
    commits: rows.map(([commit]) => commit).join(','),
    indexes: rows.map(([, index]) => index).join(','),
    columns: Array.from({ length: fields }, (_, at) => JSON.stringify(column(at))),
    json: Array.from({ length: fields }, () => true),
  }
}

const noSkips: ReadonlySet<string> = new Set()

function divisionFault(tried: Tried, rows: readonly GeneratedRow[]): FoldFault | undefined {
  const whole = foldAll(tried, [rows], false)
  if (whole.impure !== undefined) {
    return { code: 'LOGIC_IMPURE', message: whole.impure.replace(/^ImpureError: /, '') }
  }
  const commits = Map.groupBy(rows, ([commit]) => commit)
  const ways: readonly (readonly [() => Result, string])[] = [
    [() => foldAll(tried, [rows], false), 'folded a second time they give another result'],
    [
      () => foldAll(tried, [...commits.values()], false),
      'folded a few at a time they give another result: `finish` must not change the state, nor a function use what it keeps elsewhere',
    ],
    [
      () => foldAll(tried, [...commits.values()], true),
      'a state that was stored and read again acts as another one: it must be all there is to know of a key, as JSON',
    ],
  ]
  for (const [fold, what] of ways) {
    const { lines } = fold()
    const at = lines.findIndex((line, index) => line !== whole.lines[index])
    if (at < 0 && lines.length === whole.lines.length) continue
    const example = `${shortened(whole.lines[at])} and then ${shortened(lines[at])}`
    return {
      code: 'LOGIC_IMPURE',
      message: `it does not give the same for the same events: ${what}; e.g. ${example}`,
    }
  }
  return undefined
}

function shortened(line = 'nothing'): string {
  return line.length > 160 ? `${line.slice(0, 160)}…` : line
}

// ---- merge ----------------------------------------------------------------------------------------------------

/** Folds of three ranges of a key, cut in many places, against the fold of all of them. */
function mergeFault(tried: Tried, rows: readonly GeneratedRow[], seed: number): FoldFault | undefined {
  const { merge } = tried.functions
  if (!tried.code.merges || merge === undefined) return undefined
  const keyAt = tried.code.keys.map((name) => tried.fields.findIndex((field) => field.name === name) + 2)
  const byKey = Map.groupBy(rows, (row) => JSON.stringify(keyAt.map((at) => row[at])))
  for (const events of byKey.values()) {
    for (let round = 0; round < 12; round++) {
      const length = Math.min(events.length, 1 + ((round * 5 + seed) % 24))
      const start = (round * 7) % Math.max(1, events.length - length)
      const some = events.slice(start, start + length)
      const first = (round * 3) % (some.length + 1)
      const second = first + ((round * 11) % (some.length - first + 1))
      const parts = [some.slice(0, first), some.slice(first, second), some.slice(second)]
      const fault = mergedFault(tried, some, parts)
      if (fault !== undefined) return fault
    }
  }
  return undefined
}

function mergedFault(
  tried: Tried,
  all: readonly GeneratedRow[],
  parts: readonly (readonly GeneratedRow[])[],
): FoldFault | undefined {
  const merge = (a: string, b: string): string => {
    const state = tried.functions.merge?.(JSON.parse(a), JSON.parse(b))
    checkState(state)
    return stateText(state, true)
  }
  const sizes = parts.map((part) => part.length).join(' + ')
  try {
    const [a = '', b = '', c = ''] = parts.map((part) => stateOf(tried, part))
    const whole = stateOf(tried, all)
    const left = merge(merge(a, b), c)
    const right = merge(a, merge(b, c))
    if (left !== right) {
      const message = `\`merge\` is not associative: of the states of ${sizes} events, merge(merge(a, b), c) gives ${shortened(left)} and merge(a, merge(b, c)) gives ${shortened(right)}`
      return { code: 'LOGIC_INVALID', message }
    }
    if (left === whole) return undefined
    const message = `\`merge\` does not agree with \`step\`: merged from ${sizes} events the state is ${shortened(left)}, stepped through all of them it is ${shortened(whole)}`
    return { code: 'LOGIC_INVALID', message }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return { code: 'LOGIC_INVALID', message: `\`merge\` fails on states that \`step\` gave: ${message}` }
  }
}

/** The state after some events of one key, as JSON text; an event on which `step` fails is left out. */
function stateOf(tried: Tried, events: readonly GeneratedRow[]): string {
  if (events.length === 0) {
    const state = tried.functions.init()
    checkState(state)
    return stateText(state, true)
  }
  const { lines } = foldAll(tried, [events], false)
  const [line] = lines
  if (line === undefined) return stateOf(tried, [])
  const { state } = JSON.parse(line) as { readonly state: string }
  return stateText(JSON.parse(state), true)
}
