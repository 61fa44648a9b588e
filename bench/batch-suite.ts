/**
 * Batches of a view that runs as lambda under live input: how fast one folds all of history, against the plain DuckDB
 * query over the same Parquet files under the same input; how long its publication holds up ticks; and what a lookup
 * costs beside the same view as kappa. The real server. No state.
 */

import type { BatchInfo } from '../src/serve/core-batches.ts'
import { atLeast, atMost, type BenchContext, type Measurement, type Suite } from './measurement.ts'
import { median } from './quantiles.ts'
import { liveInput, plainRate, untilInLake } from './replay-suite.ts'
import { Stand, userStats } from './stand.ts'
import type { Workload } from './workload.ts'

export const batchSuite: Suite = {
  names: ['batch-rate', 'batch-flip', 'lookup-lambda'],
  run: measureBatches,
}

const keys = 200_000
const bulk: Workload = { keys, poolEvents: 200_000, eventsPerRequest: 1000 }
const LIVE_RATE = 20_000
const FLIP_LIMIT_MS = 50
const plainSql = 'SELECT user_id, count(*), sum(revenue) FROM events GROUP BY user_id'
/** The same view twice: the first runs as lambda, by hand. */
const views = { user_stats: userStats, as_kappa: userStats }

async function* measureBatches(context: BenchContext): AsyncIterable<Measurement> {
  const events = context.quick ? 4_000_000 : 20_000_000
  const runs = { user_stats: "lambda({ every: '365d' })" }
  const stand = await Stand.open({ name: 'batch', views, runs, dedupeCount: 1_000_000 })
  try {
    context.say(`a history of ${events} events`)
    await stand.fill(bulk, events)
    await untilInLake(stand, context.quick ? events * 0.7 : events - 900_000)
    const live = liveInput(stand)
    if (context.wants('batch-rate')) yield await rate(context, stand)
    if (context.wants('batch-flip')) yield await flip(context, stand)
    await live.stop()
    if (context.wants('lookup-lambda')) yield await lookups(context, stand)
    context.say('comparing the views with plain DuckDB')
    await stand.mustAgree()
  } finally {
    await stand.close()
  }
}

/** Runs a batch to its end. */
async function batch(stand: Stand): Promise<BatchInfo> {
  const response = await fetch(`${stand.server.url}/v1/views/user_stats/batches`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ wait: true }),
  })
  const info = (await response.json()) as BatchInfo
  if (info.state !== 'published') throw new Error(`a batch ended as ${info.state}: ${info.reason}`)
  if (info.divergence !== null && info.divergence !== 0)
    throw new Error(`a batch differs in ${info.divergence} rows from what was served`)
  return info
}

async function rate(context: BenchContext, stand: Stand): Promise<Measurement> {
  const rounds = context.quick ? 1 : 5
  context.say('batches over all of it')
  const ratios: number[] = []
  const folds: number[] = []
  const plains: number[] = []
  const wholeMs: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const plain = await plainRate(stand, plainSql)
    const { events, foldMs, startedAt, endedAt } = await batch(stand)
    const perSecond = ((events ?? 0) / (foldMs ?? 1)) * 1000
    ratios.push(perSecond / plain.rate)
    folds.push(perSecond)
    plains.push(plain.rate)
    wholeMs.push(Date.parse(endedAt ?? startedAt) - Date.parse(startedAt))
  }
  const millions = (values: readonly number[]) => `${(median(values) / 1e6).toFixed(1)} M events/s`
  return {
    name: 'batch-rate',
    value: Math.round(median(ratios) * 100) / 100,
    unit: 'times',
    gate: atLeast(0.8),
    method:
      `the fold of a batch over the plain DuckDB query on the same lake, in turn, both while ${LIVE_RATE} events/s arrive, ` +
      `median of ${rounds}: batch ${millions(folds)}, with the checksums of its files and with sorted and synced slices, by a worker that was started while the log moved to the lake; ` +
      `plain ${millions(plains)} from the start of its process; a whole batch, with the move to the lake, the comparison with what was served and the publication, took ${(median(wholeMs) / 1000).toFixed(1)} s`,
  }
}

