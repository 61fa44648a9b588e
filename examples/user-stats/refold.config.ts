/**
 * User stats and revenue per minute, each twice: once run as lambda, with a batch that folds the whole lake again every
 * 15 minutes, and once as kappa. Both have the same SQL, and a check says that they give the same rows.
 */

import { check, decimal, kappa, lambda, project, stream, view } from 'refold'
import { z } from 'zod'

export const events = stream('events', {
  schema: z.object({
    event_id: z.string(),
    user_id: z.string(),
    session_id: z.string(),
    revenue: decimal(18, 2).default('0'),
    ts: z.iso.datetime(),
  }),
  id: 'event_id',
  key: 'user_id',
  time: 'ts',
  partitions: 4,
  lateness: '10m',
})

const userStats = `
  SELECT user_id, count(*) AS total_events, sum(revenue) AS total_revenue, count(DISTINCT session_id) AS total_sessions
  FROM events GROUP BY user_id`

const revenuePerMinute = `
  SELECT date_trunc('minute', ts) AS minute, count(*) AS events, sum(revenue) AS revenue
  FROM events GROUP BY minute`

/** How the first of each pair runs. Nothing else changes with it, and no version: try kappa(). */
const way = lambda({ every: '15m' })

/** Must give no row. */
const sameRows = (one: string, other: string) =>
  check(`${one}_is_${other}`, {
    sql: `
      SELECT * FROM (SELECT * FROM ${one} EXCEPT ALL SELECT * FROM ${other})
      UNION ALL
      SELECT * FROM (SELECT * FROM ${other} EXCEPT ALL SELECT * FROM ${one})`,
    every: '10s',
  })

export default project({
  name: 'user-stats',
  streams: [events],
  views: [
    view('user_stats', { sql: userStats, run: way }),
    view('user_stats_as_kappa', { sql: userStats, run: kappa() }),
    view('revenue_per_minute', { sql: revenuePerMinute, run: way }),
    view('revenue_per_minute_as_kappa', { sql: revenuePerMinute, run: kappa() }),
  ],
  checks: [
    sameRows('user_stats', 'user_stats_as_kappa'),
    sameRows('revenue_per_minute', 'revenue_per_minute_as_kappa'),
  ],
})
