/** How long a live engine takes through a hot log, with one view that has no slices. No state. */

import { mkdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import type { CodePlace } from '../src/define/logic-modules.ts'
import type { EngineView } from '../src/engine/engine.ts'
import { startLiveEngine } from '../src/engine/live-engine.ts'
import type { LogManifest } from '../src/log/types.ts'
import { eventsStream } from './fold-inputs.ts'

const MEMORY_BYTES = 2_000_000_000

/** Seconds from the call of `start` until the view stands at the durable cut. `code` is where its logic is kept. */
export async function catchUp(
  view: EngineView,
  log: LogManifest,
  scratchDir: string,
  code?: CodePlace,
): Promise<number> {
  mkdirSync(scratchDir, { recursive: true })
  const engine = startLiveEngine()
  try {
    const startedMs = performance.now()
    const caughtUp = new Promise<void>((resolve, reject) => {
      engine.onProgress((progress) => {
        const stalled = progress.views[0]?.stalled
        if (stalled !== undefined) reject(new Error(stalled.message))
        if (progress.cut >= log.durable) resolve()
      })
      engine.onExit((reason) => reject(new Error(`the engine ended: ${reason}`)))
    })
    await engine.start({
      streams: [eventsStream],
      sources: { log, lake: { through: 0, files: [] } },
      views: [view],
      serving: { [view.view]: view.version },
      followed: [],
      settings: {
        ...{ memoryBytes: MEMORY_BYTES, threads: availableParallelism(), scratchDir },
        ...{ statementTimeoutMs: 30_000, heavyStatements: 2 },
        ...(code === undefined ? {} : { code }),
      },
    })
    engine.advance(log)
    await caughtUp
    return (performance.now() - startedMs) / 1000
  } finally {
    await engine.stop()
  }
}
