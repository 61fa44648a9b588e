/**
 * Loads a project file into a `ProjectDef`, or says everything that is wrong with it. The file is code, so it runs
 * in a worker thread of its own: each load sees every file anew, helper modules too, and nothing of it stays behind.
 * Node itself strips the types. No state.
 */

import { existsSync, statSync } from 'node:fs'
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import { type ErrorBody, fromErrorBody, RefoldError } from '../model/errors.ts'
import type { LoadResult, ProjectDef } from './types.ts'

/** What the worker sends back. */
export type LoadAnswer =
  | { readonly ok: true; readonly project: ProjectDef; readonly files: readonly string[] }
  | { readonly ok: false; readonly mistakes: readonly ErrorBody[]; readonly files: readonly string[] }

export interface LoadOptions {
  /** A file that takes longer than this to load is given up. Default 30 s. */
  readonly timeoutMs?: number
}

const fileNames = ['refold.config.ts', 'refold.config.mts', 'refold.config.js', 'refold.config.mjs']

/** Takes a project file or its folder. Every call reads all files anew. */
export async function loadProject(target: string, options: LoadOptions = {}): Promise<LoadResult> {
  const file = findProject(path.resolve(target))
  if (file instanceof RefoldError) return { ok: false, mistakes: [file], files: [] }
  const answer = await runWorker(file, options.timeoutMs ?? 30_000)
  if (answer.ok) return answer
  return { ok: false, mistakes: answer.mistakes.map(fromErrorBody), files: answer.files }
}

function findProject(target: string): string | RefoldError {
  if (!existsSync(target))
    return new RefoldError('PROJECT_NOT_FOUND', `there is no file or folder "${target}"`)
  if (!statSync(target).isDirectory()) return target
  const found = fileNames.map((name) => path.join(target, name)).find((file) => existsSync(file))
  return found ?? new RefoldError('PROJECT_NOT_FOUND', `folder "${target}" has no refold.config.ts`)
}

function runWorker(file: string, timeoutMs: number): Promise<LoadAnswer> {
  return new Promise((resolve) => {
    const here = import.meta.url
    const worker = new Worker(new URL(here.endsWith('.ts') ? './load-worker.ts' : './load-worker.js', here), {
      workerData: { file },
      // stdout belongs to the command that loads; what a project file prints is talk
      stdout: true,
      stderr: true,
      execArgv: [],
    })
    const talk = (chunk: Buffer) => process.stderr.write(chunk)
    worker.stdout.on('data', talk)
    worker.stderr.on('data', talk)
    const fail = (message: string, hint?: string) => {
      const error = new RefoldError('PROJECT_FAILED', message, {
        place: { file, line: 1, column: 1 },
        ...(hint === undefined ? {} : { hint }),
      })
      const { code, hint: kept, retryable, place } = error
      finish({
        ok: false,
        files: [file],
        mistakes: [{ code, message, hint: kept, retryable, ...(place && { place }) }],
      })
    }
    const timer = setTimeout(() => {
      fail(
        `loading the project took longer than ${timeoutMs} ms`,
        'A project file only declares things; let it not wait for anything.',
      )
    }, timeoutMs)
    const finish = (answer: LoadAnswer) => {
      clearTimeout(timer)
      resolve(answer)
      void worker.terminate()
    }
    worker.once('message', (answer: LoadAnswer) => finish(answer))
    worker.once('error', (error) => fail(`loading the project failed: ${error.message}`))
    worker.once('exit', () =>
      fail('the project file ended its process while it was loaded', 'Take process.exit out of it.'),
    )
  })
}
