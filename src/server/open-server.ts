/**
 * The composition root: opens everything of a project in one process and ties the parts together. State: the handles,
 * from opening to `close`. A part that fails to open closes those before it, so nothing is left held.
 *
 * The order is that of trust: the lock, the catalog, the log (which refuses to start behind what the catalog knows),
 * then the engine, which is given only what those two say, and last the HTTP surface.
 */

import { recordAudit } from '../catalog/journal.ts'
import { lakeManifest } from '../catalog/lake.ts'
import { recordStreams } from '../catalog/streams.ts'
import type { NewVersion } from '../catalog/versions.ts'
import { plannedFunction } from '../define/function-def.ts'
import type { ProjectDef } from '../define/types.ts'
import type { Job, JobResult, LiveEngine } from '../engine/engine.ts'
import { startLiveEngine } from '../engine/live-engine.ts'
import { createPastEngine } from '../engine/past-engine.ts'
import { type JobOptions, runJob } from '../engine/run-job.ts'
import { startWorker } from '../engine/started-worker.ts'
import type { CommitLog } from '../log/commit-log.ts'
import { RefoldError } from '../model/errors.ts'
import { type SegmentPolicy, segmentPolicy } from '../run/kappa.ts'
import type { Core } from '../serve/core.ts'
import { createHttpServer, type HttpServer } from '../serve/http-server.ts'
import { type Clock, systemClock } from '../std/clock.ts'
import { type Files, realFiles } from '../std/files.ts'
import { type Logger, silentLogger } from '../std/logger.ts'
import { Semaphore } from '../std/semaphore.ts'
import { Serial } from '../std/serial.ts'
import { refoldBadSlices } from './bad-slices.ts'
import { Batches } from './batch/batches.ts'
import { compareBatch } from './batch/compare-batch.ts'
import { Snapshots } from './batch/snapshots.ts'
import { checkedViews } from './checked-project.ts'
import { Checks } from './checks/checks.ts'
import { CommitHistory } from './commit-history.ts'
import type { ServerContext } from './context.ts'
import { createCore } from './core-of-server.ts'
import type { ServerCrashPoint } from './crash-point.ts'
import { type DataFolder, openDataFolder } from './data-folder.ts'
import { deployedProject, isDeployed, readStreams } from './deploys/deployed-project.ts'
import { Deployment, type ProjectHolder } from './deploys/deployment.ts'
import type { Deploys } from './deploys/deploys.ts'
import { EngineMeters } from './engine-meters.ts'
import { engineSettings, jobSettings, pastSettings } from './engine-settings.ts'
import { engineSpecOf } from './engine-spec.ts'
import { EngineSupervisor, type SupervisorOptions } from './engine-supervisor.ts'
import { foldAgain } from './fold-again.ts'
import { HistoryKeeper } from './keep-history.ts'
import { LakeKeeping, type LakeOptions, refuseTrimmed } from './lake/lake-keeping.ts'
import { LakeEvents } from './lake-events.ts'
import { openProjectLog } from './open-project-log.ts'
import { HistoryCleaning, historyDefaults } from './past/history-cleaning.ts'
import { Journaling } from './past/journaling.ts'
import { openReports } from './past/open-reports.ts'
import { PastStates } from './past/past-states.ts'
import { servingByRevision } from './past/serving-by-revision.ts'
import { Pauses } from './pauses.ts'
import { Sealing } from './sealing.ts'
import { SkipLedger } from './skip-ledger.ts'
import { SourcePins } from './source-pins.ts'
import { streamMistakes } from './stream-changes.ts'
import { Verify } from './verify/verify.ts'
import { ViewVersions } from './view-versions.ts'

