/** Rows of the error table: how a batch of a view that runs as lambda can end. Pure data. */

import { type ErrorRow, row } from './error-row.ts'

export const batchErrors = {
  BATCH_RUNNING: row(
    409,
    true,
    'A batch of the view is running; there is one at a time.',
    'Wait until it has ended: `refold status` shows it.',
  ),
  BATCH_NOT_LAMBDA: row(
    409,
    false,
    'Only views that run as lambda have batches.',
    "Give the view `run: lambda({ every: '15m' })` and deploy.",
  ),
  BATCH_GAP: row(
    409,
    false,
    'The slices of a batch leave a gap; nothing was published.',
    'Nothing to do: the next batch folds again. Please report it.',
  ),
  BATCH_OVERLAP: row(
    409,
    false,
    'Slices of a batch overlap; nothing was published.',
    'Nothing to do: the next batch folds again. Please report it.',
  ),
  BATCH_OLDER: row(
    409,
    false,
    'A batch ends before the one that is published; nothing was changed.',
    'Nothing to do: the published batch stands.',
  ),
  BATCH_OVERTAKEN: row(
    409,
    true,
    'A batch came too late: its server, its version or a slice that it keeps is gone.',
    'Nothing to do: the next batch folds again.',
  ),
  LAKE_CORRUPT: row(
    500,
    false,
    'A lake file is missing or does not match its checksum.',
    'Restore the named file from a backup; `refold lake check` looks at all of them.',
  ),
} as const satisfies Record<string, ErrorRow>
