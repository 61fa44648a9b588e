/**
 * How far a replay is, how fast it goes and when it may be done, from what was seen in the last seconds. Pure.
 * The band is the best and the worst pace of these seconds: honest where the pace changes, narrow where it does not.
 */

import type { Hold } from './budget.ts'
import type { BuildProgress } from './types.ts'

export interface ProgressSample {
  readonly timeMs: number
  /** Events folded, and events that there are; both only grow. */
  readonly done: number
  readonly total: number
}

export const PROGRESS_KEEP_MS = 10_000
/** A pace is measured over at least this long. */
const PACE_MS = 1_000

/** Adds a sample and forgets those that are too old. */
export function withSample(
  samples: readonly ProgressSample[],
  sample: ProgressSample,
): readonly ProgressSample[] {
  return [...samples.filter(({ timeMs }) => sample.timeMs - timeMs <= PROGRESS_KEEP_MS), sample]
}

/** `samples` from the oldest to the newest. */
export function replayProgress(
  samples: readonly ProgressSample[],
  held: Hold | undefined,
): BuildProgress | undefined {
  const last = samples.at(-1)
  const first = samples[0]
  if (last === undefined || first === undefined) return undefined
  const { done, total } = last
  const seconds = (last.timeMs - first.timeMs) / 1000
  const rate = seconds <= 0 ? 0 : (done - first.done) / seconds
  const etaMs = eta(samples, total - done)
  return {
    done,
    total,
    percent: total === 0 ? 100 : Math.min(100, Math.floor((done / total) * 1000) / 10),
    rate: Math.round(rate),
    ...(etaMs === undefined ? {} : { etaMs }),
    ...(held === undefined ? {} : { held }),
  }
}

/** Milliseconds until what is left is folded, at the pace at which it shrinks. */
function eta(samples: readonly ProgressSample[], left: number): BuildProgress['etaMs'] {
  const paces: number[] = []
  let from = 0
  for (const [index, sample] of samples.entries()) {
    const begin = samples[from]
    if (begin === undefined || sample.timeMs - begin.timeMs < PACE_MS) continue
    paces.push(paceBetween(begin, sample))
    from = index
  }
  const first = samples[0]
  const last = samples.at(-1)
  if (first === undefined || last === undefined || paces.length === 0) return undefined
  const likely = paceBetween(first, last)
  if (likely <= 0) return undefined
  const slowest = Math.min(likely, ...paces)
  const fastest = Math.max(likely, ...paces)
  const ms = (pace: number) => Math.round(left / pace)
  // A standstill in the band says nothing about when it ends: three times the likely time stands for it.
  const high = slowest <= 0 ? 3 * ms(likely) : Math.min(ms(slowest), 3 * ms(likely))
  return { low: ms(fastest), likely: ms(likely), high }
}

/** Events by which the rest shrinks in a millisecond. */
function paceBetween(a: ProgressSample, b: ProgressSample): number {
  return (a.total - a.done - (b.total - b.done)) / (b.timeMs - a.timeMs)
}

/** From here on an estimate nears the end more and more slowly, and does not reach it. */
const SURE_SHARE = 0.8

/** Of a fold whose progress cannot be asked: events that are done by its usual pace. */
export function estimatedDone(byPace: number, most: number): number {
  const sure = most * SURE_SHARE
  if (byPace <= sure || most <= 0) return Math.max(0, Math.min(byPace, most))
  const rest = most - sure
  return most - rest * Math.exp(-(byPace - sure) / rest)
}
