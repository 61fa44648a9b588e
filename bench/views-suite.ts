/**
 * What ten views cost over one: CPU time of the server and its engines for the same events at the same rate, read
 * from the system's own account. All views are compared with plain DuckDB afterwards. No state.
 */

import { atMost, type BenchContext, type Measurement, type Suite } from './measurement.ts'
import { Stand, userStats } from './stand.ts'
import type { Workload } from './workload.ts'

export const viewsSuite: Suite = { names: ['ten-views'], run: measureViews }

const workload: Workload = { keys: 200_000, poolEvents: 200_000, eventsPerRequest: 500 }

const tenViews: Readonly<Record<string, string>> = {
  user_stats: userStats,
  user_range:
    'SELECT user_id, min(revenue) AS least, max(revenue) AS most, min(ts) AS first_seen FROM events GROUP BY user_id',
  user_sessions: 'SELECT user_id, count(DISTINCT session_id) AS sessions FROM events GROUP BY user_id',
  user_large: 'SELECT user_id, count(*) AS n FROM events WHERE revenue > 900 GROUP BY user_id',
  pages: 'SELECT page, count(*) AS n, sum(revenue) AS total FROM events GROUP BY page',
  page_hours: "SELECT page, date_trunc('hour', ts) AS hour, count(*) AS n FROM events GROUP BY ALL",
  hours: "SELECT date_trunc('hour', ts) AS hour, count(*) AS n, sum(revenue) AS total FROM events GROUP BY 1",
  page_tops: 'SELECT page, max(revenue) AS most FROM events GROUP BY page HAVING count(*) > 10',
  session_groups: 'SELECT substr(session_id, -3) AS prefix, count(*) AS n FROM events GROUP BY 1',
  everything: 'SELECT count(*) AS n, sum(revenue) AS total, max(ts) AS last_seen FROM events',
}

async function* measureViews(context: BenchContext): AsyncIterable<Measurement> {
  context.say('one view')
  const one = await cpuPerEvent(context, 'one-view', { user_stats: userStats })
  context.say('ten views')
  const ten = await cpuPerEvent(context, 'ten-views', tenViews)
  yield {
    name: 'ten-views',
    value: Math.round((ten / one) * 100) / 100,
    unit: 'times',
    gate: atMost(4),
    method: `CPU of server and engines per event at 50,000 events/s: ten views ${ten.toFixed(2)} µs, one view ${one.toFixed(2)} µs`,
  }
}

async function cpuPerEvent(
  context: BenchContext,
  name: string,
  views: Readonly<Record<string, string>>,
): Promise<number> {
  const stand = await Stand.open({ name, views, dedupeCount: 1_000_000 })
  try {
    const seconds = context.quick ? 5 : 40
    await paced(stand, 3)
    const before = stand.usage()
    await paced(stand, seconds)
    await Promise.all(
      Object.keys(views).map((view) =>
        stand.get(`/v1/views/${view}?limit=1&after=${stand.lastCut}&timeout=60000`),
      ),
    )
    const used = stand.usage().cpuSeconds - before.cpuSeconds
    await stand.mustAgree()
    return (used / (seconds * 50_000)) * 1e6
  } finally {
    await stand.close()
  }
}

function paced(stand: Stand, seconds: number) {
  return stand.order({
    kind: 'paced',
    workload,
    connections: 16,
    eventsPerSecond: 50_000,
    warmupSeconds: 0,
    seconds,
    probeEvery: 0,
  })
}
