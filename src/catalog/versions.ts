/**
 * Versions of views and the pointers that say which one answers. Functions over the catalog; no state here.
 *
 * A version is born `planned` or `building` (or `live` when there is nothing to fold), ticks beside the live one as
 * `shadow`, becomes `live` when a pointer moves to it, may stay `warm` after its turn, and ends `retired` or `failed`. Moving pointers, the states that follow from it and the journal entry are one
 * transaction: a reader of the catalog sees the cutover of all named views or of none.
 */

import type { KeptIdentity } from '../define/identity.ts'
import type { RunDef } from '../define/types.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import type { ViewPlan } from '../plan/plan.ts'
import { appendCut } from './journal.ts'
import type { Catalog, SqlRow } from './open-catalog.ts'

export type VersionState =
  /** Named by a deploy that has not begun to build it. */
  | 'planned'
  /** Its history is folded in bulk. */
  | 'building'
  /** The engine ticks it towards the common cut. */
  | 'catching_up'
  /** Ticks beside the live version, at the same cut; nobody reads it by the view's name. */
  | 'shadow'
  /** Compared and checked. */
  | 'verified'
  | 'live'
  /** Was live, and is kept current for a rollback. */
  | 'warm'
  | 'retired'
  | 'failed'

/** States in which the engine holds a version and ticks it. */
export const tickingStates: readonly VersionState[] = ['catching_up', 'shadow', 'verified', 'live', 'warm']

export interface VersionRow {
  readonly view: string
  readonly version: VersionId
  readonly sql: string
  readonly plan: ViewPlan
  readonly onError: 'stall' | 'skip'
  /** What decided the version, part by part; empty for one that an earlier release made. */
  readonly identity: Partial<KeptIdentity>
  readonly state: VersionState
  /** Events up to this cut are no part of it. */
  readonly start: CommitSeq
  /** Cut that its slices reach. */
  readonly sealed: CommitSeq
  readonly warmUntilMs: number | null
  readonly reason: string | null
  readonly createdMs: number
  readonly changedMs: number
}

export interface NewVersion {
  readonly view: string
  readonly version: VersionId
  readonly sql: string
  readonly plan: ViewPlan
  readonly onError: 'stall' | 'skip'
  readonly identity?: KeptIdentity
  /** Events up to this cut are no part of it; left out: all are. */
  readonly start?: CommitSeq
  /** Reference files that it is to keep a copy of; not kept in the catalog. */
  readonly files?: readonly { readonly path: string; readonly hash: string; readonly source: string }[]
  /** How its slices are to come to be: no part of the version, kept in `runs`. */
  readonly run?: RunDef
}

export type Serving = Readonly<Record<string, VersionId>>

/**
 * Adds a version. One that was retired or failed begins again, with the slices that it still has; one that is there
 * stays. Where another start is asked for, the caller has dropped the slices.
 */
export function addVersion(
  catalog: Catalog,
  added: NewVersion,
  state: 'planned' | 'building' = 'building',
): VersionRow {
  const now = catalog.clock.nowMs()
  return catalog.transaction('add-version', () => {
    catalog.run(
      `INSERT INTO versions
         (view, version, sql, plan, on_error, state, start_cut, sealed_cut, created_ms, changed_ms, identity)
       VALUES (?1, ?2, ?3, ?4, ?5, ?8, ?9, ?9, ?6, ?6, ?7)
       ON CONFLICT (view, version) DO UPDATE SET
         plan = excluded.plan, on_error = excluded.on_error, changed_ms = excluded.changed_ms, reason = NULL,
         identity = excluded.identity,
         start_cut = CASE WHEN state IN ('retired', 'failed') AND sealed_cut = start_cut THEN excluded.start_cut ELSE start_cut END,
         sealed_cut = CASE WHEN state IN ('retired', 'failed') AND sealed_cut = start_cut THEN excluded.start_cut ELSE sealed_cut END,
         warm_until_ms = CASE WHEN state IN ('retired', 'failed') THEN NULL ELSE warm_until_ms END,
         state = CASE WHEN state IN ('retired', 'failed') THEN excluded.state ELSE state END`,
      added.view,
      added.version,
      added.sql,
      JSON.stringify(added.plan),
      added.onError,
      now,
      JSON.stringify(added.identity ?? {}),
      state,
      added.start ?? 0,
    )
    const row = readVersion(catalog, added.view, added.version)
    if (row === undefined) throw new Error(`version "${added.version}" of view "${added.view}" vanished`)
    return row
  })
}

export function readVersion(catalog: Catalog, view: string, version: VersionId): VersionRow | undefined {
  const row = catalog.get('SELECT * FROM versions WHERE view = ? AND version = ?', view, version)
  return row === undefined ? undefined : toVersion(row)
}

/** Cut that a version's slices reach; undefined when it is over or was never. Cheap: the plan is not read. */
export function sealedCut(catalog: Catalog, view: string, version: VersionId): CommitSeq | undefined {
  const row = catalog.get(
    `SELECT sealed_cut FROM versions WHERE view = ? AND version = ? AND state NOT IN ('retired', 'failed')`,
    view,
    version,
  )
  return row === undefined ? undefined : Number(row.sealed_cut)
}