/** How much longer the longest gap between two ticks is around a swap than in as long a time without one. */
async function flip(context: BenchContext, stand: Stand): Promise<Measurement> {
  const rounds = context.quick ? 2 : 7
  context.say('gaps between ticks around publications')
  const around: number[] = []
  const without: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    const watch = watchCut(stand)
    await new Promise((resolve) => setTimeout(resolve, 2_000))
    const quietFrom = performance.now() - 1_600
    const { endedAt } = await batch(stand)
    const endedMs = Date.parse(endedAt ?? '') - performance.timeOrigin
    await new Promise((resolve) => setTimeout(resolve, 1_200))
    await watch.stop()
    // The transaction ends just before the engine is told; the swap comes when its image is made.
    around.push(watch.longestGap(endedMs - 50, endedMs + 750))
    without.push(
      watch.longestGap(quietFrom, quietFrom + 800),
      watch.longestGap(quietFrom + 800, quietFrom + 1_600),
    )
  }
  const delay = Math.max(0, median(around) - median(without))
  return {
    name: 'batch-flip',
    value: Math.round(delay * 10) / 10,
    unit: 'ms',
    gate: atMost(FLIP_LIMIT_MS),
    method:
      `longest time in which a view of ${keys} groups did not move on, in the 0.8 s in which a batch is published and swapped in, over that in 0.8 s without, ` +
      `medians of ${rounds} and ${2 * rounds}: ${median(around).toFixed(0)} over ${median(without).toFixed(0)} ms, ${LIVE_RATE} events/s arriving`,
  }
}

/** Asks again and again at which cut the view stands. */
function watchCut(stand: Stand): {
  stop(): Promise<void>
  longestGap(fromMs: number, toMs: number): number
} {
  const moves: number[] = []
  let stopped = false
  const work = async () => {
    let last = 0
    while (!stopped) {
      const { cut } = JSON.parse(await stand.get('/v1/views/user_stats?user_id=u0000001&limit=1')) as {
        readonly cut: number
      }
      if (cut > last) moves.push(performance.now())
      last = cut
    }
  }
  const done = work()
  done.catch(() => {})
  return {
    stop: () => {
      stopped = true
      return done
    },
    longestGap(fromMs, toMs) {
      const within = moves.filter((at) => at >= fromMs && at <= toMs)
      const points = [fromMs, ...within, toMs]
      return Math.max(...points.slice(1).map((at, index) => at - (points[index] ?? at)))
    },
  }
}

/** Lookups of the view as lambda and as kappa, in turn. */
async function lookups(context: BenchContext, stand: Stand): Promise<Measurement> {
  const seconds = context.quick ? 3 : 8
  const rounds = context.quick ? 2 : 4
  context.say('lookups under lambda and under kappa')
  const lambda: number[] = []
  const kappa: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    await batch(stand)
    const both = [
      { view: 'user_stats', rates: lambda },
      { view: 'as_kappa', rates: kappa },
    ]
    // Whoever comes second has the longer tail.
    for (const { view, rates } of round % 2 === 0 ? both : both.toReversed()) {
      const live = liveInput(stand)
      const order = {
        kind: 'lookups',
        keys,
        connections: 64,
        perSecond: 0,
        warmupSeconds: 1,
        seconds,
      } as const
      const report = await stand.order(order, view)
      await live.stop()
      rates.push(report.done / report.seconds)
    }
  }
  const cost = median(kappa) / median(lambda)
  return {
    name: 'lookup-lambda',
    value: Math.round(cost * 100) / 100,
    unit: 'times',
    gate: atMost(2),
    method:
      `what a lookup by key costs under lambda over the same view as kappa: 64 connections in a closed loop, ${keys} groups, ${LIVE_RATE} events/s arriving, ` +
      `median of ${rounds}: ${median(lambda).toFixed(0)} over ${median(kappa).toFixed(0)} lookups/s`,
  }
}
