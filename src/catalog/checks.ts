/**
 * What checks have said, each verdict with its cut, its time and the versions that it is about. Functions over the
 * catalog; no state here. A verdict and the audit entry of a change of colour are one transaction.
 */

import type { CommitSeq, VersionId } from '../model/cut.ts'
import type { JsonValue } from '../model/schema.ts'
import { recordAudit } from './journal.ts'
import type { Catalog, SqlRow } from './open-catalog.ts'

export interface StoredCheck {
  readonly name: string
  readonly verdict: 'green' | 'red' | 'error'
  readonly cut: CommitSeq
  readonly timeMs: number
  readonly deploy?: number
  readonly text: string
  readonly rows: readonly JsonValue[]
  /** The versions of the views that it read, or could have read. */
  readonly versions: Readonly<Record<string, VersionId>>
  /** Whether those answered when it ran. */
  readonly live: boolean
}

/** Verdicts of a check that are kept; those of deploys stay. */
const KEPT = 1_000
/** Verdicts among which the one before is looked for. */
const LOOKED_AT = 50

/** Keeps verdicts; answers with those that changed colour, each held against the one before. */
export function recordChecks(catalog: Catalog, results: readonly StoredCheck[]): readonly StoredCheck[] {
  return catalog.transaction('record-checks', () => {
    const changed = results.filter((result) => {
      const before = checkBefore(catalog, result)
      insert(catalog, result)
      const isChanged = before === undefined ? result.verdict !== 'green' : before.verdict !== result.verdict
      if (isChanged) {
        recordAudit(catalog, 'check changed colour', {
          check: result.name,
          from: before?.verdict ?? null,
          to: result.verdict,
          cut: result.cut,
          text: result.text,
          versions: { ...result.versions },
          live: result.live,
          ...(result.deploy === undefined ? {} : { deploy: result.deploy }),
        })
      }
      return isChanged
    })
    for (const name of new Set(results.map((result) => result.name))) {
      catalog.run(
        `DELETE FROM check_results WHERE name = ?1 AND deploy IS NULL AND id <= (
           SELECT id FROM check_results WHERE name = ?1 AND deploy IS NULL ORDER BY id DESC LIMIT 1 OFFSET ?2)`,
        name,
        KEPT,
      )
    }
    return changed
  })
}

/** The newest verdict about what answers now, which is `serving`; undefined when there is none. */
export function lastCheck(
  catalog: Catalog,
  name: string,
  serving: Readonly<Record<string, VersionId>>,
): StoredCheck | undefined {
  return newest(catalog, name).find(({ versions }) =>
    Object.entries(versions).every(([view, version]) => serving[view] === version),
  )
}

/**
 * The verdict that this one is held against: the newest about the same versions (so a gate that was passed although it
 * was red does not turn red again after the cutover), else the newest about what answered.
 */
function checkBefore(catalog: Catalog, result: StoredCheck): StoredCheck | undefined {
  const before = newest(catalog, result.name)
  const same = JSON.stringify(sorted(result.versions))
  return (
    before.find(({ versions }) => JSON.stringify(sorted(versions)) === same) ??
    (result.live ? before.find(({ live }) => live) : undefined)
  )
}

function newest(catalog: Catalog, name: string): readonly StoredCheck[] {
  return catalog
    .all('SELECT * FROM check_results WHERE name = ? ORDER BY id DESC LIMIT ?', name, LOOKED_AT)
    .map(toCheck)
}

function sorted(versions: Readonly<Record<string, VersionId>>): readonly (readonly [string, VersionId])[] {
  return Object.entries(versions).sort(([a], [b]) => (a < b ? -1 : 1))
}

/** The newest verdicts, oldest first. */
export function checkResults(catalog: Catalog, limit: number): readonly StoredCheck[] {
  return catalog.all('SELECT * FROM check_results ORDER BY id DESC LIMIT ?', limit).map(toCheck).reverse()
}

function insert(catalog: Catalog, result: StoredCheck): void {
  const { name, verdict, cut, timeMs, deploy, ...details } = result
  catalog.run(
    'INSERT INTO check_results (name, deploy, cut, time_ms, verdict, details) VALUES (?, ?, ?, ?, ?, ?)',
    name,
    deploy ?? null,
    cut,
    timeMs,
    verdict,
    JSON.stringify(details),
  )
}

function toCheck(row: SqlRow): StoredCheck {
  const details = JSON.parse(String(row.details)) as Pick<StoredCheck, 'text' | 'rows' | 'versions' | 'live'>
  return {
    name: String(row.name),
    verdict: row.verdict as StoredCheck['verdict'],
    cut: Number(row.cut),
    timeMs: Number(row.time_ms),
    ...(row.deploy === null ? {} : { deploy: Number(row.deploy) }),
    ...details,
  }
}
