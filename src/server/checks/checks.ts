/**
 * The checks of the project that runs: on their schedule, by hand, and what they last said. State: which run now, and
 * when each is due.
 *
 * A scheduled check runs over the versions that answer, at the cut where they all stand. It never runs twice at once,
 * and what it missed meanwhile is not made up for: the next run tells of the same cut or a newer one anyway.
 */

import { lastCheck } from '../../catalog/checks.ts'
import { versions as versionRows } from '../../catalog/versions.ts'
import type { CheckDef, ProjectDef } from '../../define/types.ts'
import type { CheckResult, CompareSummary } from '../../deploy/types.ts'
import type { CommitSeq, VersionId } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import type { CheckInfo, ChecksRequest, CoreChecks } from '../../serve/core-checks.ts'
import { nearestName } from '../../std/nearest-name.ts'
import { Semaphore } from '../../std/semaphore.ts'
import { compareVersions } from '../compare/compare-versions.ts'
import { comparableCut, versionNamed, versionsOf } from '../compare/version-pair.ts'
import type { ServerContext } from '../context.ts'
import { runAndRecord, toResult } from './run-checks.ts'

/** Told when what answers breaks a check that it kept before. */
export type CheckListener = (result: CheckResult) => void

/** Scheduled checks that run at a time. */
const AT_ONCE = 2
const SAMPLE_ROWS = 10

export class Checks implements CoreChecks {
  readonly #context: ServerContext
  readonly #project: () => ProjectDef
  readonly #listeners = new Set<CheckListener>()
  readonly #places = new Semaphore(AT_ONCE)
  readonly #stop = new AbortController()
  /** By name: how many runs are under way. */
  readonly #running = new Map<string, number>()
  /** By name: when a scheduled check is due, and the period for which that was worked out. */
  readonly #due = new Map<string, { readonly everyMs: number; readonly atMs: number }>()
  readonly #scheduled = new Set<Promise<void>>()

  constructor(context: ServerContext, project: () => ProjectDef) {
    this.#context = context
    this.#project = project
  }

