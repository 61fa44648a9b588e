/** What deploys took, as they wrote it down: for estimating the next. A function over the catalog; no state here. */

import type { Catalog } from './open-catalog.ts'

export interface MeasuredBuildRow {
  readonly seconds: number
  readonly events: number
  readonly bytes: number
}

/** Of the newest deploys that built something, newest first. */
export function measuredBuilds(catalog: Catalog, limit: number): readonly MeasuredBuildRow[] {
  return catalog
    .all(
      `SELECT outcome ->> 'seconds' AS seconds, outcome ->> 'events' AS events, outcome ->> 'bytes' AS bytes
       FROM deploys WHERE outcome ->> 'events' > 0 ORDER BY id DESC LIMIT ?`,
      limit,
    )
    .map((row) => ({ seconds: Number(row.seconds), events: Number(row.events), bytes: Number(row.bytes) }))
}
