/**
 * One deploy as it is carried out: record, build, catch up, prove, cut over. State: the run's control and progress;
 * everything that counts is in the catalog, and each step begins by reading it, so a run that was interrupted at any
 * point goes on from the last step that was recorded.
 */

import { recordAudit } from '../../catalog/journal.ts'
import { pausedVersion } from '../../catalog/paused.ts'
import { failVersion, readVersion, serving, setVersionStates, tickingStates } from '../../catalog/versions.ts'
import { rangeEventsMax } from '../../deploy/budget.ts'
import { type ProgressSample, replayProgress, withSample } from '../../deploy/replay-progress.ts'
import { sizeOf, streamHistory } from '../../deploy/stream-history.ts'
import type { BuildProgress } from '../../deploy/types.ts'
import type { StartedWorker } from '../../engine/started-worker.ts'
import type { CommitSeq, VersionId } from '../../model/cut.ts'
import { RefoldError, toErrorBody } from '../../model/errors.ts'
import { unreachable } from '../../std/assert.ts'
import { damagedSlices, refoldBadSlices } from '../bad-slices.ts'
import type { ServerContext } from '../context.ts'
import { engineViewOf } from '../engine-spec.ts'
import { foldHistory } from './build-version.ts'
import { authorDetails, cutOver } from './cut-over.ts'
import type { DeployParts } from './deploy-parts.ts'
import { type Deploy, type DeployedView, deployOf, isMoved, stepDeploy } from './deploy-record.ts'
import { proveDeploy } from './prove-deploy.ts'
import { publishFirstBatches } from './prove-runs.ts'
import { ReplayControl } from './replay-control.ts'

const RETRY_MS = 2_000
const SAMPLE_MS = 250

type Target = DeployedView & { readonly to: VersionId }

export class DeployRun {
  readonly id: number
  readonly done: Promise<void>
  readonly #parts: DeployParts
  readonly #context: ServerContext
  readonly #stop = new AbortController()
  readonly #control: ReplayControl
  /** By view. */
  readonly #samples = new Map<string, readonly ProgressSample[]>()
  readonly #worker: StartedWorker | undefined
  #building: string | undefined
  #isMoving = false

