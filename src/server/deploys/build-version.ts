/**
 * Folds a version's history in bulk: range after range in worker engines, each range published when it is there, so
 * that a build goes on where it stopped, whatever stopped it, and no range is folded twice. It ends when what is left
 * is little enough for ticks. No state of its own.
 */

import { rmSync } from 'node:fs'
import { baseCut, basesOf, beginWithBase } from '../../catalog/bases.ts'
import { lakeManifest } from '../../catalog/lake.ts'
import { beginLateCut, holdsLate, type LateStand, lateStand } from '../../catalog/late-cuts.ts'
import type { Catalog } from '../../catalog/open-catalog.ts'
import { recordSkipped } from '../../catalog/skipped.ts'
import { dropSlices } from '../../catalog/slices.ts'
import { historyTrimmed, trimmedBeyond } from '../../catalog/trims.ts'
import { addVersion, type NewVersion, readVersion, serving, type VersionRow } from '../../catalog/versions.ts'
import { forgetSnapshots, viewSnapshots } from '../../catalog/view-snapshots.ts'
import { replayRanges, sizeOf, streamHistory } from '../../deploy/stream-history.ts'
import type { LogSources } from '../../engine/engine.ts'
import type { JobOptions } from '../../engine/run-job.ts'
import type { CommitRange, CommitSeq, VersionId } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import { FOLD_EVENTS } from '../../run/kappa.ts'
import { buildFirstBatch } from '../batch/first-batch.ts'
import { beginWithSnapshot } from '../batch/snapshots.ts'
import type { ServerContext } from '../context.ts'
import { engineViewOf } from '../engine-spec.ts'
import { keepReferences } from '../keep-references.ts'
import { publishStagedSlices } from '../publish-slices.ts'

/** A history of at most this many bytes is folded by ticks; more is worth a worker. */
export const BULK_BYTES = 64 << 20

export interface FoldedRange extends CommitRange {
  readonly events: number
  readonly bytes: number
}

export interface BuildOptions {
  readonly signal: AbortSignal
  readonly eventsMax?: number
  /** Waited for before each range. */
  readonly ready?: () => Promise<void>
  /** Told before each range; what it gives goes to the worker. */
  readonly job?: (range: CommitRange, events: number) => Pick<JobOptions, 'onStart' | 'worker'>
  /** Told when a range's worker has ended; without events when it failed. */
  readonly ended?: (events: number | undefined) => void
  /** Told of each published range. */
  readonly folded?: (range: FoldedRange) => void
}

/** Puts the version into the catalog; slices that an other plan or start made under the same name are let go of. */
export function recordVersion(
  context: ServerContext,
  wanted: NewVersion,
  state: 'planned' | 'building',
): void {
  const { catalog, logger, folder } = context
  keepReferences(folder.root, wanted.files ?? [])
  const known = readVersion(catalog, wanted.view, wanted.version)
  const over = known?.state === 'retired' || known?.state === 'failed'
  const other =
    known !== undefined &&
    (JSON.stringify(known.plan.stages) !== JSON.stringify(wanted.plan.stages) ||
      (over && known.start !== (wanted.start ?? 0)))
  // A base cannot be folded again by another plan: the version keeps the one that its base was made by.
  const isKept = known !== undefined && known.start === (wanted.start ?? 0) && hasBase(context, known)
  if (isKept && !over) return
  if (other && !isKept) {
    logger.info('slices of a version do not fit its plan any more; it is folded again', {
      view: wanted.view,
    })
    const { view, version } = wanted
    forgetSnapshots(
      catalog,
      viewSnapshots(catalog, view).filter((snapshot) => snapshot.version === version),
    )
    deleteSlices(context, wanted.view, wanted.version)
  }
  const unchanged =
    known !== undefined &&
    !over &&
    known.onError === wanted.onError &&
    JSON.stringify(known.plan) === JSON.stringify(wanted.plan)
  if (unchanged) return
  catalog.transaction('add-version', () => {
    addVersion(catalog, isKept ? { ...wanted, plan: known.plan } : wanted, state)
    if (holdsLate(wanted.plan)) beginLateCut(catalog, wanted.view, wanted.version, firstLate(context, wanted))
  })
  context.crash('version.recorded')
}

/**
 * A version that is built takes what came late long ago like every other event: up to where the one that answers has done
 * so, that both can be compared at one cut, or up to now.
 */
function firstLate({ catalog, log }: ServerContext, { view }: NewVersion): LateStand {
  const answers = serving(catalog)[view]
  const row = answers === undefined ? undefined : readVersion(catalog, view, answers)
  if (row !== undefined && holdsLate(row.plan)) return lateStand(catalog, view, row.version)
  const { cut, late } = log.state()
  return { cut: cut.commit, counts: late }
}

function hasBase({ catalog }: ServerContext, { view, version }: VersionRow): boolean {
  return basesOf(catalog, view, version).length > 0
}

export function deleteSlices(context: ServerContext, view: string, version: VersionId): void {
  for (const slice of dropSlices(context.catalog, view, version)) rmSync(slice.path, { force: true })
}

