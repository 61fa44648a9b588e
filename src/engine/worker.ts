/**
 * Entry of a worker's process: runs one job and ends. It publishes nothing, so killing it at any moment leaves
 * nothing but staged files; it ends when the server's channel closes, and it is nice to the live engine.
 */

import { constants, setPriority } from 'node:os'
import { toErrorBody } from '../model/errors.ts'
import { must } from '../std/assert.ts'
import type { Job, JobFailure } from './engine.ts'
import { FoldStalled } from './job-fold.ts'
import { openWorkplace, runJobIn, type Workplace } from './run-in-worker.ts'

import type { FromWorker, ToWorker } from './worker-protocol.ts'

// A fold's priority is the highest that a worker has; what is lowered cannot be raised again.
beNice({ kind: 'fold' })
process.on('disconnect', () => process.exit(0))
// The server ends its workers; a terminal's Ctrl-C reaches the whole group and is not for us.
process.on('SIGINT', () => {})
let opened: Promise<Workplace> | undefined
process.on('message', (message) => {
  const to = message as ToWorker
  if (to.kind === 'open') {
    opened = openWorkplace(to.settings)
    // Who runs the job hears of it.
    opened.catch(() => {})
  } else void perform(to.job)
})

async function perform(job: Job): Promise<void> {
  beNice(job)
  try {
    const workplace = await must(opened, 'a worker has a place to work before it has a job')
    const result = await runJobIn(workplace, job, (progress) => send({ kind: 'progress', progress }))
    end({ kind: 'done', result })
  } catch (error) {
    end({ kind: 'failed', failure: failureOf(error) })
  }
}

function failureOf(error: unknown): JobFailure {
  if (error instanceof FoldStalled) return { ...toErrorBody(error.error), stall: error.stall }
  const body = toErrorBody(error)
  if (body.code === 'INTERNAL')
    process.stderr.write(`refold worker: ${error instanceof Error ? error.stack : error}\n`)
  return body
}

/**
 * Live work goes before. A fold, which people wait for, and which its budget stops when live views fall behind, stands
 * less far back than seals and merges. Some containers refuse it; the job runs all the same.
 */
function beNice({ kind }: Pick<Job, 'kind'>): void {
  const { PRIORITY_BELOW_NORMAL, PRIORITY_LOW } = constants.priority
  try {
    setPriority(kind === 'fold' ? PRIORITY_BELOW_NORMAL : PRIORITY_LOW)
  } catch {}
}

function send(message: FromWorker): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}

function end(message: FromWorker): void {
  if (!process.connected) process.exit(0)
  process.send?.(message, undefined, undefined, () => process.exit(0))
}
