/** In which rows batches differed from what was served at their cut. Functions over the catalog; no state here. */

import type { JsonValue } from '../model/schema.ts'
import type { Catalog } from './open-catalog.ts'

/** What a comparison came to. */
export interface Divergence {
  /** Rows that the batch has. */
  readonly rows: number
  readonly changed: number
  readonly added: number
  readonly removed: number
  /** Cause → rows. */
  readonly causes: Readonly<Record<string, number>>
  /** Column → the largest difference between numbers, among the rows of the sample. */
  readonly largest: Readonly<Record<string, number>>
  readonly tookMs: number
}

export interface DivergentRow {
  readonly what: 'changed' | 'added' | 'removed'
  readonly cause: string
  readonly key: JsonValue
  /** As it was served, and as the batch has it; null: there is none. */
  readonly served: JsonValue
  readonly computed: JsonValue
}

/** Keeps what a comparison found, whether the batch is published or not. */
export function recordDivergence(
  catalog: Catalog,
  batch: number,
  divergence: Divergence,
  sample: readonly DivergentRow[],
): void {
  catalog.transaction('end-batch', () => {
    catalog.run('UPDATE batches SET comparison = ? WHERE id = ?', JSON.stringify(divergence), batch)
    for (const [number, { what, cause, key, served, computed }] of sample.entries()) {
      catalog.run(
        `INSERT INTO divergence (batch, number, what, cause, key, served, computed) VALUES (?, ?, ?, ?, ?, ?, ?)`,
        batch,
        number,
        what,
        cause,
        JSON.stringify(key),
        served === null ? null : JSON.stringify(served),
        computed === null ? null : JSON.stringify(computed),
      )
    }
  })
}

/** Undefined where nothing was compared. */
export function divergenceOf(catalog: Catalog, batch: number): Divergence | undefined {
  const row = catalog.get('SELECT comparison FROM batches WHERE id = ?', batch)
  return typeof row?.comparison === 'string' ? (JSON.parse(row.comparison) as Divergence) : undefined
}

/** Batches of a view that were compared, newest first. */
export function comparedBatches(catalog: Catalog, view: string, limit: number): readonly number[] {
  return catalog
    .all(
      'SELECT id FROM batches WHERE view = ? AND comparison IS NOT NULL ORDER BY id DESC LIMIT ?',
      view,
      limit,
    )
    .map((row) => Number(row.id))
}

export function divergentRows(catalog: Catalog, batch: number): readonly DivergentRow[] {
  const json = (value: unknown) => (value === null ? null : (JSON.parse(String(value)) as JsonValue))
  return catalog.all('SELECT * FROM divergence WHERE batch = ? ORDER BY number', batch).map((row) => ({
    what: String(row.what) as DivergentRow['what'],
    cause: String(row.cause),
    key: json(row.key),
    served: json(row.served),
    computed: json(row.computed),
  }))
}

/** Every row that was kept, oldest first, for `refold.divergence`. */
export function allDivergentRows(
  catalog: Catalog,
  limit: number,
): readonly (DivergentRow & { readonly batch: number; readonly number: number })[] {
  const rows = catalog.all('SELECT batch, number FROM divergence ORDER BY batch DESC, number LIMIT ?', limit)
  const batches = [...new Set(rows.map((row) => Number(row.batch)))].reverse()
  return batches.flatMap((batch) =>
    divergentRows(catalog, batch).map((row, number) => ({ ...row, batch, number })),
  )
}
