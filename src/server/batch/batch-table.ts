/** The system table `refold.batches`. Pure. */

import type { BatchRow } from '../../catalog/batches.ts'
import type { JsonValue } from '../../model/schema.ts'
import { batchInfo } from './batch-info.ts'

/** Name → DuckDB's type. */
export const batchColumns = {
  batch: 'BIGINT',
  view: 'VARCHAR',
  version: 'VARCHAR',
  state: 'VARCHAR',
  cut: 'BIGINT',
  from_cut: 'BIGINT',
  promise: 'JSON',
  events: 'BIGINT',
  fold_ms: 'BIGINT',
  divergence: 'BIGINT',
  comparison: 'JSON',
  reason: 'VARCHAR',
  started_at: 'TIMESTAMP',
  ended_at: 'TIMESTAMP',
} as const

export function batchTableRow(row: BatchRow): Readonly<Record<keyof typeof batchColumns, JsonValue>> {
  const { id, view, version, state, cut, from, events, divergence, reason, startedAt, endedAt, promise } =
    batchInfo(row)
  return {
    ...{ batch: id, view, version, state, cut, from_cut: from, events, divergence, reason },
    fold_ms: row.foldMs,
    promise: JSON.stringify(promise),
    comparison: row.comparison === null ? null : JSON.stringify(row.comparison),
    started_at: timestamp(startedAt),
    ended_at: endedAt === null ? null : timestamp(endedAt),
  }
}

function timestamp(iso: string): string {
  return iso.replace('T', ' ').replace('Z', '')
}
