/**
 * Turns what `fold` was given into a `ViewDef`, reporting every mistake with its place. Its functions are no part of
 * that: what stands for them is the code they are in. No state.
 */

import type { Field } from '../model/schema.ts'
import { nearestName } from '../std/nearest-name.ts'
import type { FoldSpec } from './fold.ts'
import { lowerSchema } from './lower.ts'
import type { CallSite } from './places.ts'
import type { Refuse } from './refuse.ts'
import { type CodeSource, resolveCode } from './resolve-code.ts'
import { resolveExpect } from './resolve-expect.ts'
import { checkLate } from './resolve-late.ts'
import { resolveRun } from './resolve-run.ts'
import { settingReader } from './settings.ts'
import type { FoldDef, RunDef, ViewDef } from './types.ts'

const STEP_MS = 50
const MEMORY_BYTES = 256_000_000
const MEMORY_BYTES_MIN = 16_000_000

const keyKinds = ['string', 'integer', 'decimal', 'boolean', 'date', 'timestamp', 'uuid']

export function resolveFold(
  spec: FoldSpec,
  call: CallSite,
  source: CodeSource,
  refuse: Refuse,
): ViewDef | undefined {
  const what = `fold "${String(spec.name)}"`
  const fault = (option: string, message: string, hint?: string) =>
    refuse('LOGIC_INVALID', `${what}: ${message}`, call.option([option]), hint)
  if ((spec.from as { readonly kind?: unknown } | undefined)?.kind !== 'stream') {
    fault('from', '`from` is not a stream', 'Give it what stream() returned.')
    return undefined
  }
  checkFunctions(spec, fault)
  const key = keyOf(spec, fault)
  const reads = readsOf(spec, fault)
  const columns = columnsOf(spec, key, call, what, refuse, fault)
  const run = resolveRun(what, spec.run, call, refuse)
  checkLate(what, spec.late, run, call, refuse)
  checkMerge(spec, run, fault)
  const onError = spec.onError ?? 'skip'
  if (onError !== 'skip' && onError !== 'stall') {
    fault('onError', `onError ${JSON.stringify(onError)} is not known`, 'Use "skip" or "stall".')
  }
  const read = settingReader(spec, (path, message, hint) => {
    refuse('LOGIC_INVALID', `${what}: \`${path.join('.')}\`: ${message}`, call.option(path), hint)
  })
  const expect = resolveExpect(what, spec.expect, call, refuse)
  const code = resolveCode(what, spec, call, source, refuse)
  const fold: FoldDef = {
    stream: spec.from.name,
    key,
    ...(reads === undefined ? {} : { reads }),
    columns,
    several: spec.several === true,
    merges: typeof spec.functions.merge === 'function',
    stepMs: read.duration(['limits', 'step'], STEP_MS, 1),
    memoryBytes: read.size(['limits', 'memory'], MEMORY_BYTES, MEMORY_BYTES_MIN),
    code,
  }
  return {
    ...{ name: spec.name, sql: foldText(spec.name, fold), sqlPlace: call.place, run, onError, fold },
    ...(spec.late === 'hold' ? { late: 'hold' as const } : {}),
    ...(expect.length === 0 ? {} : { expect }),
  }
}

type Fault = (option: string, message: string, hint?: string) => void

/** What people see of a fold where other views have their SQL. */
function foldText(name: string, { stream, key, columns, several, merges, code }: FoldDef): string {
  const names = [...key, ...columns.map((column) => column.name)]
  return [
    `-- TypeScript: fold('${name}') in ${code.entry}`,
    `FOLD ${stream} BY ${key.join(', ')} ${merges ? 'WITH MERGE ' : ''}INTO${several ? ' SEVERAL' : ''} (${names.join(', ')})`,
  ].join('\n')
}

function checkFunctions({ functions }: FoldSpec, fault: Fault): void {
  for (const name of ['init', 'step', 'finish'] as const) {
    const given: unknown = functions[name]
    if (typeof given !== 'function') fault(name, `\`${name}\` is not a function`)
    else if (isAsync(given))
      fault(name, `\`${name}\` is async`, 'A fold computes at once, from its arguments.')
  }
  const merge: unknown = functions.merge
  if (merge !== undefined && typeof merge !== 'function') fault('merge', '`merge` is not a function')
  if (isAsync(merge)) fault('merge', '`merge` is async', 'A fold computes at once, from its arguments.')
}

