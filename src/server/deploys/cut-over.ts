/**
 * Cutover and rollback: the pointers of all views of a deploy, the states of their versions, the deploy, the journal
 * and the audit move in one catalog transaction, then one message moves the engine. No state.
 *
 * Why nobody sees a mix: the engine swaps the whole table of pointers between two ticks, once every version that
 * answers from then on stands where the one before it does, and a statement takes all its read sets in one step. A
 * crash between transaction and message is harmless: the next engine is started with the pointers of the catalog.
 */

import { deployRows } from '../../catalog/deploys.ts'
import { recordAudit } from '../../catalog/journal.ts'
import { holdsLate } from '../../catalog/late-cuts.ts'
import { pausedVersion, pausedVersions } from '../../catalog/paused.ts'
import { runOf } from '../../catalog/runs.ts'
import { movePointers, readVersion, serving, type VersionRow } from '../../catalog/versions.ts'
import { isSameData } from '../../deploy/same-data.ts'
import type { DeployAuthor } from '../../deploy/types.ts'
import type { ViewProgress } from '../../engine/engine.ts'
import type { CommitSeq, VersionId } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import type { ServerContext } from '../context.ts'
import { moveRuns, type RunMove, tellRuns } from '../run-moves.ts'
import {
  type Deploy,
  type DeployedView,
  isMoved,
  stepDeploy,
  toDeploy,
  viewDetails,
} from './deploy-record.ts'

type Moves = Readonly<Record<string, VersionId | null>>

/** Waits until all new versions stand at the common cut, then moves the pointers. False: it was cancelled. */
export async function cutOver(context: ServerContext, deploy: Deploy, signal: AbortSignal): Promise<boolean> {
  const { catalog, supervisor, publications, clock } = context
  const views = deploy.outcome.views ?? []
  const { options, author } = deploy.request
  const moves = Object.fromEntries(views.filter(isMoved).map(({ view, to }) => [view, to ?? null]))
  const runs = runMoves(views, 'forth')
  for (;;) {
    const settled = () =>
      commonCut(context, moves) !== undefined || pausedTarget(context, moves) !== undefined
    await supervisor.until(() => settled() || context.closing(), undefined, signal)
    if (signal.aborted || context.closing()) return false
    const paused = pausedTarget(context, moves)
    if (paused !== undefined) {
      const { view, version, reason } = paused
      const message = `version ${version.slice(0, 12)} of view "${view}" cannot go on: it is paused: ${reason}`
      throw new RefoldError('DEPLOY_STALLED', message)
    }
    const moved = await publications.run(async () => {
      const running = supervisor.running
      const cut = commonCut(context, moves)
      if (running === undefined || cut === undefined || signal.aborted) return false
      const now = clock.nowMs()
      catalog.transaction('move-serving', () => {
        movePointers(catalog, {
          moves,
          cut,
          what: `deploy ${deploy.id}`,
          ...(options.warmMs > 0 ? { warmUntilMs: now + options.warmMs } : {}),
        })
        moveRuns(catalog, runs)
        stepDeploy(catalog, deploy.id, { state: 'live', gained: { cutoverAt: cut, liveMs: now } })
        recordAudit(catalog, 'cutover', {
          deploy: deploy.id,
          ...authorDetails(author),
          cut,
          comparedAt: deploy.outcome.comparedAt ?? null,
          accepted: deploy.outcome.accepted ?? null,
          views: viewDetails(views),
        })
      })
      context.crash('deploy.moved')
      tellRuns(context, runs)
      await running.engine.setServing(serving(catalog)).catch(() => {})
      context.noteReport()
      return true
    })
    if (moved) return true
  }
}

export interface RollbackOrder {
  readonly reason: string
  readonly author: DeployAuthor
  /** Made by Refold itself: a check turned red, or the lag passed its limit. */
  readonly automatic: boolean
}

/** Moves these views of a deploy back to the versions before it. Throws ROLLBACK_IMPOSSIBLE, and then nothing moved. */
export async function rollBack(
  context: ServerContext,
  deploy: Deploy,
  views: readonly DeployedView[],
  order: RollbackOrder,
): Promise<void> {
  const { catalog, supervisor, publications, clock } = context
  await publications.run(async () => {
    checkRollback(context, deploy, views)
    const running = supervisor.running
    const cut = supervisor.progress?.cut ?? context.log.state().cut.commit
    const moves: Moves = Object.fromEntries(
      views.filter(isMoved).map(({ view, from }) => [view, from ?? null]),
    )
    const runs = runMoves(views, 'back')
    const names = new Set(views.map(({ view }) => view))
    const outcome = (deploy.outcome.views ?? []).map((view) =>
      names.has(view.view) ? { ...view, rolledBack: true } : view,
    )
    const whole = outcome.every((view) => view.rolledBack === true)
    const { warmMs } = deploy.request.options
    catalog.transaction('move-serving', () => {
      movePointers(catalog, {
        moves,
        cut,
        what: `rollback ${deploy.id}`,
        ...(warmMs > 0 ? { warmUntilMs: clock.nowMs() + warmMs } : {}),
      })
      moveRuns(catalog, runs)
      stepDeploy(catalog, deploy.id, {
        ...(whole ? { state: 'rolled_back' } : {}),
        gained: { views: outcome },
        reason: order.reason,
      })
      if (whole) rollBackEmptyOnes(context, deploy.id)
      recordAudit(catalog, 'rollback', {
        deploy: deploy.id,
        ...authorDetails(order.author),
        reason: order.reason,
        automatic: order.automatic,
        cut,
        views: viewDetails(views),
      })
    })
    context.crash('rollback.moved')
    tellRuns(context, runs)
    await running?.engine.setServing(serving(catalog)).catch(() => {})
    context.noteReport()
  })
}

