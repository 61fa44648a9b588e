/**
 * Moving a view between kappa, lambda and hybrid: what the catalog says of it from now on. No state.
 *
 * Slices stay as they are, whichever way they came to be: they are one chain. What goes with the batch layer is its
 * cut T alone, in the transaction that says how the view runs.
 */

import type { Catalog } from '../catalog/open-catalog.ts'
import { forgetBatchCut, setRuns } from '../catalog/runs.ts'
import type { NewVersion } from '../catalog/versions.ts'
import type { RunDef } from '../define/types.ts'
import type { VersionId } from '../model/cut.ts'

export interface RunMove {
  readonly view: string
  /** The version that goes on, where it is not replaced by another. */
  readonly version?: VersionId | undefined
  readonly run: RunDef
}

/** View → how it is to run. */
export function wantedRuns(wanted: readonly NewVersion[]): Readonly<Record<string, RunDef>> {
  return Object.fromEntries(wanted.map(({ view, run = { kind: 'kappa' } }) => [view, run]))
}

/** As a part of the caller's transaction. */
export function moveRuns(catalog: Catalog, moves: readonly RunMove[]): void {
  setRuns(catalog, Object.fromEntries(moves.map(({ view, run }) => [view, run])))
  for (const { view, version, run } of moves) {
    if (version !== undefined && run.kind !== 'lambda') forgetBatchCut(catalog, view, version)
  }
}
