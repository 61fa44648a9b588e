/**
 * What the server and a worker say to each other over the child's IPC channel: what it is to work with, one job, then
 * its end. Pure types.
 */

import type { Job, JobFailure, JobProgress, JobResult } from './engine.ts'
import type { WorkerSettings } from './run-in-worker.ts'

export type ToWorker =
  | { readonly kind: 'open'; readonly settings: WorkerSettings }
  | { readonly kind: 'run'; readonly job: Job }

export type FromWorker =
  | { readonly kind: 'progress'; readonly progress: JobProgress }
  | { readonly kind: 'done'; readonly result: JobResult }
  | { readonly kind: 'failed'; readonly failure: JobFailure }
