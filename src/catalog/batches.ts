/**
 * Batches of views that run as lambda: when each began, how it ended, and the cut T that the last published one of a
 * version reaches. Functions over the catalog; no state here.
 *
 * Slices, T and what T promises are published in one transaction, which is refused, with nothing changed, when the
 * slices would leave a gap or overlap, when T would go back, or when somebody else has ended the batch meanwhile: a
 * server that was started again says of every batch of the one before that it failed, so what that one would still
 * publish comes too late.
 */

import { join } from 'node:path'
import type { CommitRange, CommitSeq, VersionId } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import { BATCH_PART } from '../plan/batch-columns.ts'
import type { Divergence } from './divergence.ts'
import { appendCut } from './journal.ts'
import type { Catalog, SqlRow } from './open-catalog.ts'
import { runOf } from './runs.ts'
import {
  checkChain,
  coveredBy,
  insertSlice,
  pastSlicesOf,
  type SliceInputs,
  type SliceRow,
  slicesOf,
  startOf,
  storedPath,
} from './slices.ts'

export type BatchState = 'running' | 'published' | 'failed' | 'skipped'

/** What T stands for: every event before these offsets, and every time before these watermarks. */
export interface BatchPromise {
  /** By stream: the next offset of each partition. */
  readonly offsets: Readonly<Record<string, readonly number[]>>
  /** By stream, in µs, where it has a time field and an event. */
  readonly watermarksUs: Readonly<Record<string, number>>
  /** Ingest time of the commit at T. */
  readonly timeMs: number
  /** By stream with a time field: late events up to T. */
  readonly late?: Readonly<Record<string, number>>
}

export interface BatchRow {
  readonly id: number
  readonly view: string
  readonly version: VersionId
  readonly state: BatchState
  /** T; 0 while it is not chosen. */
  readonly cut: CommitSeq
  /** T of the batch before. */
  readonly from: CommitSeq
  readonly promise: BatchPromise
  /** Folded by it; null until it has ended well. */
  readonly events: number | null
  /** How long folding them took. */
  readonly foldMs: number | null
  /** Rows that differ from what was served at T; null where nothing was compared. */
  readonly divergence: number | null
  /** What that comparison came to. */
  readonly comparison: Divergence | null
  readonly reason: string | null
  readonly startedMs: number
  readonly endedMs: number | null
}

/** Cut of the last published batch of a version; 0 without one. Slices up to it are the batch layer's. */
export function batchCut(catalog: Catalog, view: string, version: VersionId): CommitSeq {
  const row = catalog.get('SELECT batch_cut FROM versions WHERE view = ? AND version = ?', view, version)
  return Number(row?.batch_cut ?? 0)
}

/** T of a version whose view runs as lambda; undefined where it does not, or has none yet. */
export function layerCut(catalog: Catalog, view: string, version: VersionId): CommitSeq | undefined {
  const isLambda = runOf(catalog, view).kind === 'lambda' || hasTwoDefinitions(catalog, view, version)
  const cut = isLambda ? batchCut(catalog, view, version) : 0
  return cut === 0 ? undefined : cut
}

/** Such a version runs as lambda from its first batch on, which is how it is built. */
function hasTwoDefinitions(catalog: Catalog, view: string, version: VersionId): boolean {
  return slicesOf(catalog, view, version).some(({ part }) => part === BATCH_PART)
}

/** Begins a batch, whose T is not chosen yet; refused while another one of the version runs. */
export function beginBatch(catalog: Catalog, view: string, version: VersionId): BatchRow {
  return catalog.transaction('begin-batch', () => {
    // A version that is built may have its first batch meanwhile.
    const running = catalog.get(
      `SELECT id FROM batches WHERE view = ? AND version = ? AND state = 'running'`,
      view,
      version,
    )
    if (running !== undefined) {
      throw new RefoldError('BATCH_RUNNING', `batch ${Number(running.id)} of view "${view}" is running`)
    }
    const from = batchCut(catalog, view, version)
    const now = catalog.clock.nowMs()
    return insertBatch(catalog, { view, version, state: 'running', from, startedMs: now, endedMs: null })
  })
}

