/**
 * What runs of `verify` found, one row a run and view, the newest of each view kept. Functions over the catalog; no
 * state here. A run that finds something, and the first afterwards that does not, are in the audit record too, in the
 * same transaction.
 */

import type { CommitSeq, VersionId } from '../model/cut.ts'
import type { JsonValue } from '../model/schema.ts'
import { recordAudit } from './journal.ts'
import type { Catalog, SqlRow } from './open-catalog.ts'

/** `Report` is `VerifyReport` of `govern/types.ts`, which this layer does not know. */
export interface StoredVerify<Report> {
  readonly view: string
  readonly version: VersionId
  readonly cut: CommitSeq
  readonly timeMs: number
  readonly found: number
  readonly report: Report
}

/** Runs that are kept of each view. */
const KEPT = 200

/** `alarm` says in words what was found. */
export function recordVerify<Report>(catalog: Catalog, result: StoredVerify<Report>, alarm: JsonValue): void {
  const { view, version, cut, timeMs, found } = result
  catalog.transaction('record-verify', () => {
    const before = newestVerify(catalog).find((known) => known.view === view)
    catalog.run(
      'INSERT INTO verify_results (view, version, cut, time_ms, found, report) VALUES (?, ?, ?, ?, ?, ?)',
      ...[view, version, cut, timeMs, found],
      JSON.stringify(result.report),
    )
    catalog.run(
      `DELETE FROM verify_results WHERE view = ?1 AND id <= (
         SELECT id FROM verify_results WHERE view = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)`,
      view,
      KEPT,
    )
    if (found > 0) recordAudit(catalog, 'verify found damage', { view, version, cut, found, findings: alarm })
    else if ((before?.found ?? 0) > 0)
      recordAudit(catalog, 'verify found nothing any more', { view, version, cut })
  })
}

/** The newest run of each view. */
export function newestVerify<Report>(catalog: Catalog): readonly StoredVerify<Report>[] {
  return catalog
    .all(
      `SELECT * FROM verify_results WHERE id IN (SELECT max(id) FROM verify_results GROUP BY view) ORDER BY view`,
    )
    .map((row) => toStored<Report>(row))
}

/** The newest runs, oldest first. */
export function verifyResults<Report>(catalog: Catalog, limit: number): readonly StoredVerify<Report>[] {
  return catalog
    .all('SELECT * FROM verify_results ORDER BY id DESC LIMIT ?', limit)
    .map((row) => toStored<Report>(row))
    .reverse()
}

function toStored<Report>(row: SqlRow): StoredVerify<Report> {
  return {
    view: String(row.view),
    version: String(row.version),
    cut: Number(row.cut),
    timeMs: Number(row.time_ms),
    found: Number(row.found),
    report: JSON.parse(String(row.report)) as Report,
  }
}
