/**
 * What happens after a cutover: the versions before it stay warm for their time, and while they do, a deploy whose
 * views fall behind goes back by itself. State: since when the lag has been too large.
 *
 * A warm version costs what a live one costs: memory for its image, a part of every tick. So there are at most
 * `WARM_MAX` of them; when there are more, those that were replaced first end before their time.
 */

import { recordAudit } from '../../catalog/journal.ts'
import { setVersionStates, type WarmVersion, warmVersions } from '../../catalog/versions.ts'
import type { DeployParts } from './deploy-parts.ts'
import type { Deploys } from './deploys.ts'
import { liveLagMs } from './live-lag.ts'

export const WARM_MAX = 8
/** A lag has to last this long before anything is rolled back. */
const LAG_LASTS_MS = 5_000

export class WarmVersions {
  readonly #parts: DeployParts
  readonly #deploys: Deploys
  #behindSinceMs: number | undefined
  #ending = false

  constructor(parts: DeployParts, deploys: Deploys) {
    this.#parts = parts
    this.#deploys = deploys
  }

  /** Called by a timer. Never waits. */
  check(): void {
    void this.#watchLag()
    if (this.#ending) return
    this.#ending = true
    void this.endDue()
      .catch((error: unknown) => {
        this.#parts.context.logger.warn('ending warm versions', { reason: String(error) })
      })
      .finally(() => {
        this.#ending = false
      })
  }

  /** Retires the versions whose time is over, and those that are too many. */
  async endDue(): Promise<void> {
    const { catalog, clock, publications } = this.#parts.context
    const ended = await publications.run(async () => {
      const due = dueVersions(warmVersions(catalog), clock.nowMs())
      if (due.length === 0) return due
      catalog.transaction('version-states', () => {
        setVersionStates(catalog, due, 'retired')
        recordAudit(catalog, 'warm versions ended', {
          versions: due.map(({ view, version }) => ({ view, version })),
        })
      })
      this.#parts.context.crash('warm.ended')
      return due
    })
    if (ended.length > 0) await this.#parts.letGo(ended)
  }

  async #watchLag(): Promise<void> {
    const { context } = this.#parts
    const deploy = warmVersions(context.catalog).length === 0 ? undefined : this.#deploys.revertible()
    const limit = deploy?.request.options.autoRollback.lagMs
    const lagMs = limit === undefined ? 0 : liveLagMs(context)
    if (deploy === undefined || limit === undefined || lagMs <= limit) {
      this.#behindSinceMs = undefined
      return
    }
    const now = context.clock.monotonicMs()
    this.#behindSinceMs ??= now
    if (now - this.#behindSinceMs < LAG_LASTS_MS) return
    this.#behindSinceMs = undefined
    const reason = `live views were ${Math.round(lagMs)} ms behind, over the limit of ${limit} ms`
    await this.#deploys.rollBackByItself(deploy, reason)
  }
}

/** Warm versions to end now; of those that are too many, the ones whose time would be over first. */
export function dueVersions(all: readonly WarmVersion[], nowMs: number): readonly WarmVersion[] {
  const warm = [...all].sort((a, b) => b.warmUntilMs - a.warmUntilMs)
  return warm.filter(({ warmUntilMs }, index) => index >= WARM_MAX || warmUntilMs <= nowMs)
}
