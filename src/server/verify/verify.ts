/**
 * Verification of views: by hand, and on the project's schedule, one run at a time; what it finds is kept and raises an
 * alarm in log, audit, status and metrics. State: the run under way, and when the next one is due.
 *
 * Why nothing slows down for it: the live engine only copies what it answers from into files; folding and comparing
 * happen in the past engine's process, which has the lowest claim on the cores.
 */

import { rm } from 'node:fs/promises'
import { newestVerify, recordVerify } from '../../catalog/verify-results.ts'
import type { ProjectDef } from '../../define/types.ts'
import type { CapturedView } from '../../engine/engine.ts'
import type { VerifyReport } from '../../govern/types.ts'
import { RefoldError } from '../../model/errors.ts'
import type { CoreVerify, VerifyRequest } from '../../serve/core-verify.ts'
import { nearestName } from '../../std/nearest-name.ts'
import { Serial } from '../../std/serial.ts'
import type { ServerContext } from '../context.ts'
import { verifyView } from './verify-view.ts'

/** How long a run waits for an engine that is starting. */
const ENGINE_WAIT_MS = 60_000
const ALARM_FINDINGS = 20

export class Verify implements CoreVerify {
  readonly #context: ServerContext
  readonly #project: () => ProjectDef
  readonly #line = new Serial()
  readonly #stop = new AbortController()
  #scheduled: Promise<void> | undefined
  #due: { readonly everyMs: number; readonly atMs: number } | undefined

  constructor(context: ServerContext, project: () => ProjectDef) {
    this.#context = context
    this.#project = project
  }

  last(): readonly VerifyReport[] {
    const serving = this.#context.serving()
    return newestVerify<VerifyReport>(this.#context.catalog)
      .filter(({ view }) => serving[view] !== undefined)
      .map(({ report }) => report)
  }

  run(request: VerifyRequest): Promise<readonly VerifyReport[]> {
    const asked = request.signal === undefined ? [] : [request.signal]
    const signal = AbortSignal.any([this.#stop.signal, ...asked])
    return this.#line.run(() => this.#run(request, signal))
  }

  /** Called by a timer. Never waits. */
  tick(): void {
    const setting = this.#project().verify
    if (setting === undefined || this.#scheduled !== undefined || this.#context.closing()) return
    const nowMs = this.#context.clock.nowMs()
    if (nowMs < this.#dueMs(setting.everyMs, nowMs)) return
    this.#due = { everyMs: setting.everyMs, atMs: nowMs + setting.everyMs }
    const { sample } = setting
    this.#scheduled = this.run(sample === undefined ? {} : { sample })
      .then(() => {})
      .catch((error: unknown) => {
        if (!this.#stop.signal.aborted) this.#context.logger.error('verify', { reason: String(error) })
      })
      .finally(() => {
        this.#scheduled = undefined
      })
  }

  /** Resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#stop.abort(new RefoldError('SERVER_STOPPING', 'the server is stopping'))
    await this.#line.run(async () => {})
    await this.#scheduled
  }

  /** A server that was started again goes on with the rhythm of the one before. */
  #dueMs(everyMs: number, nowMs: number): number {
    if (this.#due?.everyMs === everyMs) return this.#due.atMs
    const times = this.last().map(({ timeMs }) => timeMs)
    const atMs = times.length === 0 ? nowMs + everyMs : Math.min(nowMs, ...times) + everyMs
    this.#due = { everyMs, atMs }
    return atMs
  }

  async #run(request: VerifyRequest, signal: AbortSignal): Promise<readonly VerifyReport[]> {
    const views = this.#viewsOf(request.views)
    const { sample: share = 1, cut } = request
    const captured = cut === undefined ? await this.#capture(views, signal) : []
    try {
      const reports: VerifyReport[] = []
      for (const { view, version } of cut === undefined ? captured : this.#at(views, cut)) {
        const own = captured.find((one) => one.view === view)
        const asked = { view, version, cut: own?.cut ?? cut ?? 0, share, signal }
        reports.push(await this.#verified({ ...asked, ...(own === undefined ? {} : { captured: own }) }))
      }
      return reports
    } finally {
      for (const { path } of captured) await rm(path, { force: true })
    }
  }

  async #verified(request: Parameters<typeof verifyView>[1]): Promise<VerifyReport> {
    const { view, version, cut, share, signal } = request
    let report: VerifyReport
    try {
      report = await verifyView(this.#context, request)
    } catch (error) {
      if (signal.aborted) throw error
      const { nowMs } = this.#context.clock
      const reason = error instanceof Error ? error.message : String(error)
      const none = { from: 0, tookMs: 0, groups: 0, slices: 0, found: 0, findings: [] }
      report = { view, version, cut, share, timeMs: nowMs(), ...none, error: reason }
    }
    this.#record(report)
    return report
  }

  #record(report: VerifyReport): void {
    const { catalog, logger } = this.#context
    const { view, version, cut, timeMs, found, findings, error } = report
    const told = findings.slice(0, ALARM_FINDINGS).map(({ kind, text }) => ({ kind, text }))
    recordVerify(catalog, { view, version, cut, timeMs, found, report }, told)
    if (error !== undefined) logger.error('verify could not be carried out', { view, cut, reason: error })
    if (found === 0) return
    logger.error('verify found damage', { view, cut, found })
    for (const { kind, text } of told) logger.error('verify finding', { view, kind, text })
  }

  async #capture(views: readonly string[], signal: AbortSignal): Promise<readonly CapturedView[]> {
    const { supervisor, folder, clock } = this.#context
    if (views.length === 0) return []
    return await supervisor.use(
      (engine) => engine.capture(views, folder.staging, signal),
      clock.monotonicMs() + ENGINE_WAIT_MS,
    )
  }

  #at(views: readonly string[], cut: number): readonly { readonly view: string; readonly version: string }[] {
    const durable = this.#context.log.state().cut.commit
    if (cut > durable) {
      throw new RefoldError('CUT_NOT_REACHED', `the log stands at cut ${durable}, not at cut ${cut}`)
    }
    const serving = this.#context.serving()
    return views.map((view) => ({ view, version: serving[view] ?? '' }))
  }

  #viewsOf(asked: readonly string[] | undefined): readonly string[] {
    const known = Object.keys(this.#context.serving()).sort()
    for (const view of asked ?? []) {
      if (known.includes(view)) continue
      const near = nearestName(view, known)
      throw new RefoldError('VIEW_UNKNOWN', `there is no view "${view}"`, {
        ...(near === undefined ? {} : { hint: `Did you mean "${near}"?` }),
      })
    }
    return asked === undefined ? known : [...new Set(asked)]
  }
}