  /** The listener is called until what this returns is. */
  onRed(listener: CheckListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  list(): readonly CheckInfo[] {
    return this.#project().checks.map((check) => {
      const { name, rule, everyMs, cutover } = check
      return {
        name,
        kind: rule.kind,
        ...('sql' in rule ? { sql: rule.sql } : { view: rule.view }),
        ...(rule.kind === 'truth'
          ? { truth: rule.truth.kind === 'file' ? rule.truth.path : 'function' }
          : {}),
        ...(everyMs === undefined ? {} : { everyMs }),
        cutover,
        running: this.#running.has(name),
        last: this.#last(name) ?? null,
      }
    })
  }

  async run(request: ChecksRequest): Promise<readonly CheckResult[]> {
    const { names, versions: named = {}, signal } = request
    const versions = Object.fromEntries(
      Object.entries(named).map(([view, text]) => {
        return [view, versionNamed(view, versionsOf(this.#context, view), text).version]
      }),
    )
    const stop = AbortSignal.any([this.#stop.signal, ...(signal === undefined ? [] : [signal])])
    const checks = this.#asked(names, versions)
    const cut = this.#cutFor(versions)
    const compares = await this.#compares(checks, versions, cut, stop)
    return await this.#marked(checks, () => this.#runAt(checks, cut, stop, versions, compares))
  }

  /** Called by a timer. Never waits: what is due runs in the background. */
  tick(): void {
    const nowMs = this.#context.clock.nowMs()
    const due = this.#project().checks.filter((check) => this.#isDue(check, nowMs))
    if (due.length === 0 || this.#context.closing() || !this.#canRun()) return
    for (const check of due) {
      this.#due.set(check.name, { everyMs: check.everyMs ?? 0, atMs: this.#next(check, nowMs) })
      if (this.#running.has(check.name)) continue
      const done = this.#runScheduled(check).finally(() => this.#scheduled.delete(done))
      this.#scheduled.add(done)
    }
  }

  /** Resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#stop.abort(new RefoldError('SERVER_STOPPING', 'the server is stopping'))
    await Promise.all(this.#scheduled)
  }

  async #runScheduled(check: CheckDef): Promise<void> {
    const { signal } = this.#stop
    try {
      await this.#marked([check], () =>
        this.#places.run(() => this.#runAt([check], this.#cutFor({}), signal), signal),
      )
    } catch (error) {
      if (!signal.aborted) this.#context.logger.error('check', { check: check.name, error: String(error) })
    }
  }

  async #runAt(
    checks: readonly CheckDef[],
    cut: CommitSeq,
    signal: AbortSignal,
    versions: Readonly<Record<string, VersionId>> = {},
    compares: readonly CompareSummary[] = [],
  ): Promise<readonly CheckResult[]> {
    const { root } = this.#project()
    const { recorded, changed } = await runAndRecord(this.#context, {
      checks,
      root,
      cut,
      versions,
      compares,
      signal,
    })
    for (const result of changed) {
      if (!result.live || result.verdict !== 'red') continue
      for (const listener of this.#listeners) listener(toResult(result))
    }
    return recorded
  }

  async #marked<T>(checks: readonly CheckDef[], task: () => Promise<T>): Promise<T> {
    const add = (name: string, step: number): void => {
      const count = (this.#running.get(name) ?? 0) + step
      if (count === 0) this.#running.delete(name)
      else this.#running.set(name, count)
    }
    for (const { name } of checks) add(name, 1)
    try {
      return await task()
    } finally {
      for (const { name } of checks) add(name, -1)
    }
  }

  #asked(
    names: readonly string[] | undefined,
    versions: Readonly<Record<string, VersionId>>,
  ): readonly CheckDef[] {
    const { checks } = this.#project()
    if (names === undefined) {
      return checks.filter(({ rule }) => rule.kind !== 'changed' || versions[rule.view] !== undefined)
    }
    return [...new Set(names)].map((name) => {
      const check = checks.find((one) => one.name === name)
      if (check !== undefined) return check
      const near = nearestName(
        name,
        checks.map((one) => one.name),
      )
      throw new RefoldError('CHECK_UNKNOWN', `there is no check "${name}"`, {
        ...(near === undefined ? {} : { hint: `Did you mean "${near}"?` }),
      })
    })
  }

  /** The newest cut at which all of these stand, and the views that answer. */
  #cutFor(versions: Readonly<Record<string, VersionId>>): CommitSeq {
    const { log, supervisor } = this.#context
    const live = supervisor.progress?.cut ?? log.state().cut.commit
    const others = Object.entries(versions).map(([view, version]) =>
      comparableCut(this.#context, view, [version], undefined),
    )
    return Math.min(live, ...others)
  }

  /** Versions that were named, against those that answer, where a check limits how many rows change. */
  async #compares(
    checks: readonly CheckDef[],
    versions: Readonly<Record<string, VersionId>>,
    cut: CommitSeq,
    signal: AbortSignal,
  ): Promise<readonly CompareSummary[]> {
    const summaries: CompareSummary[] = []
    const views = new Set(checks.flatMap(({ rule }) => (rule.kind === 'changed' ? [rule.view] : [])))
    for (const view of views) {
      const [from, to] = [this.#context.serving()[view], versions[view]]
      if (from === undefined || to === undefined || from === to) continue
      const expect = this.#project().views.find(({ name }) => name === view)?.expect ?? []
      const asked = { view, from, to, cut, expect, folded: false, sampleRows: SAMPLE_ROWS, signal }
      summaries.push(await compareVersions(this.#context, asked))
    }
    return summaries
  }

  #isDue(check: CheckDef, nowMs: number): boolean {
    const { name, everyMs } = check
    if (everyMs === undefined) return false
    const known = this.#due.get(name)
    if (known?.everyMs === everyMs) return known.atMs <= nowMs
    // First seen: a server that was started again goes on with the rhythm of the one before.
    const last = this.#last(name)
    const atMs = last === undefined ? nowMs : Math.min(nowMs + everyMs, last.timeMs + everyMs)
    this.#due.set(name, { everyMs, atMs })
    return atMs <= nowMs
  }

  /** The next time in its rhythm that lies ahead. */
  #next({ name, everyMs = 0 }: CheckDef, nowMs: number): number {
    const atMs = this.#due.get(name)?.atMs ?? nowMs
    return atMs + (Math.floor((nowMs - atMs) / everyMs) + 1) * everyMs
  }

  /** Once every view of the project answers that ever will; before, a check could only say that one is missing. */
  #canRun(): boolean {
    const { catalog, supervisor } = this.#context
    if (supervisor.progress === undefined) return false
    const pointers = this.#context.serving()
    const missing = this.#project().views.filter(({ name }) => pointers[name] === undefined)
    if (missing.length === 0) return true
    const rows = versionRows(catalog)
    return missing.every(({ name }) => rows.filter(({ view }) => view === name).at(-1)?.state === 'failed')
  }

  #last(name: string): CheckResult | undefined {
    const last = lastCheck(this.#context.catalog, name, this.#context.serving())
    return last === undefined ? undefined : toResult(last)
  }
}
