/**
 * Reads over a large view while events arrive: lookups by key, the top 20, and whether memory stays flat. One
 * server, one view with a million groups, 20,000 events/s. No state of its own.
 */

import { getHead, HttpConnection } from './http-connection.ts'
import { atLeast, atMost, type BenchContext, type Measurement, type Suite } from './measurement.ts'
import { median, quantiles } from './quantiles.ts'
import { Stand, userStats } from './stand.ts'
import type { Workload } from './workload.ts'

export const readsSuite: Suite = {
  names: ['lookups-1m-groups', 'top20', 'memory-flat'],
  run: measureReads,
}

const keys = 1_000_000
const bulk: Workload = { keys, poolEvents: 1_000_000, eventsPerRequest: 1000 }
const small: Workload = { keys, poolEvents: 1_000_000, eventsPerRequest: 200 }

async function* measureReads(context: BenchContext): AsyncIterable<Measurement> {
  const window = context.quick ? 1_000_000 : 10_000_000
  const stand = await Stand.open({ name: 'reads', views: { user_stats: userStats }, dedupeCount: window })
  try {
    context.say(`filling a million groups with ${window} events`)
    await stand.fill(bulk, window)
    await stand.get(`/v1/views/user_stats?limit=1&after=${stand.lastCut}&timeout=60000`)
    if (context.wants('lookups-1m-groups')) yield* lookups(context, stand)
    if (context.wants('top20')) yield* top20(context, stand)
    if (context.wants('memory-flat')) yield* memory(context, stand)
    context.say('comparing the view with plain DuckDB')
    await stand.mustAgree()
  } finally {
    await stand.close()
  }
}

function arriving(stand: Stand, seconds: number) {
  return stand.order({
    kind: 'paced',
    workload: small,
    connections: 16,
    eventsPerSecond: 20_000,
    warmupSeconds: 0,
    seconds,
    probeEvery: 0,
  })
}

async function* lookups(context: BenchContext, stand: Stand): AsyncIterable<Measurement> {
  const seconds = context.quick ? 6 : 60
  const [report] = await Promise.all([
    stand.order({ kind: 'lookups', keys, connections: 64, perSecond: 0, warmupSeconds: 2, seconds }),
    arriving(stand, seconds + 2),
  ])
  const method = 'GET by key, 64 connections in a closed loop, a million groups, 20,000 events/s arriving'
  yield {
    name: 'lookups-1m-groups',
    value: Math.round(report.done / report.seconds),
    unit: 'lookups/s',
    gate: atLeast(10_000),
    method,
  }
  const p99 = Math.round((report.lookupMs?.p99 ?? Number.NaN) * 100) / 100
  yield { name: 'lookups-1m-groups/p99', value: p99, unit: 'ms', gate: atMost(10), method }
}

async function* top20(context: BenchContext, stand: Stand): AsyncIterable<Measurement> {
  const seconds = context.quick ? 6 : 60
  const load = arriving(stand, seconds)
  const samples = await askTop20(stand, seconds, 0)
  await load
  const { count, p50, p99 } = quantiles(samples)
  yield {
    name: 'top20',
    value: Math.round(p99 * 100) / 100,
    unit: 'ms',
    gate: atMost(100),
    method: `p99 of ${count} answers to order=-total_events&limit=20 over a million groups, one client, 20,000 events/s arriving; p50 ${p50.toFixed(1)} ms`,
  }
}

async function askTop20(stand: Stand, seconds: number, pauseMs: number): Promise<readonly number[]> {
  const connection = new HttpConnection(stand.target.port)
  const samples: number[] = []
  const untilMs = performance.now() + seconds * 1000
  while (performance.now() < untilMs) {
    const sentMs = performance.now()
    const answer = await connection.send(getHead('/v1/views/user_stats?order=-total_events&limit=20'))
    if (answer.status !== 200)
      throw new Error(`top 20 was answered ${answer.status} ${answer.body.slice(0, 300)}`)
    samples.push(performance.now() - sentMs)
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  connection.close()
  return samples
}

async function* memory(context: BenchContext, stand: Stand): AsyncIterable<Measurement> {
  const seconds = context.quick ? 16 : 600
  const samples: number[] = []
  const timer = setInterval(() => samples.push(stand.usage().residentBytes), 500)
  await Promise.all([
    arriving(stand, seconds),
    stand.order({ kind: 'lookups', keys, connections: 8, perSecond: 2000, warmupSeconds: 0, seconds }),
    askTop20(stand, seconds, 500),
  ])
  clearInterval(timer)
  const fifth = Math.floor(samples.length / 5)
  const early = median(samples.slice(fifth, 2 * fifth))
  const late = median(samples.slice(-fifth))
  yield {
    name: 'memory-flat',
    value: Math.round((late / early) * 1000) / 1000,
    unit: 'times',
    gate: atMost(1.1),
    method: `resident memory of server and engines over ${seconds} s of 20,000 events/s, 2,000 lookups/s and two top 20 a second: median of the last fifth (${mb(late)}) over the second fifth (${mb(early)})`,
  }
}

function mb(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`
}
