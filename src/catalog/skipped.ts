/**
 * Events that a view with `onError: 'skip'` left out, with the reason. Functions over the catalog; no state here.
 * The record is durable before any slice that covers the event is published, and every later fold of the version
 * is given it, so a bulk fold leaves out the same events as the ticks did.
 */

import type { CommitSeq, VersionId } from '../model/cut.ts'
import type { Catalog } from './open-catalog.ts'

export interface SkippedRow {
  readonly view: string
  readonly version: VersionId
  readonly commit: CommitSeq
  readonly index: number
  readonly stream: string
  readonly partition: number
  readonly offset: number
  readonly message: string
  /** Where logic in TypeScript failed: what it threw, with its place. */
  readonly stack?: string
  /** Left out: `EVENT_SKIPPED`. */
  readonly code?: string
}

/** A row as it was recorded. */
export interface RecordedSkip extends SkippedRow {
  readonly timeMs: number
}

/** Recording the same event again changes nothing: an engine that restarted reports it again. */
export function recordSkipped(catalog: Catalog, rows: readonly SkippedRow[]): void {
  if (rows.length === 0) return
  const now = catalog.clock.nowMs()
  catalog.transaction('record-skipped', () => {
    for (const row of rows) {
      catalog.run(
        `INSERT INTO skipped
           (view, version, commit_seq, event_index, stream, partition, event_offset, message, time_ms, stack, code)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING`,
        row.view,
        row.version,
        row.commit,
        row.index,
        row.stream,
        row.partition,
        row.offset,
        row.message,
        now,
        row.stack ?? null,
        row.code ?? 'EVENT_SKIPPED',
      )
    }
  })
}

export function skippedOf(catalog: Catalog, view: string, version: VersionId): readonly RecordedSkip[] {
  return select(catalog, 'WHERE view = ? AND version = ?', view, version)
}

export function allSkipped(catalog: Catalog): readonly RecordedSkip[] {
  return select(catalog, '')
}

function select(catalog: Catalog, where: string, ...values: string[]): readonly RecordedSkip[] {
  return catalog
    .all(`SELECT * FROM skipped ${where} ORDER BY view, version, commit_seq, event_index`, ...values)
    .map((row) => ({
      view: String(row.view),
      version: String(row.version),
      commit: Number(row.commit_seq),
      index: Number(row.event_index),
      stream: String(row.stream),
      partition: Number(row.partition),
      offset: Number(row.event_offset),
      message: String(row.message),
      ...(row.stack === null ? {} : { stack: String(row.stack) }),
      code: String(row.code),
      timeMs: Number(row.time_ms),
    }))
}
