/**
 * Tries functions in a thread of their own, before versions are made with them. State: those that were found good in
 * this process, by their names with a hash.
 */

import { Worker } from 'node:worker_threads'
import type { PlannedFunction } from '../../define/function-def.ts'
import type { CodePlace } from '../../define/logic-modules.ts'
import type { CheckRequest, FunctionFault } from './check-worker.ts'

const MEMORY_MB = 512
const WAIT_MS = 60_000

const good = new Set<string>()

export async function functionFaults(
  place: CodePlace,
  functions: readonly PlannedFunction[],
): Promise<readonly FunctionFault[]> {
  const unknown = functions.filter(({ sqlName }) => !good.has(sqlName))
  if (unknown.length === 0) return []
  const faults = await runWorker({ place, functions: unknown })
  for (const { name, sqlName } of unknown) {
    if (!faults.some((fault) => fault.name === name)) good.add(sqlName)
  }
  return faults
}

function runWorker(request: CheckRequest): Promise<readonly FunctionFault[]> {
  const here = import.meta.url
  const entry = new URL(here.endsWith('.ts') ? './check-worker.ts' : './check-worker.js', here)
  const { promise, resolve } = Promise.withResolvers<readonly FunctionFault[]>()
  const worker = new Worker(entry, {
    workerData: request,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB },
    stdout: true,
    stderr: true,
  })
  const fail = (message: string) => {
    // One of them is at fault; which one is not known.
    resolve(request.functions.map(({ name }) => ({ name, code: 'LOGIC_FAILED', message })))
  }
  const timer = setTimeout(() => fail(`trying it took longer than ${WAIT_MS} ms`), WAIT_MS)
  worker.once('message', resolve)
  worker.once('error', (error) => fail(`trying it failed: ${error.message}`))
  worker.once('exit', () => fail('trying it ended its thread'))
  return promise.finally(() => {
    clearTimeout(timer)
    return worker.terminate()
  })
}