/** Records that a batch did not run when it was due, because the one before it still did. */
export function skipBatch(
  catalog: Catalog,
  { view, version, dueMs, reason }: Pick<BatchRow, 'view' | 'version'> & { dueMs: number; reason: string },
): BatchRow {
  return catalog.transaction('end-batch', () => {
    const from = batchCut(catalog, view, version)
    const times = { startedMs: dueMs, endedMs: dueMs }
    return insertBatch(catalog, { view, version, state: 'skipped', from, reason, ...times })
  })
}

export function failBatch(catalog: Catalog, id: number, reason: string): void {
  catalog.transaction('end-batch', () => {
    catalog.run(
      `UPDATE batches SET state = 'failed', reason = ?, ended_ms = ? WHERE id = ? AND state = 'running'`,
      reason,
      catalog.clock.nowMs(),
      id,
    )
  })
}

/** Says of every running batch that it failed; for a start, when nothing runs yet. Answers how many there were. */
export function failRunningBatches(catalog: Catalog, reason: string): number {
  return catalog.transaction('end-batch', () =>
    catalog.run(
      `UPDATE batches SET state = 'failed', reason = ?, ended_ms = ? WHERE state = 'running'`,
      reason,
      catalog.clock.nowMs(),
    ),
  )
}

export interface BatchSlice extends SliceRow {
  /** The lake files that it was folded from; left out where an event came from the hot log too. */
  readonly inputs?: SliceInputs
}

export interface BatchPublication {
  readonly id: number
  readonly view: string
  readonly version: VersionId
  /** T. */
  readonly cut: CommitSeq
  /** Cut that the version's slices reach afterwards. */
  readonly sealed: CommitSeq
  /** Paths of listed slices that go on being part of the chain: bases, and what an incremental batch keeps. */
  readonly kept: readonly string[]
  readonly added: readonly BatchSlice[]
  /** What was there before was damaged: it is not kept for reads of the past. */
  readonly repairs: boolean
  readonly promise: BatchPromise
  readonly events: number
  readonly foldMs?: number
  readonly divergence: number | null
}

/**
 * Publishes a batch and answers the files of slices that are listed no longer. Throws
 * BATCH_OVERTAKEN, BATCH_OLDER, BATCH_GAP, BATCH_OVERLAP.
 */
export function publishBatch(catalog: Catalog, publication: BatchPublication): readonly string[] {
  const { id, view, version, cut, sealed, added } = publication
  return catalog.transaction('publish-batch', () => {
    refuseOvertaken(catalog, publication)
    const kept = keptSlices(catalog, publication)
    refuseBrokenChain(publication, [...kept, ...added], startOf(catalog, view, version))
    const gone = supersedeOthers(catalog, publication)
    for (const slice of added) insertSlice(catalog, slice)
    const now = catalog.clock.nowMs()
    catalog.run(
      `UPDATE versions SET sealed_cut = ?1, batch_cut = ?2, changed_ms = ?3,
         late_counts = CASE WHEN late_cut < ?2 THEN ?6 ELSE late_counts END, late_cut = max(late_cut, ?2)
       WHERE view = ?4 AND version = ?5`,
      sealed,
      cut,
      now,
      view,
      version,
      JSON.stringify(publication.promise.late ?? {}),
    )
    catalog.run(
      `UPDATE batches SET state = 'published', cut = ?, promise = ?, events = ?, fold_ms = ?, divergence = ?, ended_ms = ?
       WHERE id = ?`,
      cut,
      JSON.stringify(publication.promise),
      publication.events,
      publication.foldMs ?? null,
      publication.divergence,
      now,
      id,
    )
    checkChain(catalog, view, version, sealed)
    appendCut(catalog, cut, 'batch')
    return gone
  })
}

function refuseOvertaken(catalog: Catalog, { id, view, version, cut, sealed }: BatchPublication): void {
  const batch = catalog.get('SELECT state, reason FROM batches WHERE id = ?', id)
  if (batch?.state !== 'running') {
    throw new RefoldError(
      'BATCH_OVERTAKEN',
      `batch ${id} of view "${view}" is ${String(batch?.state ?? 'unknown')}: somebody else has ended it`,
    )
  }
  const row = catalog.get(
    'SELECT state, sealed_cut, batch_cut FROM versions WHERE view = ? AND version = ?',
    view,
    version,
  )
  if (row === undefined || row.state === 'retired' || row.state === 'failed') {
    throw new RefoldError('BATCH_OVERTAKEN', `version "${version.slice(0, 12)}" of view "${view}" is over`)
  }
  if (cut < Number(row.batch_cut)) {
    throw new RefoldError(
      'BATCH_OLDER',
      `batch ${id} of view "${view}" ends at cut ${cut}, and cut ${Number(row.batch_cut)} is published`,
    )
  }
  if (sealed < Number(row.sealed_cut) || sealed < cut) {
    throw new RefoldError(
      'BATCH_GAP',
      `slices of batch ${id} of view "${view}" reach cut ${sealed}, and those that are published cut ${Number(row.sealed_cut)}`,
    )
  }
}

