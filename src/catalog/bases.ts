/**
 * Bases: slices that stand for events which the log no longer holds. Functions over the catalog; no state here.
 *
 * The base of a version at a cut is a chain of slices over exactly (start, cut], each flagged. A base is listed until
 * a later trim puts another in its place: a merge only supersedes it, and cleaning up passes it by, so whatever a
 * version's other slices come to, its state at the cut is there, and everything after it can be folded from the log.
 */

import type { CommitSeq, VersionId } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import { assert } from '../std/assert.ts'
import { settleBatchCut } from './batches.ts'
import type { Catalog } from './open-catalog.ts'
import {
  checkChain,
  insertSlice,
  type PastSliceRow,
  pastSlicesOf,
  type SliceRow,
  storedPath,
} from './slices.ts'

/** The flagged slices of a version, in order. */
export function basesOf(catalog: Catalog, view: string, version: VersionId): readonly PastSliceRow[] {
  return pastSlicesOf(catalog, view, version).filter(({ base }) => base)
}

/** Cut that a version's base reaches from its start; undefined without one that begins there. */
export function baseCut(catalog: Catalog, view: string, version: VersionId): CommitSeq | undefined {
  const row = catalog.get('SELECT start_cut FROM versions WHERE view = ? AND version = ?', view, version)
  const bases = basesOf(catalog, view, version)
  if (bases[0]?.from !== Number(row?.start_cut ?? 0)) return undefined
  return Math.max(...bases.map(({ to }) => to))
}

export interface Base {
  readonly view: string
  readonly version: VersionId
  /** Paths of published slices that are a part of it. */
  readonly kept: readonly string[]
  /** Slices made for it; they are no part of the version's current chain. */
  readonly added: readonly SliceRow[]
}

/** Flags slices and lists new ones. Which older bases it takes the place of is said when the trim is recorded. */
export function publishBase(catalog: Catalog, { view, version, kept, added }: Base): void {
  catalog.transaction('publish-base', () => {
    for (const path of kept) {
      const changed = catalog.run(
        'UPDATE slices SET base = 1 WHERE path = ? AND view = ? AND version = ?',
        storedPath(catalog, path),
        view,
        version,
      )
      if (changed !== 1)
        throw new RefoldError('JOB_FAILED', `slice "${path}" went while a base was made of it`)
    }
    for (const slice of added) insertSlice(catalog, slice, { base: true, superseded: true })
  })
}

/** As a part of the caller's transaction: of the version's bases only these stay flagged. */
export function releaseBases(
  catalog: Catalog,
  view: string,
  version: VersionId,
  kept: ReadonlySet<string>,
): void {
  for (const { path } of basesOf(catalog, view, version)) {
    if (!kept.has(path)) catalog.run('UPDATE slices SET base = 0 WHERE path = ?', storedPath(catalog, path))
  }
}

export interface RestoredChain {
  readonly view: string
  readonly version: VersionId
  /** Listed slices that are the beginning of the version's chain afterwards. */
  readonly kept: readonly string[]
  /** The rest of it. */
  readonly added: readonly SliceRow[]
  /** Slices whose files are damaged or gone. */
  readonly damaged: readonly string[]
  readonly sealed: CommitSeq
}

/** Gives a version another chain: bases that were superseded count again. */
export function restoreChain(catalog: Catalog, chain: RestoredChain): void {
  const { view, version, sealed } = chain
  const now = catalog.clock.nowMs()
  catalog.transaction('publish-slices', () => {
    catalog.run(
      'UPDATE slices SET superseded_ms = ? WHERE view = ? AND version = ? AND superseded_ms IS NULL',
      now,
      view,
      version,
    )
    for (const path of chain.damaged)
      catalog.run('DELETE FROM slices WHERE path = ?', storedPath(catalog, path))
    for (const path of chain.kept) {
      const changed = catalog.run(
        'UPDATE slices SET superseded_ms = NULL WHERE path = ?',
        storedPath(catalog, path),
      )
      assert(changed === 1, `slice "${path}" is listed`)
    }
    for (const slice of chain.added) insertSlice(catalog, slice)
    catalog.run(
      'UPDATE versions SET sealed_cut = ?, changed_ms = ? WHERE view = ? AND version = ?',
      sealed,
      now,
      view,
      version,
    )
    checkChain(catalog, view, version, sealed)
    settleBatchCut(catalog, view, version)
  })
}

/**
 * Forgets slices whose files are not there, as in a backup without slices: a version that would have a gap goes back
 * to its base, or to its start, and folds again from there.
 */
export function forgetMissing(catalog: Catalog, isThere: (path: string) => boolean): void {
  catalog.transaction('drop-slices', () => {
    for (const { view, version } of catalog.all('SELECT view, version FROM versions')) {
      const slices = pastSlicesOf(catalog, String(view), String(version))
      const missing = slices.filter(({ path, base }) => !base && !isThere(path))
      for (const { path } of missing)
        catalog.run('DELETE FROM slices WHERE path = ?', storedPath(catalog, path))
      if (missing.every(({ supersededMs }) => supersededMs !== null)) continue
      catalog.run(
        'UPDATE slices SET superseded_ms = ? WHERE view = ? AND version = ? AND superseded_ms IS NULL',
        catalog.clock.nowMs(),
        String(view),
        String(version),
      )
      catalog.run(
        'UPDATE versions SET sealed_cut = start_cut, batch_cut = 0 WHERE view = ? AND version = ?',
        String(view),
        String(version),
      )
      beginWithBase(catalog, String(view), String(version))
    }
  })
}

/** A version that begins again begins with its base; answers the base's cut, undefined when there is none. */
export function beginWithBase(catalog: Catalog, view: string, version: VersionId): CommitSeq | undefined {
  const sealed = baseCut(catalog, view, version)
  if (sealed === undefined) return undefined
  const kept = basesOf(catalog, view, version).map(({ path }) => path)
  restoreChain(catalog, { view, version, kept, added: [], damaged: [], sealed })
  return sealed
}
