/**
 * The deploys of a server: asked for, shown, steered and taken back. State: the run that is under way, if any; all
 * else is in the catalog. One deploy is open at a time, so what a plan said still holds when it is carried out.
 */

import { addDeploy, deployRows, newestDeploy, newestMove } from '../../catalog/deploys.ts'
import { recordAudit } from '../../catalog/journal.ts'
import type { Catalog } from '../../catalog/open-catalog.ts'
import { type NewVersion, readVersion, setVersionStates } from '../../catalog/versions.ts'
import type { ProjectDef } from '../../define/types.ts'
import type {
  BuildProgress,
  CheckResult,
  DeployAuthor,
  DeployInfo,
  DeployOptions,
  DeployPlan,
  DeployState,
} from '../../deploy/types.ts'
import { RefoldError } from '../../model/errors.ts'
import type { JsonValue } from '../../model/schema.ts'
import { checkedViews } from '../checked-project.ts'
import { checkHistory, recordVersion } from './build-version.ts'
import { authorDetails, type RollbackOrder, rollBack } from './cut-over.ts'
import type { DeployParts } from './deploy-parts.ts'
import {
  type Deploy,
  type DeployedView,
  deployedViews,
  deployInfo,
  deployOf,
  isMoved,
  isOpen,
  keptRequest,
  openStates,
  stepDeploy,
  toDeploy,
  viewDetails,
} from './deploy-record.ts'
import { DeployRun } from './deploy-run.ts'
import { planDeploy, planOf } from './plan-deploy.ts'
import { begunAt, startCut } from './start-point.ts'
import { createWorkerAhead, type WorkerAhead } from './worker-ahead.ts'

export interface RollbackRequest {
  /** Left out: all views of the deploy. */
  readonly views?: readonly string[]
  /** Left out: the newest one that is live. */
  readonly deploy?: number
  readonly reason: string
  readonly author: DeployAuthor
}

const WATCH_MS = 200
const MOVING_MS = 5
/** Each of them costs a tick and memory as what answers does, for as long as nobody ends it. */
export const SHADOWS_MAX = 4
/** An open deploy in one of these is not carried out by a run. */
const waiting: readonly DeployState[] = ['refused', 'paused']

export class Deploys {
  readonly #parts: DeployParts
  readonly #ahead: WorkerAhead
  #run: DeployRun | undefined
  /** Between the check that none is open and the row that says so. */
  #adding = false

  constructor(parts: DeployParts) {
    this.#parts = parts
    this.#ahead = createWorkerAhead(parts.context)
  }

  /** Goes on with the deploy that was open when the server ended. */
  resumeOpen(): void {
    const open = this.#open()
    if (open !== undefined && !waiting.includes(open.state)) this.#start(open)
  }