function keptSlices(catalog: Catalog, { id, view, version, kept }: BatchPublication): readonly SliceRow[] {
  const wanted = new Set(kept)
  const found = pastSlicesOf(catalog, view, version).filter(({ path }) => wanted.has(path))
  if (found.length < wanted.size) {
    throw new RefoldError(
      'BATCH_OVERTAKEN',
      `a slice of view "${view}" that batch ${id} keeps went meanwhile`,
    )
  }
  // A base that a merge took the place of counts again.
  for (const { path } of found)
    catalog.run('UPDATE slices SET superseded_ms = NULL WHERE path = ?', storedPath(catalog, path))
  return found
}

/** For each part: from the start, in order, with a border at T, up to `sealed`. */
function refuseBrokenChain(
  { id, view, cut, sealed }: BatchPublication,
  slices: readonly SliceRow[],
  start: CommitSeq,
): void {
  const parts = Map.groupBy(slices, ({ stage, part }) => `${stage}.${part}`)
  const cuts = { start, batch: cut, sealed }
  if (parts.size === 0 && sealed > start) parts.set('main', [])
  for (const [part, own] of parts) {
    const covered = coveredBy(own[0]?.part ?? '', slices, cuts)
    let at = covered.from
    const refuse = (code: 'BATCH_GAP' | 'BATCH_OVERLAP', { from, to }: CommitRange) => {
      const what = code === 'BATCH_GAP' ? 'have a gap' : 'overlap'
      const where = `between cut ${Math.min(at, from)} and cut ${Math.max(at, from, to)}`
      throw new RefoldError(
        code,
        `slices of part "${part}" of batch ${id} of view "${view}" ${what} ${where}`,
      )
    }
    for (const { from, to } of [...own].sort((a, b) => a.from - b.from || a.to - b.to)) {
      if (from > at) refuse('BATCH_GAP', { from, to: from })
      if (from < at || to <= from) refuse('BATCH_OVERLAP', { from, to })
      if (from < cut && to > cut) refuse('BATCH_OVERLAP', { from, to })
      at = to
    }
    if (at < covered.to) refuse('BATCH_GAP', { from: covered.to, to: covered.to })
    if (at > covered.to) refuse('BATCH_OVERLAP', { from: covered.to, to: at })
  }
}

/** Slices that are not kept; where they were damaged, they and older ones go, but for bases. */
function supersedeOthers(
  catalog: Catalog,
  { view, version, kept, repairs }: BatchPublication,
): readonly string[] {
  const stays = new Set(kept)
  for (const { path } of slicesOf(catalog, view, version)) {
    if (stays.has(path)) continue
    catalog.run(
      'UPDATE slices SET superseded_ms = ? WHERE path = ?',
      catalog.clock.nowMs(),
      storedPath(catalog, path),
    )
  }
  if (!repairs) return []
  const gone = catalog.all(
    'SELECT path FROM slices WHERE view = ? AND version = ? AND base = 0 AND superseded_ms IS NOT NULL',
    view,
    version,
  )
  for (const { path } of gone) catalog.run('DELETE FROM slices WHERE path = ?', String(path))
  return gone.map(({ path }) => join(catalog.folder, String(path)))
}

/** T is only a T while a slice of the chain ends there; part of the caller's transaction. */
export function settleBatchCut(catalog: Catalog, view: string, version: VersionId): void {
  catalog.run(
    `UPDATE versions SET batch_cut = 0 WHERE view = ?1 AND version = ?2 AND batch_cut > 0 AND NOT EXISTS (
       SELECT 1 FROM slices s WHERE s.view = ?1 AND s.version = ?2 AND s.superseded_ms IS NULL
         AND s.to_cut = versions.batch_cut)`,
    view,
    version,
  )
}

