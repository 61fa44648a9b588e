/** The columns of a stream that say where an event stands and when it came in. Data. */

import type { Column } from './plan.ts'

/** As `lake/relation.ts` gives them. */
export const systemFields: readonly Column[] = [
  { name: '_partition', type: 'INTEGER' },
  { name: '_offset', type: 'BIGINT' },
  { name: '_commit', type: 'BIGINT' },
  { name: '_index', type: 'INTEGER' },
  { name: '_ingested_at', type: 'TIMESTAMP' },
]
