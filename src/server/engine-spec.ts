/** What an engine is to hold, put together from the catalog's rows. No state. */

import { lakeManifest } from '../catalog/lake.ts'
import type { Catalog } from '../catalog/open-catalog.ts'
import { skippedOf } from '../catalog/skipped.ts'
import { slicesOf } from '../catalog/slices.ts'
import { trimmedBeyond } from '../catalog/trims.ts'
import { serving, tickingStates, type VersionRow, versions } from '../catalog/versions.ts'
import type { EngineSettings, EngineSpec, EngineView } from '../engine/engine.ts'
import type { LogManifest } from '../log/types.ts'
import type { CommitSeq } from '../model/cut.ts'
import type { StreamDef } from '../model/schema.ts'

/** A version with its published slices and the events it leaves out. */
export function engineViewOf(catalog: Catalog, row: VersionRow): EngineView {
  const { view, version, plan, sealed, onError } = row
  return {
    view,
    version,
    plan,
    sealed,
    onError,
    slices: slicesOf(catalog, view, version),
    skipped: skippedOf(catalog, view, version).map(({ commit, index }) => ({ commit, index })),
  }
}

/** Everything that ticks, what answers first. Versions whose history is folded in bulk join later, by `addVersion`. */
export function engineSpecOf(
  catalog: Catalog,
  log: LogManifest,
  streams: readonly StreamDef[],
  settings: EngineSettings,
  followed: readonly CommitSeq[],
): EngineSpec {
  return {
    streams,
    sources: { log, lake: lakeManifest(catalog) },
    views: versions(catalog)
      .filter(({ state }) => tickingStates.includes(state))
      // One whose slices end before a trim would go on as if the events between had never been.
      .filter(({ plan, sealed }) => trimmedBeyond(catalog, plan.streams, sealed) === undefined)
      .sort((a, b) => Number(b.state === 'live') - Number(a.state === 'live'))
      .map((row) => engineViewOf(catalog, row)),
    serving: serving(catalog),
    followed,
    settings,
  }
}
