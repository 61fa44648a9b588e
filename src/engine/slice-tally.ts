/**
 * How many events a slice holds and the sum modulo 2 of the hashes of their positions, read from the file that was
 * staged: what the fold, seal or merge really wrote. No state.
 */

import type { DuckDBConnection } from '@duckdb/node-api'
import { quoteLiteral } from '../model/schema.ts'
import type { StagePlan } from '../plan/plan.ts'
import { tallyQuery } from '../plan/queries.ts'
import { queryRows } from './duckdb.ts'
import type { SliceInfo } from './engine.ts'

export async function sliceTally(
  connection: DuckDBConnection,
  stage: StagePlan,
  part: string,
  path: string,
): Promise<Pick<SliceInfo, 'events' | 'positions'>> {
  const sql = tallyQuery(stage, part, `FROM read_parquet(${quoteLiteral(path)})`)
  if (sql === undefined) return {}
  const [row] = await queryRows(connection, sql)
  return { events: Number(row?.['events'] ?? 0), positions: String(row?.['positions'] ?? '0') }
}
