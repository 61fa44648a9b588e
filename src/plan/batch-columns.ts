/** Names of the batch layer: the columns of streams that its SQL may read beside fields, and its slices' part. Data. */

import type { Column } from './plan.ts'

/** As `lake/relation.ts` gives them. */
export const systemFields: readonly Column[] = [
  { name: '_partition', type: 'INTEGER' },
  { name: '_offset', type: 'BIGINT' },
  { name: '_commit', type: 'BIGINT' },
  { name: '_index', type: 'INTEGER' },
  { name: '_ingested_at', type: 'TIMESTAMP' },
]

/** Part name of the slice that holds the rows of a batch definition. */
export const BATCH_PART = 'batch'
