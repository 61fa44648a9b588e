/**
 * A worker that is started before a build needs it: while a deploy is planned, so that starting a process and loading
 * DuckDB are no part of the build. State: at most one worker that waits, and the timer that ends it when no build comes.
 *
 * Whoever takes it ends it. It ends by itself when the server's process does.
 */

import { lakeManifest } from '../../catalog/lake.ts'
import type { StartedWorker } from '../../engine/started-worker.ts'
import type { ServerContext } from '../context.ts'
import { BULK_BYTES } from './build-version.ts'

/** A plan is mostly followed by its deploy at once, or after somebody has read it. */
const WAITS_MS = 20_000

export interface WorkerAhead {
  /** Starts one where there is so much history that a build takes one, or lets the one that waits wait on. */
  start(): void
  take(): StartedWorker | undefined
  end(): Promise<void>
}

export function createWorkerAhead(context: ServerContext): WorkerAhead {
  let waiting: StartedWorker | undefined
  let cancelTimer = () => {}
  const take = () => {
    cancelTimer()
    const worker = waiting
    waiting = undefined
    return worker
  }
  const letGo = async (worker: StartedWorker | undefined) => {
    try {
      await worker?.end()
    } catch (error) {
      context.logger.warn('a worker that was not needed', { reason: String(error) })
    }
  }
  return {
    start() {
      const isBulk = lakeManifest(context.catalog).through > 0 || context.history.bytesAfter(0) >= BULK_BYTES
      if (!isBulk || context.closing()) return
      cancelTimer()
      cancelTimer = context.clock.after(WAITS_MS, () => void letGo(take()))
      if (waiting?.isReady()) return
      void letGo(waiting)
      waiting = context.startFoldWorker()
    },
    take,
    end: () => letGo(take()),
  }
}
