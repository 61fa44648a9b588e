/** How each view's slices come to be: what the last deploy said. Functions over the catalog; no state here. */

import type { RunDef } from '../define/types.ts'
import type { VersionId } from '../model/cut.ts'
import type { Catalog } from './open-catalog.ts'

/** A view that no deploy said anything of runs as kappa. */
export function runOf(catalog: Catalog, view: string): RunDef {
  const row = catalog.get('SELECT run FROM runs WHERE view = ?', view)
  return row === undefined ? { kind: 'kappa' } : (JSON.parse(String(row.run)) as RunDef)
}

/** View → how it runs, for those that are not kappa. */
export function runs(catalog: Catalog): Readonly<Record<string, RunDef>> {
  const rows = catalog.all('SELECT view, run FROM runs ORDER BY view')
  return Object.fromEntries(rows.map((row) => [String(row.view), JSON.parse(String(row.run)) as RunDef]))
}

/** Since when a view runs as it does with the version that answers, in ms since 1970. */
export function runningSince(catalog: Catalog, view: string): number {
  const row = catalog.get(
    `SELECT max(coalesce((SELECT changed_ms FROM runs WHERE view = ?1), 0),
       coalesce((SELECT moved_ms FROM pointers WHERE view = ?1), 0)) AS since`,
    view,
  )
  return Number(row?.since ?? 0)
}

/** Says how views run from now on; part of the caller's transaction. */
export function setRuns(catalog: Catalog, wanted: Readonly<Record<string, RunDef>>): void {
  catalog.transaction('set-runs', () => {
    for (const [view, run] of Object.entries(wanted)) {
      if (run.kind === 'kappa') catalog.run('DELETE FROM runs WHERE view = ?', view)
      else {
        catalog.run(
          `INSERT INTO runs (view, run, changed_ms) VALUES (?, ?, ?)
           ON CONFLICT (view) DO UPDATE SET run = excluded.run, changed_ms = excluded.changed_ms`,
          view,
          JSON.stringify(run),
          catalog.clock.nowMs(),
        )
      }
    }
  })
}

/** The version no longer has a batch layer: its slices stay, as slices like any others. Part of the caller's transaction. */
export function forgetBatchCut(catalog: Catalog, view: string, version: VersionId): void {
  catalog.transaction('set-runs', () => {
    catalog.run('UPDATE versions SET batch_cut = 0 WHERE view = ? AND version = ?', view, version)
  })
}