export interface ServerOptions extends LakeOptions {
  readonly clock?: Clock
  readonly logger?: Logger
  readonly files?: Files
  /** Leave out to start an engine process; tests give one of their own. */
  readonly startEngine?: () => LiveEngine
  /** For tests: told of each crash point. */
  readonly crash?: (point: ServerCrashPoint) => void
  /** False: no HTTP surface, only the core. */
  readonly http?: boolean
  /**
   * What becomes of the project's views: `adopt` takes them over at once (the default: `refold dev`, tests); `deployed`
   * puts them in place on an empty folder, and else serves what is deployed until somebody deploys.
   */
  readonly views?: 'adopt' | 'deployed'
  /** Overrides parts of the policy by which the log moves to the lake. */
  readonly segments?: Partial<SegmentPolicy>
  /** How often old slices are looked at. Default a minute. */
  readonly historyCheckMs?: number
}

export interface RunningServer {
  readonly core: Core
  readonly http: HttpServer | undefined
  readonly deploys: Deploys
  /** Process id of the engine that runs now. */
  enginePid(): number | undefined
  /** Takes over a changed project: new versions are built beside the old ones. Resolves when all are live. */
  reload(project: ProjectDef): Promise<void>
  /** Seals every tail and moves the log to the lake, whatever the policies say. */
  flush(): Promise<void>
  close(): Promise<void>
}

const KEEP_ALIVE_MS = 60_000
const SEAL_CHECK_MS = 100
const BATCH_CHECK_MS = 50
const JOURNAL_MS = 1_000
const WARM_CHECK_MS = 1_000
const HISTORY_CHECK_MS = 60_000
const CHECK_MS = 500
/** Workers at a time; the live engine and the server need the cores too. */
const WORKERS = 2

/** Opens a project's data folder and serves it. Throws ProjectMistakes, or the RefoldError that kept it from opening. */
export async function openServer(file: ProjectDef, options: ServerOptions = {}): Promise<RunningServer> {
  const {
    clock = systemClock,
    logger = silentLogger,
    files = realFiles,
    startEngine = startLiveEngine,
  } = options
  const folder = openDataFolder(file.dataDir, clock, logger)
  const keeps = options.views === 'deployed' && isDeployed(folder.catalog)
  const project = keeps ? deployedProject(file, folder.catalog) : file
  // The first engine's process loads its code while views are planned and the log is opened.
  const first = startEngine()
  const engines = [first]
  const nextEngine = () => engines.shift() ?? startEngine()
  // Our timers keep no process alive, and while an engine that ended waits for the next there may be nothing else.
  const alive = setInterval(() => {}, KEEP_ALIVE_MS)
  const ended = () => clearInterval(alive)
  let log: CommitLog | undefined
  try {
    const planning = keeps ? Promise.resolve([]) : checkedViews(project, folder.catalog)
    // A log is not opened for streams that its events do not fit.
    if (streamMistakes(folder.catalog, project).length > 0) await planning
    const opening = openProjectLog(project, folder, { clock, files, ...options.segments })
    const [planned, opened] = await Promise.allSettled([planning, opening])
    if (opened.status === 'fulfilled') log = opened.value
    if (planned.status === 'rejected') throw planned.reason
    if (log === undefined) throw opened.status === 'rejected' ? opened.reason : undefined
    recordStreams(folder.catalog, project.streams, log.state().cut.commit)
    const server = new Server(project, { ...options, startEngine: nextEngine }, folder, log, ended)
    return await server.start(planned.value, keeps ? file : undefined)
  } catch (error) {
    await first.stop()
    await log?.close()
    folder.close()
    ended()
    throw error
  }
}

