/**
 * Ingest: throughput, latency at a fixed rate, and the same latency beside heavy SQL. One server, one view, 200,000
 * keys, 4 partitions, the dedupe window full before the first measurement; at the end the view is compared with
 * plain DuckDB. No state of its own.
 */

import type { GeneratorReport } from './generator-protocol.ts'
import { atLeast, atMost, type BenchContext, type Measurement, type Suite } from './measurement.ts'
import { Stand, userStats } from './stand.ts'
import type { Workload } from './workload.ts'

export const ingestSuite: Suite = {
  names: ['ingest-throughput', 'latency-50k', 'latency-under-heavy-sql'],
  run: measureIngest,
}

const bulk: Workload = { keys: 200_000, poolEvents: 200_000, eventsPerRequest: 1000 }
const small: Workload = { keys: 200_000, poolEvents: 200_000, eventsPerRequest: 500 }

const heavyStatements = [
  `SELECT page, count(DISTINCT session_id), max(revenue), count(*) FROM events GROUP BY page ORDER BY 2 DESC`,
  `SELECT a.total_events, count(*), sum(b.total_revenue) FROM user_stats a JOIN user_stats b
   ON a.total_events = b.total_events AND substr(a.user_id, 4) = substr(b.user_id, 4) GROUP BY ALL`,
  `SELECT user_id, rank() OVER (ORDER BY total_revenue DESC, user_id) AS place FROM user_stats QUALIFY place < 100`,
]

async function* measureIngest(context: BenchContext): AsyncIterable<Measurement> {
  const window = context.quick ? 1_000_000 : 10_000_000
  const stand = await Stand.open({ name: 'ingest', views: { user_stats: userStats }, dedupeCount: window })
  try {
    context.say(`filling a dedupe window of ${window} ids`)
    await stand.fill(bulk, window)
    if (context.wants('ingest-throughput')) yield* throughput(context, stand)
    if (context.wants('latency-50k') || context.wants('latency-under-heavy-sql'))
      yield* latency(context, stand)
    context.say('comparing the view with plain DuckDB')
    await stand.mustAgree()
  } finally {
    await stand.close()
  }
}

async function* throughput(context: BenchContext, stand: Stand): AsyncIterable<Measurement> {
  const before = stand.usage()
  const report = await stand.order({
    kind: 'flood',
    workload: bulk,
    connections: 24,
    lagEvents: 200_000,
    warmupEvents: 500_000,
    seconds: context.quick ? 8 : 30,
  })
  const events = report.account?.acknowledged.reduce((sum, n) => sum + n * bulk.eventsPerRequest, 0) ?? 1
  const cpu = ((stand.usage().cpuSeconds - before.cpuSeconds) / events) * 1e6
  yield {
    name: 'ingest-throughput',
    value: Math.round(report.done / report.seconds),
    unit: 'events/s',
    gate: atLeast(250_000),
    method:
      `HTTP NDJSON, 1,000 events of 150 bytes a request, durable and folded into one view; ` +
      `${report.seconds.toFixed(0)} s; lag p50 ${Math.round(report.lagEvents?.p50 ?? 0)} events, ` +
      `last third over first third ${(report.lagGrowth ?? 0).toFixed(2)}; ` +
      `acknowledged in p50 ${ms(report.acknowledgeMs?.p50)}; server and engine ${cpu.toFixed(2)} µs CPU an event`,
  }
}

async function* latency(context: BenchContext, stand: Stand): AsyncIterable<Measurement> {
  const quiet = await paced(context, stand)
  const method = `50,000 events/s in 100 requests a second, open loop, ${quiet.queryableMs?.count} probes`
  if (context.wants('latency-50k')) {
    yield* latencies('latency-50k', quiet, method, {
      queryableP50: 15,
      queryableP99: 60,
      ackP50: 5,
      ackP99: 20,
    })
  }
  if (!context.wants('latency-under-heavy-sql')) return
  const heavy = startHeavy(stand, 6)
  let busy: GeneratorReport
  try {
    busy = await paced(context, stand)
  } finally {
    await heavy.stop()
  }
  const answered = heavy.counts
  const told = `the same with six clients sending heavy SQL without pause (${answered.ok} answered, ${answered.refused} refused${answered.reason === '' ? '' : `, last: ${answered.reason}`})`
  yield* latencies('latency-under-heavy-sql', busy, told, {})
  yield ratio(
    'latency-under-heavy-sql/queryable-p99-ratio',
    busy.queryableMs?.p99,
    quiet.queryableMs?.p99,
    told,
  )
  yield ratio(
    'latency-under-heavy-sql/ack-p99-ratio',
    busy.acknowledgeMs?.p99,
    quiet.acknowledgeMs?.p99,
    told,
  )
}

function paced(context: BenchContext, stand: Stand): Promise<GeneratorReport> {
  return stand.order({
    kind: 'paced',
    workload: small,
    connections: 16,
    eventsPerSecond: 50_000,
    warmupSeconds: 2,
    seconds: context.quick ? 7 : 60,
    probeEvery: 1,
  })
}

interface LatencyGates {
  readonly queryableP50?: number
  readonly queryableP99?: number
  readonly ackP50?: number
  readonly ackP99?: number
}

function* latencies(
  name: string,
  report: GeneratorReport,
  method: string,
  gates: LatencyGates,
): Iterable<Measurement> {
  const rows = [
    ['queryable-p50', report.queryableMs?.p50, gates.queryableP50, 'from due to send to row read over HTTP'],
    ['queryable-p99', report.queryableMs?.p99, gates.queryableP99, 'from due to send to row read over HTTP'],
    ['ack-p50', report.acknowledgeMs?.p50, gates.ackP50, 'from due to send to acknowledged'],
    ['ack-p99', report.acknowledgeMs?.p99, gates.ackP99, 'from due to send to acknowledged'],
  ] as const
  for (const [part, value, bound, what] of rows) {
    yield {
      name: `${name}/${part}`,
      value: round(value ?? Number.NaN),
      unit: 'ms',
      ...(bound === undefined ? {} : { gate: atMost(bound) }),
      method: `${method}; ${what}`,
    }
  }
}

function ratio(name: string, busy = Number.NaN, quiet = Number.NaN, method = ''): Measurement {
  return { name, value: round(busy / quiet), unit: 'times', gate: atMost(3), method }
}

/** Clients that send heavy statements one after another until stopped. */
function startHeavy(stand: Stand, clients: number) {
  let over = false
  const counts = { ok: 0, refused: 0, reason: '' }
  const loops = Array.from({ length: clients }, async (_, client) => {
    for (let turn = client; !over; turn += 1) {
      const statement = heavyStatements[turn % heavyStatements.length] ?? ''
      const answer = await stand.sql(statement).catch((error: Error) => `no answer: ${error.message}`)
      if (!answer.startsWith('{"cut"')) {
        counts.refused += 1
        counts.reason = answer.slice(0, 200)
        await new Promise((resolve) => setTimeout(resolve, 50))
      } else counts.ok += 1
    }
  })
  return {
    counts,
    async stop() {
      over = true
      await Promise.all(loops)
    },
  }
}

function ms(value: number | undefined): string {
  return `${(value ?? Number.NaN).toFixed(1)} ms`
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