  list(): readonly DeployInfo[] {
    return deployRows(this.#parts.context.catalog).map((row) => this.#info(toDeploy(row)))
  }

  /** Throws DEPLOY_UNKNOWN. */
  show(id: number): DeployInfo {
    return this.#info(deployOf(this.#parts.context.catalog, id))
  }

  /** Gives the deploy each time that it changed, until it waits or is over. */
  async *watch(id: number, signal: AbortSignal): AsyncGenerator<DeployInfo> {
    const { clock, closing } = this.#parts.context
    let shown = ''
    while (!signal.aborted && !closing()) {
      // Told of a cutover, people read: so they are told once the engine has it too.
      while (this.#run?.id === id && this.#run.isMoving && !signal.aborted && !closing()) {
        await new Promise<void>((resolve) => void clock.after(MOVING_MS, resolve))
      }
      const info = this.show(id)
      const text = JSON.stringify(info)
      if (text !== shown) yield info
      shown = text
      if (!isOpen(info.state) || info.state === 'refused') return
      await new Promise<void>((resolve) => void clock.after(WATCH_MS, resolve))
    }
  }

  /** What deploying the project would change. Throws ProjectMistakes. */
  async plan(project: ProjectDef): Promise<DeployPlan> {
    // Mostly the deploy comes next; where nothing changes there is none.
    this.#ahead.start()
    const plan = await planDeploy(this.#parts.context, project)
    if (!plan.views.some(({ to }) => to !== undefined)) await this.#ahead.end()
    return plan
  }

  /** Plans the project and begins to carry it out. Throws ProjectMistakes, DEPLOY_OPEN, DEPLOY_START. */
  async deploy(project: ProjectDef, options: DeployOptions, author: DeployAuthor): Promise<DeployInfo> {
    this.#refuseSecond()
    if (options.shadow) this.#refuseManyShadows()
    this.#adding = true
    this.#ahead.start()
    try {
      const { context } = this.#parts
      const wanted = await checkedViews(project, context.catalog)
      const planned = planOf(context, project, wanted)
      if (planned.views.some(({ to }) => to !== undefined)) await this.#parts.takeStreams(project)
      const changed = deployedViews(planned).filter(isMoved)
      const versions: NewVersion[] = []
      for (const asked of wanted) {
        if (!changed.some(({ view, to }) => view === asked.view && to === asked.version)) continue
        const start = await startCut(context, options.from, asked)
        const version = begunAt(asked, start)
        const known = readVersion(context.catalog, version.view, version.version)
        const reaches = known === undefined || known.state === 'failed' ? start : known.sealed
        checkHistory(context, version, Math.max(start, reaches))
        versions.push(version)
      }
      this.#refuseSecond(true)
      const set = settingsOnly(context.catalog, planned, wanted)
      const plan = withVersions(planned, versions)
      const views = deployedViews(plan)
      const id = this.#record({ project, options, author }, plan, views, [...versions, ...set])
      context.crash('deploy.recorded')
      // An engine is told such a setting when it starts.
      if (set.length > 0) await context.supervisor.restart('settings of a view changed')
      const deploy = deployOf(context.catalog, id)
      this.#start(deploy)
      return this.#info(deploy)
    } finally {
      this.#adding = false
    }
  }

  pause(id: number, author: DeployAuthor): DeployInfo {
    const { catalog } = this.#parts.context
    const deploy = this.#inState(id, ['planned', 'building'], 'paused')
    this.#audited(deploy, 'deploy paused', () => stepDeploy(catalog, id, { state: 'paused' }), author)
    this.#run?.pause()
    return this.show(id)
  }

  resume(id: number, author: DeployAuthor): DeployInfo {
    const { catalog } = this.#parts.context
    const deploy = this.#inState(id, ['paused'], 'resumed')
    this.#audited(deploy, 'deploy resumed', () => stepDeploy(catalog, id, { state: 'building' }), author)
    if (this.#run === undefined) this.#start(deployOf(catalog, id))
    else this.#run.resume()
    return this.show(id)
  }

  /** Passes a red gate. */
  accept(id: number, reason: string, author: DeployAuthor): DeployInfo {
    const { catalog } = this.#parts.context
    const deploy = this.#inState(id, ['refused'], 'accepted')
    this.#audited(
      deploy,
      'gate accepted',
      () => stepDeploy(catalog, id, { state: 'comparing', gained: { accepted: reason } }),
      author,
      { reason },
    )
    this.#start(deployOf(catalog, id))
    return this.show(id)
  }

  /** Ends an open deploy, or one that only compares. Versions that answer or are warm stay; slices stay for the next. */
  async cancel(id: number, reason: string, author: DeployAuthor): Promise<DeployInfo> {
    const { catalog } = this.#parts.context
    const deploy = this.#inState(id, [...openStates, 'shadow'], 'cancelled')
    const run = this.#run
    if (run?.id === id) {
      run.stop()
      await run.done
    }
    // The run may have come to its end meanwhile.
    this.#inState(id, [...openStates, 'shadow'], 'cancelled')
    const others = new Set(
      deployRows(catalog)
        .map(toDeploy)
        .filter((other) => other.id !== id && (isOpen(other.state) || other.state === 'shadow'))
        .flatMap((other) => (other.outcome.views ?? []).map(({ view, to }) => `${view}@${to}`)),
    )
    const ended = (deploy.outcome.views ?? []).flatMap(({ view, to }) => {
      const state = to === undefined ? undefined : readVersion(catalog, view, to)?.state
      const isFree = state !== undefined && state !== 'live' && state !== 'warm'
      return to !== undefined && isFree && !others.has(`${view}@${to}`) ? [{ view, version: to }] : []
    })
    this.#audited(
      deploy,
      'deploy cancelled',
      () => {
        setVersionStates(catalog, ended, 'retired')
        stepDeploy(catalog, id, { state: 'cancelled', reason })
      },
      author,
      { reason },
    )
    await this.#parts.letGo(ended)
    return this.show(id)
  }

  /** Throws ROLLBACK_IMPOSSIBLE, DEPLOY_UNKNOWN or VIEW_UNKNOWN. */
  async rollback(request: RollbackRequest): Promise<DeployInfo> {
    return await this.#rollBack(request, { ...request, automatic: false })
  }

  /** A scheduled check turned red: the deploy whose old versions are warm goes back, where its options say so. */
  async checkTurnedRed(result: CheckResult): Promise<DeployInfo | undefined> {
    const deploy = this.revertible()
    if (deploy === undefined || !deploy.request.options.autoRollback.checks) return undefined
    const reason = `check "${result.name}" turned red at cut ${result.cut}: ${result.text}`
    return await this.rollBackByItself(deploy, reason)
  }

  async rollBackByItself(deploy: Deploy, reason: string): Promise<DeployInfo | undefined> {
    const author = { who: 'refold' }
    try {
      return await this.#rollBack({ deploy: deploy.id }, { reason, author, automatic: true })
    } catch (error) {
      this.#parts.context.logger.warn('no automatic rollback', { deploy: deploy.id, reason: String(error) })
      return undefined
    }
  }

  /** The newest deploy that answers and whose old versions are all still warm. */
  revertible(): Deploy | undefined {
    const { catalog } = this.#parts.context
    // One that only changed how views run made nothing that a check or a lag could be the fault of.
    const newest = newestMove(catalog)
    const row = newest === undefined ? undefined : toDeploy(newest)
    if (row === undefined) return undefined
    const moved = (row.outcome.views ?? []).filter(isMoved)
    const isWarm = ({ view, from, rolledBack }: DeployedView) =>
      rolledBack === true || from === undefined || readVersion(catalog, view, from)?.state === 'warm'
    return moved.some(({ from }) => from !== undefined) && moved.every(isWarm) ? row : undefined
  }

  /** Ends what is open because the project was taken over as a whole. */
  async supersede(reason: string): Promise<void> {
    const open = this.#open()
    if (open !== undefined) await this.cancel(open.id, reason, { who: 'refold' })
  }

  /** Resolves when no run is under way. */
  async stop(): Promise<void> {
    const run = this.#run
    run?.stop()
    await run?.done
    await this.#ahead.end()
  }

  /** Resolves when the deploy goes no further by itself. */
  async settled(id: number): Promise<DeployInfo> {
    while (this.#run?.id === id) await this.#run.done
    return this.show(id)
  }

  async #rollBack(
    { views: names, deploy: id }: Pick<RollbackRequest, 'views' | 'deploy'>,
    order: RollbackOrder,
  ): Promise<DeployInfo> {
    const { context } = this.#parts
    const deploy = this.#toRollBack(names, id)
    const candidates = (deploy.outcome.views ?? []).filter(({ rolledBack }) => rolledBack !== true)
    const views = names === undefined ? candidates : candidates.filter(({ view }) => names.includes(view))
    const unknown = names?.find((name) => !views.some(({ view }) => view === name))
    if (unknown !== undefined || views.length === 0) {
      const what = unknown === undefined ? 'no view is left' : `view "${unknown}" is not there`
      throw new RefoldError('ROLLBACK_IMPOSSIBLE', `${what} to roll back in deploy ${deploy.id}`)
    }
    await this.#withoutOpen(deploy, order, () => rollBack(context, deploy, views, order))
    context.logger.info('rolled back', { deploy: deploy.id, reason: order.reason })
    await this.#parts.afterCutover(deployOf(context.catalog, deploy.id))
    return this.show(deploy.id)
  }

  /**
   * What an open deploy was planned against answers no longer once this is done, so that it would put only a part of its
   * project in place: it moves nothing from now on, and is cancelled.
   */
  async #withoutOpen(deploy: Deploy, order: RollbackOrder, moveBack: () => Promise<void>): Promise<void> {
    const open = this.#open()
    const run = this.#run
    if (open !== undefined && run?.id === open.id) run.stop()
    try {
      await moveBack()
    } catch (error) {
      await run?.done
      this.resumeOpen()
      throw error
    }
    if (open === undefined || !isOpen(this.show(open.id).state)) return
    await this.cancel(open.id, `deploy ${deploy.id} was rolled back: ${order.reason}`, order.author)
  }

