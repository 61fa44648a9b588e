/**
 * Published slices. Functions over the catalog; no state here.
 *
 * The invariant that every publication is checked against, inside its own transaction: for each part of a version
 * the ranges of its slices, in order, begin at the version's start, share their borders and end at its sealed cut. So
 * a gap or an overlap cannot be published, whoever made the files.
 *
 * A slice that a merge took the place of is superseded: it is no part of that chain any more, and it stays listed, and
 * its file with it, because a read of the past may need a border that the merge has lost.
 */

import { isAbsolute, join, relative } from 'node:path'
import type { CommitRange, CommitSeq, VersionId } from '../model/cut.ts'
import { BATCH_PART } from '../plan/batch-columns.ts'
import { assert } from '../std/assert.ts'
import { appendCut } from './journal.ts'
import type { Catalog, SqlRow } from './open-catalog.ts'
import { snapshotPaths } from './view-snapshots.ts'

/** A slice as the engine describes it (`engine/engine.ts` has the same shape). */
export interface SliceRow extends CommitRange {
  readonly view: string
  readonly version: VersionId
  readonly stage: string
  readonly part: string
  /** Absolute; stored relative to the data folder. */
  readonly path: string
  readonly rows: number
  readonly bytes: number
  readonly checksum: number
  readonly events?: number
  readonly positions?: string
  readonly lateAfter?: CommitSeq
}

export interface SlicePublication {
  readonly view: string
  readonly version: VersionId
  /** Paths of the slices that the new ones take the place of; none for a seal. */
  readonly replaced: readonly string[]
  readonly added: readonly SliceRow[]
  /** Cut that the version's slices reach afterwards. */
  readonly sealed: CommitSeq
  /** Why, for the journal. */
  readonly what: 'seal' | 'compact' | 'fold' | 'refold'
}

/** The lake files that a slice was folded from, each with its checksum: path relative to the data folder → CRC-32. */
export type SliceInputs = Readonly<Record<string, number>>

/** A slice as reads of the past see it: current ones, and those that a merge took the place of. */
export interface PastSliceRow extends SliceRow {
  readonly supersededMs: number | null
  readonly publishedMs: number
  /** The log no longer has its events: it cannot be folded again. */
  readonly base: boolean
}

/** Swaps slices of one version in one transaction. What is replaced because it is damaged is not kept. */
export function publishSlices(catalog: Catalog, publication: SlicePublication): void {
  const { view, version, sealed } = publication
  catalog.transaction('publish-slices', () => {
    for (const path of publication.replaced) {
      const slice = [storedPath(catalog, path), view, version] as const
      const changed =
        publication.what === 'refold'
          ? catalog.run('DELETE FROM slices WHERE path = ? AND view = ? AND version = ?', ...slice)
          : catalog.run(
              `UPDATE slices SET superseded_ms = ?
               WHERE path = ? AND view = ? AND version = ? AND superseded_ms IS NULL`,
              catalog.clock.nowMs(),
              ...slice,
            )
      assert(changed === 1, `replaced slice "${path}" is published for view "${view}"`)
    }
    for (const slice of publication.added) {
      const isOwn = slice.view === view && slice.version === version
      assert(isOwn, `slice "${slice.path}" belongs to view "${view}"`)
      insertSlice(catalog, slice)
    }
    const changed = catalog.run(
      'UPDATE versions SET sealed_cut = ?, changed_ms = ? WHERE view = ? AND version = ?',
      sealed,
      catalog.clock.nowMs(),
      view,
      version,
    )
    assert(changed === 1, `version "${version}" of view "${view}" exists`)
    checkChain(catalog, view, version, sealed)
    appendCut(catalog, sealed, publication.what)
  })
}

/** The current slices of a version by part and range. */
export function slicesOf(catalog: Catalog, view: string, version: VersionId): readonly SliceRow[] {
  return catalog
    .all(
      `SELECT * FROM slices WHERE view = ? AND version = ? AND superseded_ms IS NULL
       ORDER BY stage, part, from_cut, to_cut`,
      view,
      version,
    )
    .map((row) => toSlice(catalog, row))
}

