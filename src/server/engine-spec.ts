/** What an engine is to hold, put together from the catalog's rows. No state. */

import { layerCut } from '../catalog/batches.ts'
import { lakeManifest } from '../catalog/lake.ts'
import { holdsLate, lateCut } from '../catalog/late-cuts.ts'
import type { Catalog } from '../catalog/open-catalog.ts'
import { pausedVersions } from '../catalog/paused.ts'
import { skippedOf } from '../catalog/skipped.ts'
import { slicesOf } from '../catalog/slices.ts'
import { trimmedBeyond } from '../catalog/trims.ts'
import { serving, tickingStates, type VersionRow, versions } from '../catalog/versions.ts'
import type { EngineSettings, EngineSpec, EngineView } from '../engine/engine.ts'
import type { LogManifest } from '../log/types.ts'
import type { CommitSeq } from '../model/cut.ts'
import type { StreamDef } from '../model/schema.ts'
import { staleCut } from './stale-cut.ts'

/** A version with its published slices and the events it leaves out. */
export function engineViewOf(catalog: Catalog, row: VersionRow): EngineView {
  const { view, version, plan, sealed, onError } = row
  const batch = layerCut(catalog, view, version)
  return {
    view,
    version,
    plan,
    sealed,
    ...(batch === undefined ? {} : { batch }),
    ...(holdsLate(plan) ? { lateCut: lateCut(catalog, view, version) } : {}),
    onError,
    slices: slicesOf(catalog, view, version),
    skipped: skippedOf(catalog, view, version).map(({ commit, index }) => ({ commit, index })),
  }
}

/** A paused version as the engine holds it, at its last batch; undefined where it does not answer at all. */
export function pausedEngineView(catalog: Catalog, row: VersionRow, reason: string): EngineView | undefined {
  const batch = staleCut(catalog, row.view, row.version)
  if (batch === undefined) return undefined
  const whole = engineViewOf(catalog, row)
  return { ...whole, sealed: batch, slices: whole.slices.filter(({ to }) => to <= batch), paused: reason }
}

/** Everything that ticks, what answers first. Versions whose history is folded in bulk join later, by `addVersion`. */
export function engineSpecOf(
  catalog: Catalog,
  log: LogManifest,
  streams: readonly StreamDef[],
  settings: EngineSettings,
  followed: readonly CommitSeq[],
): EngineSpec {
  const paused = pausedVersions(catalog)
  return {
    streams,
    sources: { log, lake: lakeManifest(catalog) },
    views: versions(catalog)
      .filter(({ state }) => tickingStates.includes(state))
      // One whose slices end before a trim would go on as if the events between had never been.
      .filter(({ plan, sealed }) => trimmedBeyond(catalog, plan.streams, sealed) === undefined)
      .sort((a, b) => Number(b.state === 'live') - Number(a.state === 'live'))
      .flatMap((row) => {
        const pause = paused.find(({ view, version }) => view === row.view && version === row.version)
        if (pause === undefined) return [engineViewOf(catalog, row)]
        return pausedEngineView(catalog, row, pause.reason) ?? []
      }),
    serving: serving(catalog),
    followed,
    settings,
  }
}
