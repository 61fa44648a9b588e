/**
 * What a batch folds: which ranges, from which lake files, and their folds in workers, one at a time. No state.
 *
 * A batch is there to repair, so it trusts nothing that it did not look at: each lake file that it reads is held
 * against its checksum first, and so is each slice that it keeps.
 */

import { join, relative } from 'node:path'
import { baseCut, basesOf } from '../../catalog/bases.ts'
import { type BatchSlice, batchCut } from '../../catalog/batches.ts'
import { recordSkipped } from '../../catalog/skipped.ts'
import { type SliceInputs, sliceInputs, slicesOf } from '../../catalog/slices.ts'
import type { VersionRow } from '../../catalog/versions.ts'
import { replayRanges, streamHistory } from '../../deploy/stream-history.ts'
import type { LogSources, SliceInfo } from '../../engine/engine.ts'
import type { StartedWorker } from '../../engine/started-worker.ts'
import type { LakeFile } from '../../lake/types.ts'
import type { CommitRange, CommitSeq } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import { FOLD_EVENTS } from '../../run/kappa.ts'
import { incrementalPlan, type LayerRange } from '../../run/lambda.ts'
import { sumFile } from '../../std/file-sum.ts'
import type { ServerContext } from '../context.ts'
import { engineViewOf } from '../engine-spec.ts'
import { firstDamaged } from '../lake/promote-base.ts'
import { slicesByRange } from '../slices-by-range.ts'
import { runDefinition } from './batch-definition.ts'

export interface FoldOrder {
  /** Of the batch. */
  readonly id: number
  readonly row: VersionRow
  /** T. */
  readonly cut: CommitSeq
  readonly incremental: boolean
  readonly signal: AbortSignal
  /** Told the process that folds. */
  readonly onWorker: (pid: number | undefined) => void
  /** One that was started ahead, for the first fold. */
  readonly worker?: StartedWorker
}

export interface Layer {
  /** Listed slices that go on being part of the layer. */
  readonly kept: readonly SliceInfo[]
  readonly staged: readonly BatchSlice[]
  readonly events: number
  readonly foldMs?: number
}

/** Folds the batch layer: everything of the version up to T. */
export async function foldLayer(context: ServerContext, order: FoldOrder): Promise<Layer> {
  if (order.row.plan.batch !== undefined) {
    const range = { from: order.row.start, to: order.cut }
    await context.pins.with((sources) => checkInputs(inputFiles(sources, order.row, range)))
    return await runDefinition(context, { ...order, stagingDir: batchStaging(context, order.id) })
  }
  return await context.pins.with(async (sources) => {
    const bases = await soundBases(context, order.row)
    const from = baseCut(context.catalog, order.row.view, order.row.version) ?? order.row.start
    const plan = order.incremental
      ? await incremental(context, order, sources, from)
      : { kept: [], ranges: order.cut > from ? [{ from, to: order.cut }] : [] }
    const begunMs = context.clock.monotonicMs()
    const files = plan.ranges.flatMap((range) => inputFiles(sources, order.row, range))
    const folded = await checked(files, foldRanges(context, order, sources, plan.ranges))
    const foldMs = Math.round(context.clock.monotonicMs() - begunMs)
    return { ...folded, foldMs, kept: [...bases, ...plan.kept] }
  })
}

/** The outcome of `work` over these files, which are looked at meanwhile; a damaged one is what made it fail. */
async function checked<T>(files: readonly LakeFile[], work: Promise<T>): Promise<T> {
  const [inputs, outcome] = await Promise.allSettled([checkInputs(files), work])
  if (inputs.status === 'rejected') throw inputs.reason
  if (outcome.status === 'rejected') throw outcome.reason
  return outcome.value
}

/** Folds what speed slices hold after the batch layer, so that nothing of theirs is left. */
export async function foldRest(
  context: ServerContext,
  order: FoldOrder,
  range: CommitRange,
): Promise<Pick<Layer, 'staged' | 'events'>> {
  return await context.pins.with((sources) => foldRanges(context, order, sources, [range]))
}

export function batchStaging({ folder }: ServerContext, id: number): string {
  return join(folder.staging, `batch-${id}`)
}