/** How views run after a deploy, or after it was taken back. */
function runMoves(views: readonly DeployedView[], way: 'forth' | 'back'): readonly RunMove[] {
  return views.flatMap((moved): readonly RunMove[] => {
    const { view, run, to: version } = moved
    if (run === undefined) return []
    const [from, to] = way === 'forth' ? [run.from, run.to] : [run.to, run.from]
    return [{ view, from, to, ...(isMoved(moved) ? {} : { version }) }]
  })
}

/** Deploys after it that changed no view had the same definitions, which no longer hold. */
function rollBackEmptyOnes({ catalog }: ServerContext, id: number): void {
  for (const row of deployRows(catalog)) {
    const { views = [] } = toDeploy(row).outcome
    if (row.id <= id || row.state !== 'live' || views.length > 0) continue
    stepDeploy(catalog, row.id, { state: 'rolled_back', reason: `deploy ${id} was rolled back` })
  }
}

export function authorDetails({ who, source }: DeployAuthor): {
  readonly who: string
  readonly source: string | null
} {
  return { who, source: source ?? null }
}

function checkRollback(context: ServerContext, deploy: Deploy, views: readonly DeployedView[]): void {
  const { catalog, supervisor } = context
  const pointers = serving(catalog)
  for (const moved of views) {
    const { view, from, to, run } = moved
    if (pointers[view] !== to) {
      throw impossible(`view "${view}" is no longer at the version of deploy ${deploy.id}`)
    }
    if (run !== undefined && !isMoved(moved) && !isSameData(runOf(catalog, view), run.to)) {
      throw impossible(`view "${view}" no longer runs as deploy ${deploy.id} said`)
    }
    if (from === undefined || !isMoved(moved)) continue
    const row = readVersion(catalog, view, from)
    const after = run?.from ?? runOf(catalog, view)
    if (row !== undefined && needsBatches(row) && after.kind !== 'lambda') {
      throw impossible(
        `version ${from.slice(0, 12)} of view "${view}" needs batches, and the view runs as ${after.kind} by now`,
        'Roll back the deploy that moved it to that first.',
      )
    }
    if (row?.state !== 'warm') {
      throw impossible(
        `version ${from.slice(0, 12)} of view "${view}" is no longer warm`,
        'Deploy the project as it was before.',
      )
    }
    const stalled = supervisor.viewProgress(view, from)?.stalled
    const why = stalled?.message ?? pausedVersion(catalog, view, from)?.reason
    if (why !== undefined) {
      throw impossible(`version ${from.slice(0, 12)} of view "${view}" stands still: ${why}`)
    }
  }
}

/** Of what a batch layer alone gives, nothing else makes up for it. */
function needsBatches({ plan }: VersionRow): boolean {
  return plan.batch !== undefined || holdsLate(plan)
}

function impossible(message: string, hint?: string): RefoldError {
  return new RefoldError('ROLLBACK_IMPOSSIBLE', message, hint === undefined ? {} : { hint })
}

/** A version that is to answer and is not folded. */
function pausedTarget({ catalog }: ServerContext, moves: Moves) {
  return pausedVersions(catalog).find(({ view, version }) => moves[view] === version)
}

/** The cut at which all versions stand that will answer and all that answer now; undefined while they do not. */
function commonCut({ catalog, supervisor, log }: ServerContext, moves: Moves): CommitSeq | undefined {
  const progress = supervisor.progress
  if (progress === undefined || !supervisor.caughtUp) return undefined
  const find = (view: string, version: VersionId): ViewProgress | undefined =>
    progress.views.find((entry) => entry.view === view && entry.version === version)
  const next = Object.entries(moves).flatMap(([view, version]) =>
    version === null ? [] : [find(view, version)],
  )
  const now = Object.entries(serving(catalog)).flatMap(([view, version]) => {
    const found = find(view, version)
    return found === undefined || found.stalled !== undefined || found.paused !== undefined ? [] : [found]
  })
  const least = Math.max(...now.map(({ cut }) => cut), 0)
  if (!next.every((entry) => entry !== undefined && entry.stalled === undefined && entry.cut >= least)) {
    return undefined
  }
  if (now.length === 0 && next.some((entry) => (entry?.cut ?? 0) < log.state().cut.commit)) return undefined
  return now.length === 0 ? log.state().cut.commit : progress.cut
}
