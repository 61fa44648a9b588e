/** Plans a view whose logic is TypeScript. No state. */

import type { ProjectDef, ViewDef } from '../define/types.ts'
import { RefoldError } from '../model/errors.ts'
import type { CodeFold } from '../plan/plan.ts'
import { planFold, printedFold } from '../plan/plan-fold.ts'
import type { PlannedLayers } from './plan-batch-layer.ts'

/** Undefined for a view in SQL. */
export function planFoldView(project: ProjectDef, view: ViewDef): PlannedLayers | undefined {
  const { name, sql, fold } = view
  if (fold === undefined) return undefined
  const { code, key, columns, several, merges, stepMs, memoryBytes, reads } = fold
  const stream = project.streams.find((one) => one.name === fold.stream)
  if (stream === undefined) {
    const message = `fold "${name}" reads stream "${fold.stream}", which is not among the project's streams`
    const hint = 'Put the stream into `project({ streams: [ … ] })`.'
    return {
      ok: false,
      mistakes: [new RefoldError('LOGIC_INVALID', message, { place: view.sqlPlace, hint })],
    }
  }
  const { hash, entry } = code
  const made: CodeFold = { hash, entry, name, keys: key, row: columns, several, merges }
  const narrowed = reads === undefined ? {} : { reads }
  const plan = planFold({ name, sql, stream, code: made, limits: { stepMs, memoryBytes }, ...narrowed })
  return { ok: true, plan, printedSql: printedFold(made, stream.name) }
}
