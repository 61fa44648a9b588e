/**
 * Captures what a view's readers are answered from, for `verify`: the merged rows of a read set, before `finish`, as a
 * staged file, and of each tick that no slice holds yet how much it folded. No state. Reads and ticks go on meanwhile.
 */

import { join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { CommitSeq } from '../model/cut.ts'
import { quoteIdentifier } from '../model/schema.ts'
import { mergedColumns } from '../plan/queries.ts'
import { must } from '../std/assert.ts'
import { randomSeed } from '../std/random.ts'
import { batchSliceQuery } from './batch-layer.ts'
import { queryRows } from './duckdb.ts'
import type { CapturedTick, CapturedView } from './engine.ts'
import { ALL_GROUPS, mergedRelation, soleStage, viewQuery } from './merged-relation.ts'
import type { ReadSet } from './read-set.ts'
import { copyToParquet } from './staging.ts'

/**
 * Of a view with two definitions its finished rows are captured: the batch has no others to compare with.
 * `tail` has the generations that no slice holds yet, from before the image too; of the first, rows up to `sealed` count no more.
 */
export async function captureView(
  connection: DuckDBConnection,
  readSet: ReadSet,
  tail: ReadSet['generations'],
  sealed: CommitSeq,
  stagingDir: string,
  signal: AbortSignal,
): Promise<CapturedView> {
  const { view, version, cut } = readSet
  const columns = mergedColumns(soleStage(readSet.plan)).map(({ name }) => quoteIdentifier(name))
  // A batch and a verification may capture one view at one cut, and each deletes its own file.
  const name = `captured-${view}-${version.slice(0, 12)}-${cut}-${randomSeed().slice(0, 8)}.parquet`
  const path = join(stagingDir, name)
  const { batch } = readSet.plan
  const sql =
    batch === undefined
      ? `SELECT ${columns.join(', ')} FROM (${mergedRelation(readSet, ALL_GROUPS)})`
      : batchSliceQuery(readSet.plan, batch, viewQuery(readSet))
  const file = await copyToParquet(connection, sql, path, { signal })
  const from = tail.length === 0 ? cut : sealed
  const layer = { batch: batch === undefined ? (readSet.batch ?? 0) : (readSet.batchLayer?.cut ?? 0) }
  const ticks = await ticksOf(connection, readSet, tail, from)
  return { view, version, cut, path, ...file, ...layer, from, ticks }
}

async function ticksOf(
  connection: DuckDBConnection,
  { plan, cut }: ReadSet,
  tail: ReadSet['generations'],
  after: CommitSeq,
): Promise<readonly CapturedTick[]> {
  const stage = soleStage(plan)
  const tally = stage.kind === 'group' ? stage.parts[0].tally : undefined
  if (tally === undefined) return []
  const tables = tail.map((generation) => must(generation.tables['main'], 'a generation has a main part'))
  if (tables.length === 0) return []
  const { count, positions } = {
    count: quoteIdentifier(tally.count),
    positions: quoteIdentifier(tally.positions),
  }
  const rows = tables.map((table) => `SELECT _cut, ${count} AS n, ${positions} AS p FROM ${table}`)
  const found = await queryRows(
    connection,
    `SELECT _cut, CAST(sum(n) AS BIGINT) AS n, CAST(bit_xor(p) AS VARCHAR) AS p
     FROM (${rows.join(' UNION ALL ')}) WHERE _cut > ${after} AND _cut <= ${cut} GROUP BY _cut ORDER BY _cut`,
  )
  return found.map((row) => ({
    cut: Number(row['_cut']),
    events: Number(row['n']),
    positions: String(row['p']),
  }))
}
