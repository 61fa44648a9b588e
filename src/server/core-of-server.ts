/** The running system as HTTP sees it: each method of the core, led to the part that answers it. No state. */

import { pausedVersions } from '../catalog/paused.ts'
import { runOf } from '../catalog/runs.ts'
import { versions as allVersions, serving, type VersionState } from '../catalog/versions.ts'
import { receivedProject } from '../define/received-project.ts'
import { RefoldError } from '../model/errors.ts'
import type { Core, ViewInfo } from '../serve/core.ts'
import { Answers } from './answers.ts'
import { divergenceInfos } from './batch/divergence-info.ts'
import { viewChanges } from './changes.ts'
import { createCompareCore } from './compare/compare-core.ts'
import type { ServerContext } from './context.ts'
import type { CoreParts } from './core-parts.ts'
import { createDeadCore } from './dead/dead.ts'
import { createDeploysCore } from './deploys/deploys-core.ts'
import { refusingProject } from './deploys/refused-project.ts'
import { formsBefore } from './event-texts.ts'
import { explainView } from './explain.ts'
import { createLakeCore } from './lake/lake-core.ts'
import { createLateCore } from './late/late-core.ts'
import { logEvents } from './log-events.ts'
import { serverMetrics } from './metrics.ts'
import { pastCost } from './past/past-cost.ts'
import { serverStatus } from './status.ts'

export function createCore(parts: CoreParts): Core {
  const { context } = parts
  const answers = new Answers(context, parts.project().engine.statementTimeoutMs)
  const append: Core['append'] = (request) => {
    if (context.closing()) {
      return Promise.reject(new RefoldError('SERVER_STOPPING', 'the server is stopping'))
    }
    const stream = context.streams().find(({ name }) => name === request.stream)
    if (stream === undefined) return context.log.append(request)
    return context.log.append({ ...request, formsBefore: formsBefore(context.catalog, stream) })
  }
  return {
    streams: () => context.streams(),
    stream: (name) => context.streams().find((stream) => stream.name === name),
    views: () => viewInfos(context),
    append,
    readView: (request, options) => answers.readView(request, options),
    sql: (request, options) => answers.sql(request, options),
    pastCost: (request, moment) => pastCost(context, request, moment),
    changes: (view, options) => viewChanges(context, view, options),
    events: (request) => logEvents(context, request),
    explain: async (view) => explainView(context, view),
    plan: (sent) => refusingProject(() => parts.deploys.plan(receivedProject(sent, parts.project()))),
    lake: createLakeCore(context, parts.trimming),
    batches: parts.batches,
    checks: parts.checks,
    verify: parts.verify,
    pauses: parts.pauses,
    divergence: (view, { limit }) => divergenceInfos(context, view, limit),
    dead: createDeadCore({ context, append, limits: () => parts.project().limits }),
    compare: createCompareCore(parts),
    late: createLateCore(context),
    deploys: createDeploysCore(parts),
    status: async () => serverStatus(parts),
    probe: () => answers.probe(),
    metrics: async () => serverMetrics(parts),
  }
}

const comingStates: readonly VersionState[] = [
  'planned',
  'building',
  'catching_up',
  'shadow',
  'verified',
  'failed',
]

/** One entry for each view that answers or is being built for the first time. */
export function viewInfos(context: ServerContext): readonly ViewInfo[] {
  const pointers = serving(context.catalog)
  const all = allVersions(context.catalog)
  const coming = new Map(
    all.filter(({ state }) => comingStates.includes(state)).map(({ view, version }) => [view, version]),
  )
  return all
    .filter(({ view, version }) => (pointers[view] ?? coming.get(view)) === version)
    .map(({ view, version, sql, plan, sealed, state: stored }) => {
      const progress = context.supervisor.viewProgress(view, version)
      const live = pointers[view] === version
      const stalled = progress?.stalled !== undefined || stored === 'failed'
      const paused = pausedVersions(context.catalog).some(
        (one) => one.view === view && one.version === version,
      )
      const state = paused ? 'paused' : stalled ? 'stalled' : live ? 'live' : 'building'
      const isLambda = live && runOf(context.catalog, view).kind === 'lambda'
      const layers = isLambda ? { layers: [`batch.${view}`, `speed.${view}`] } : {}
      return {
        name: view,
        version,
        sql,
        columns: plan.columns,
        state,
        cut: progress?.cut ?? sealed,
        ...layers,
      }
    })
}
