/**
 * Daily active users of an app whose phones are offline for up to two days: what they did on Monday may come on
 * Wednesday. The same SQL stands here twice. One view corrects the days at once, so yesterday's number moves all the
 * time; the other holds late events back, so a day moves only when a batch runs, once in the night.
 */

import { check, lambda, project, stream, view } from 'refold'
import { z } from 'zod'

export const actions = stream('actions', {
  schema: z.object({
    action_id: z.string(),
    user_id: z.string(),
    screen: z.string(),
    done_at: z.iso.datetime(),
  }),
  id: 'action_id',
  key: 'user_id',
  time: 'done_at',
  partitions: 4,
  // An action that lies more than six hours before the newest one is late.
  lateness: '6h',
})

const dailyActive = `
  SELECT CAST(date_trunc('day', done_at) AS DATE) AS day, count(DISTINCT user_id) AS users, count(*) AS actions
  FROM actions GROUP BY day`

const nightly = lambda({ cron: '30 3 * * *' })

export default project({
  name: 'daily-active-users',
  streams: [actions],
  views: [
    view('daily_active', { sql: dailyActive, run: nightly, late: 'hold' }),
    view('daily_active_corrected', { sql: dailyActive, run: nightly, late: 'correct' }),
  ],
  checks: [
    // Must give no row: what is held back is missing, never added.
    check('held_is_never_more', {
      sql: `
        SELECT h.day, h.users, c.users AS corrected
        FROM daily_active h LEFT JOIN daily_active_corrected c ON c.day = h.day
        WHERE c.day IS NULL OR h.users > c.users OR h.actions > c.actions`,
      every: '10s',
    }),
    // Must give no row: what corrects at once has every action.
    check('corrected_has_all', {
      sql: `
        SELECT c.n AS corrected, a.n AS actions
        FROM (SELECT sum(actions) AS n FROM daily_active_corrected) c, (SELECT count(*) AS n FROM actions) a
        WHERE c.n <> a.n`,
      every: '10s',
    }),
  ],
})
