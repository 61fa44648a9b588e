/**
 * The batch SQL of a version bound to what it reads: each stream to its events in a range of the log, each reference
 * file to the copy that the version keeps. Pure text.
 */

import { logRelation } from '../lake/relation.ts'
import type { LakeManifest } from '../lake/types.ts'
import type { CommitRange } from '../model/cut.ts'
import type { StreamDef } from '../model/schema.ts'
import type { BatchStream, ViewPlan } from '../plan/plan.ts'
import { plannedStream } from '../plan/planned-stream.ts'
import { bindReadOnlySql } from '../plan/read-only-sql.ts'
import { must } from '../std/assert.ts'
import type { EventPosition } from './engine.ts'
import { soleStage } from './merged-relation.ts'
import { referenceSql } from './reference-files.ts'

export interface BatchInputs {
  readonly plan: ViewPlan
  readonly streams: readonly StreamDef[]
  readonly range: CommitRange
  readonly lake: LakeManifest
  /** They hold the hot log's events of the range. */
  readonly hotFiles: readonly string[]
  /** Folder with the copies of reference files. */
  readonly copies: string
  /** Events that the version leaves out. */
  readonly skipped: readonly EventPosition[]
}

/** SELECT of the rows of the batch definition over the events of a range. */
export function batchQuery(inputs: BatchInputs): string {
  const batch = must(inputs.plan.batch, `view ${inputs.plan.view} has a batch definition`)
  const relations = new Map([
    ...batch.streams.map((one) => [one.bindName, streamSql(inputs, one)] as const),
    ...batch.files.map((one) => [one.bindName, referenceSql(one, inputs.copies)] as const),
  ])
  const used = [...relations.keys()].map((name) => ({ kind: 'stream', name, bindName: name }) as const)
  return bindReadOnlySql({ sql: batch.boundSql, used }, ({ bindName }) =>
    must(relations.get(bindName), `${bindName} is bound`),
  )
}

/** Events that the version leaves out are left out of both layers. */
function streamSql(inputs: BatchInputs, { stream, fields, system }: BatchStream): string {
  const { plan, range, lake, hotFiles } = inputs
  const running = must(
    inputs.streams.find(({ name }) => name === stream),
    `stream "${stream}" is among those that are given`,
  )
  const own = soleStage(plan).source.stream === stream
  const skipped = inputs.skipped.filter(({ commit }) => own && commit > range.from && commit <= range.to)
  // One stream is remembered for each plan, and a batch reads several.
  const planned = plannedStream({ ...plan }, running)
  return logRelation(planned, fields, range, { lake, hotFiles }, { system, skipped })
}
