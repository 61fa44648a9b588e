/** Adds the second definition of a view that has one to the plan of its first. No state. */

import { join } from 'node:path'
import type { IdentityBatch } from '../define/identity.ts'
import type { ProjectDef, ViewDef } from '../define/types.ts'
import { openReferenceFiles } from '../engine/reference-files.ts'
import type { RefoldError } from '../model/errors.ts'
import type { BatchPlan, ViewPlan } from '../plan/plan.ts'
import { type FileSource, planBatch } from '../plan/plan-batch.ts'
import type { SqlSyntax } from '../plan/sql-syntax.ts'

/** A plan with the texts that its identity has. */
export interface PlannedSql {
  readonly plan: ViewPlan
  readonly printedSql: string
  /** Of the batch definition. */
  readonly printedBatch?: string
  /** Reference files that the version is to keep. */
  readonly files?: readonly FileSource[]
}

export type PlannedLayers =
  | (PlannedSql & { readonly ok: true })
  | { readonly ok: false; readonly mistakes: readonly RefoldError[] }

export interface LayerContext {
  readonly project: ProjectDef
  readonly view: ViewDef
  readonly names: readonly string[]
  readonly syntax: SqlSyntax
}

/** Copies of reference files, each in a folder by its hash: a version keeps those that it was planned with. */
export function referenceCopies(dataDir: string): string {
  return join(dataDir, 'reference')
}

export async function withBatch(
  speed: PlannedSql & { readonly ok: true },
  { project, view, names, syntax }: LayerContext,
): Promise<PlannedLayers> {
  if (view.batch === undefined) return speed
  const folders = { root: project.root, copies: referenceCopies(project.dataDir) }
  const files = openReferenceFiles(folders, view.batch.files)
  try {
    const planned = await planBatch({
      name: view.name,
      batch: view.batch,
      speed: speed.plan,
      speedPlace: view.sqlPlace,
      streams: project.streams,
      views: names,
      syntax,
      files,
    })
    if (!planned.ok) return planned
    const called = [...(speed.plan.functions ?? []), ...planned.functions]
    const functions = [...new Map(called.map((one) => [one.sqlName, one])).values()]
    const both = { ...speed.plan, batch: planned.batch, ...(functions.length === 0 ? {} : { functions }) }
    const plan = withStreams(both, planned.batch, project)
    const { printedSql: printedBatch, sources } = planned
    return { ok: true, plan, printedSql: speed.printedSql, printedBatch, files: sources }
  } finally {
    files.close()
  }
}

/** The plan reads the streams of both definitions; those of the speed definition come first. */
function withStreams(plan: ViewPlan, batch: BatchPlan, { streams }: ProjectDef): ViewPlan {
  const names = [...new Set([...plan.streams, ...batch.streams.map(({ stream }) => stream)])]
  const reads = names.map((name) => {
    const own = plan.reads?.find(({ stream }) => stream === name)?.fields ?? []
    const used = new Set([
      ...own.map((field) => field.name),
      ...(batch.streams.find(({ stream }) => stream === name)?.fields ?? []),
    ])
    const fields = streams.find((stream) => stream.name === name)?.schema.fields ?? []
    return { stream: name, fields: fields.filter((field) => used.has(field.name)) }
  })
  return { ...plan, streams: names, reads }
}

export function identityBatch(
  { batch }: Pick<ViewPlan, 'batch'>,
  printed: string | undefined,
): IdentityBatch | undefined {
  if (batch === undefined || printed === undefined) return undefined
  const rules = batch.merge.map((rule) => [rule.column, rule.kind === 'sql' ? { sql: rule.sql } : rule.kind])
  return {
    sql: printed,
    key: batch.key.map(({ column }) => column),
    merge: Object.fromEntries(rules),
    approximate: [...batch.approximate].sort(),
    files: Object.fromEntries(batch.files.map(({ path, hash }) => [path, hash])),
  }
}
