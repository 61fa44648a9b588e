/**
 * The report journal: every cut that an answer showed, with the moment from which it did and the versions that
 * answered. Functions over the catalog; no state here.
 *
 * An entry holds from its moment until the next one's, so what was shown at any moment is the last entry at or before
 * it. Moments strictly increase. Entries are written several to a row, and version sets, which repeat, are kept once.
 */

import type { CommitSeq, VersionId } from '../model/cut.ts'
import { readMeta, setMeta } from './meta.ts'
import type { Catalog, SqlRow } from './open-catalog.ts'

export interface ReportEntry {
  /** Microseconds since the epoch. */
  readonly us: number
  readonly cut: CommitSeq
  /** View → version that answered for it. */
  readonly versions: Readonly<Record<string, VersionId>>
  /** Views that stood still at a cut of their own. */
  readonly stalledAt: Readonly<Record<string, CommitSeq>>
  /** By view with a batch layer: its T. */
  readonly batches: Readonly<Record<string, CommitSeq>>
}

type Cuts = Readonly<Record<string, CommitSeq>>

/**
 * [microseconds after the row's first entry, cut, version set, cuts of stalled views where there are any, T by view where
 * that is not what the entry before in the row says; before the first there is none].
 */
type StoredEntry = readonly [number, CommitSeq, number, Cuts?, Cuts?]

/** Writes entries as a part of the caller's transaction; they must be later than all before. */
export function appendReports(catalog: Catalog, entries: readonly ReportEntry[]): void {
  const first = entries[0]
  const last = entries.at(-1)
  if (first === undefined || last === undefined) return
  const sets = new Map<object, number>()
  const setOf = (versions: ReportEntry['versions']): number => {
    const known = sets.get(versions)
    if (known !== undefined) return known
    const id = versionSet(catalog, versions)
    sets.set(versions, id)
    return id
  }
  let told = '{}'
  const stored = entries.map(({ us, cut, versions, stalledAt, batches }): StoredEntry => {
    const entry = [us - first.us, cut, setOf(versions)] as const
    const text = JSON.stringify(batches)
    if (text !== told) {
      told = text
      return [...entry, stalledAt, batches]
    }
    return Object.keys(stalledAt).length === 0 ? entry : [...entry, stalledAt]
  })
  catalog.run(
    'INSERT INTO reports (from_us, to_us, entries) VALUES (?, ?, ?)',
    first.us,
    last.us,
    JSON.stringify(stored),
  )
}

/** What was shown at a moment: the last entry at or before it. */
export function reportAt(catalog: Catalog, us: number): ReportEntry | undefined {
  const row = catalog.get('SELECT * FROM reports WHERE from_us <= ? ORDER BY from_us DESC LIMIT 1', us)
  return row === undefined ? undefined : entriesOf(catalog, row).findLast((entry) => entry.us <= us)
}

export function firstReport(catalog: Catalog): ReportEntry | undefined {
  const row = catalog.get('SELECT * FROM reports ORDER BY from_us LIMIT 1')
  return row === undefined ? undefined : entriesOf(catalog, row)[0]
}

export function lastReport(catalog: Catalog): ReportEntry | undefined {
  return reportAt(catalog, Number.MAX_SAFE_INTEGER)
}

/** The newest entries, oldest first. */
export function reports(catalog: Catalog, limit: number): readonly ReportEntry[] {
  const pages: (readonly ReportEntry[])[] = []
  let count = 0
  let before = Number.MAX_SAFE_INTEGER
  while (count < limit) {
    const rows = catalog.all(
      'SELECT * FROM reports WHERE from_us < ? ORDER BY from_us DESC LIMIT ?',
      before,
      PAGE_ROWS,
    )
    for (const row of rows) {
      const entries = entriesOf(catalog, row)
      pages.push(entries)
      count += entries.length
    }
    if (rows.length < PAGE_ROWS) break
    before = Number(rows.at(-1)?.from_us)
  }
  return pages.reverse().flat().slice(-limit)
}

const PAGE_ROWS = 1_000

/** How many rows one step of thinning takes, and about how many entries a thinned row holds. */
const THIN_ROWS = 600

/**
 * Of the entries before a moment keeps the last of each second, many to a row. Does a bounded piece and says whether
 * there may be more.
 */
export function thinReports(catalog: Catalog, beforeUs: number): boolean {
  const thinned = Number(readMeta(catalog, 'reports-thinned-us') ?? 0)
  const rows = catalog.all(
    'SELECT * FROM reports WHERE from_us > ? AND from_us < ? AND to_us < ? ORDER BY from_us LIMIT ?',
    thinned,
    beforeUs,
    beforeUs,
    THIN_ROWS,
  )
  const last = rows.at(-1)
  if (last === undefined) return false
  const kept = new Map<number, ReportEntry>()
  for (const row of rows) {
    for (const entry of entriesOf(catalog, row)) kept.set(Math.floor(entry.us / 1_000_000), entry)
  }
  catalog.transaction('thin-reports', () => {
    for (const row of rows) catalog.run('DELETE FROM reports WHERE id = ?', Number(row.id))
    appendReports(catalog, [...kept.values()])
    setMeta(catalog, 'reports-thinned-us', String(last.to_us))
  })
  return rows.length === THIN_ROWS
}

/** The number of a version set, which is kept once. */
export function versionSet(catalog: Catalog, versions: Readonly<Record<string, VersionId>>): number {
  const text = JSON.stringify(
    Object.fromEntries(Object.entries(versions).sort(([a], [b]) => (a < b ? -1 : 1))),
  )
  catalog.run('INSERT INTO version_sets (versions) VALUES (?) ON CONFLICT DO NOTHING', text)
  return Number(catalog.get('SELECT id FROM version_sets WHERE versions = ?', text)?.id)
}

function entriesOf(catalog: Catalog, row: SqlRow): readonly ReportEntry[] {
  const stored = JSON.parse(String(row.entries)) as readonly StoredEntry[]
  const from = Number(row.from_us)
  const sets = new Map<number, ReportEntry['versions']>()
  const versionsOf = (id: number): ReportEntry['versions'] => {
    const known = sets.get(id)
    if (known !== undefined) return known
    const text = catalog.get('SELECT versions FROM version_sets WHERE id = ?', id)?.versions
    const versions = JSON.parse(String(text)) as ReportEntry['versions']
    sets.set(id, versions)
    return versions
  }
  let told: Cuts = {}
  return stored.map(([after, cut, set, stalledAt = {}, batches = told]) => {
    told = batches
    return { us: from + after, cut, versions: versionsOf(set), stalledAt, batches }
  })
}