/** Every slice of a version whose file is kept, superseded ones too. */
export function pastSlicesOf(catalog: Catalog, view: string, version: VersionId): readonly PastSliceRow[] {
  return catalog
    .all(
      'SELECT * FROM slices WHERE view = ? AND version = ? ORDER BY from_cut, to_cut, stage, part',
      view,
      version,
    )
    .map((row) => toPastSlice(catalog, row))
}

/** Every slice of every version whose file is kept, superseded ones too. */
export function allPastSlices(catalog: Catalog): readonly PastSliceRow[] {
  return catalog
    .all('SELECT * FROM slices ORDER BY view, version, from_cut, to_cut, stage, part')
    .map((row) => toPastSlice(catalog, row))
}

/** Takes slices off the list; their files may go then. A damaged one, or one that is kept no longer. */
export function forgetSlices(catalog: Catalog, paths: readonly string[]): void {
  if (paths.length === 0) return
  catalog.transaction('drop-slices', () => {
    for (const path of paths) catalog.run('DELETE FROM slices WHERE path = ?', storedPath(catalog, path))
  })
}

/** The current slices of all versions. */
export function allSlices(catalog: Catalog): readonly SliceRow[] {
  return catalog
    .all(
      `SELECT * FROM slices WHERE superseded_ms IS NULL ORDER BY view, version, stage, part, from_cut, to_cut`,
    )
    .map((row) => toSlice(catalog, row))
}

/**
 * Forgets the slices of a version and gives them back, so that their files can be deleted. Bases stay, superseded:
 * nothing else can say what the version was before events were trimmed. Those of snapshots stay too.
 */
export function dropSlices(catalog: Catalog, view: string, version: VersionId): readonly SliceRow[] {
  return catalog.transaction('drop-slices', () => {
    const kept = snapshotPaths(catalog, view, version)
    const dropped = pastSlicesOf(catalog, view, version).filter(
      ({ base, path }) => !base && !kept.has(storedPath(catalog, path)),
    )
    for (const { path } of dropped)
      catalog.run('DELETE FROM slices WHERE path = ?', storedPath(catalog, path))
    catalog.run(
      'UPDATE slices SET superseded_ms = ? WHERE view = ? AND version = ? AND superseded_ms IS NULL',
      catalog.clock.nowMs(),
      view,
      version,
    )
    catalog.run(
      'UPDATE versions SET sealed_cut = start_cut, batch_cut = 0 WHERE view = ? AND version = ?',
      view,
      version,
    )
    return dropped
  })
}

