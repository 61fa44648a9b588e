/**
 * Reads through the engine, each with the stamp that every answer carries: cut, moment, versions, watermarks, lag. A
 * read waits for the cut that its reader names, and for an engine that restarts, up to one deadline. Reads of the past,
 * and of versions that the engine does not hold, are led to the past engine. State: the greatest cut that was shown.
 */

import { pausedVersion } from '../catalog/paused.ts'
import { trimmedIn } from '../catalog/trims.ts'
import { readVersion, type Serving } from '../catalog/versions.ts'
import type { LayerName, ReadStamp, Rows, SqlRead, ViewProgress, ViewRead } from '../engine/engine.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import { utcText } from '../model/utc-text.ts'
import type { AnswerMeta, Moment, ReadOptions } from '../serve/core.ts'
import { nearestName } from '../std/nearest-name.ts'
import { BatchStamps } from './batch-stamps.ts'
import type { ServerContext } from './context.ts'
import {
  layerError,
  readStaleSql,
  readStaleView,
  refusedViews,
  staleWhileFailing,
  viewsNamed,
} from './degraded-answers.ts'
import { refuseLostBase } from './lake/lost-bases.ts'
import {
  type PastAnswer,
  type PastPoint,
  pointAt,
  readPastSql,
  readPastView,
  versionNamed,
} from './past/past-reads.ts'
import { refusePaused } from './pauses.ts'
import { systemTablesFor } from './system-tables.ts'

/** How long the engine is given to hear of a cutover. */
const OVERTAKEN_PAUSE_MS = 2

export class Answers {
  readonly #context: ServerContext
  readonly #timeoutMs: number
  readonly #batches: BatchStamps
  /** Streams that a version reads; a version never changes. */
  readonly #streamsOf = new Map<string, readonly string[]>()

  /** No answer stands before this cut: what was shown, and what was acknowledged before this server was started. */
  #shown: CommitSeq

  constructor(context: ServerContext, statementTimeoutMs: number) {
    this.#context = context
    this.#shown = context.log.state().cut.commit
    this.#timeoutMs = statementTimeoutMs
    this.#batches = new BatchStamps(context)
  }

