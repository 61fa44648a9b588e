/**
 * The batch layer of a view with two definitions, as the live engine and the past engine read it: the rows of its last
 * batch in a table by key, or in the file of its slice. Pure text but for the making of the table.
 *
 * The table has the keys under the names of the speed definition's stage, and `_h` as partial rows have it, so that
 * whatever restricts the groups of one layer restricts those of the other alike.
 */

import type { DuckDBConnection } from '@duckdb/node-api'
import { quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import { BATCH_PART } from '../plan/batch-columns.ts'
import type { BatchPlan, ViewPlan } from '../plan/plan.ts'
import { storageType } from '../plan/storage-types.ts'
import { must } from '../std/assert.ts'
import { queryValue, run } from './duckdb.ts'
import type { EngineView, SliceInfo } from './engine.ts'
import { batchLayerColumns, hashColumn, soleStage } from './merged-relation.ts'
import type { BatchLayer } from './read-set.ts'
import type { TableName } from './table-store.ts'

/** Below this many rows a scan is as quick as an index. */
const INDEX_FROM_ROWS = 2_000

/** Makes the table of a version's batch layer; undefined where it has none yet, or only one definition. */
export async function loadBatchLayer(
  connection: DuckDBConnection,
  name: TableName,
  { view, plan }: Pick<EngineView, 'view' | 'plan'>,
  slices: readonly SliceInfo[],
): Promise<BatchLayer | undefined> {
  const { batch } = plan
  const slice = slices.find(({ part }) => part === BATCH_PART)
  if (batch === undefined || slice === undefined) return undefined
  const table = name(`${view}_batch`)
  const stored = batchLayerColumns(plan).map(({ column, table: as }) => {
    return `CAST(${quoteIdentifier(column.name)} AS ${column.type}) AS ${quoteIdentifier(as)}`
  })
  const rows = `SELECT ${stored.join(', ')} FROM read_parquet(${quoteLiteral(slice.path)})`
  await run(
    connection,
    `CREATE TABLE ${table} AS SELECT *, ${hashColumn(soleStage(plan))} AS _h FROM (${rows})`,
  )
  const count = Number(await queryValue(connection, `SELECT count(*) FROM ${table}`))
  const indexed = count >= INDEX_FROM_ROWS
  if (indexed) await run(connection, `CREATE INDEX ${table}_key ON ${table}(_h)`)
  return { cut: slice.to, table, rows: count, indexed }
}

/** SELECT of the rows in the file of a batch's slice, with the view's types. */
export function batchSliceRows(plan: ViewPlan, slice: Pick<SliceInfo, 'path'>): string {
  const columns = plan.columns.map(
    ({ name, type }) => `CAST(${quoteIdentifier(name)} AS ${type}) AS ${quoteIdentifier(name)}`,
  )
  return `SELECT ${columns.join(', ')} FROM read_parquet(${quoteLiteral(slice.path)})`
}

/** SELECT of what a slice holds of the rows of a batch: types that Parquet keeps, sorted by key. */
export function batchSliceQuery(plan: ViewPlan, batch: BatchPlan, rowsSql: string): string {
  const columns = plan.columns.map(({ name, type }) => {
    const stored = must(storageType(type), `a batch's column of type ${type} can be stored`)
    return `CAST(${quoteIdentifier(name)} AS ${stored}) AS ${quoteIdentifier(name)}`
  })
  const keys = batch.key.map(({ column }) => quoteIdentifier(column))
  return `SELECT ${columns.join(', ')} FROM (${rowsSql}) ORDER BY ${keys.join(', ')}`
}
