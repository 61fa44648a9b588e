/**
 * What readers get while the speed layer fails. A paused view that does not answer from a batch is refused with the
 * reason. While engines die one after the other, lambda views answer from their last batch, which the past engine reads
 * in a process of its own, or are refused at once, as their deploy said. No state.
 */

import { batchCut } from '../catalog/batches.ts'
import { pausedVersion, pausedVersions } from '../catalog/paused.ts'
import { runOf } from '../catalog/runs.ts'
import { readVersion } from '../catalog/versions.ts'
import type { LayerName, ReadStamp, RefusedView, Rows, SqlRead, ViewRead } from '../engine/engine.ts'
import type { CommitSeq } from '../model/cut.ts'
import { RefoldError, toErrorBody } from '../model/errors.ts'
import type { ReadOptions } from '../serve/core.ts'
import type { ServerContext } from './context.ts'
import { type PastPoint, readPastSql, readPastView } from './past/past-reads.ts'
import { pausedError } from './pauses.ts'
import { staleCut } from './stale-cut.ts'

/** By view: the cut of the batch that answers for it, and why. */
export interface StaleViews {
  readonly cuts: Readonly<Record<string, CommitSeq>>
  readonly reason: string
}

/**
 * How these views answer while engines die; undefined: they wait for the next one. Throws ENGINE_UNAVAILABLE for a view
 * that is to refuse.
 */
export function staleWhileFailing(context: ServerContext, views: readonly string[]): StaleViews | undefined {
  const { supervisor, catalog } = context
  const { failing } = supervisor
  if (failing === undefined || views.length === 0) return undefined
  const reason = `the engine dies again and again (${failing})`
  const serving = context.serving()
  const cuts: Record<string, CommitSeq> = {}
  let waits = false
  for (const view of views) {
    const run = runOf(catalog, view)
    if (run.kind === 'lambda' && run.whenSpeedFails === 'refuse') {
      throw new RefoldError('ENGINE_UNAVAILABLE', `view "${view}" does not answer: ${reason}`, {
        details: { view, lastExit: failing },
      })
    }
    const cut = staleCut(catalog, view, serving[view] ?? '')
    if (cut === undefined) waits = true
    else cuts[view] = cut
  }
  return waits ? undefined : { cuts, reason }
}

/** Views that an SQL text may name; one too many only means that it is not read from batches alone. */
export function viewsNamed(context: ServerContext, sql: string): readonly string[] {
  const words = new Set(sql.toLowerCase().match(/[a-z][a-z0-9_]*/g) ?? [])
  return Object.keys(context.serving()).filter((view) => words.has(view.toLowerCase()))
}

export async function readStaleView(
  context: ServerContext,
  request: Omit<ViewRead, 'timeoutMs'>,
  stale: StaleViews,
  options: ReadOptions,
): Promise<Rows & ReadStamp> {
  const point = pointOf(context, stale)
  const answer = await readPastView(context, request, point, options)
  return { ...answer, ...stampOf(stale, answer.versions, answer.cut) }
}

export async function readStaleSql(
  context: ServerContext,
  request: Pick<SqlRead, 'sql' | 'limit'>,
  stale: StaleViews,
  options: ReadOptions,
): Promise<Rows & ReadStamp> {
  const answer = await readPastSql(context, request, pointOf(context, stale), options)
  return { ...answer, ...stampOf(stale, answer.versions, answer.cut) }
}

/** Views and layers that SQL cannot read now, each with why, in the shape in which the engine takes them. */
export function refusedViews(context: ServerContext, sql: string): Readonly<Record<string, RefusedView>> {
  const { catalog } = context
  const serving = context.serving()
  const refused: Record<string, RefusedView> = {}
  const refuse = (name: string, view: string, error: RefoldError) => {
    const columns = readVersion(catalog, view, serving[view] ?? '')?.plan.columns ?? []
    refused[name] = { columns, error: toErrorBody(error) }
  }
  for (const { view, version, reason } of pausedVersions(catalog)) {
    if (serving[view] !== version || staleCut(catalog, view, version) !== undefined) continue
    refuse(view, view, pausedError(view, reason))
  }
  if (!/\b(batch|speed)"?\s*\./i.test(sql)) return refused
  for (const view of Object.keys(serving)) {
    for (const layer of ['batch', 'speed'] as const) {
      const error = layerError(context, view, layer)
      if (error !== undefined) refuse(`${layer}.${view}`, view, error)
    }
  }
  return refused
}

/** Why a layer of the version that answers cannot be read by itself; undefined: it can. */
export function layerError(context: ServerContext, view: string, layer: LayerName): RefoldError | undefined {
  const { catalog } = context
  const version = context.serving()[view] ?? ''
  if (runOf(catalog, view).kind !== 'lambda') {
    return new RefoldError(
      'VIEW_NO_LAYERS',
      `view "${view}" has no ${layer} layer: it does not run as lambda`,
    )
  }
  const paused = pausedVersion(catalog, view, version)
  if (paused !== undefined && (layer === 'speed' || staleCut(catalog, view, version) === undefined)) {
    return pausedError(view, paused.reason)
  }
  if (layer === 'batch' && batchCut(catalog, view, version) === 0) {
    return new RefoldError('VIEW_NO_BATCH', `no batch of view "${view}" was published yet`)
  }
  return undefined
}

function pointOf(context: ServerContext, { cuts }: StaleViews): PastPoint {
  const serving = context.serving()
  const versions = Object.fromEntries(Object.keys(cuts).map((view) => [view, serving[view] ?? '']))
  return { cut: context.log.state().cut.commit, versions, stalledAt: cuts }
}

function stampOf({ cuts, reason }: StaleViews, versions: ReadStamp['versions'], cut: CommitSeq): ReadStamp {
  const views = Object.keys(versions)
  return {
    cut,
    versions,
    stalled: {},
    paused: Object.fromEntries(views.map((view) => [view, reason])),
    stalledAt: Object.fromEntries(views.map((view) => [view, cuts[view] ?? cut])),
  }
}
