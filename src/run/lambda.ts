/**
 * Lambda as a policy: when a view's next batch is due, which moments one that overran has missed, what an incremental
 * batch folds again, and what is worth an alarm. Pure functions over what the catalog and the server know; who acts on
 * them is `server/batch/`.
 */

import { nextCronMs } from '../define/cron.ts'
import type { BatchScheduleDef, LambdaDef } from '../define/types.ts'
import type { CommitRange, CommitSeq } from '../model/cut.ts'
import { unreachable } from '../std/assert.ts'
import { chooseMerge } from './kappa.ts'

/** What the catalog knows of a view's last batch, of whichever outcome. */
export interface LastBatch {
  readonly startedMs: number
  /** Null while it runs. */
  readonly endedMs: number | null
  /** How many have failed in a row, it included. */
  readonly failures: number
}

export interface BatchNeed {
  readonly schedule: BatchScheduleDef
  /** Since when the view runs like this with the version that answers. */
  readonly sinceMs: number
  /** Skipped ones are none. Undefined: the version had none yet. */
  readonly last: LastBatch | undefined
  /** Events of the view's streams after T. */
  readonly eventsSince: number
}

const RETRY_FIRST_MS = 1_000
const RETRY_LAST_MS = 60_000

/**
 * When the next batch begins, in ms since 1970; Infinity when it waits for events. One that failed is tried again
 * sooner than the schedule says, each time later than the time before.
 */
export function batchDueMs({ schedule, sinceMs, last, eventsSince }: BatchNeed): number {
  const due = scheduledMs(schedule, last?.startedMs ?? sinceMs, eventsSince)
  if (last === undefined || last.failures === 0) return due
  const rest = Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** Math.min(20, last.failures - 1))
  const again = (last.endedMs ?? last.startedMs) + rest
  return Math.min(due, again)
}

function scheduledMs(schedule: BatchScheduleDef, afterMs: number, eventsSince: number): number {
  switch (schedule.kind) {
    case 'every':
      return afterMs + schedule.everyMs
    case 'cron':
      return nextCronMs(schedule.cron, afterMs) ?? Number.POSITIVE_INFINITY
    case 'events':
      return eventsSince >= schedule.events ? afterMs : Number.POSITIVE_INFINITY
    default:
      return unreachable(schedule)
  }
}

/** At most so many are written down at once; a batch that overran by more has been told of often enough. */
const MISSED_MAX = 100

/** The moments in (afterMs, nowMs] at which a batch was due while the one begun at `startedMs` still ran. */
export function missedBatches(
  schedule: BatchScheduleDef,
  startedMs: number,
  afterMs: number,
  nowMs: number,
): readonly number[] {
  const missed: number[] = []
  if (schedule.kind === 'events') return missed
  if (schedule.kind === 'every') {
    const first = Math.floor((Math.max(afterMs, startedMs) - startedMs) / schedule.everyMs) + 1
    for (let at = startedMs + first * schedule.everyMs; at <= nowMs; at += schedule.everyMs) missed.push(at)
  } else {
    let at = nextCronMs(schedule.cron, Math.max(afterMs, startedMs))
    while (at !== undefined && at <= nowMs && missed.length < MISSED_MAX) {
      missed.push(at)
      at = nextCronMs(schedule.cron, at)
    }
  }
  return missed.slice(-MISSED_MAX)
}

/** One range of the batch layer, with what it takes to see whether it is still what the lake gives. */
export interface LayerRange extends CommitRange {
  readonly bytes: number
  /** Lake files that it was folded from: path → checksum; undefined where that is not known. */
  readonly inputs: Readonly<Record<string, number>> | undefined
}

export interface IncrementalPlan {
  /** Ranges whose slices stay. */
  readonly kept: readonly CommitRange[]
  /** Ranges that are folded again, or for the first time, in order. */
  readonly fold: readonly CommitRange[]
}

/**
 * What an incremental batch folds, given the layer's ranges in order from `start` on: those whose lake files are not
 * the ones that they were folded from, and what came after the last one. Where there are many ranges, small neighbours
 * are folded again as one, so that their number grows with the logarithm of the history.
 */
