/**
 * A deploy as the catalog keeps it, and as people are shown it: what was asked for, what the plan said, and how it went
 * so far. The outcome is rewritten as a whole with each step. No state here.
 */

import type { DeployRow } from '../../catalog/deploys.ts'
import { readDeploy, updateDeploy } from '../../catalog/deploys.ts'
import type { Catalog } from '../../catalog/open-catalog.ts'
import { readVersion, serving } from '../../catalog/versions.ts'
import type { ProjectDef } from '../../define/types.ts'
import type {
  BuildProgress,
  CheckResult,
  CompareSummary,
  DeployAuthor,
  DeployInfo,
  DeployOptions,
  DeployPlan,
  DeployState,
  DeployView,
  RunChange,
} from '../../deploy/types.ts'
import type { CommitSeq, VersionId } from '../../model/cut.ts'
import { type ErrorBody, RefoldError } from '../../model/errors.ts'
import type { JsonValue } from '../../model/schema.ts'

export interface DeployRequest {
  readonly project: ProjectDef
  readonly options: DeployOptions
  readonly author: DeployAuthor
}

/**
 * One view of a deploy: from which version to which; without a `to` the view goes, without a `from` it is new. Where
 * both are the same, only how it runs changes.
 */
export interface DeployedView {
  readonly view: string
  readonly change: 'new' | 'changed' | 'removed'
  readonly from?: VersionId
  readonly to?: VersionId
  /** Left out where it runs as before. */
  readonly run?: RunChange
  /** Set when it was rolled back by itself. */
  readonly rolledBack?: boolean
}

export interface DeployOutcome {
  readonly views?: readonly DeployedView[]
  /** Of the bulk folds: what they took, without the time they were held, to compare with plans that were and that come. */
  readonly seconds?: number
  readonly events?: number
  readonly bytes?: number
  readonly compares?: readonly CompareSummary[]
  readonly checks?: readonly CheckResult[]
  readonly comparedAt?: CommitSeq
  readonly cutoverAt?: CommitSeq
  readonly liveMs?: number
  readonly accepted?: string
  readonly error?: ErrorBody
}

export interface Deploy {
  readonly id: number
  readonly state: DeployState
  readonly request: DeployRequest
  readonly plan: DeployPlan
  readonly outcome: DeployOutcome
  readonly reason: string | null
  readonly createdMs: number
  readonly changedMs: number
}

/** As it goes on record: without the token, which opens the server and decides nothing of a deploy. */
export function keptRequest(request: DeployRequest): DeployRequest {
  const { token: _, ...server } = request.project.server
  return { ...request, project: { ...request.project, server } }
}

/** A deploy in one of these goes on by itself, or waits for a word; there is one at a time. */
export const openStates: readonly DeployState[] = [
  'planned',
  'building',
  'catching_up',
  'comparing',
  'refused',
  'paused',
]

export function isOpen(state: DeployState): boolean {
  return openStates.includes(state)
}

export function toDeploy(row: DeployRow): Deploy {
  const { id, state, reason, createdMs, changedMs } = row
  return {
    id,
    state: state as DeployState,
    request: row.request as unknown as DeployRequest,
    plan: row.plan as unknown as DeployPlan,
    outcome: row.outcome as unknown as DeployOutcome,
    reason,
    createdMs,
    changedMs,
  }
}

/** Throws DEPLOY_UNKNOWN. */
export function deployOf(catalog: Catalog, id: number): Deploy {
  const row = readDeploy(catalog, id)
  if (row === undefined) throw new RefoldError('DEPLOY_UNKNOWN', `there is no deploy ${id}`)
  return toDeploy(row)
}

/** One step; what the outcome gains is added to what it has. */
export function stepDeploy(
  catalog: Catalog,
  id: number,
  step: { readonly state?: DeployState; readonly gained?: DeployOutcome; readonly reason?: string },
): void {
  const { state, gained, reason } = step
  catalog.transaction('update-deploy', () => {
    const outcome = gained === undefined ? undefined : { ...deployOf(catalog, id).outcome, ...gained }
    updateDeploy(catalog, id, {
      ...(state === undefined ? {} : { state }),
      ...(outcome === undefined ? {} : { outcome: outcome as unknown as JsonValue }),
      ...(reason === undefined ? {} : { reason }),
    })
  })
}

/** The views that a plan changes in what they are or in how they run, without those that only change a setting. */
export function deployedViews(plan: DeployPlan): readonly DeployedView[] {
  return plan.views
    .filter(({ from, to, run }) => from !== to || run !== undefined)
    .map(({ view, change, from, to, run }) => ({
      view,
      change,
      ...(run === undefined ? {} : { run }),
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
    }))
}

/** For the audit. */
export function viewDetails(views: readonly DeployedView[]): JsonValue {
  return views.map((view) => ({ ...view })) as unknown as JsonValue
}

/** Whether the view gets another version, or goes. */
export function isMoved({ from, to }: DeployedView): boolean {
  return from !== to
}

export function deployInfo(
  catalog: Catalog,
  deploy: Deploy,
  progress: ReadonlyMap<string, BuildProgress>,
): DeployInfo {
  const { id, state, request, plan, outcome, reason, createdMs, changedMs } = deploy
  const { options, author } = request
  const { seconds, events, bytes } = outcome
  return {
    id,
    state,
    author,
    options,
    plan,
    views: (outcome.views ?? []).map((view) => viewInfo(catalog, deploy, view, progress)),
    checks: outcome.checks ?? [],
    ...(outcome.comparedAt === undefined ? {} : { comparedAt: outcome.comparedAt }),
    ...(outcome.cutoverAt === undefined ? {} : { cutoverAt: outcome.cutoverAt }),
    ...(outcome.accepted === undefined ? {} : { accepted: outcome.accepted }),
    ...(reason === null ? {} : { reason }),
    ...(outcome.error === undefined ? {} : { error: outcome.error }),
    ...(seconds === undefined || events === undefined || bytes === undefined
      ? {}
      : { outcome: { seconds, events, bytes, rate: seconds > 0 ? Math.round(events / seconds) : 0 } }),
    createdMs,
    changedMs,
  }
}

function viewInfo(
  catalog: Catalog,
  { outcome }: Deploy,
  { view, change, from, to, run }: DeployedView,
  progress: ReadonlyMap<string, BuildProgress>,
): DeployView {
  const row = to === undefined ? undefined : readVersion(catalog, view, to)
  const built = progress.get(view)
  const compare = outcome.compares?.find((summary) => summary.view === view)
  return {
    view,
    change,
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(run === undefined ? {} : { run }),
    state: row?.state ?? (serving(catalog)[view] === undefined ? 'removed' : 'live'),
    ...(built === undefined ? {} : { progress: built }),
    ...(compare === undefined ? {} : { compare }),
  }
}
