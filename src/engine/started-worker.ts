/**
 * A worker's process from its start until a job is given to it: DuckDB is loaded and opened meanwhile, so that who
 * knows early that there will be a job does not wait for that. State: the child and its private folder; whoever started
 * it hands it to `runJob`, which ends it with the job, or ends it here.
 */

import { type ChildProcess, fork } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { EngineSettings } from './engine.ts'
import type { ToWorker } from './worker-protocol.ts'

export type JobSettings = Pick<EngineSettings, 'memoryBytes' | 'threads' | 'scratchDir' | 'code'>

export interface StartedWorker {
  readonly child: ChildProcess
  readonly tempDir: string
  /** Whether it can take a job: it is there, and nobody has ended it. */
  isReady(): boolean
  /** Kills it, if need be; resolves when nothing of it is left. */
  end(): Promise<void>
}

let workers = 0

export function startWorker({ scratchDir, ...given }: JobSettings): StartedWorker {
  const tempDir = join(scratchDir, `job-${process.pid}-${++workers}`)
  const entry = new URL(`./worker${extname(import.meta.url)}`, import.meta.url)
  const child = fork(fileURLToPath(entry), [], {
    // Dates in logic mean the same on every machine.
    env: { ...process.env, TZ: 'UTC' },
    serialization: 'json',
    execArgv: ['--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const closed = new Promise<void>((resolve) => {
    child.once('close', () => resolve())
    if (child.pid === undefined) child.once('error', () => resolve())
  })
  // Whoever gives it a job hears of it; until then it is only not ready.
  child.on('error', () => {})
  const message: ToWorker = { kind: 'open', settings: { ...given, tempDir } }
  child.send(message, () => {})
  let ended = false
  return {
    child,
    tempDir,
    isReady: () => !ended && child.connected && child.exitCode === null && child.signalCode === null,
    async end() {
      ended = true
      child.kill('SIGKILL')
      await closed
      await rm(tempDir, { recursive: true, force: true })
    },
  }
}