/** Folds until what is left is little enough for ticks, or the signal aborts. */
export async function foldHistory(
  context: ServerContext,
  view: string,
  version: VersionId,
  options: BuildOptions,
): Promise<void> {
  const { catalog, history, pins } = context
  const { signal, eventsMax = FOLD_EVENTS } = options
  const begun = readVersion(catalog, view, version)
  // Events up to its base are gone from the log, and need not be folded.
  if (begun !== undefined && baseReach(catalog, begun) > begun.sealed) beginWithBase(catalog, view, version)
  else if (begun !== undefined && begun.sealed === begun.start && begun.plan.batch === undefined)
    await beginWithSnapshot(context, begun)
  for (;;) {
    const row = readVersion(catalog, view, version)
    if (row === undefined) return
    if (row.plan.batch !== undefined) return await foldFirstBatch(context, row, options)
    const durable = context.log.state().cut.commit
    checkHistory(context, row, row.sealed)
    const inLake = lakeManifest(catalog).through > row.sealed
    if (signal.aborted || (!inLake && history.bytesAfter(row.sealed) < BULK_BYTES)) return
    await pins.with(async (sources) => {
      const pieces = streamHistory(sources, row.plan.streams[0] ?? '')
      for (const range of replayRanges(pieces, { from: row.sealed, to: durable }, eventsMax)) {
        await options.ready?.()
        if (signal.aborted || context.closing()) return
        const size = sizeOf(pieces, range)
        const events = await foldRange(context, { view, version }, sources, range, size.events, options)
        options.folded?.({ ...range, events, bytes: size.bytes })
      }
    })
  }
}

/** A version of two definitions has all of its history in its first batch; ticks go on from there. */
async function foldFirstBatch(context: ServerContext, row: VersionRow, options: BuildOptions): Promise<void> {
  const { signal } = options
  const to = context.log.state().cut.commit
  if (row.sealed > row.start || to <= row.start || signal.aborted) return
  checkHistory(context, row, row.start)
  await options.ready?.()
  if (signal.aborted || context.closing()) return
  const { sources, release } = context.pins.pin()
  release()
  const range = { from: row.start, to }
  const streams = row.plan.batch?.streams ?? []
  const sizes = streams.map(({ stream }) => sizeOf(streamHistory(sources, stream), range))
  const expected = sizes.reduce((sum, { events }) => sum + events, 0)
  const bytes = sizes.reduce((sum, size) => sum + size.bytes, 0)
  let events: number | undefined
  try {
    const job = options.job?.(range, expected)
    const built = await buildFirstBatch(context, row, { signal, ...(job === undefined ? {} : { job }) })
    events = expected
    options.folded?.({ from: built.from, to: built.to, events, bytes })
  } finally {
    options.ended?.(events)
  }
}

/** Throws HISTORY_TRIMMED: what is gone would come out as if it had never been. */
export function checkHistory(
  { catalog }: ServerContext,
  wanted: Pick<NewVersion, 'view' | 'version' | 'plan' | 'start'>,
  from: CommitSeq,
): void {
  const { view, version, plan } = wanted
  const trim = trimmedBeyond(catalog, plan.streams, from)
  if (trim === undefined || trim.cut <= baseReach(catalog, wanted)) return
  const { message, details } = historyTrimmed(`version "${version.slice(0, 12)}" of view "${view}"`, trim)
  throw new RefoldError('HISTORY_TRIMMED', message, {
    hint: 'Deploy with `--from trimmed` to begin where the log begins.',
    ...(details === undefined ? {} : { details }),
  })
}

/** Cut that the base of the same version with the same start reaches; 0 without one. */
function baseReach(
  catalog: Catalog,
  { view, version, start = 0 }: Pick<NewVersion, 'view' | 'version' | 'start'>,
): CommitSeq {
  const isSame = readVersion(catalog, view, version)?.start === start
  return isSame ? (baseCut(catalog, view, version) ?? 0) : 0
}

async function foldRange(
  context: ServerContext,
  { view, version }: { readonly view: string; readonly version: VersionId },
  sources: LogSources,
  range: CommitRange,
  expected: number,
  { signal, job: onJob, ended }: BuildOptions,
): Promise<number> {
  const { catalog, folder } = context
  const row = readVersion(catalog, view, version)
  if (row === undefined) return 0
  const job = {
    kind: 'fold',
    view: engineViewOf(catalog, row),
    streams: context.streams(),
    sources,
    range,
    stagingDir: folder.staging,
  } as const
  let events: number | undefined
  let result: Awaited<ReturnType<typeof context.runJob<'fold'>>>
  try {
    result = await context.runJob(job, { signal, ...onJob?.(range, expected) })
    events = result.events
  } finally {
    ended?.(events)
  }
  recordSkipped(
    catalog,
    result.skipped.map((event) => ({ view, version, ...event })),
  )
  context.crash('build.folded')
  await publishStagedSlices(context, {
    view,
    version,
    what: 'fold',
    staged: result.slices,
    replaced: [],
    sealed: range.to,
  })
  context.crash('build.published')
  return result.events
}
