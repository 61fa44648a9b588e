/**
 * One batch, step by step: what is served is captured at a cut T; the log moves to the lake through T; workers fold the
 * lake again up to T; that is held against what was served; slices and T are published in one transaction, and the
 * engine swaps to them between two ticks. No state of its own.
 *
 * Why a crash anywhere costs a repeated batch at most: until the transaction nothing is changed but the log's place;
 * after it the catalog has all of it, and an engine that is started reads the catalog. Seals of the view wait while the
 * last part is folded and published, so what is published reaches at least as far as what it takes the place of.
 */

import { rm } from 'node:fs/promises'
import {
  type BatchPromise,
  type BatchRow,
  type BatchSlice,
  chooseBatchCut,
  publishBatch,
} from '../../catalog/batches.ts'
import { pausedVersion } from '../../catalog/paused.ts'
import { runOf } from '../../catalog/runs.ts'
import { slicesOf } from '../../catalog/slices.ts'
import { readVersion, sealedCut, type VersionRow } from '../../catalog/versions.ts'
import type { CapturedView } from '../../engine/engine.ts'
import { publishFile } from '../../lake/publish-file.ts'
import type { CommitSeq } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import type { Semaphore } from '../../std/semaphore.ts'
import type { ServerContext } from '../context.ts'
import { pausedEngineView } from '../engine-spec.ts'
import type { RunningEngine } from '../engine-supervisor.ts'
import type { LakeMoving } from '../lake-moving.ts'
import { finalPath } from '../publish-slices.ts'
import type { Sealing } from '../sealing.ts'
import { batchStaging, type FoldOrder, foldLayer, foldRest, type Layer } from './batch-fold.ts'
import type { BatchComparison, CompareBatch } from './compare-batch.ts'

export interface BatchParts {
  readonly context: ServerContext
  readonly lake: LakeMoving
  readonly sealing: Sealing
  /** Batches fold one after the other: workers are few, and others need them too. */
  readonly folds: Semaphore
  readonly compare: CompareBatch
}

export type BatchStep = 'capturing' | 'moving to the lake' | 'folding' | 'comparing' | 'publishing'

export interface BatchWatch {
  readonly signal: AbortSignal
  readonly onStep: (step: BatchStep, cut: CommitSeq) => void
  readonly onWorker: (pid: number | undefined) => void
}

/** How long a batch waits for an engine; without one it goes on, and has nothing to compare with. */
const ENGINE_WAIT_MS = 5_000

/** Carries out a batch that was begun; rejects when it could not be published. */
export async function runBatch(parts: BatchParts, batch: BatchRow, watch: BatchWatch): Promise<void> {
  const { context, lake } = parts
  const { id, view, version } = batch
  const { signal, onStep } = watch
  const row = readVersion(context.catalog, view, version)
  if (row === undefined) {
    throw new RefoldError('VERSION_UNKNOWN', `view "${view}" has no version "${version}"`)
  }
  onStep('capturing', 0)
  const captured = await capture(context, row, signal)
  const worker = row.plan.batch === undefined ? context.startFoldWorker() : undefined
  try {
    const cut = captured?.cut ?? context.log.state().cut.commit
    context.batchCuts.set(view, cut)
    chooseBatchCut(context.catalog, id, cut)
    // Taken now: what the history knows of a cut that has passed grows coarser.
    const promise = promiseAt(context, row, cut)
    context.crash('batch.captured')
    onStep('moving to the lake', cut)
    await lake.moveThrough(cut)
    context.crash('batch.lake')
    onStep('folding', cut)
    const run = runOf(context.catalog, view)
    const incremental = run.kind === 'lambda' && run.incremental
    const order: FoldOrder = { id, row, cut, incremental, signal, onWorker: watch.onWorker }
    const ahead = worker === undefined ? order : { ...order, worker }
    const layer = await parts.folds.run(() => foldLayer(context, ahead), signal)
    context.crash('batch.folded')
    onStep('comparing', cut)
    const slices = [...layer.kept, ...layer.staged]
    const request = { batch: id, row, cut, slices, signal }
    const compared =
      captured === undefined ? undefined : await parts.compare(context, { ...request, captured })
    onStep('publishing', cut)
    await publishWhole(parts, order, { layer, compared, promise })
  } finally {
    context.batchCuts.delete(view)
    await worker?.end()
    await rm(batchStaging(context, id), { recursive: true, force: true })
    if (captured !== undefined) await rm(captured.path, { force: true })
  }
}

/** What readers are answered from, with all that was acknowledged; undefined while no engine folds the view. */
async function capture(
  context: ServerContext,
  { view, version }: VersionRow,
  signal: AbortSignal,
): Promise<CapturedView | undefined> {
  const { supervisor, folder, clock, catalog, log } = context
  if (pausedVersion(catalog, view, version) !== undefined) return undefined
  const durable = log.state().cut.commit
  const isThere = () => {
    const { cut = durable, stalled } = supervisor.viewProgress(view, version) ?? {}
    return cut >= durable || stalled !== undefined
  }
  await supervisor.until(isThere, clock.monotonicMs() + ENGINE_WAIT_MS, signal)
  try {
    const taken = await supervisor.use(
      (engine) => engine.capture([view], folder.staging, signal),
      clock.monotonicMs() + ENGINE_WAIT_MS,
      signal,
    )
    return taken.find((one) => one.version === version)
  } catch (error) {
    if (error instanceof RefoldError && error.code === 'ENGINE_UNAVAILABLE') return undefined
    throw error
  }
}

