/**
 * Entry of a worker's process: runs one job and ends. It publishes nothing, so killing it at any moment leaves
 * nothing but staged files; it ends when the server's channel closes, and it is nice to the live engine.
 */

import { constants, setPriority } from 'node:os'
import { toErrorBody } from '../model/errors.ts'
import type { JobFailure } from './engine.ts'
import { FoldStalled } from './job-fold.ts'
import { runInWorker } from './run-in-worker.ts'
import type { FromWorker, ToWorker } from './worker-protocol.ts'

process.on('disconnect', () => process.exit(0))
// The server ends its workers; a terminal's Ctrl-C reaches the whole group and is not for us.
process.on('SIGINT', () => {})
process.once('message', (message) => void perform(message as ToWorker))

async function perform({ job, settings }: ToWorker): Promise<void> {
  beNice(job)
  try {
    const result = await runInWorker(job, settings, (progress) => send({ kind: 'progress', progress }))
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
function beNice({ kind }: ToWorker['job']): void {
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
