/** Records the events that views skipped, as the engine reports them. No state. */

import { recordSkipped } from '../catalog/skipped.ts'
import type { EngineProgress } from '../engine/engine.ts'
import type { ServerContext } from './context.ts'

/**
 * Durable when this returns. The engine reports a skip before it stages a slice that covers the event, and messages
 * keep their order, so the record is always there before such a slice can be published.
 */
export function recordReportedSkips(context: ServerContext, progress: EngineProgress): void {
  if (progress.skipped.length === 0) return
  recordSkipped(
    context.catalog,
    progress.skipped.map(({ view, version, stall }) => ({
      view,
      version,
      ...stall.position,
      message: stall.message,
    })),
  )
  for (const { view, stall } of progress.skipped) {
    const { commit, index } = stall.position
    context.logger.warn('event skipped', { view, commit, index, reason: stall.message })
  }
}
