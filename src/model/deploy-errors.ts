/** Errors of deploys and rollbacks; rows of the one table in `errors.ts`. Pure data. */

import { row } from './error-row.ts'

export const deployErrors = {
  DEPLOY_UNKNOWN: row(404, false, 'There is no such deploy.', 'Run `refold deploys` to see them.'),
  DEPLOY_OPEN: row(
    409,
    false,
    'Another deploy is open: one at a time is carried out.',
    'Wait for it, or end it with `refold deploys cancel`.',
  ),
  DEPLOY_STATE: row(
    409,
    false,
    'The deploy is in a state in which this cannot be done.',
    'Run `refold deploys show` to see where it is.',
  ),
  DEPLOY_START: row(
    400,
    false,
    'The history of a new version cannot begin there.',
    'Name a cut, an offset or a time that the log holds, or leave out --from.',
  ),
  DEPLOY_STALLED: row(
    422,
    false,
    'A new version fails on an event, so it was not put in place.',
    'Correct the SQL for this event, or set `onError: skip` for the view, and deploy again.',
  ),
  ROLLBACK_IMPOSSIBLE: row(
    409,
    false,
    'There is no version to go back to.',
    'Run `refold deploys` to see what is live, and deploy the project as it was.',
  ),
} as const