  #toRollBack(names: readonly string[] | undefined, id: number | undefined): Deploy {
    const { catalog } = this.#parts.context
    if (id !== undefined) return this.#inState(id, ['live'], 'rolled back')
    const moved = deployRows(catalog)
      .filter(({ state }) => state === 'live')
      .map(toDeploy)
      .filter(({ outcome }) =>
        // Where all views were new there is nothing to go back to: whoever means it names the deploy.
        (outcome.views ?? []).some(
          ({ view, from, rolledBack }) =>
            rolledBack !== true && (names === undefined ? from !== undefined : names.includes(view)),
        ),
      )
      .at(-1)
    if (moved === undefined) {
      throw new RefoldError('ROLLBACK_IMPOSSIBLE', 'there is no deploy to roll back')
    }
    return moved
  }

  #record(
    request: Deploy['request'],
    plan: Deploy['plan'],
    views: readonly DeployedView[],
    versions: readonly NewVersion[],
  ): number {
    const { catalog } = this.#parts.context
    return catalog.transaction('add-deploy', () => {
      for (const version of versions) recordVersion(this.#parts.context, version, 'planned')
      const id = addDeploy(catalog, {
        state: 'planned',
        who: request.author.who,
        request: keptRequest(request) as unknown as JsonValue,
        plan: plan as unknown as JsonValue,
      })
      stepDeploy(catalog, id, { gained: { views } })
      this.#endShadows(id, views)
      recordAudit(catalog, 'deploy', {
        deploy: id,
        ...authorDetails(request.author),
        cut: plan.cut,
        shadow: request.options.shadow,
        views: viewDetails(views),
      })
      return id
    })
  }

  /** A version that only ticked for comparison belongs to the deploy that asks for it now. */
  #endShadows(id: number, views: readonly DeployedView[]): void {
    const { catalog } = this.#parts.context
    for (const row of deployRows(catalog)) {
      if (row.state !== 'shadow') continue
      const taken = (toDeploy(row).outcome.views ?? []).every(({ view, to }) =>
        views.some((other) => other.view === view && other.to === to),
      )
      if (taken) stepDeploy(catalog, row.id, { state: 'cancelled', reason: `taken over by deploy ${id}` })
    }
  }

  #start(deploy: Deploy): void {
    const run = new DeployRun(this.#parts, deploy, this.#ahead.take())
    this.#run = run
    run.done.then(
      () => this.#ended(run),
      (error: unknown) => {
        this.#ended(run)
        this.#parts.context.logger.error('a deploy', { deploy: run.id, reason: String(error) })
      },
    )
  }

  #ended(run: DeployRun): void {
    if (this.#run === run) this.#run = undefined
  }

  #open(): Deploy | undefined {
    const row = newestDeploy(this.#parts.context.catalog, openStates)
    return row === undefined ? undefined : toDeploy(row)
  }

  #refuseSecond(own = false): void {
    const open = this.#open()
    if (open === undefined && (own || !this.#adding)) return
    const what = open === undefined ? 'another deploy' : `deploy ${open.id} by ${open.request.author.who}`
    throw new RefoldError('DEPLOY_OPEN', `${what} is ${open?.state ?? 'being planned'}`, {
      ...(open === undefined
        ? {}
        : {
            hint: `Wait for it, or end it with \`refold deploys cancel ${open.id}\`.`,
            details: { deploy: open.id, state: open.state },
          }),
    })
  }

  #refuseManyShadows(): void {
    const shadows = deployRows(this.#parts.context.catalog).filter(({ state }) => state === 'shadow')
    const [oldest] = shadows
    if (oldest === undefined || shadows.length < SHADOWS_MAX) return
    throw new RefoldError('DEPLOY_OPEN', `${shadows.length} deploys tick in the shadow already`, {
      hint: `End one, such as the oldest with \`refold deploys cancel ${oldest.id}\`.`,
    })
  }

  #inState(id: number, states: readonly DeployState[], what: string): Deploy {
    const deploy = deployOf(this.#parts.context.catalog, id)
    if (states.includes(deploy.state)) return deploy
    throw new RefoldError(
      'DEPLOY_STATE',
      `deploy ${id} is ${deploy.state.replace('_', ' ')} and cannot be ${what}`,
    )
  }

  #audited(
    deploy: Deploy,
    what: string,
    change: () => void,
    author: DeployAuthor,
    details: Record<string, JsonValue> = {},
  ): void {
    const { catalog, log } = this.#parts.context
    catalog.transaction('update-deploy', () => {
      change()
      recordAudit(catalog, what, {
        deploy: deploy.id,
        ...authorDetails(author),
        cut: log.state().cut.commit,
        ...details,
      })
    })
  }

  #info(deploy: Deploy): DeployInfo {
    const progress: ReadonlyMap<string, BuildProgress> =
      this.#run?.id === deploy.id ? this.#run.progress() : new Map()
    return deployInfo(this.#parts.context.catalog, deploy, progress)
  }
}

/** Versions that stay as they are, with a setting that changes none of their rows. */
function settingsOnly(
  catalog: Catalog,
  { views }: DeployPlan,
  wanted: readonly NewVersion[],
): readonly NewVersion[] {
  return wanted.flatMap((version) => {
    const stays = views.find(
      ({ view, from, to, reasons }) =>
        view === version.view && from === to && reasons.some(({ what }) => what === 'setting'),
    )
    const row = stays?.to === undefined ? undefined : readVersion(catalog, version.view, stays.to)
    return row === undefined ? [] : [begunAt(version, row.start)]
  })
}

/** The plan with the versions that it comes to once it is known where their histories begin. */
function withVersions(plan: DeployPlan, versions: readonly NewVersion[]): DeployPlan {
  const views = plan.views.map((change) => {
    const begun = versions.find(({ view }) => view === change.view)
    return begun === undefined ? change : { ...change, to: begun.version }
  })
  return { ...plan, views }
}
