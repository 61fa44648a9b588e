/**
 * Plans every view of a project and gives each its version id; all mistakes of all views come at once. No state.
 */

import type { NewVersion } from '../catalog/versions.ts'
import { identityParts, versionOf } from '../define/identity.ts'
import type { ProjectDef } from '../define/types.ts'
import { ruleMistakes } from '../deploy/compare-rules.ts'
import { openSqlSyntax } from '../engine/sql-syntax.ts'
import type { RefoldError } from '../model/errors.ts'
import type { ViewPlan } from '../plan/plan.ts'
import { planView } from '../plan/plan-view.ts'

export type PlannedViews =
  | { readonly ok: true; readonly views: readonly NewVersion[] }
  | { readonly ok: false; readonly mistakes: readonly RefoldError[] }

export async function planViews(project: ProjectDef): Promise<PlannedViews> {
  const syntax = await openSqlSyntax()
  try {
    const views: NewVersion[] = []
    const mistakes: RefoldError[] = []
    const names = project.views.map((view) => view.name)
    for (const view of project.views) {
      const planned = await planView({
        name: view.name,
        sql: view.sql,
        place: view.sqlPlace,
        streams: project.streams,
        views: names,
        syntax,
      })
      if (!planned.ok) {
        mistakes.push(...planned.mistakes)
        continue
      }
      const { plan, printedSql } = planned
      mistakes.push(...(await ruleMistakes(view.name, view.expect ?? [], plan.columns, syntax)))
      const read = project.streams.filter((stream) => plan.streams.includes(stream.name))
      const fields = Object.fromEntries(read.map(({ name }) => [name, fieldsRead(plan, name)]))
      const parts = identityParts({ printedSql, streams: read, fields })
      const identity = { ...parts, sources: view.sources ?? {} }
      const version = versionOf(parts)
      views.push({ view: view.name, version, sql: view.sql, plan, onError: view.onError, identity })
    }
    return mistakes.length > 0 ? { ok: false, mistakes } : { ok: true, views }
  } finally {
    syntax.close()
  }
}

/** Top-level fields of a stream that some stage reads. */
function fieldsRead(plan: ViewPlan, stream: string): readonly string[] {
  return plan.stages.flatMap(({ source }) => (source.stream === stream ? source.fields : []))
}