/** Lists one slice, within a transaction of the caller's, who checks the chain afterwards. */
export function insertSlice(
  catalog: Catalog,
  slice: SliceRow & { readonly inputs?: SliceInputs },
  flags: { readonly base?: boolean; readonly superseded?: boolean } = {},
): void {
  const now = catalog.clock.nowMs()
  catalog.run(
    `INSERT INTO slices (path, view, version, stage, part, from_cut, to_cut, rows, bytes, checksum, events,
       position_sum, published_ms, superseded_ms, base, inputs, late_after)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    storedPath(catalog, slice.path),
    slice.view,
    slice.version,
    slice.stage,
    slice.part,
    slice.from,
    slice.to,
    slice.rows,
    slice.bytes,
    slice.checksum,
    slice.events ?? null,
    slice.positions ?? null,
    now,
    flags.superseded === true ? now : null,
    flags.base === true ? 1 : 0,
    slice.inputs === undefined ? null : JSON.stringify(slice.inputs),
    slice.lateAfter ?? null,
  )
}

/** By path: what each current slice of a version was folded from, where that is known. */
export function sliceInputs(
  catalog: Catalog,
  view: string,
  version: VersionId,
): ReadonlyMap<string, SliceInputs> {
  const rows = catalog.all(
    'SELECT path, inputs FROM slices WHERE view = ? AND version = ? AND superseded_ms IS NULL AND inputs IS NOT NULL',
    view,
    version,
  )
  return new Map(
    rows.map((row) => [
      join(catalog.folder, String(row.path)),
      JSON.parse(String(row.inputs)) as SliceInputs,
    ]),
  )
}

/** Cut before which events are no part of a version. */
export function startOf(catalog: Catalog, view: string, version: VersionId): CommitSeq {
  const row = catalog.get('SELECT start_cut FROM versions WHERE view = ? AND version = ?', view, version)
  return Number(row?.start_cut ?? 0)
}

/**
 * What the slices of a part cover, of a version sealed at `sealed`: (start, sealed], or, of a version with two
 * definitions, the batch's part up to T and all others from there.
 */
export function coveredBy(
  part: string,
  slices: readonly SliceRow[],
  {
    start,
    batch,
    sealed,
  }: { readonly start: CommitSeq; readonly batch: CommitSeq; readonly sealed: CommitSeq },
): CommitRange {
  if (part === BATCH_PART) return { from: start, to: batch }
  const hasTwo = slices.some((slice) => slice.part === BATCH_PART)
  return { from: hasTwo ? batch : start, to: sealed }
}

/** Asserts that a version's current slices, part by part, cover (start, sealed] without a gap or an overlap. */
export function checkChain(catalog: Catalog, view: string, version: VersionId, sealed: CommitSeq): void {
  const start = startOf(catalog, view, version)
  const row = catalog.get('SELECT batch_cut FROM versions WHERE view = ? AND version = ?', view, version)
  const slices = slicesOf(catalog, view, version)
  const cuts = { start, batch: Number(row?.batch_cut ?? 0), sealed }
  const reached = new Map<string, { at: CommitSeq; readonly to: CommitSeq }>()
  for (const slice of slices) {
    const part = `${slice.stage}.${slice.part}`
    const covered = coveredBy(slice.part, slices, cuts)
    const known = reached.get(part) ?? { at: covered.from, to: covered.to }
    assert(
      slice.from === known.at,
      `slices of part "${part}" leave no gap and do not overlap at cut ${known.at}`,
    )
    assert(slice.to > slice.from, `slice "${slice.path}" covers a range`)
    reached.set(part, { ...known, at: slice.to })
  }
  for (const [part, { at, to }] of reached) assert(at === to, `slices of part "${part}" reach cut ${to}`)
  const whole = reached.size > 0 || sealed === start
  assert(whole, `a version sealed at cut ${sealed} has slices`)
  const onlyBatch = slices.every(({ part }) => part === BATCH_PART)
  assert(!onlyBatch || sealed === start || sealed === cuts.batch, 'a batch layer alone reaches its own cut')
}

/** A file's path as the catalog keeps it: relative to the data folder, which can be moved. */
export function storedPath(catalog: Catalog, path: string): string {
  return isAbsolute(path) ? relative(catalog.folder, path) : path
}

function toSlice(catalog: Catalog, row: SqlRow): SliceRow {
  return {
    view: String(row.view),
    version: String(row.version),
    stage: String(row.stage),
    part: String(row.part),
    path: join(catalog.folder, String(row.path)),
    from: Number(row.from_cut),
    to: Number(row.to_cut),
    rows: Number(row.rows),
    bytes: Number(row.bytes),
    checksum: Number(row.checksum),
    ...(row.events === null ? {} : { events: Number(row.events) }),
    ...(row.position_sum === null ? {} : { positions: String(row.position_sum) }),
    ...(row.late_after === null ? {} : { lateAfter: Number(row.late_after) }),
  }
}

function toPastSlice(catalog: Catalog, row: SqlRow): PastSliceRow {
  return {
    ...toSlice(catalog, row),
    supersededMs: row.superseded_ms === null ? null : Number(row.superseded_ms),
    publishedMs: Number(row.published_ms),
    base: row.base === 1,
  }
}
