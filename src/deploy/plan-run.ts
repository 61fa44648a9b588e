/**
 * How the way a view runs changes, in sentences, and what stands behind the change before it counts: a batch over all
 * of history, a fold of all of history that is held against what is served, or nothing where only options change. Pure.
 */

import type { BatchScheduleDef, LambdaDef, RunDef } from '../define/types.ts'
import { unreachable } from '../std/assert.ts'
import { isSameData } from './same-data.ts'
import type { Reason, RunChange } from './types.ts'

/** Undefined: it runs as before. */
export function runChange(from: RunDef, to: RunDef): RunChange | undefined {
  if (isSameData(from, to)) return undefined
  const proof = from.kind === to.kind ? 'none' : to.kind === 'lambda' ? 'batch' : 'refold'
  return { from, to, proof }
}

/** For a view that is there already. */
export function runReasons({ from, to }: RunChange): readonly Reason[] {
  const texts =
    from.kind === to.kind ? optionTexts(from, to) : [`it moves from ${from.kind} to ${runText(to)}`]
  return texts.map((text) => ({ what: 'run', text }))
}

/** `lambda, a batch every 15 min`. */
export function runText(run: RunDef): string {
  switch (run.kind) {
    case 'kappa':
      return 'kappa'
    case 'lambda':
      return `lambda, ${scheduleText(run.schedule)}${run.incremental ? ', incremental' : ''}`
    case 'hybrid':
      return `hybrid, a snapshot every ${durationText(run.snapshotEveryMs)}, ${run.keep} of them kept`
    default:
      return unreachable(run)
  }
}

export function scheduleText(schedule: BatchScheduleDef): string {
  switch (schedule.kind) {
    case 'every':
      return `a batch every ${durationText(schedule.everyMs)}`
    case 'cron':
      return `a batch at "${schedule.cron}"`
    case 'events':
      return `a batch after every ${schedule.events} events`
    default:
      return unreachable(schedule)
  }
}

function optionTexts(from: RunDef, to: RunDef): readonly string[] {
  if (from.kind === 'lambda' && to.kind === 'lambda') return lambdaTexts(from, to)
  if (from.kind !== 'hybrid' || to.kind !== 'hybrid') return []
  return [
    ...changed('snapshotEvery', durationText(from.snapshotEveryMs), durationText(to.snapshotEveryMs)),
    ...changed('keep', from.keep, to.keep),
  ]
}

function lambdaTexts(from: LambdaDef, to: LambdaDef): readonly string[] {
  const span = ({ maxSpanMs }: LambdaDef) => (maxSpanMs === undefined ? 'none' : durationText(maxSpanMs))
  return [
    ...changed('the schedule', scheduleText(from.schedule), scheduleText(to.schedule)),
    ...changed('incremental', from.incremental, to.incremental),
    ...changed('whenSpeedFails', from.whenSpeedFails, to.whenSpeedFails),
    ...changed('maxSpan', span(from), span(to)),
    ...changed('maxDivergence', from.maxDivergence, to.maxDivergence),
  ]
}

function changed(name: string, from: unknown, to: unknown): readonly string[] {
  return from === to ? [] : [`${name} changed from ${String(from)} to ${String(to)}`]
}

const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
] as const

/** In the largest unit that gives a whole number. */
function durationText(ms: number): string {
  const [unit, size] = units.find((one) => ms % one[1] === 0) ?? ['ms', 1]
  return `${ms / size} ${unit}`
}
