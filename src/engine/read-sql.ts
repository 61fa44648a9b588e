/**
 * People's read-only SQL over views, streams and system tables: checked in the planner's jail, then run with every
 * exposed name bound to what it stands for at one cut. No state.
 */

import type { DuckDBConnection } from '@duckdb/node-api'
import { RefoldError } from '../model/errors.ts'
import type { StreamDef } from '../model/schema.ts'
import type { EngineSpec, LogSources, Rows, SqlRead } from './engine.ts'
import type { ReadSet } from './read-set.ts'

export interface SqlContext {
  readonly streams: ReadonlyMap<string, StreamDef>
  readonly sources: LogSources
  readonly readSets: readonly ReadSet[]
  readonly scratchDir: EngineSpec['settings']['scratchDir']
}

export async function readSql(
  _connection: DuckDBConnection,
  _context: SqlContext,
  _request: SqlRead,
  _signal: AbortSignal,
): Promise<{ rows: Rows; used: ReadonlySet<string> }> {
  throw new RefoldError('QUERY_FAILED', 'SQL is not there yet')
}
