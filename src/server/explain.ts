/** What `refold explain` shows of a view. No state. */

import { batchCut } from '../catalog/batches.ts'
import { runOf } from '../catalog/runs.ts'
import { slicesOf } from '../catalog/slices.ts'
import { readVersion, serving } from '../catalog/versions.ts'
import { RefoldError } from '../model/errors.ts'
import type { JsonValue } from '../model/schema.ts'
import { explainPlan } from '../plan/explain.ts'
import type { ServerContext } from './context.ts'

export function explainView(context: ServerContext, view: string): JsonValue {
  const { catalog, supervisor } = context
  const version = serving(catalog)[view]
  const row = version === undefined ? undefined : readVersion(catalog, view, version)
  if (row === undefined) throw new RefoldError('VIEW_UNKNOWN', `there is no live view "${view}"`)
  const progress = supervisor.viewProgress(view, row.version)
  const slices = slicesOf(catalog, view, row.version)
  const run = runOf(catalog, view)
  const layers =
    run.kind === 'lambda'
      ? { layers: { names: [`batch.${view}`, `speed.${view}`], cut: batchCut(catalog, view, row.version) } }
      : {}
  return {
    view,
    version: row.version,
    onError: row.onError,
    run: run as unknown as JsonValue,
    ...layers,
    plan: row.plan as unknown as JsonValue,
    explanation: explainPlan(row.plan) as unknown as JsonValue,
    state: {
      cut: progress?.cut ?? row.sealed,
      sealed: row.sealed,
      groups: progress?.groups ?? null,
      tailRows: progress?.tailRows ?? null,
      slices: slices.length,
      sliceRows: slices.reduce((sum, slice) => sum + slice.rows, 0),
      sliceBytes: slices.reduce((sum, slice) => sum + slice.bytes, 0),
    },
  }
}
