/** The system table `refold.divergence`. No state. */

import { readBatch } from '../../catalog/batches.ts'
import { allDivergentRows } from '../../catalog/divergence.ts'
import type { Catalog } from '../../catalog/open-catalog.ts'
import type { JsonValue } from '../../model/schema.ts'

/** Name → DuckDB's type. */
export const divergenceColumns = {
  view: 'VARCHAR',
  batch: 'BIGINT',
  cut: 'BIGINT',
  what: 'VARCHAR',
  cause: 'VARCHAR',
  key: 'JSON',
  served: 'JSON',
  computed: 'JSON',
} as const

type Row = Readonly<Record<keyof typeof divergenceColumns, JsonValue>>

/** Up to so many rows, those of the newest batches. */
export function divergenceTableRows(catalog: Catalog, limit: number): readonly Row[] {
  return allDivergentRows(catalog, limit).map(({ batch, what, cause, key, served, computed }) => {
    const row = readBatch(catalog, batch)
    return {
      ...{ view: row?.view ?? '', batch, cut: row?.cut ?? 0, what, cause },
      ...{ key: JSON.stringify(key), served: JSON.stringify(served), computed: JSON.stringify(computed) },
    }
  })
}