/** Versions in the order in which they were created. */
export function versions(catalog: Catalog): readonly VersionRow[] {
  return catalog.all('SELECT * FROM versions ORDER BY created_ms, view, version').map(toVersion)
}

export interface WarmVersion {
  readonly view: string
  readonly version: VersionId
  readonly warmUntilMs: number
}

/** Cheap: no plan is read. */
export function warmVersions(catalog: Catalog): readonly WarmVersion[] {
  return catalog
    .all(`SELECT view, version, warm_until_ms FROM versions WHERE state = 'warm' ORDER BY view, version`)
    .map((row) => ({
      view: String(row.view),
      version: String(row.version),
      warmUntilMs: Number(row.warm_until_ms ?? 0),
    }))
}

/** View → version that answers for it. */
export function serving(catalog: Catalog): Serving {
  const rows = catalog.all('SELECT view, version FROM pointers ORDER BY view')
  return Object.fromEntries(rows.map((row) => [String(row.view), String(row.version)]))
}

export interface ServingMove {
  /** View → the version that answers for it from now on; null: none, the view is gone. */
  readonly moves: Readonly<Record<string, VersionId | null>>
  readonly cut: CommitSeq
  /** The versions that answered before stay warm until then; left out: they are retired. */
  readonly warmUntilMs?: number
  /** Why, for the journal. */
  readonly what?: string
}

/** Moves the pointers of all these views at once; the versions that answered before become retired. */
export function moveServing(catalog: Catalog, moves: Serving, cut: CommitSeq): void {
  movePointers(catalog, { moves, cut })
}

/** Moves the pointers of all these views at once, with the states that follow from it and the journal's entry. */
export function movePointers(catalog: Catalog, { moves, cut, warmUntilMs, what }: ServingMove): void {
  const now = catalog.clock.nowMs()
  catalog.transaction('move-serving', () => {
    for (const [view, version] of Object.entries(moves)) {
      catalog.run(
        `UPDATE versions SET state = ?, warm_until_ms = ?, changed_ms = ?
         WHERE view = ? AND version IS NOT ? AND state = 'live'`,
        warmUntilMs === undefined ? 'retired' : 'warm',
        warmUntilMs ?? null,
        now,
        view,
        version,
      )
      if (version === null) catalog.run('DELETE FROM pointers WHERE view = ?', view)
      else movePointer(catalog, view, version, cut, now)
    }
    appendCut(catalog, cut, what ?? 'serving')
  })
}

function movePointer(
  catalog: Catalog,
  view: string,
  version: VersionId,
  cut: CommitSeq,
  nowMs: number,
): void {
  const changed = catalog.run(
    `UPDATE versions SET state = 'live', warm_until_ms = NULL, reason = NULL, changed_ms = ?
     WHERE view = ? AND version = ?`,
    nowMs,
    view,
    version,
  )
  if (changed !== 1) {
    throw new RefoldError('VERSION_UNKNOWN', `view "${view}" has no version "${version}"`)
  }
  catalog.run(
    `INSERT INTO pointers (view, version, cut, moved_ms) VALUES (?, ?, ?, ?)
     ON CONFLICT (view) DO UPDATE
     SET version = excluded.version, cut = excluded.cut, moved_ms = excluded.moved_ms`,
    view,
    version,
    cut,
    nowMs,
  )
}

/** A version that no longer answers; when the view's pointer stands on it, the view is gone with it. */
export function retireVersion(catalog: Catalog, view: string, version: VersionId, cut: CommitSeq): void {
  catalog.transaction('retire-version', () => {
    catalog.run('DELETE FROM pointers WHERE view = ? AND version = ?', view, version)
    setState(catalog, view, version, 'retired', null)
    appendCut(catalog, cut, 'retired')
  })
}

/** A step in the life of versions that moves no pointer. */
export function setVersionStates(
  catalog: Catalog,
  versions: readonly { readonly view: string; readonly version: VersionId }[],
  state: VersionState,
): void {
  catalog.transaction('version-states', () => {
    for (const { view, version } of versions) setState(catalog, view, version, state, null)
  })
}

export function failVersion(catalog: Catalog, view: string, version: VersionId, reason: string): void {
  catalog.transaction('fail-version', () => setState(catalog, view, version, 'failed', reason))
}

function setState(
  catalog: Catalog,
  view: string,
  version: VersionId,
  state: VersionState,
  reason: string | null,
): void {
  catalog.run(
    'UPDATE versions SET state = ?, reason = ?, changed_ms = ? WHERE view = ? AND version = ?',
    state,
    reason,
    catalog.clock.nowMs(),
    view,
    version,
  )
}

function toVersion(row: SqlRow): VersionRow {
  return {
    view: String(row.view),
    version: String(row.version),
    sql: String(row.sql),
    plan: JSON.parse(String(row.plan)) as ViewPlan,
    onError: row.on_error === 'skip' ? 'skip' : 'stall',
    identity: JSON.parse(String(row.identity)) as VersionRow['identity'],
    state: String(row.state) as VersionState,
    start: Number(row.start_cut),
    sealed: Number(row.sealed_cut),
    warmUntilMs: row.warm_until_ms === null ? null : Number(row.warm_until_ms),
    reason: row.reason === null ? null : String(row.reason),
    createdMs: Number(row.created_ms),
    changedMs: Number(row.changed_ms),
  }
}