  async readView(request: Omit<ViewRead, 'timeoutMs'>, options: ReadOptions): Promise<Rows & AnswerMeta> {
    const { signal, moment } = options
    const { view } = request
    const version =
      request.version === undefined ? undefined : versionNamed(this.#context, view, request.version)
    const named = { ...request, ...(version === undefined ? {} : { version }) }
    if (moment !== undefined) return await this.#pastView(named, moment, options)
    refuseLostBase(this.#context, { view, version })
    if (version === undefined) this.#checkView(view)
    refusePaused(this.#context, view, version ?? this.#context.serving()[view] ?? '')
    if (request.layer !== undefined) this.#checkLayer(view, request.layer, version)
    const stale = version === undefined ? staleWhileFailing(this.#context, [view]) : undefined
    if (stale !== undefined && options.after === undefined && request.layer !== 'speed') {
      return this.#stamped(await readStaleView(this.#context, named, stale, options), false)
    }
    if (version !== undefined && this.#context.supervisor.viewProgress(view, version) === undefined) {
      const cut = this.#context.log.state().cut.commit
      if ((options.after ?? 0) > cut) throw notReached('the log', options.after ?? 0, cut)
      return await this.#pastView(named, { kind: 'cut', cut }, options)
    }
    const answer = await this.#notBehind(
      options,
      (cut, deadline) => this.#reachView(view, version, cut, options.after !== undefined, deadline, signal),
      (deadline) =>
        this.#context.supervisor.use(
          (engine) => engine.read({ ...named, timeoutMs: this.#left(deadline) }, signal),
          deadline,
          signal,
        ),
      version !== undefined,
    )
    return this.#stamped(answer, version !== undefined)
  }

  async sql(request: Pick<SqlRead, 'sql' | 'limit'>, options: ReadOptions): Promise<Rows & AnswerMeta> {
    const { signal, moment } = options
    if (moment !== undefined) {
      const point = await pointAt(this.#context, moment, this.#context.serving())
      return this.#noted(
        this.#past(await readPastSql(this.#context, request, point, options), point),
        request.sql,
      )
    }
    refuseLostBase(this.#context, request)
    const stale = staleWhileFailing(this.#context, viewsNamed(this.#context, request.sql))
    if (stale !== undefined && options.after === undefined) {
      return this.#stamped(await readStaleSql(this.#context, request, stale, options), false)
    }
    const system = await systemTablesFor(this.#context, request.sql)
    const refused = refusedViews(this.#context, request.sql)
    const answer = await this.#notBehind(
      options,
      (cut, deadline) => this.#reachAll(cut, deadline, signal),
      (deadline) =>
        this.#context.supervisor.use(
          (engine) =>
            engine.sql(
              {
                ...request,
                system,
                refused,
                functions: this.#context.functions(),
                timeoutMs: this.#left(deadline),
              },
              signal,
            ),
          deadline,
          signal,
        ),
      false,
    )
    return this.#noted(this.#stamped(answer, false), request.sql)
  }

  /** An answer over a stream whose beginning is gone says so. */
  #noted(answer: Rows & AnswerMeta, sql: string): Rows & AnswerMeta {
    const trimmed = trimmedIn(this.#context.catalog, sql)
    return Object.keys(trimmed).length === 0 ? answer : { ...answer, trimmed }
  }

  async #pastView(
    request: Omit<ViewRead, 'timeoutMs'>,
    moment: Moment,
    options: ReadOptions,
  ): Promise<Rows & AnswerMeta> {
    const point = await pointAt(this.#context, moment, this.#context.serving())
    return this.#past(await readPastView(this.#context, request, point, options), point)
  }

  /**
   * Reads once the cut is reached that the reader named, and never before what was shown already: an engine that was
   * started again answers from its slices before it has caught up, and numbers must not go back.
   */
  async #notBehind(
    options: ReadOptions,
    reach: (cut: CommitSeq, deadline: number) => Promise<void>,
    read: (deadline: number) => Promise<Rows & ReadStamp>,
    pinned: boolean,
  ): Promise<Rows & ReadStamp> {
    const { clock } = this.#context
    const deadline = clock.monotonicMs() + (options.timeoutMs ?? this.#timeoutMs)
    while (true) {
      const wanted = Math.max(options.after ?? 0, this.#shown)
      await reach(wanted, deadline)
      const serving = this.#context.serving()
      const rows = await read(deadline)
      // The pointers had moved before the read began, and the engine had not heard of it yet.
      if (!pinned && this.#isOvertaken(rows, serving) && clock.monotonicMs() < deadline) {
        await new Promise<void>((resolve) => void clock.after(OVERTAKEN_PAUSE_MS, resolve))
        continue
      }
      const isStalled = options.after === undefined && rows.stalledAt !== undefined
      // Behind although it was reached: the engine ended between the two, and another one answered.
      if (rows.cut < wanted && !isStalled && clock.monotonicMs() < deadline) continue
      if (rows.cut < wanted && !isStalled) throw notReached('the engine', wanted, rows.cut)
      this.#shown = Math.max(this.#shown, rows.cut)
      return rows
    }
  }

  /** Whether a version answered that answered no more when the read began, though its reader did not ask for it. */
  #isOvertaken({ versions }: ReadStamp, serving: Serving): boolean {
    const now = this.#context.serving()
    for (const view in versions) {
      const version = versions[view]
      if (serving[view] !== undefined && serving[view] !== version && now[view] !== version) return true
    }
    return false
  }

  /** Resolves when a real query over every live view was answered. */
  async probe(): Promise<void> {
    const { supervisor, clock } = this.#context
    const deadline = clock.monotonicMs() + 2_000
    const [view] = Object.keys(this.#context.serving())
    await supervisor.use(async (engine) => {
      if (view !== undefined) {
        await engine.read({ view, where: {}, order: [], limit: 1, timeoutMs: this.#left(deadline) })
      }
    }, deadline)
  }

  #checkLayer(view: string, layer: LayerName, version: VersionId | undefined): void {
    if (version !== undefined && version !== this.#context.serving()[view]) {
      throw new RefoldError('REQUEST_PARAMETER', 'a layer is of the version that answers', {
        hint: 'Leave `version` out.',
      })
    }
    const error = layerError(this.#context, view, layer)
    if (error !== undefined) throw error
  }

  #checkView(view: string): void {
    const { catalog } = this.#context
    const pointers = this.#context.serving()
    if (pointers[view] !== undefined) return
    const building = catalog.get(
      `SELECT state, reason FROM versions
       WHERE view = ? AND state IN ('planned', 'building', 'catching_up', 'shadow', 'verified', 'failed')
       ORDER BY created_ms DESC`,
      view,
    )
    if (building?.state === 'failed') {
      throw new RefoldError('VIEW_BUILDING', `view "${view}" could not be folded: ${building.reason}`)
    }
    if (building?.state === 'shadow' || building?.state === 'verified') {
      throw new RefoldError('VIEW_BUILDING', `view "${view}" is built, but does not answer yet`)
    }
    if (building !== undefined) throw new RefoldError('VIEW_BUILDING', `view "${view}" is being folded`)
    const near = nearestName(view, Object.keys(pointers))
    throw new RefoldError('VIEW_UNKNOWN', `there is no view "${view}"`, {
      ...(near === undefined ? {} : { hint: `Did you mean "${near}"?` }),
    })
  }

  /** A view that stands still is read as it is, unless the reader named the cut. */
  async #reachView(
    view: string,
    version: VersionId | undefined,
    cut: CommitSeq,
    named: boolean,
    deadline: number,
    signal?: AbortSignal,
  ): Promise<void> {
    const { supervisor } = this.#context
    const progress = () => supervisor.viewProgress(view, version ?? this.#context.serving()[view] ?? '')
    const there = await supervisor.until(
      () => (progress()?.cut ?? -1) >= cut || this.#standsStill(progress()),
      deadline,
      signal,
    )
    const found = progress()
    if (there && ((found?.cut ?? -1) >= cut || !named)) return
    throw notReached(`view "${view}"`, cut, found?.cut, found?.stalled?.message ?? found?.paused)
  }

  /** A view that was resumed may be one that the engine has not heard of yet. */
  #standsStill(progress: ViewProgress | undefined): boolean {
    if (progress?.paused === undefined) return progress?.stalled !== undefined
    return pausedVersion(this.#context.catalog, progress.view, progress.version) !== undefined
  }

  async #reachAll(cut: CommitSeq, deadline: number, signal?: AbortSignal): Promise<void> {
    const { supervisor } = this.#context
    if (await supervisor.until(() => (supervisor.progress?.cut ?? -1) >= cut, deadline, signal)) return
    throw notReached('the engine', cut, supervisor.progress?.cut)
  }

  #stamped(answer: Rows & ReadStamp, pinned: boolean): Rows & AnswerMeta {
    const { history, clock, reports } = this.#context
    const { columns, json, count, truncated, cut, versions, stalled } = answer
    const at = utcText(reports.stamp(answer, pinned))
    const lagMs = history.lagMs(cut, clock.nowMs())
    const watermarks = this.#watermarks(cut, versions)
    const batches = this.#batches.of(answer)
    const meta = { cut, at, versions, stalled, watermarks, lagMs }
    return { columns, json, count, truncated, ...meta, ...(batches === undefined ? {} : { batches }) }
  }

  /** Nothing up to the cut that was asked for is missing, so there is no lag. */
  #past(answer: PastAnswer, { reportedUs }: PastPoint): Rows & AnswerMeta {
    const { columns, json, count, truncated, cut, versions } = answer
    const at = reportedUs === undefined ? null : utcText(reportedUs)
    const watermarks = this.#watermarks(cut, versions)
    return { columns, json, count, truncated, cut, at, versions, stalled: {}, watermarks, lagMs: 0 }
  }

  #watermarks(cut: CommitSeq, versions: Serving): Record<string, string | null> {
    const state = this.#context.history.at(cut)
    const watermarks: Record<string, string | null> = {}
    for (const [view, version] of Object.entries(versions)) {
      for (const stream of this.#streams(view, version)) {
        const timeUs = state?.watermarksUs[stream]
        watermarks[stream] = timeUs === undefined ? null : new Date(Math.floor(timeUs / 1000)).toISOString()
      }
    }
    return watermarks
  }

  #streams(view: string, version: string): readonly string[] {
    const key = `${view}@${version}`
    let streams = this.#streamsOf.get(key)
    if (streams === undefined) {
      streams = readVersion(this.#context.catalog, view, version)?.plan.streams ?? []
      this.#streamsOf.set(key, streams)
    }
    return streams
  }

  #left(deadline: number): number {
    return Math.max(1, Math.ceil(deadline - this.#context.clock.monotonicMs()))
  }
}

function notReached(what: string, wanted: CommitSeq, at: CommitSeq | undefined, stall?: string): RefoldError {
  const where = at === undefined ? 'has no cut yet' : `stands at cut ${at}`
  const why = stall === undefined ? '' : `; it stands still: ${stall}`
  return new RefoldError('CUT_NOT_REACHED', `${what} ${where}, not at cut ${wanted}${why}`)
}
