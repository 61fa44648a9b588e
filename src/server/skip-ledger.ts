/**
 * Records the events that views skipped, as the engine reports them. State: reports that the catalog has not taken
 * yet, because its disk was full. A publication writes them first or does not happen, so the record of a skipped event
 * is always durable before a slice that leaves the event out.
 */

import type { Catalog } from '../catalog/open-catalog.ts'
import { recordSkipped, type SkippedRow } from '../catalog/skipped.ts'
import type { EngineProgress } from '../engine/engine.ts'
import type { Logger } from '../std/logger.ts'

export class SkipLedger {
  readonly #catalog: Catalog
  readonly #logger: Logger
  #waiting: SkippedRow[] = []

  constructor(catalog: Catalog, logger: Logger) {
    this.#catalog = catalog
    this.#logger = logger
  }

  /** Takes the skips of a report. Never throws: what cannot be written now waits. */
  take({ skipped }: EngineProgress): void {
    if (skipped.length === 0) return
    for (const { view, version, stall } of skipped) {
      const { commit, index } = stall.position
      const { position, ...failure } = stall
      this.#waiting.push({ view, version, ...position, ...failure })
      this.#logger.warn('event skipped', { view, commit, index, reason: stall.message })
    }
    try {
      this.write()
    } catch (error) {
      this.#logger.error('skipped events are not recorded yet', { reason: String(error) })
    }
  }

  /** Durable when this returns; throws when it cannot be. */
  write(): void {
    if (this.#waiting.length === 0) return
    recordSkipped(this.#catalog, this.#waiting)
    this.#waiting = []
  }
}