async function foldRanges(
  context: ServerContext,
  order: FoldOrder,
  sources: LogSources,
  ranges: readonly CommitRange[],
): Promise<Pick<Layer, 'staged' | 'events'>> {
  const staged: BatchSlice[] = []
  let events = 0
  const pieces = streamHistory(sources, order.row.plan.streams[0] ?? '')
  for (const range of ranges.flatMap((wide) => replayRanges(pieces, wide, FOLD_EVENTS))) {
    const result = await foldRange(context, order, sources, range)
    const inputs = inputsOf(context, sources, order.row, range)
    staged.push(...result.slices.map((slice) => (inputs === undefined ? slice : { ...slice, inputs })))
    events += result.events
  }
  return { staged, events }
}

async function foldRange(
  context: ServerContext,
  { id, row, cut, signal, onWorker, worker }: FoldOrder,
  sources: LogSources,
  range: CommitRange,
) {
  const { catalog, skips, streams } = context
  const { view, version } = row
  skips.write()
  try {
    const result = await context.runJob(
      {
        kind: 'fold',
        // Up to its T a batch takes every event, late ones too.
        view: { ...engineViewOf(catalog, row), batch: cut },
        streams: streams(),
        sources,
        range,
        stagingDir: batchStaging(context, id),
      },
      { signal, onStart: onWorker, ...(worker === undefined ? {} : { worker }) },
    )
    recordSkipped(
      catalog,
      result.skipped.map((position) => ({ view, version, ...position })),
    )
    return result
  } finally {
    onWorker(undefined)
  }
}

/** Bases stand for events that are gone: a damaged one cannot be folded again. */
async function soundBases({ catalog }: ServerContext, row: VersionRow): Promise<readonly SliceInfo[]> {
  if (baseCut(catalog, row.view, row.version) === undefined) return []
  const bases = basesOf(catalog, row.view, row.version)
  const damaged = await firstDamaged(bases)
  if (damaged === undefined) return bases
  throw new RefoldError('BASE_CORRUPT', `base "${damaged}" of view "${row.view}" is damaged or gone`)
}

async function incremental(
  context: ServerContext,
  { row, cut }: FoldOrder,
  sources: LogSources,
  from: CommitSeq,
): Promise<{ readonly kept: readonly SliceInfo[]; readonly ranges: readonly CommitRange[] }> {
  const { catalog } = context
  const inputs = sliceInputs(catalog, row.view, row.version)
  const own = slicesOf(catalog, row.view, row.version)
  const reach = batchCut(catalog, row.view, row.version)
  const groups = slicesByRange(own.filter((slice) => slice.from >= from && slice.to <= reach))
  const layer: LayerRange[] = []
  for (const slices of groups) {
    const [first] = slices
    if (first === undefined) continue
    const isSound = (await firstDamaged(slices)) === undefined
    layer.push({
      from: first.from,
      to: first.to,
      bytes: slices.reduce((sum, { bytes }) => sum + bytes, 0),
      inputs: isSound ? inputs.get(first.path) : undefined,
    })
  }
  const now = (range: CommitRange) => inputsOf(context, sources, row, range) ?? {}
  const plan = incrementalPlan(layer, now, from, cut)
  const isKept = ({ from: begin, to }: SliceInfo) =>
    plan.kept.some((range) => range.from === begin && range.to === to)
  return { kept: own.filter(isKept), ranges: plan.fold }
}

/** The lake files that hold events of a range; undefined where the lake does not hold all of it. */
function inputsOf(
  { folder }: ServerContext,
  sources: LogSources,
  row: VersionRow,
  range: CommitRange,
): SliceInputs | undefined {
  if (range.to > sources.lake.through) return undefined
  const files = inputFiles(sources, row, range)
  return Object.fromEntries(files.map(({ path, checksum }) => [relative(folder.root, path), checksum]))
}

function inputFiles({ lake }: LogSources, { plan }: VersionRow, range: CommitRange): readonly LakeFile[] {
  return lake.files.filter(
    ({ stream, from, to }) => plan.streams.includes(stream) && from < range.to && to > range.from,
  )
}

/** Throws LAKE_CORRUPT with the name of the first file that is not what the catalog lists. */
async function checkInputs(files: readonly LakeFile[]): Promise<void> {
  for (const { path, stream, bytes, checksum } of new Set(files)) {
    const found = await sumFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    if (found?.bytes === bytes && found.checksum === checksum) continue
    const what = found === undefined ? 'is missing' : 'does not match its checksum'
    throw new RefoldError('LAKE_CORRUPT', `lake file "${path}" of stream "${stream}" ${what}`, {
      details: { path, stream },
    })
  }
}