export function readBatch(catalog: Catalog, id: number): BatchRow | undefined {
  const row = catalog.get('SELECT * FROM batches WHERE id = ?', id)
  return row === undefined ? undefined : toBatch(row)
}

/** The newest ones, newest first; of one view or of all. */
export function batches(catalog: Catalog, limit: number, view?: string): readonly BatchRow[] {
  const rows =
    view === undefined
      ? catalog.all('SELECT * FROM batches ORDER BY id DESC LIMIT ?', limit)
      : catalog.all('SELECT * FROM batches WHERE view = ? ORDER BY id DESC LIMIT ?', view, limit)
  return rows.map(toBatch)
}

/** The newest published ones of a view, newest first, however many were skipped since. */
export function publishedBatches(catalog: Catalog, view: string, limit: number): readonly BatchRow[] {
  const sql = `SELECT * FROM batches WHERE view = ? AND state = 'published' ORDER BY id DESC LIMIT ?`
  return catalog.all(sql, view, limit).map(toBatch)
}

/** The newest batch of a view, or of one of its versions, in one of these states. */
export function newestBatch(
  catalog: Catalog,
  view: string,
  states: readonly BatchState[],
  version?: VersionId,
): BatchRow | undefined {
  const row = catalog.get(
    `SELECT * FROM batches WHERE view = ?1 AND (?2 IS NULL OR version = ?2)
       AND state IN (SELECT value FROM json_each(?3)) ORDER BY id DESC LIMIT 1`,
    view,
    version ?? null,
    JSON.stringify(states),
  )
  return row === undefined ? undefined : toBatch(row)
}

/** Batches of a view after another one, oldest first. */
export function batchesAfter(catalog: Catalog, view: string, id: number): readonly BatchRow[] {
  return catalog.all('SELECT * FROM batches WHERE view = ? AND id > ? ORDER BY id', view, id).map(toBatch)
}

/** How many batches of a view ended in each state. */
export function batchCounts(catalog: Catalog, view: string): Readonly<Partial<Record<BatchState, number>>> {
  const rows = catalog.all(
    'SELECT state, count(*) AS n FROM batches WHERE view = ? GROUP BY state ORDER BY state',
    view,
  )
  return Object.fromEntries(rows.map((row) => [String(row.state), Number(row.n)]))
}

function insertBatch(
  catalog: Catalog,
  batch: Pick<BatchRow, 'view' | 'version' | 'state' | 'from' | 'startedMs' | 'endedMs'> & {
    readonly reason?: string
  },
): BatchRow {
  catalog.run(
    `INSERT INTO batches (view, version, state, cut, from_cut, reason, started_ms, ended_ms)
     VALUES (?, ?, ?, 0, ?, ?, ?, ?)`,
    batch.view,
    batch.version,
    batch.state,
    batch.from,
    batch.reason ?? null,
    batch.startedMs,
    batch.endedMs,
  )
  const row = catalog.get('SELECT * FROM batches WHERE id = last_insert_rowid()')
  if (row === undefined) throw new Error(`the new batch of view "${batch.view}" vanished`)
  return toBatch(row)
}

/** Says which T a running batch folds up to. */
export function chooseBatchCut(catalog: Catalog, id: number, cut: CommitSeq): void {
  catalog.transaction('begin-batch', () => {
    catalog.run(`UPDATE batches SET cut = ? WHERE id = ? AND state = 'running'`, cut, id)
  })
}

function toBatch(row: SqlRow): BatchRow {
  const promise = JSON.parse(String(row.promise)) as Partial<BatchPromise>
  return {
    id: Number(row.id),
    view: String(row.view),
    version: String(row.version),
    state: String(row.state) as BatchState,
    cut: Number(row.cut),
    from: Number(row.from_cut),
    promise: { offsets: {}, watermarksUs: {}, timeMs: 0, ...promise },
    events: row.events === null ? null : Number(row.events),
    foldMs: row.fold_ms === null ? null : Number(row.fold_ms),
    divergence: row.divergence === null ? null : Number(row.divergence),
    comparison: row.comparison === null ? null : (JSON.parse(String(row.comparison)) as Divergence),
    reason: row.reason === null ? null : String(row.reason),
    startedMs: Number(row.started_ms),
    endedMs: row.ended_ms === null ? null : Number(row.ended_ms),
  }
}
