/**
 * The server's side of a worker: starts a process for one job, waits for its result, and leaves nothing of it
 * behind but the staged files that the result names. State: the child, until it ends.
 */

import { type ChildProcess, fork } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fromErrorBody, RefoldError } from '../model/errors.ts'
import type { EngineSettings, Job, JobFailure, JobProgress, JobResult, StallInfo } from './engine.ts'
import type { FromWorker, ToWorker } from './worker-protocol.ts'

export type JobSettings = Pick<EngineSettings, 'memoryBytes' | 'threads' | 'scratchDir'>

export interface JobOptions {
  /** Kills the worker; the promise is rejected with QUERY_CANCELLED once it is gone. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: JobProgress) => void
  /** Told the worker's process id once it runs, and how to send it a signal. */
  readonly onStart?: (pid: number, kill: (signal: NodeJS.Signals) => void) => void
}

/** A fold that failed on an event; `cause` is the engine's error. */
export class JobStalled extends RefoldError {
  readonly stall: StallInfo

  constructor(error: RefoldError, stall: StallInfo) {
    super(error.code, error.message, { hint: error.hint, cause: error })
    this.stall = stall
  }
}

let jobs = 0

/** Runs a job in a process of its own. Rejects with a RefoldError; a fold that an event stops with JobStalled. */
export async function runJob(job: Job, settings: JobSettings, options: JobOptions = {}): Promise<JobResult> {
  if (options.signal?.aborted) throw cancelled(job)
  const tempDir = join(settings.scratchDir, `job-${process.pid}-${++jobs}`)
  const entry = new URL(`./worker${extname(import.meta.url)}`, import.meta.url)
  const child = fork(fileURLToPath(entry), [], {
    serialization: 'json',
    execArgv: ['--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const abort = () => child.kill('SIGKILL')
  options.signal?.addEventListener('abort', abort, { once: true })
  try {
    const { memoryBytes, threads } = settings
    return await outcome(child, { kind: 'run', job, settings: { memoryBytes, threads, tempDir } }, options)
  } finally {
    options.signal?.removeEventListener('abort', abort)
    await rm(tempDir, { recursive: true, force: true })
  }
}

/** Resolves when the process is gone, so that whoever waits may remove what it wrote. */
function outcome(child: ChildProcess, message: ToWorker, options: JobOptions): Promise<JobResult> {
  const { job } = message
  return new Promise((resolve, reject) => {
    let end: FromWorker | undefined
    let failure: Error | undefined
    child.on('spawn', () => {
      if (child.pid !== undefined) options.onStart?.(child.pid, (name) => void child.kill(name))
    })
    child.on('message', (received) => {
      const from = received as FromWorker
      if (from.kind === 'progress') options.onProgress?.(from.progress)
      else end = from
    })
    child.on('error', (error) => {
      failure = error
      if (child.pid === undefined) reject(failedJob(job, error.message))
    })
    child.on('close', (code, signal) => {
      if (options.signal?.aborted) reject(cancelled(job))
      else if (end?.kind === 'done') resolve(end.result)
      else if (end?.kind === 'failed') reject(failureOf(end.failure))
      else {
        const how = signal === null ? `with code ${code}` : `by ${signal}`
        reject(failedJob(job, failure?.message ?? `its process ended ${how}`))
      }
    })
    child.send(message, (error) => {
      if (error !== null) failure = error
    })
  })
}

function failureOf({ stall, ...body }: JobFailure): RefoldError {
  const error = fromErrorBody(body)
  return stall === undefined ? error : new JobStalled(error, stall)
}

function cancelled(job: Job): RefoldError {
  return new RefoldError('QUERY_CANCELLED', `The ${job.kind} job was cancelled.`)
}

function failedJob(job: Job, why: string): RefoldError {
  return new RefoldError('JOB_FAILED', `The ${job.kind} job did not end: ${why}.`)
}
