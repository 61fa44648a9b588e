/**
 * Moving a view between kappa, lambda and hybrid: what the catalog says of it from now on. No state.
 *
 * Slices stay as they are, whichever way they came to be: they are one chain. What goes with the batch layer is its
 * cut T alone, in the transaction that says how the view runs.
 */

import type { Catalog } from '../catalog/open-catalog.ts'
import { forgetBatchCut, setRuns } from '../catalog/runs.ts'
import { slicesOf } from '../catalog/slices.ts'
import { type NewVersion, sealedCut } from '../catalog/versions.ts'
import type { RunDef } from '../define/types.ts'
import type { VersionId } from '../model/cut.ts'
import type { ServerContext } from './context.ts'

export interface RunMove {
  readonly view: string
  /** The version that goes on, where it is not replaced by another. */
  readonly version?: VersionId | undefined
  readonly from: RunDef
  readonly to: RunDef
}

/** View → how it is to run. */
export function wantedRuns(wanted: readonly NewVersion[]): Readonly<Record<string, RunDef>> {
  return Object.fromEntries(wanted.map(({ view, run = { kind: 'kappa' } }) => [view, run]))
}

/** As a part of the caller's transaction. */
export function moveRuns(catalog: Catalog, moves: readonly RunMove[]): void {
  if (moves.length === 0) return
  setRuns(catalog, Object.fromEntries(moves.map(({ view, to }) => [view, to])))
  for (const { view, version } of moves.filter(leavesLambda)) forgetBatchCut(catalog, view, version ?? '')
}

/**
 * In the turn of publications, after the catalog: the engine learns that views have no batch layer any more. Who
 * gains one has had its first batch, which told the engine. Never waits.
 */
export function tellRuns(context: ServerContext, moves: readonly RunMove[]): void {
  const { catalog, supervisor } = context
  for (const { view, version = '' } of moves.filter(leavesLambda)) {
    if (supervisor.viewProgress(view, version) === undefined) continue
    const sealed = sealedCut(catalog, view, version) ?? 0
    const slices = slicesOf(catalog, view, version)
    // An engine that ended is followed by one that reads the catalog.
    supervisor.running?.engine.published(view, version, sealed, slices).catch(() => {})
  }
}

function leavesLambda({ version, from, to }: RunMove): boolean {
  return version !== undefined && from.kind === 'lambda' && to.kind !== 'lambda'
}
