/**
 * Views that are not folded: paused by the server because engines died of them, or by somebody. The catalog says which;
 * the engine is told. State: what engines died of so far.
 *
 * A paused lambda view answers from its batch layer where its deploy said so (`whenSpeedFails: 'stale'`): the engine
 * holds it without folding it. Every other one is left out of the engine, and its readers are refused with the reason.
 */

import { pausedVersion, pausedVersions, pauseVersion, resumeVersion } from '../catalog/paused.ts'
import { readVersion, tickingStates } from '../catalog/versions.ts'
import type { DeployAuthor } from '../deploy/types.ts'
import type { EngineProgress, LiveEngine } from '../engine/engine.ts'
import { takeWorkAtDeath, type Work, workMarkPath } from '../engine/work-mark.ts'
import type { VersionId } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import { CrashLoop } from '../run/crash-loop.ts'
import type { CorePauses, PauseInfo } from '../serve/core-pauses.ts'
import { nearestName } from '../std/nearest-name.ts'
import type { ServerContext } from './context.ts'
import { engineViewOf, pausedEngineView } from './engine-spec.ts'
import { staleCut } from './stale-cut.ts'

export class Pauses implements CorePauses {
  readonly #context: ServerContext
  readonly #deaths = new CrashLoop()

  constructor(context: ServerContext) {
    this.#context = context
  }

  /** Whether the next engine goes view by view. */
  get careful(): boolean {
    return this.#deaths.careful
  }

  /** An engine died: pauses the view that it died of, once that is known. */
  engineDied(scratchDir: string, reason: string, careful: boolean): void {
    const culprit = this.#deaths.died(takeWorkAtDeath(workMarkPath(scratchDir)), careful)
    if (culprit === undefined) return
    const { work, deaths } = culprit
    const { view, version } = work
    const told = `the engine died ${deaths} times while it ${doing(work)}; at last by ${reason}`
    try {
      pauseVersion(this.#context.catalog, { view, version, reason: told }, { who: 'refold' })
      this.#context.logger.error('view paused', { view, version: version.slice(0, 12), reason: told })
    } catch (error) {
      this.#context.logger.error('view could not be paused', { view, reason: String(error) })
    }
    this.#deaths.forget(view, version)
  }

  engineReports({ views }: EngineProgress): void {
    this.#deaths.progressed(views)
  }

  engineLived(): void {
    this.#deaths.healthy()
  }

  list(): readonly PauseInfo[] {
    return pausedVersions(this.#context.catalog).map((paused) => this.#info(paused))
  }

  async pause(view: string, reason: string, author: DeployAuthor): Promise<PauseInfo> {
    const { catalog } = this.#context
    const version = this.#servingVersion(view)
    return await this.#told(async (engine) => {
      pauseVersion(catalog, { view, version, reason }, { ...author })
      this.#context.logger.warn('view paused', { view, reason, who: author.who })
      const row = readVersion(catalog, view, version)
      const still = row === undefined ? undefined : pausedEngineView(catalog, row, reason)
      if (still === undefined) await engine?.removeVersion(view, version)
      else await engine?.addVersion(still)
      const paused = pausedVersion(catalog, view, version)
      return this.#info(paused ?? { view, version, reason, timeMs: catalog.clock.nowMs() })
    })
  }

  async resume(view: string, author: DeployAuthor): Promise<readonly PauseInfo[]> {
    const { catalog, logger } = this.#context
    this.#servingVersion(view)
    return await this.#told(async (engine) => {
      const paused = pausedVersions(catalog).filter((one) => one.view === view)
      const infos = paused.map((one) => this.#info(one))
      for (const { version } of paused) {
        resumeVersion(catalog, view, version, { ...author })
        this.#deaths.forget(view, version)
        logger.info('view resumed', { view, version: version.slice(0, 12), who: author.who })
        const row = readVersion(catalog, view, version)
        if (row === undefined || !tickingStates.includes(row.state)) continue
        // It folds what it missed meanwhile; nobody waits for that here.
        engine?.addVersion(engineViewOf(catalog, row)).catch((error: unknown) => {
          if (!isGone(error)) logger.error('view resumed', { view, reason: String(error) })
        })
      }
      return infos
    })
  }

  /** In the turn of publications: no engine starts, and no slice list changes, while the engine is told. */
  async #told<T>(task: (engine: LiveEngine | undefined) => Promise<T>): Promise<T> {
    const { publications, supervisor } = this.#context
    return await publications.run(async () => {
      try {
        return await task(supervisor.running?.engine)
      } catch (error) {
        // The next engine is started from the catalog, which says it already.
        if (isGone(error)) return await task(undefined)
        throw error
      }
    })
  }

  #servingVersion(view: string): VersionId {
    const serving = this.#context.serving()
    const version = serving[view]
    if (version !== undefined) return version
    const near = nearestName(view, Object.keys(serving))
    throw new RefoldError('VIEW_UNKNOWN', `there is no view "${view}"`, {
      ...(near === undefined ? {} : { hint: `Did you mean "${near}"?` }),
    })
  }

  #info({ view, version, reason, timeMs }: ReturnType<typeof pausedVersions>[number]): PauseInfo {
    const at = new Date(timeMs).toISOString()
    const stale = staleCut(this.#context.catalog, view, version)
    return { view, version, reason, at, answers: stale === undefined ? 'refuse' : 'stale' }
  }
}

/** Throws VIEW_PAUSED for a version that is not folded and does not answer from a batch either. */
export function refusePaused(
  context: Pick<ServerContext, 'catalog'>,
  view: string,
  version: VersionId,
): void {
  const paused = pausedVersion(context.catalog, view, version)
  if (paused === undefined || staleCut(context.catalog, view, version) !== undefined) return
  throw pausedError(view, paused.reason)
}

export function pausedError(view: string, reason: string): RefoldError {
  return new RefoldError('VIEW_PAUSED', `view "${view}" is paused: ${reason}`, { details: { view, reason } })
}

function doing({ kind, to }: Work): string {
  switch (kind) {
    case 'fold':
      return `folded this view up to cut ${to}`
    case 'load':
      return "loaded this view's slices"
    case 'image':
      return 'merged what this view holds in memory'
    case 'seal':
      return 'sealed this view'
  }
}

function isGone(error: unknown): boolean {
  return error instanceof RefoldError && error.code === 'ENGINE_UNAVAILABLE'
}