function isAsync(given: unknown): boolean {
  const name = (given as { readonly constructor?: { readonly name?: unknown } } | undefined)?.constructor
    ?.name
  return name === 'AsyncFunction' || name === 'GeneratorFunction' || name === 'AsyncGeneratorFunction'
}

function keyOf({ key, from }: FoldSpec, fault: Fault): readonly string[] {
  const names: readonly unknown[] = Array.isArray(key) ? key : [key]
  const shape: Readonly<Record<string, unknown>> = from.schema?.shape ?? {}
  const known = Object.keys(shape)
  if (names.length === 0) fault('key', '`key` names no field')
  const kept: string[] = []
  for (const name of names) {
    if (typeof name !== 'string' || !known.includes(name)) {
      const near = typeof name === 'string' ? nearestName(name, known) : undefined
      const hint = near === undefined ? `Fields: ${known.join(', ')}.` : `Did you mean "${near}"?`
      fault('key', `key ${JSON.stringify(name)} is not a field of stream "${from.name}"`, hint)
    } else if (kept.includes(name)) fault('key', `the key has "${name}" twice`)
    else kept.push(name)
  }
  const lowered = lowerSchema(from.schema, () => {})
  for (const name of kept) {
    const kind = lowered?.fields.find((field) => field.name === name)?.type.kind
    if (kind !== undefined && !keyKinds.includes(kind)) {
      fault('key', `"${name}" is of the kind ${kind}, which cannot be a key`, `Use ${keyKinds.join(', ')}.`)
    }
  }
  return kept
}

function readsOf({ reads, from }: FoldSpec, fault: Fault): readonly string[] | undefined {
  if (reads === undefined) return undefined
  const known = Object.keys(from.schema?.shape ?? {})
  if (!Array.isArray(reads)) {
    fault('reads', '`reads` is not a list of fields', `Fields: ${known.join(', ')}.`)
    return undefined
  }
  for (const name of reads as unknown[]) {
    if (typeof name === 'string' && known.includes(name)) continue
    const near = typeof name === 'string' ? nearestName(name, known) : undefined
    const hint = near === undefined ? `Fields: ${known.join(', ')}.` : `Did you mean "${near}"?`
    fault('reads', `${JSON.stringify(name)} among \`reads\` is not a field of stream "${from.name}"`, hint)
  }
  return [...new Set(reads as string[])]
}

function columnsOf(
  { row }: FoldSpec,
  key: readonly string[],
  call: CallSite,
  what: string,
  refuse: Refuse,
  fault: Fault,
): readonly Field[] {
  if (row === undefined) {
    fault('row', 'it has no `row`', 'Give it `row: z.object({ … })`, the columns beside the key.')
    return []
  }
  const lowered = lowerSchema(row, (path, message, hint) => {
    const place = path.length === 0 ? call.option(['row']) : call.field(path)
    refuse('LOGIC_INVALID', `${what}: \`row\` ${path.join('.')}: ${message}`, place, hint)
  })
  for (const field of lowered?.fields ?? []) {
    if (key.some((name) => name.toLowerCase() === field.name.toLowerCase())) {
      const hint = 'Leave it out of `row`: the columns of the key come by themselves.'
      refuse(
        'LOGIC_INVALID',
        `${what}: "${field.name}" is a column of the key`,
        call.field([field.name]),
        hint,
      )
    }
    if (field.defaultValue !== undefined) {
      const hint = 'Let `finish` give the value.'
      refuse('LOGIC_INVALID', `${what}: column "${field.name}" has a default`, call.field([field.name]), hint)
    }
  }
  return lowered?.fields ?? []
}

function checkMerge(spec: FoldSpec, run: RunDef, fault: Fault): void {
  if (run.kind !== 'lambda' || spec.functions.merge !== undefined) return
  fault(
    'run',
    'it has no `merge`, so what a batch computes and what came after it cannot be put together',
    'Give it `merge: (earlier, later) => state`, or run it as kappa() or hybrid({ … }).',
  )
}
