/**
 * Entry of a fold's thread: loads the functions and answers calls on them, one after the other. State: the steps of
 * the one fold that the thread is for. It may be ended at any moment; nothing of it is lost but time.
 */

import { writeFileSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import type { FoldFunctions, FoldSpec } from '../../define/fold.ts'
import { loadLogic, userStack, userText } from '../../define/logic-modules.ts'
import { runPure } from '../../define/pure-context.ts'
import { must, unreachable } from '../../std/assert.ts'
import { checkSteps } from './check-steps.ts'
import { phases, progressWriter } from './fold-progress.ts'
import type { FoldCalls, FoldThreadData, FromFold, Stepped, ToFold } from './fold-protocol.ts'
import { FoldSteps } from './fold-steps.ts'
import { guardThread } from './guard.ts'

const { code, fields, place, memoryBytes, progress: shared } = workerData as FoldThreadData
const port = must(parentPort, 'this is a thread')
const progress = progressWriter(shared)
const { post } = { post: (message: FromFold) => port.postMessage(message) }

let steps: FoldSteps | undefined
let functions: FoldFunctions | undefined
port.on('message', (message: ToFold) => {
  try {
    const result = runPure(() => call(message))
    post({ kind: 'answer', id: message.id, result })
  } catch (error) {
    post({ kind: 'failure', id: message.id, ...textsOf(error) })
  }
})
void start()

async function start(): Promise<void> {
  try {
    guardThread(memoryBytes)
    progress.enter(phases.load, 0, 0)
    const logic = await loadLogic(place, code.hash)
    const spec = logic.find('fold', code.name) as FoldSpec | undefined
    if (spec === undefined) throw new Error(`"${code.entry}" declares no fold "${code.name}"`)
    const found = spec.functions
    functions = found
    steps = runPure(() => new FoldSteps(code, fields, found, progress, memoryBytes))
    progress.leave()
    post({ kind: 'ready' })
  } catch (error) {
    post({ kind: 'unusable', ...textsOf(error) })
  }
}

function call({ method, args }: ToFold): unknown {
  const fold = must(steps, 'calls come once the thread is ready')
  switch (method) {
    case 'giveAll':
      fold.giveAll(JSON.parse(`[${args as FoldCalls['giveAll']['args']}]`) as unknown[][])
      return null
    case 'begin':
      return fold.begin(args as FoldCalls['begin']['args'])
    case 'give':
      fold.give(JSON.parse(`[${args as FoldCalls['give']['args']}]`) as unknown[][])
      return null
    case 'run':
      fold.run(new Set(args as FoldCalls['run']['args']))
      return { failed: fold.failedKeys(), full: fold.isFull } satisfies Stepped
    case 'redo': {
      const { skipped, events } = args as FoldCalls['redo']['args']
      fold.redo(new Set(skipped), events)
      return fold.takeFailures()
    }
    case 'flush':
      return flush(fold, args as FoldCalls['flush']['args'])
    case 'commit':
      fold.commit()
      return null
    case 'abort':
      fold.abort()
      return null
    case 'check': {
      const found = must(functions, 'the functions are there')
      return checkSteps({ code, fields, functions: found, progress }) ?? null
    }
    default:
      return unreachable(method)
  }
}

function flush(fold: FoldSteps, { file: target }: FoldCalls['flush']['args']): FoldCalls['flush']['result'] {
  const flushed = fold.flush()
  if (flushed === undefined) return { failed: fold.failedKeys() }
  writeFileSync(target, flushed.lines)
  return { rows: flushed.rows }
}

function textsOf(error: unknown): { readonly message: string; readonly stack?: string } {
  if (!(error instanceof Error)) return { message: String(error) }
  const { stack } = userStack(error)
  return { message: userText(error.message), stack: stack === '' ? (error.stack ?? '') : stack }
}
