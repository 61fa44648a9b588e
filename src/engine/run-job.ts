/**
 * The server's side of a worker: starts a process for one job, waits for its result, and leaves nothing of it
 * behind but the staged files that the result names. State: the child, until it ends.
 */

import type { ChildProcess } from 'node:child_process'
import { fromErrorBody, RefoldError } from '../model/errors.ts'
import type { Job, JobFailure, JobProgress, JobResult, StallInfo } from './engine.ts'
import { type JobSettings, type StartedWorker, startWorker } from './started-worker.ts'
import type { FromWorker, ToWorker } from './worker-protocol.ts'

export interface JobOptions {
  /** Kills the worker; the promise is rejected with QUERY_CANCELLED once it is gone. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: JobProgress) => void
  /** Told the worker's process id once it runs, and how to send it a signal. */
  readonly onStart?: (pid: number, kill: (signal: NodeJS.Signals) => void) => void
  /** One that was started before, with the same settings; it ends with the job. Another takes its place if it is gone. */
  readonly worker?: StartedWorker
}

/** A fold that failed on an event; `cause` is the engine's error. */
export class JobStalled extends RefoldError {
  readonly stall: StallInfo

  constructor(error: RefoldError, stall: StallInfo) {
    super(error.code, error.message, { hint: error.hint, cause: error })
    this.stall = stall
  }
}

/** Runs a job in a process of its own. Rejects with a RefoldError; a fold that an event stops with JobStalled. */
export async function runJob(job: Job, settings: JobSettings, options: JobOptions = {}): Promise<JobResult> {
  if (options.signal?.aborted) throw cancelled(job)
  const { worker: before } = options
  const worker = before?.isReady() ? before : startWorker(settings)
  const abort = () => worker.child.kill('SIGKILL')
  options.signal?.addEventListener('abort', abort, { once: true })
  try {
    return await outcome(worker.child, job, options)
  } finally {
    options.signal?.removeEventListener('abort', abort)
    await worker.end()
  }
}

/** Resolves when the process is gone, so that whoever waits may remove what it wrote. */
function outcome(child: ChildProcess, job: Job, options: JobOptions): Promise<JobResult> {
  const message: ToWorker = { kind: 'run', job }
  return new Promise((resolve, reject) => {
    let end: FromWorker | undefined
    let failure: Error | undefined
    if (child.pid !== undefined) options.onStart?.(child.pid, (name) => void child.kill(name))
    child.on('message', (received) => {
      const from = received as FromWorker
      if (from.kind === 'progress') options.onProgress?.(from.progress)
      else {
        end = from
      }
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
