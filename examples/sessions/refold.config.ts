/** The project of the example: how its fold runs, and what must hold of its rows. */

import { check, hybrid, project } from 'refold'
import { clicks, sessions } from './sessions.ts'

export default project({
  name: 'sessions',
  streams: [clicks],
  views: [{ ...sessions, run: hybrid({ snapshotEvery: '1s', keep: 10 }) }],
  checks: [
    check('every_click_is_in_a_session', {
      sql: `SELECT * FROM (SELECT (SELECT sum(clicks) FROM sessions) AS folded, (SELECT count(*) FROM clicks) AS sent)
            WHERE folded <> sent`,
      every: '10s',
    }),
    check('no_session_without_clicks', {
      sql: 'SELECT * FROM sessions WHERE sessions > clicks OR longest > clicks',
    }),
  ],
})
