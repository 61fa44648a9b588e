/** What engines and workers may use, from the project's settings. Pure. */

import type { EngineTuning } from '../define/types.ts'
import type { EngineSettings, Job } from '../engine/engine.ts'
import type { JobSettings } from '../engine/started-worker.ts'

const WORKER_MEMORY_SHARE = 0.5

/** `scratch` is the data folder's. */
export function engineSettings(tuning: EngineTuning, scratch: string): EngineSettings {
  const { memoryBytes, threads, statementTimeoutMs, heavyStatements } = tuning
  return { memoryBytes, threads, statementTimeoutMs, heavyStatements, scratchDir: `${scratch}/live` }
}

export function pastSettings(tuning: EngineTuning, scratch: string): JobSettings {
  return { ...workerSettings(tuning), scratchDir: `${scratch}/past` }
}

export function jobSettings(tuning: EngineTuning, scratch: string, kind: Job['kind']): JobSettings {
  // A replay may use every core that nobody else wants: workers stand behind all others in the scheduler's order.
  const threads = kind === 'fold' ? { threads: tuning.threads } : {}
  return { ...workerSettings(tuning), ...threads, scratchDir: scratch }
}

function workerSettings({
  memoryBytes,
  threads,
}: EngineTuning): Pick<EngineSettings, 'memoryBytes' | 'threads'> {
  return {
    memoryBytes: Math.floor(memoryBytes * WORKER_MEMORY_SHARE),
    threads: Math.max(1, Math.floor(threads / 2)),
  }
}
