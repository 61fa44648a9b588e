/**
 * Merges adjacent slices of a version into one slice per part. No state. Merging is associative, so the merged slice
 * stands for the same range as its inputs did; their bytes are checked first, so that a damaged slice is never
 * folded into a sound one.
 */

import { RefoldError } from '../model/errors.ts'
import { quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import type { StagePlan } from '../plan/plan.ts'
import { mergeQuery, partColumns, partKeyColumns } from '../plan/queries.ts'
import { assert, must } from '../std/assert.ts'
import { sumFile } from '../std/file-sum.ts'
import type { Job, JobResult, SliceInfo } from './engine.ts'
import { lateMark } from './late-mark.ts'
import type { JobContext } from './run-in-worker.ts'
import { slicePath } from './slice-path.ts'
import { sliceTally } from './slice-tally.ts'
import { copyToParquet } from './staging.ts'

type CompactJob = Extract<Job, { kind: 'compact' }>

export async function runCompactJob(job: CompactJob, context: JobContext): Promise<JobResult> {
  await checkInputs(job.inputs)
  const groups = new Map<string, SliceInfo[]>()
  for (const slice of job.inputs) {
    const key = JSON.stringify([slice.stage, slice.part])
    groups.set(key, [...(groups.get(key) ?? []), slice])
  }
  const slices: SliceInfo[] = []
  for (const group of groups.values()) {
    slices.push(await mergePart(job, context, group))
    context.report({ done: slices.length, total: groups.size })
  }
  return { kind: 'compact', slices }
}

async function mergePart(
  job: CompactJob,
  { connection }: JobContext,
  group: readonly SliceInfo[],
): Promise<SliceInfo> {
  const inputs = [...group].sort((a, b) => a.from - b.from)
  inputs.forEach((slice, index) => {
    assert(index === 0 || inputs[index - 1]?.to === slice.from, 'slices that are merged are adjacent')
  })
  const first = must(inputs[0], 'a part has slices')
  const last = must(inputs.at(-1), 'a part has slices')
  const stage = must(
    job.view.plan.stages.find(({ name }) => name === first.stage),
    `the plan has a stage "${first.stage}"`,
  )
  const range = { from: first.from, to: last.to }
  const path = slicePath(job.stagingDir, job.view, first.part, range)
  const staged = await copyToParquet(connection, mergedSql(stage, first.part, inputs), path)
  const { view, version } = job.view
  const tally = await sliceTally(connection, stage, first.part, path)
  checkTally(inputs, tally)
  const whole = { ...range, path, ...staged, ...tally, ...lateMark(job.view, range) }
  return { view, version, stage: stage.name, part: first.part, ...whole }
}

function mergedSql(stage: StagePlan, part: string, inputs: readonly SliceInfo[]): string {
  const columns = partColumns(stage, part).map(
    ({ name, type }) => `CAST(${quoteIdentifier(name)} AS ${type}) AS ${quoteIdentifier(name)}`,
  )
  const paths = inputs.map(({ path }) => quoteLiteral(path)).join(', ')
  return sortedPart(
    stage,
    part,
    mergeQuery(stage, part, `SELECT ${columns.join(', ')} FROM read_parquet([${paths}])`),
  )
}

/** A merge keeps every event once: one that did not is never published. */
function checkTally(inputs: readonly SliceInfo[], merged: Pick<SliceInfo, 'events' | 'positions'>): void {
  if (inputs.some(({ events }) => events === undefined) || merged.events === undefined) return
  const events = inputs.reduce((sum, slice) => sum + (slice.events ?? 0), 0)
  const positions = inputs.reduce((sum, slice) => sum ^ BigInt(slice.positions ?? '0'), 0n)
  const same = events === merged.events && String(positions) === merged.positions
  assert(same, 'merged slices hold the events of their inputs, each once')
}

/** The rows of a part as its slice holds them: sorted by key. */
export function sortedPart(stage: StagePlan, part: string, partSql: string): string {
  const keys = partKeyColumns(stage, part).map(({ name }) => quoteIdentifier(name))
  return keys.length === 0 ? partSql : `SELECT * FROM (${partSql}) ORDER BY ${keys.join(', ')}`
}

async function checkInputs(inputs: readonly SliceInfo[]): Promise<void> {
  for (const slice of inputs) {
    const { bytes, checksum } = await sumFile(slice.path)
    if (bytes === slice.bytes && checksum === slice.checksum) continue
    throw new RefoldError('SLICE_CORRUPT', `slice "${slice.path}" does not match its checksum`, {
      details: { path: slice.path },
    })
  }
}