  /** `worker`, where it was started ahead, is for the first range; it ends with the run at the latest. */
  constructor(parts: DeployParts, deploy: Deploy, worker: StartedWorker | undefined) {
    this.id = deploy.id
    this.#parts = parts
    this.#context = parts.context
    this.#control = new ReplayControl(parts.context, deploy.request.options.budget, false)
    this.#worker = worker
    this.done = this.#go().finally(async () => {
      this.#control.close()
      await worker?.end()
    })
  }

  progress(): ReadonlyMap<string, BuildProgress> {
    const entries = [...this.#samples].flatMap(([view, samples]): [string, BuildProgress][] => {
      const progress = replayProgress(samples, view === this.#building ? this.#control.hold : undefined)
      return progress === undefined ? [] : [[view, progress]]
    })
    return new Map(entries)
  }

  /** The cutover is under way: the catalog may have it already, and the engine not yet. */
  get isMoving(): boolean {
    return this.#isMoving
  }

  pause(): void {
    this.#control.pause()
  }

  resume(): void {
    this.#control.resume()
  }

  /** Ends the run where it is; what was recorded and published stays. */
  stop(): void {
    this.#stop.abort()
    this.#control.close()
  }

  #over(): boolean {
    return this.#stop.signal.aborted || this.#context.closing()
  }

  async #go(): Promise<void> {
    // Whoever starts a run has something to record first.
    await Promise.resolve()
    while (!this.#over()) {
      const deploy = deployOf(this.#context.catalog, this.id)
      try {
        if (!(await this.#step(deploy))) return
      } catch (error) {
        if (this.#over()) return
        if (!(await this.#mended(error)) && (await this.#failed(error))) return
      }
    }
  }

  /** One step; false when the deploy goes no further by itself. */
  async #step(deploy: Deploy): Promise<boolean> {
    switch (deploy.state) {
      case 'planned':
        return await this.#begin(deploy)
      case 'building':
      case 'paused':
        return await this.#build(deploy)
      case 'catching_up':
        return await this.#catchUp(deploy)
      case 'comparing':
        return await this.#prove(deploy)
      case 'refused':
      case 'shadow':
      case 'live':
      case 'rolled_back':
      case 'cancelled':
      case 'failed':
        return false
      default:
        return unreachable(deploy.state)
    }
  }

  async #begin(deploy: Deploy): Promise<boolean> {
    const { catalog } = this.#context
    await this.#parts.takeStreams(deploy.request.project)
    if (this.#over()) return false
    // It may have been paused meanwhile.
    if (deployOf(catalog, this.id).state !== 'planned') return true
    stepDeploy(catalog, this.id, { state: 'building' })
    this.#context.crash('deploy.building')
    return true
  }

  #targets(deploy: Deploy): readonly Target[] {
    return (deploy.outcome.views ?? []).filter((view): view is Target => view.to !== undefined)
  }

  async #build(deploy: Deploy): Promise<boolean> {
    const { catalog } = this.#context
    const targets = this.#targets(deploy)
    for (const target of targets) {
      await this.#buildOne(deploy, target)
      if (this.#over()) return false
    }
    this.#context.crash('deploy.built')
    catalog.transaction('version-states', () => {
      const fresh = targets.filter(({ view, to }) => !this.#ticks(view, to))
      setVersionStates(
        catalog,
        fresh.map(({ view, to }) => ({ view, version: to })),
        'catching_up',
      )
      stepDeploy(catalog, this.id, { state: 'catching_up' })
    })
    return true
  }

  #ticks(view: string, version: VersionId): boolean {
    const state = readVersion(this.#context.catalog, view, version)?.state
    return state !== undefined && tickingStates.includes(state)
  }

  async #buildOne(deploy: Deploy, { view, to }: Target): Promise<void> {
    const { catalog } = this.#context
    if (this.#ticks(view, to)) return
    if (readVersion(catalog, view, to)?.state !== 'building') {
      setVersionStates(catalog, [{ view, version: to }], 'building')
    }
    this.#building = view
    this.#sample(view, to)
    const cancelSamples = this.#every(SAMPLE_MS, () => this.#sample(view, to))
    let ranMs = 0
    try {
      await foldHistory(this.#context, view, to, {
        signal: this.#stop.signal,
        eventsMax: rangeEventsMax(deploy.request.options.budget),
        ready: () => this.#control.ready(this.#stop.signal),
        job: (_range, events) => ({
          ...this.#control.jobOptions(events),
          ...(this.#worker === undefined ? {} : { worker: this.#worker }),
        }),
        ended: (events) => {
          ranMs = this.#control.ended(events)
        },
        folded: ({ events, bytes }) => {
          const { outcome } = deployOf(catalog, this.id)
          stepDeploy(catalog, this.id, {
            gained: {
              seconds: (outcome.seconds ?? 0) + ranMs / 1000,
              events: (outcome.events ?? 0) + events,
              bytes: (outcome.bytes ?? 0) + bytes,
            },
          })
          this.#sample(view, to)
        },
      })
      await this.#control.ready(this.#stop.signal)
      this.#sample(view, to)
    } finally {
      cancelSamples()
      this.#building = undefined
    }
  }

  #sample(view: string, version: VersionId): void {
    const { catalog, clock, log, pins } = this.#context
    const row = readVersion(catalog, view, version)
    if (row === undefined) return
    const { sources, release } = pins.pin()
    release()
    const history = streamHistory(sources, row.plan.streams[0] ?? '')
    const durable = log.state().cut.commit
    const total = sizeOf(history, { from: row.start, to: durable }).events
    const folded = sizeOf(history, { from: row.start, to: row.sealed }).events
    const before = this.#samples.get(view)?.at(-1)?.done ?? 0
    const done = Math.min(total, Math.max(before, folded + this.#control.estimated))
    this.#samples.set(
      view,
      withSample(this.#samples.get(view) ?? [], { timeMs: clock.monotonicMs(), done, total }),
    )
  }

  async #catchUp(deploy: Deploy): Promise<boolean> {
    const { catalog, supervisor } = this.#context
    const { signal } = this.#stop
    const targets = this.#targets(deploy)
    for (const { view, to } of targets.filter(isMoved)) {
      await supervisor.until(() => supervisor.running !== undefined, undefined, signal)
      const row = readVersion(catalog, view, to)
      const running = supervisor.running
      if (this.#over()) return false
      if (row === undefined || running === undefined) return true
      this.#checkStalls(targets)
      if (supervisor.viewProgress(view, to) === undefined)
        await running.engine.addVersion(engineViewOf(catalog, row))
      this.#context.crash('deploy.added')
    }
    const there = () => this.#reached(deploy) !== undefined
    await supervisor.until(
      () => there() || this.#stalled(targets) !== undefined || this.#over(),
      undefined,
      signal,
    )
    if (this.#over()) return false
    this.#checkStalls(targets)
    catalog.transaction('version-states', () => {
      const fresh = targets.filter(({ view, to }) => readVersion(catalog, view, to)?.state === 'catching_up')
      setVersionStates(
        catalog,
        fresh.map(({ view, to }) => ({ view, version: to })),
        'shadow',
      )
      stepDeploy(catalog, this.id, { state: 'comparing' })
    })
    this.#context.crash('deploy.shadow')
    return true
  }

  /** The cut at which all views of the deploy stand, old and new, once no new version is behind the old ones. */
  #reached(deploy: Deploy): CommitSeq | undefined {
    const { supervisor, catalog } = this.#context
    // Right after its start an engine has all views at an old cut: that one may not get on is not seen there.
    if (!supervisor.caughtUp) return undefined
    const cuts: number[] = []
    for (const { view, to } of this.#targets(deploy)) {
      const cut = supervisor.viewProgress(view, to)?.cut
      if (cut === undefined) return undefined
      cuts.push(cut)
    }
    const pointers = serving(catalog)
    const old = Object.entries(pointers).flatMap(([view, version]) => {
      const progress = supervisor.viewProgress(view, version)
      const goesOn = progress?.stalled === undefined && progress?.paused === undefined
      return progress !== undefined && goesOn ? [progress.cut] : []
    })
    const least = old.length === 0 ? this.#context.log.state().cut.commit : Math.min(...old)
    return cuts.every((cut) => cut >= least) ? Math.min(...cuts, ...old, least) : undefined
  }

  /** Why a version of the deploy cannot go on. */
  #stalled(targets: readonly Target[]): RefoldError | undefined {
    for (const { view, to } of targets) {
      const stalled = this.#context.supervisor.viewProgress(view, to)?.stalled
      const paused = pausedVersion(this.#context.catalog, view, to)
      const why = stalled?.message ?? (paused === undefined ? undefined : `it is paused: ${paused.reason}`)
      if (why === undefined) continue
      const what = `version ${to.slice(0, 12)} of view "${view}" cannot go on`
      return new RefoldError('DEPLOY_STALLED', `${what}: ${why}`)
    }
    return undefined
  }

  #checkStalls(targets: readonly Target[]): void {
    const stalled = this.#stalled(targets)
    if (stalled !== undefined) throw stalled
  }

  async #prove(deploy: Deploy): Promise<boolean> {
    const { catalog, supervisor } = this.#context
    const { signal } = this.#stop
    const targets = this.#targets(deploy)
    if (deploy.outcome.accepted === undefined || deploy.outcome.comparedAt === undefined) {
      const settled = () => this.#reached(deploy) !== undefined || this.#stalled(targets) !== undefined
      await supervisor.until(() => settled() || this.#over(), undefined, signal)
      const cut = this.#reached(deploy)
      if (this.#over()) return false
      this.#checkStalls(targets)
      if (cut === undefined) return true
      const reached = () => this.#reached(deploy) ?? 0
      const stalled = () => this.#stalled(targets)
      const proof = await proveDeploy(this.#parts, deploy, { cut, reached, stalled, signal })
      if (this.#over()) return false
      const { accept, shadow } = deploy.request.options
      const refused = proof.red !== undefined && accept === undefined
      const accepted = proof.red !== undefined && accept !== undefined ? { accepted: accept } : {}
      const gained = { compares: proof.compares, checks: proof.checks, comparedAt: proof.cut, ...accepted }
      const state = shadow ? 'shadow' : refused ? 'refused' : 'comparing'
      catalog.transaction('update-deploy', () => {
        stepDeploy(catalog, this.id, {
          state,
          gained,
          ...(proof.red === undefined ? {} : { reason: proof.red }),
        })
        if (!refused && !shadow) this.#verify(targets)
        recordAudit(catalog, refused ? 'gate refused' : shadow ? 'shadow' : 'gate passed', {
          deploy: this.id,
          ...authorDetails(deploy.request.author),
          cut: proof.cut,
          red: proof.red ?? null,
          ...accepted,
        })
      })
      this.#context.crash('deploy.proved')
      if (state !== 'comparing') return false
    } else {
      await publishFirstBatches(this.#parts, deploy, signal)
      if (this.#over()) return false
      this.#verify(targets)
    }
    this.#context.crash('deploy.verified')
    this.#isMoving = true
    const moved = await cutOver(this.#context, deployOf(catalog, this.id), signal).finally(() => {
      this.#isMoving = false
    })
    if (moved) await this.#parts.afterCutover(deployOf(catalog, this.id))
    return false
  }

  #verify(targets: readonly Target[]): void {
    const { catalog } = this.#context
    const shadows = targets.filter(({ view, to }) => readVersion(catalog, view, to)?.state === 'shadow')
    setVersionStates(
      catalog,
      shadows.map(({ view, to }) => ({ view, version: to })),
      'verified',
    )
  }

  /** Whether trying again may help; waits until it is time. */
  async #mended(error: unknown): Promise<boolean> {
    const { logger, supervisor, clock } = this.#context
    const reason = error instanceof Error ? error.message : String(error)
    logger.warn('a step of a deploy failed', { deploy: this.id, reason })
    const damaged = () =>
      this.#targets(deployOf(this.#context.catalog, this.id)).flatMap(({ view, to }) =>
        damagedSlices(this.#context, { view, version: to }, error),
      )
    if (damaged().length > 0) {
      await refoldBadSlices(this.#context, damaged())
      return damaged().length === 0
    }
    const permanent = error instanceof RefoldError && !error.retryable && error.code !== 'INTERNAL'
    if (permanent) return false
    await supervisor.until(() => false, clock.monotonicMs() + RETRY_MS, this.#stop.signal)
    return true
  }

  /** False where the end could not be written down, as on a full disk: the step is tried again. */
  async #failed(error: unknown): Promise<boolean> {
    const { logger, supervisor, clock } = this.#context
    try {
      await this.#fail(error)
      return true
    } catch (unwritten) {
      logger.error('the end of a deploy could not be recorded', {
        deploy: this.id,
        reason: String(unwritten),
      })
      await supervisor.until(() => false, clock.monotonicMs() + RETRY_MS, this.#stop.signal)
      return false
    }
  }

  /** What cannot be mended ends the deploy; versions that answer or are warm are not touched. */
  async #fail(error: unknown): Promise<void> {
    const { catalog, logger } = this.#context
    const body = toErrorBody(error)
    const deploy = deployOf(catalog, this.id)
    const ended = this.#targets(deploy).filter(({ view, to }) => {
      const state = readVersion(catalog, view, to)?.state
      return state !== undefined && state !== 'live' && state !== 'warm'
    })
    catalog.transaction('update-deploy', () => {
      for (const { view, to } of ended) failVersion(catalog, view, to, body.message)
      stepDeploy(catalog, this.id, { state: 'failed', gained: { error: body }, reason: body.message })
      recordAudit(catalog, 'deploy failed', {
        deploy: this.id,
        ...authorDetails(deploy.request.author),
        code: body.code,
        reason: body.message,
      })
    })
    logger.error('a deploy failed', { deploy: this.id, reason: body.message })
    await this.#parts.letGo(ended.map(({ view, to }) => ({ view, version: to })))
  }

  #every(periodMs: number, task: () => void): () => void {
    const { clock } = this.#context
    let cancel = () => {}
    const again = () => {
      task()
      cancel = clock.after(periodMs, again)
    }
    cancel = clock.after(periodMs, again)
    return () => cancel()
  }
}