/** What T stands for, of the streams that the view reads. */
export function promiseAt({ history }: ServerContext, { plan }: VersionRow, cut: CommitSeq): BatchPromise {
  const state = history.at(cut)
  const own = <T>(values: Readonly<Record<string, T>> = {}) =>
    Object.fromEntries(Object.entries(values).filter(([stream]) => plan.streams.includes(stream)))
  return {
    offsets: own(state?.offsets),
    watermarksUs: own(state?.watermarksUs),
    timeMs: state?.timeMs ?? 0,
    late: own(state?.late),
  }
}

interface Folded {
  readonly layer: Layer
  readonly compared: BatchComparison | undefined
  readonly promise: BatchPromise
}

/** Folds what speed slices hold after T, and publishes all of it while nobody seals the view. */
async function publishWhole(parts: BatchParts, order: FoldOrder, folded: Folded): Promise<void> {
  const { context, sealing } = parts
  const { row, cut } = order
  const { view, version } = row
  const { release } = await sealing.hold(view, version)
  try {
    const staged: BatchSlice[] = [...folded.layer.staged]
    let { events } = folded.layer
    const sealed = Math.max(cut, sealedCut(context.catalog, view, version) ?? cut)
    if (sealed > cut) {
      const rest = await foldRest(context, order, { from: cut, to: sealed })
      staged.push(...rest.staged)
      events += rest.events
    }
    const { told, gone } = await context.publications.run(() =>
      publishLayer(context, order, { ...folded, layer: { ...folded.layer, staged, events } }, sealed),
    )
    await told
    for (const path of gone) await rm(path, { force: true })
    context.crash('batch.swapped')
  } finally {
    release()
  }
}

/** In the turn of publications: files, then the transaction, then the message to the engine. */
export async function publishLayer(
  context: ServerContext,
  { id, row, cut, signal }: FoldOrder,
  { layer, compared, promise }: Folded,
  sealed: CommitSeq,
): Promise<{ readonly told: Promise<void>; readonly gone: readonly string[] }> {
  const { catalog, skips } = context
  const { view, version } = row
  if (signal.aborted) throw new RefoldError('SERVER_STOPPING', 'the server is stopping')
  context.crash('batch.staged')
  skips.write()
  const added: BatchSlice[] = []
  for (const slice of layer.staged) {
    const path = finalPath(context, slice)
    await publishFile(slice.path, path)
    added.push({ ...slice, path })
  }
  let gone: readonly string[]
  try {
    gone = publishBatch(catalog, {
      ...{ id, view, version, cut, sealed, added, promise },
      kept: layer.kept.map(({ path }) => path),
      repairs: compared?.damaged === true,
      events: layer.events,
      ...(layer.foldMs === undefined ? {} : { foldMs: layer.foldMs }),
      divergence: compared?.differing ?? null,
    })
  } catch (error) {
    for (const { path } of added) await rm(path, { force: true })
    throw error
  }
  context.crash('batch.published')
  return { told: tellEngine(context, row, id, cut, sealed, compared), gone }
}

/** A paused view that had no batch so far answers from this one. */
async function holdPaused(
  { catalog }: ServerContext,
  row: VersionRow,
  { engine }: RunningEngine,
): Promise<void> {
  const paused = pausedVersion(catalog, row.view, row.version)
  const still = paused === undefined ? undefined : pausedEngineView(catalog, row, paused.reason)
  if (still !== undefined) await engine.addVersion(still)
}

/** Resolves when the engine has swapped. One that cannot is replaced by one that reads the catalog. */
async function tellEngine(
  context: ServerContext,
  row: VersionRow,
  id: number,
  cut: CommitSeq,
  sealed: CommitSeq,
  compared: BatchComparison | undefined,
): Promise<void> {
  const { supervisor, catalog, logger } = context
  const { view, version } = row
  const { running } = supervisor
  if (running === undefined) return
  if (supervisor.viewProgress(view, version) === undefined) return await holdPaused(context, row, running)
  // A view that is held at its last batch is held at this one from now on.
  const isPaused = pausedVersion(catalog, view, version) !== undefined
  const through = isPaused ? cut : sealed
  const slices = slicesOf(catalog, view, version).filter(({ to }) => to <= through)
  // Of two definitions each batch gives rows of its own: what differs is told to followers like a repair.
  const differs = (compared?.differing ?? 0) > 0 || row.plan.batch !== undefined
  const repair = differs ? { repair: id } : {}
  try {
    await running.engine.published(view, version, through, slices, { batch: cut, reload: true, ...repair })
    if (repair.repair === undefined) return
    context.repairs.set(`${view}@${version}`, id)
    supervisor.lookAgain()
  } catch (error) {
    if (context.closing() || (error instanceof RefoldError && error.code === 'ENGINE_UNAVAILABLE')) return
    const reason = error instanceof Error ? error.message : String(error)
    logger.error('the engine could not take over a batch', { view, batch: id, reason })
    await supervisor.restart(`it could not take over batch ${id} of view "${view}"`)
  }
}
