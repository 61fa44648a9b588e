/** Rows of the error table: what can be wrong with a check, and why one cannot be run. Pure data. */

import { type ErrorRow, row } from './error-row.ts'

export const checkErrors = {
  CHECK_INVALID: row(
    400,
    false,
    'A check is not declared as a check can be, or its SQL does not bind.',
    'Correct what is named; docs/checks.md shows every kind.',
  ),
  CHECK_UNKNOWN: row(404, false, 'The project has no such check.', '`refold checks` lists them.'),
  CHECK_TRUTH: row(
    502,
    true,
    'The source of truth of a check could not be read, or its rows are not what they should be.',
    'Look at the message, correct the file or the function, and run `refold checks run NAME`.',
  ),
} as const satisfies Record<string, ErrorRow>
