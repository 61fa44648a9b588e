/**
 * Counts what the HTTP surface did, for /metrics. State: counters that only grow, per route and status, and how
 * many requests are under way. A duration is measured until the last byte of the answer was handed on.
 */

import type { Metric } from './core.ts'

export interface HttpMeters {
  /** Counts a request in; the returned function counts it out, once. */
  begin(route: string, method: string): (status: number, seconds: number) => void
  /** Bytes of bodies that were read. */
  bodyBytes(bytes: number): void
  metrics(): readonly Metric[]
}

const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const

interface RouteMeter {
  readonly route: string
  readonly method: string
  readonly statuses: Map<number, number>
  /** How many took at most so long, not cumulative; the last one is beyond all bounds. */
  readonly buckets: number[]
  seconds: number
}

export function createHttpMeters(): HttpMeters {
  const meters = new Map<string, RouteMeter>()
  let inFlight = 0
  let bytes = 0
  return {
    begin(route, method) {
      inFlight++
      return (status, seconds) => {
        inFlight--
        count(meterOf(meters, route, method), status, seconds)
      }
    },
    bodyBytes(more) {
      bytes += more
    },
    metrics() {
      const all = [...meters.values()]
      return [
        requestsMetric(all),
        durationMetric(all),
        gauge('refold_http_requests_in_flight', 'HTTP requests under way.', inFlight),
        {
          name: 'refold_http_request_body_bytes_total',
          help: 'Bytes of request bodies read, after gzip was undone.',
          type: 'counter',
          samples: [{ labels: {}, value: bytes }],
        },
      ]
    },
  }
}

function meterOf(meters: Map<string, RouteMeter>, route: string, method: string): RouteMeter {
  const key = `${method} ${route}`
  let meter = meters.get(key)
  if (meter === undefined) {
    meter = {
      route,
      method,
      statuses: new Map(),
      buckets: new Array<number>(BUCKETS.length + 1).fill(0),
      seconds: 0,
    }
    meters.set(key, meter)
  }
  return meter
}

function count(meter: RouteMeter, status: number, seconds: number): void {
  meter.statuses.set(status, (meter.statuses.get(status) ?? 0) + 1)
  meter.seconds += seconds
  let bucket = 0
  while (bucket < BUCKETS.length && seconds > BUCKETS[bucket]!) bucket++
  meter.buckets[bucket]!++
}

function requestsMetric(meters: readonly RouteMeter[]): Metric {
  return {
    name: 'refold_http_requests_total',
    help: 'HTTP requests answered, by route and status; status 499 means that the client went away.',
    type: 'counter',
    samples: meters.flatMap(({ route, method, statuses }) =>
      [...statuses].map(([status, value]) => ({ labels: { route, method, status: String(status) }, value })),
    ),
  }
}

function durationMetric(meters: readonly RouteMeter[]): Metric {
  return {
    name: 'refold_http_request_duration_seconds',
    help: 'Time from the head of a request to the end of its answer.',
    type: 'histogram',
    samples: meters.flatMap(({ route, method, buckets, seconds }) => {
      const labels = { route, method }
      let total = 0
      const samples: { labels: Record<string, string>; value: number; suffix: string }[] = buckets.map(
        (value, index) => {
          total += value
          const bound = BUCKETS[index]
          const le = bound === undefined ? '+Inf' : String(bound)
          return { labels: { ...labels, le }, value: total, suffix: '_bucket' }
        },
      )
      samples.push({ labels, value: seconds, suffix: '_sum' }, { labels, value: total, suffix: '_count' })
      return samples
    }),
  }
}

function gauge(name: string, help: string, value: number): Metric {
  return { name, help, type: 'gauge', samples: [{ labels: {}, value }] }
}
