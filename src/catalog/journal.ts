/**
 * The cut journal (which cut stood at which time, and which versions answered) and the audit (who did what).
 * Functions over the catalog; no state here. The journal gets an entry about every second while events flow, and one
 * inside each transaction that publishes something; the same steady transaction writes what answers showed
 * (`reports.ts`).
 */

import type { CommitSeq, VersionId } from '../model/cut.ts'
import type { JsonValue } from '../model/schema.ts'
import type { Catalog } from './open-catalog.ts'
import { appendReports, type ReportEntry, versionSet } from './reports.ts'

export interface CutEntry {
  readonly timeMs: number
  readonly cut: CommitSeq
  readonly versions: Readonly<Record<string, VersionId>>
  readonly what: string
}

export interface AuditEntry {
  readonly timeMs: number
  readonly what: string
  readonly details: JsonValue
}

/** For the steady rhythm: one entry, where the cut has moved on, and what answers have shown since the last time. */
export function recordCut(
  catalog: Catalog,
  cut: CommitSeq | undefined,
  reported: readonly ReportEntry[] = [],
): void {
  catalog.transaction('record-cut', () => {
    if (cut !== undefined) appendCut(catalog, cut, 'tick')
    appendReports(catalog, reported)
  })
}

/** One entry as a part of the caller's transaction. */
export function appendCut(catalog: Catalog, cut: CommitSeq, what: string): void {
  const pointers = catalog.all('SELECT view, version FROM pointers')
  const versions = Object.fromEntries(pointers.map((row) => [String(row.view), String(row.version)]))
  catalog.run(
    'INSERT INTO cuts (time_ms, cut, version_set, what) VALUES (?, ?, ?, ?)',
    catalog.clock.nowMs(),
    cut,
    versionSet(catalog, versions),
    what,
  )
}

/** The newest cut of which the journal knows that it was durable; 0 when it knows of none. */
export function highestCut(catalog: Catalog): CommitSeq {
  return Number(catalog.get('SELECT max(cut) AS cut FROM cuts')?.cut ?? 0)
}

/** The newest entries, oldest first. */
export function cuts(catalog: Catalog, limit: number): readonly CutEntry[] {
  return catalog
    .all(
      `SELECT time_ms, cut, versions, what FROM cuts JOIN version_sets ON version_sets.id = version_set
       ORDER BY cuts.id DESC LIMIT ?`,
      limit,
    )
    .map((row) => ({
      timeMs: Number(row.time_ms),
      cut: Number(row.cut),
      versions: JSON.parse(String(row.versions)) as CutEntry['versions'],
      what: String(row.what),
    }))
    .reverse()
}

/** View → every version that ever answered for it. */
export function everLive(catalog: Catalog): ReadonlyMap<string, ReadonlySet<VersionId>> {
  const live = new Map<string, Set<VersionId>>()
  const add = (view: string, version: VersionId) => {
    const known = live.get(view)
    if (known === undefined) live.set(view, new Set([version]))
    else known.add(version)
  }
  for (const row of catalog.all('SELECT versions FROM version_sets')) {
    const versions = JSON.parse(String(row.versions)) as CutEntry['versions']
    for (const [view, version] of Object.entries(versions)) add(view, version)
  }
  for (const row of catalog.all('SELECT view, version FROM pointers')) {
    add(String(row.view), String(row.version))
  }
  return live
}

export function recordAudit(catalog: Catalog, what: string, details: JsonValue): void {
  catalog.transaction('record-audit', () => {
    catalog.run(
      'INSERT INTO audit (time_ms, what, details) VALUES (?, ?, ?)',
      catalog.clock.nowMs(),
      what,
      JSON.stringify(details),
    )
  })
}

/** The newest entries, oldest first. */
export function audit(catalog: Catalog, limit: number): readonly AuditEntry[] {
  return catalog
    .all('SELECT time_ms, what, details FROM audit ORDER BY id DESC LIMIT ?', limit)
    .map((row) => ({
      timeMs: Number(row.time_ms),
      what: String(row.what),
      details: JSON.parse(String(row.details)) as JsonValue,
    }))
    .reverse()
}