class Server implements RunningServer {
  readonly core: Core
  readonly deploys: Deploys
  http: HttpServer | undefined
  readonly #options: ServerOptions
  /** Called once everything is closed. */
  readonly #ended: () => void
  readonly #context: ServerContext
  readonly #supervisor: EngineSupervisor
  readonly #journaling: Journaling
  readonly #sealing: Sealing
  readonly #lake: LakeKeeping
  readonly #batches: Batches
  readonly #snapshots: Snapshots
  readonly #checks: Checks
  readonly #verify: Verify
  readonly #pauses: Pauses
  readonly #versions: ViewVersions
  readonly #deployment: Deployment
  readonly #history: HistoryKeeper
  readonly #meters = new EngineMeters()
  readonly #workers = new Semaphore(WORKERS)
  readonly #stopWork = new AbortController()
  readonly #timers = new Set<() => void>()
  readonly #reloads = new Serial()
  #project: ProjectDef
  readonly #holder: ProjectHolder = {
    get: () => this.#project,
    set: (def) => {
      this.#project = def
    },
  }
  #advancing = false
  #closed: Promise<void> | undefined

  constructor(
    project: ProjectDef,
    options: ServerOptions,
    folder: DataFolder,
    log: CommitLog,
    ended: () => void,
  ) {
    this.#ended = ended
    const { clock = systemClock, logger = silentLogger, startEngine = startLiveEngine } = options
    this.#project = project
    this.#options = options
    const publications = new Serial()
    const pins = new SourcePins(() => ({ log: log.manifest(), lake: lakeManifest(folder.catalog) }))
    this.#supervisor = this.#superviseEngine(publications, folder, log, { clock, logger, startEngine })
    const skips = new SkipLedger(folder.catalog, logger)
    const pointers = servingByRevision(folder.catalog)
    this.#context = {
      clock,
      logger,
      folder,
      catalog: folder.catalog,
      log,
      reader: log.reader,
      history: new CommitHistory(),
      pins,
      skips,
      lakeEvents: new LakeEvents(folder.scratch),
      supervisor: this.#supervisor,
      past: this.#createPast(folder, pins, skips, clock),
      reports: openReports(folder, clock, pointers),
      noteReport: () => this.#journaling.write(),
      publications,
      followers: new Set(),
      lostBases: new Map(),
      batchCuts: new Map(),
      repairs: new Map(),
      runJob: (job, jobOptions) => this.#runJob(job, jobOptions),
      startFoldWorker: () => startWorker(jobSettings(this.#project, folder, 'fold')),
      sealPolicy: () => this.#project.seal,
      segmentPolicy: { ...segmentPolicy, ...options.segments },
      crash: options.crash ?? (() => {}),
      streams: () => this.#project.streams,
      functions: () => (this.#project.functions ?? []).map(plannedFunction),
      serving: pointers,
      closing: () => this.#stopWork.signal.aborted,
    }
    this.#journaling = new Journaling(this.#context)
    this.#pauses = new Pauses(this.#context)
    this.#sealing = new Sealing(this.#context)
    this.#lake = new LakeKeeping(this.#context, this.#sealing, options)
    this.#batches = new Batches({
      ...{ context: this.#context, lake: this.#lake.moving, sealing: this.#sealing },
      compare: compareBatch,
      folds: new Semaphore(1),
    })
    this.#snapshots = new Snapshots(this.#context, this.#sealing)
    this.#versions = new ViewVersions(this.#context)
    this.#history = new HistoryKeeper(this.#context)
    this.#deployment = new Deployment(this.#context, this.#holder, (view, hold, signal) =>
      this.#batches.first(view, hold, signal),
    )
    this.deploys = this.#deployment.deploys
    this.#checks = new Checks(this.#context, () => this.#project)
    this.#verify = new Verify(this.#context, () => this.#project)
    this.#checks.onRed((result) => this.#background('rollback', this.deploys.checkTurnedRed(result)))
    this.core = createCore({
      context: this.#context,
      project: () => this.#project,
      versions: this.#versions,
      deploys: this.deploys,
      differs: () => this.#deployment.differs,
      sealing: this.#sealing,
      trimming: this.#lake.trimming,
      batches: this.#batches,
      checks: this.#checks,
      verify: this.#verify,
      pauses: this.#pauses,
      meters: this.#meters,
    })
  }

  #superviseEngine(
    publications: Serial,
    folder: DataFolder,
    log: CommitLog,
    given: Pick<SupervisorOptions, 'clock' | 'logger' | 'startEngine'>,
  ): EngineSupervisor {
    return new EngineSupervisor({
      ...given,
      spec: () => {
        const { followers, batchCuts } = this.#context
        const followed = [...[...followers].map(({ cut }) => cut), ...batchCuts.values()]
        const own = this.#project.streams
        const streams = [...own, ...readStreams(folder.catalog, own)]
        const settings = engineSettings(this.#project, folder)
        const spec = engineSpecOf(folder.catalog, log.manifest(), streams, settings, followed)
        return this.#pauses.careful ? { ...spec, careful: true } : spec
      },
      onDied: (reason, careful) =>
        this.#pauses.engineDied(engineSettings(this.#project, folder).scratchDir, reason, careful),
      onHealthy: () => this.#pauses.engineLived(),
      exclusive: (task) => publications.run(task),
      onBadSlices: (slices) => void refoldBadSlices(this.#context, slices),
      onProgress: (progress) => {
        this.#meters.add(progress)
        this.#pauses.engineReports(progress)
        this.#context.skips.take(progress)
      },
      onStarted: (engine) => {
        engine.advance(log.manifest())
        this.#meters.foldAgain = foldAgain(this.#context)
        given.logger.info('folding again what no slice covers', { ...this.#meters.foldAgain })
      },
    })
  }

  #createPast(folder: DataFolder, pins: SourcePins, skips: SkipLedger, clock: Clock): PastStates {
    return new PastStates({
      catalog: folder.catalog,
      logger: this.#options.logger ?? silentLogger,
      pins,
      engine: createPastEngine({ ...pastSettings(this.#project, folder), clock }),
      streams: () => this.#project.streams,
      functions: () => (this.#project.functions ?? []).map(plannedFunction),
      writeSkips: () => skips.write(),
      timeoutMs: () => this.#project.engine.statementTimeoutMs,
    })
  }

  /** `kept`: the folder serves what is deployed, and this is what the project's file says. */
  async start(views: readonly NewVersion[], kept: ProjectDef | undefined): Promise<this> {
    const { log } = this.#context
    const adopts = this.#options.views !== 'deployed'
    await this.#history.load()
    await this.#lake.moving.dropLeftovers()
    this.#batches.recover()
    log.onDurable(() => this.#onDurable())
    if (adopts) {
      await this.deploys.supersede('the project was taken over at once')
      this.#versions.prepare(views)
    } else if (kept === undefined) this.#deployment.putInPlace(views)
    try {
      await this.#supervisor.start()
      if (this.#options.http !== false) await this.#listen()
    } catch (error) {
      this.#stopWork.abort()
      await this.#supervisor.close()
      throw error
    }
    this.#audit('start')
    if (adopts) this.#background('adopt views', this.#versions.adopt(views))
    else this.#background('deploys', this.#deployment.goOn(kept))
    this.#every(SEAL_CHECK_MS, () => this.#sealing.check())
    this.#lake.begin((periodMs, task) => this.#every(periodMs, task))
    this.#every(BATCH_CHECK_MS, () => {
      this.#batches.tick()
      this.#snapshots.tick()
    })
    this.#every(JOURNAL_MS, () => this.#journaling.write())
    const cleaning = new HistoryCleaning(this.#context, () => this.#project.history ?? historyDefaults)
    this.#every(this.#options.historyCheckMs ?? HISTORY_CHECK_MS, () => cleaning.check())
    this.#every(WARM_CHECK_MS, () => this.#deployment.check())
    this.#every(CHECK_MS, () => {
      this.#checks.tick()
      this.#verify.tick()
    })
    return this
  }

  enginePid(): number | undefined {
    return this.#supervisor.running?.engine.pid
  }

  async reload(project: ProjectDef): Promise<void> {
    // Projects are taken over one after the other; a build goes on while the next is taken, and may be overtaken.
    const { live } = await this.#reloads.run(() => this.#takeOver(project))
    await live
  }

  async #takeOver(project: ProjectDef): Promise<{ readonly live: Promise<void> }> {
    const { log, catalog } = this.#context
    if (project.dataDir !== this.#project.dataDir) {
      throw new RefoldError('INTERNAL', 'a running server cannot move to another data folder')
    }
    const views = await checkedViews(project, catalog)
    const streamsChanged = JSON.stringify(project.streams) !== JSON.stringify(this.#project.streams)
    await this.deploys.supersede('the project was taken over at once')
    this.#project = project
    if (streamsChanged) {
      recordStreams(catalog, project.streams, log.state().cut.commit)
      log.setStreams(project.streams)
      await this.#supervisor.restart('the streams changed')
    }
    this.#audit('reload')
    const live = this.#versions.adopt(views)
    live.catch(() => {})
    return { live }
  }

  async flush(): Promise<void> {
    const { cut } = this.#context.log.state()
    const reached = () => (this.#supervisor.progress?.cut ?? -1) >= cut.commit
    await this.#supervisor.until(reached)
    await this.#sealing.sealNow(this.#supervisor.progress?.views ?? [])
    await this.#lake.moving.moveAll()
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const { log, folder, lakeEvents, publications } = this.#context
    this.#stopWork.abort()
    for (const cancel of this.#timers) cancel()
    this.#versions.stop()
    await this.deploys.stop()
    await this.#batches.stop()
    await this.#snapshots.settled()
    await this.#checks.stop()
    await this.#verify.stop()
    await this.http?.close()
    await this.#supervisor.close()
    await this.#context.past.stop()
    await this.#lake.settled()
    await publications.run(async () => {})
    this.#journaling.write()
    await this.#journaling.close()
    this.#audit('stop')
    await lakeEvents.close()
    await log.close()
    folder.close()
    this.#ended()
  }

  /** Called for each commit before its senders are answered, so it does little. */
  #onDurable(): void {
    this.#history.add()
    if (this.#advancing) return
    this.#advancing = true
    setImmediate(() => {
      this.#advancing = false
      this.#supervisor.running?.engine.advance(this.#context.log.manifest())
    })
  }

  async #listen(): Promise<void> {
    const { server, limits } = this.#project
    const { clock, logger } = this.#context
    this.http = await createHttpServer(this.core, {
      host: server.host,
      port: server.port,
      limits,
      clock,
      logger,
      ...(server.token === undefined ? {} : { token: server.token }),
    })
    logger.info('server listens', { url: this.http.url })
  }

  /** A full disk must not keep a server from answering reads, so a line that cannot be written is only missing. */
  #audit(what: string): void {
    const { catalog, log, logger } = this.#context
    try {
      recordAudit(catalog, what, {
        project: this.#project.name,
        cut: log.state().cut.commit,
        pid: process.pid,
      })
    } catch (error) {
      logger.warn('audit', { what, reason: String(error) })
    }
  }

  #runJob<K extends Job['kind']>(
    job: Extract<Job, { kind: K }>,
    options: JobOptions = {},
  ): Promise<Extract<JobResult, { kind: K }>> {
    const stop = this.#stopWork.signal
    refuseTrimmed(this.#context, job)
    const signal = options.signal === undefined ? stop : AbortSignal.any([options.signal, stop])
    const settings = jobSettings(this.#project, this.#context.folder, job.kind)
    return this.#workers.run(
      async () => (await runJob(job, settings, { ...options, signal })) as Extract<JobResult, { kind: K }>,
      signal,
    )
  }

  #every(periodMs: number, task: () => void): void {
    const again = () => {
      cancel = this.#context.clock.after(periodMs, again)
      this.#timers.delete(last)
      this.#timers.add(cancel)
      last = cancel
      task()
    }
    let cancel = this.#context.clock.after(periodMs, again)
    let last = cancel
    this.#timers.add(cancel)
  }

  #background(what: string, work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      if (!this.#stopWork.signal.aborted) this.#context.logger.error(what, { reason: String(error) })
    })
  }
}
