/**
 * Plans every view of a project and gives each its version id; all mistakes of all views come at once. No state.
 */

import type { NewVersion } from '../catalog/versions.ts'
import { type FunctionDef, plannedFunction } from '../define/function-def.ts'
import { type IdentityInput, identityParts, versionOf } from '../define/identity.ts'
import type { ProjectDef } from '../define/types.ts'
import { ruleMistakes } from '../deploy/compare-rules.ts'
import { openSqlSyntax } from '../engine/sql-syntax.ts'
import { RefoldError } from '../model/errors.ts'
import type { StreamDef } from '../model/schema.ts'
import { heldPlan, holdMistakes } from '../plan/hold-late.ts'
import type { ViewPlan } from '../plan/plan.ts'
import { planView } from '../plan/plan-view.ts'
import type { SqlFunction } from '../plan/sql-syntax.ts'
import {
  identityBatch,
  type LayerContext,
  type PlannedLayers,
  type PlannedSql,
  withBatch,
} from './plan-batch-layer.ts'
import { planFoldView } from './plan-fold-view.ts'

export type PlannedViews =
  | { readonly ok: true; readonly views: readonly NewVersion[] }
  | { readonly ok: false; readonly mistakes: readonly RefoldError[] }

export async function planViews(project: ProjectDef): Promise<PlannedViews> {
  const opened = await openSqlSyntax()
  try {
    const views: NewVersion[] = []
    const functions = project.functions ?? []
    const mistakes: RefoldError[] = [...nameMistakes(functions, await opened.functions())]
    if (mistakes.length > 0) return { ok: false, mistakes }
    const syntax = opened.withFunctions(functions.map(plannedFunction))
    const names = project.views.map((view) => view.name)
    for (const view of project.views) {
      const planned = planFoldView(project, view) ?? (await planSqlView({ project, view, names, syntax }))
      if (!planned.ok) {
        mistakes.push(...planned.mistakes)
        continue
      }
      if (view.late === 'hold') {
        mistakes.push(...holdMistakes(view.name, foldedStreams(planned.plan), project.streams, view.sqlPlace))
      }
      const plan = view.late === 'hold' ? heldPlan(planned.plan) : planned.plan
      mistakes.push(...(await ruleMistakes(view.name, view.expect ?? [], plan.columns, syntax)))
      const parts = identityParts(identityInput({ ...planned, plan }, project.streams, functions))
      const identity = { ...parts, sources: view.sources ?? {} }
      const version = versionOf(parts)
      const { name, sql, onError, run } = view
      const files = planned.files === undefined ? {} : { files: planned.files }
      views.push({ view: name, version, sql, plan, onError, identity, run, ...files })
    }
    return mistakes.length > 0 ? { ok: false, mistakes } : { ok: true, views }
  } finally {
    opened.close()
  }
}

/** One name means one thing in SQL. */
function nameMistakes(
  functions: readonly FunctionDef[],
  known: readonly SqlFunction[],
): readonly RefoldError[] {
  const taken = new Set(known.map(({ name }) => name.toLowerCase()))
  return functions
    .filter(({ name }) => taken.has(name.toLowerCase()))
    .map(({ name, place }) => {
      const hint = 'Choose another name: SQL would not tell the two apart.'
      return new RefoldError('LOGIC_INVALID', `SQL already has a function "${name}"`, { place, hint })
    })
}

async function planSqlView(context: LayerContext): Promise<PlannedLayers> {
  const { project, view, names, syntax } = context
  const speed = await planView({
    name: view.name,
    sql: view.sql,
    place: view.sqlPlace,
    streams: project.streams,
    views: names,
    syntax,
  })
  return speed.ok ? await withBatch(speed, context) : speed
}

/** A batch takes all events, of whichever streams it reads. */
function foldedStreams({ stages }: ViewPlan): Pick<ViewPlan, 'streams'> {
  return { streams: stages.map(({ source }) => source.stream) }
}

/** What decides the version of a planned view: its SQL, and of its streams the fields that some stage reads. */
export function identityInput(
  { plan, printedSql, printedBatch }: PlannedSql,
  streams: readonly StreamDef[],
  functions: readonly FunctionDef[] = [],
): IdentityInput {
  const called = functions.filter((def) => plan.functions?.some(({ name }) => name === def.name))
  const read = streams.filter((stream) => plan.streams.includes(stream.name))
  const fields = read.map(({ name }) => {
    const used = plan.stages.flatMap(({ source }) => (source.stream === name ? source.fields : []))
    const inBatch = plan.batch?.streams.find(({ stream }) => stream === name)?.fields ?? []
    return [name, [...used, ...inBatch]] as const
  })
  const batch = identityBatch(plan, printedBatch)
  const late = plan.stages.some(({ source }) => source.late === 'hold') ? { late: 'hold' as const } : {}
  return {
    printedSql,
    streams: read,
    fields: Object.fromEntries(fields),
    ...(batch && { batch }),
    ...late,
    functions: called,
  }
}