export function incrementalPlan(
  layer: readonly LayerRange[],
  inputsNow: (range: CommitRange) => Readonly<Record<string, number>>,
  start: CommitSeq,
  cut: CommitSeq,
): IncrementalPlan {
  const isWhole = layer.every(({ from }, index) => from === (layer[index - 1]?.to ?? start))
  const usable = isWhole ? layer.filter(({ to }) => to <= cut) : []
  const reach = usable.at(-1)?.to ?? start
  const merge = chooseMerge(usable.map(({ bytes }) => Math.max(1, bytes)))
  const kept: CommitRange[] = []
  const fold: CommitRange[] = []
  for (const [index, { from, to, inputs }] of usable.entries()) {
    const inMerge = merge !== undefined && index >= merge.first && index < merge.first + merge.count
    const isSame = inputs !== undefined && sameInputs(inputs, inputsNow({ from, to }))
    if (isSame && !inMerge) kept.push({ from, to })
    else if (inMerge && index > (merge?.first ?? 0) && fold.at(-1)?.to === from) {
      fold.splice(-1, 1, { from: fold.at(-1)?.from ?? from, to })
    } else fold.push({ from, to })
  }
  if (cut > reach) fold.push({ from: reach, to: cut })
  return { kept, fold }
}

function sameInputs(
  before: Readonly<Record<string, number>>,
  now: Readonly<Record<string, number>>,
): boolean {
  const paths = Object.keys(now)
  return paths.length === Object.keys(before).length && paths.every((path) => before[path] === now[path])
}

/** What is told of a view's batches in `refold status` until it is over. */
export interface BatchAlarm {
  readonly view: string
  readonly kind: 'batch failed' | 'batch overran' | 'speed span' | 'divergence'
  /** Since when, ms since 1970. */
  readonly sinceMs: number
  readonly message: string
}

export interface LayerState {
  readonly view: string
  readonly nowMs: number
  /** Age of the oldest event that the batch layer does not hold. */
  readonly spanMs: number
  /** Failed and skipped ones since the last that was published, oldest first. */
  readonly failed: readonly { readonly timeMs: number; readonly reason: string | null }[]
  readonly skipped: readonly { readonly timeMs: number }[]
  /** Of the last published batch. */
  readonly published: { readonly timeMs: number; readonly divergence: number | null } | undefined
}

export function batchAlarms(run: LambdaDef, state: LayerState): readonly BatchAlarm[] {
  const { view, nowMs, spanMs, failed, skipped, published } = state
  const alarms: BatchAlarm[] = []
  const firstFailed = failed[0]
  if (firstFailed !== undefined) {
    const times = failed.length === 1 ? 'the last batch failed' : `the last ${failed.length} batches failed`
    const message = `${times}: ${failed.at(-1)?.reason ?? 'no reason is known'}`
    alarms.push({ view, kind: 'batch failed', sinceMs: firstFailed.timeMs, message })
  }
  const firstSkipped = skipped[0]
  if (firstSkipped !== undefined) {
    const count = skipped.length === 1 ? 'one batch was' : `${skipped.length} batches were`
    const message = `${count} skipped, because the one before had not ended`
    alarms.push({ view, kind: 'batch overran', sinceMs: firstSkipped.timeMs, message })
  }
  const { maxSpanMs, maxDivergence } = run
  if (maxSpanMs !== undefined && spanMs > maxSpanMs) {
    const message = `the speed layer spans ${seconds(spanMs)}, more than ${seconds(maxSpanMs)}`
    alarms.push({ view, kind: 'speed span', sinceMs: nowMs - (spanMs - maxSpanMs), message })
  }
  const differing = published?.divergence ?? 0
  if (published !== undefined && differing > maxDivergence) {
    const rows = differing === 1 ? '1 row' : `${differing} rows`
    const message = `the last batch differs in ${rows} from what was served at its cut`
    alarms.push({ view, kind: 'divergence', sinceMs: published.timeMs, message })
  }
  return alarms
}

function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`
}
