/**
 * What a build will cost, from what lies in the log and from rates that earlier builds had on this machine. Ranges are
 * honest guesses: from the fastest and the slowest of the builds measured, or wide ones where nothing was. Pure.
 */

import type { CommitSeq } from '../model/cut.ts'
import { type HistoryPiece, sizeOf } from './stream-history.ts'
import type { BuildEstimate } from './types.ts'

/** What an earlier build took; owner is the deploy that ran it. */
export interface MeasuredBuild {
  readonly seconds: number
  readonly events: number
  readonly bytes: number
}

export interface EstimateInput {
  /** All of the stream's events in the log. */
  readonly pieces: readonly HistoryPiece[]
  /** Cut that slices of the same version reach. */
  readonly sealed: CommitSeq
  readonly measured: readonly MeasuredBuild[]
  /** Events/s of the stream. */
  readonly inputRate: number
  /** Bytes of slices for each event, as another version of the view or another view of the stream has them. */
  readonly sliceBytesPerEvent: number
}

/** Events/s of a bulk fold where nothing was measured yet: what a small machine does, with a wide band. */
const DEFAULT_RATE = { low: 500_000, likely: 2_000_000, high: 8_000_000 } as const
/** Starting a worker, planning, publishing, the last ticks. */
const OVERHEAD_SECONDS = { low: 0.1, likely: 0.3, high: 2 } as const
/** A build of fewer events says how long it takes to begin, not how fast it is. */
const MEASURED_EVENTS_MIN = 50_000

export function estimateBuild(input: EstimateInput): BuildEstimate {
  const { pieces, sealed, inputRate } = input
  const total = pieces.reduce((sum, piece) => sum + piece.events, 0)
  const { events, bytes } = sizeOf(pieces, { from: sealed, to: Number.MAX_SAFE_INTEGER })
  const { rate, basis } = foldRates(input.measured)
  const foldRate = Math.round(rate.likely)
  return {
    events,
    bytes,
    reusedEvents: total - events,
    seconds: {
      low: seconds(events, rate.high, OVERHEAD_SECONDS.low),
      likely: seconds(events, rate.likely, OVERHEAD_SECONDS.likely),
      high: seconds(events, rate.low, OVERHEAD_SECONDS.high),
    },
    diskBytes: Math.round(total * input.sliceBytesPerEvent),
    foldRate,
    inputRate: Math.round(inputRate),
    catchesUp: foldRate > inputRate,
    basis,
  }
}

interface Rates {
  readonly low: number
  readonly likely: number
  readonly high: number
}

function foldRates(measured: readonly MeasuredBuild[]): {
  readonly rate: Rates
  readonly basis: BuildEstimate['basis']
} {
  const rates = measured
    .filter((build) => build.events >= MEASURED_EVENTS_MIN && build.seconds > 0)
    .map((build) => build.events / build.seconds)
    .sort((a, b) => a - b)
  const [low] = rates
  const likely = rates[rates.length >> 1]
  const high = rates.at(-1)
  if (low === undefined || likely === undefined || high === undefined)
    return { rate: DEFAULT_RATE, basis: 'default' }
  // One build alone says little about the next.
  return {
    rate: { low: Math.min(low, likely / 2), likely, high: Math.max(high, likely * 1.5) },
    basis: 'measured',
  }
}

function seconds(events: number, rate: number, overhead: number): number {
  return Math.round((events / rate + overhead) * 100) / 100
}
