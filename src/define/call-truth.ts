/**
 * Calls the function that fetches a check's truth, in a process of its own: what it holds open, how much memory it
 * takes and how it ends are its own affair, and the server goes on. No state.
 *
 * The process imports the project file as it is on disk now. It is killed once it has answered, once its time is up,
 * and when whoever asked no longer wants to know.
 */

import { type ChildProcess, fork } from 'node:child_process'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { RefoldError } from '../model/errors.ts'

export interface TruthCall {
  readonly check: string
  /** Absolute path of the project file. */
  readonly file: string
  readonly timeoutMs: number
  readonly rowsMax: number
  readonly signal?: AbortSignal
}

/** What the process sends back. */
export type TruthAnswer =
  | { readonly kind: 'refold-truth'; readonly ok: true; readonly rows: string }
  | { readonly kind: 'refold-truth'; readonly ok: false; readonly message: string }

/** Of the JavaScript heap. */
export const TRUTH_MEMORY_MB = 512
const TALK_BYTES_MAX = 4_000

/** The rows as JSON text: an array of objects of plain values. Throws CHECK_TRUTH, QUERY_CANCELLED. */
export async function callTruth(call: TruthCall): Promise<string> {
  const { check, file, timeoutMs, rowsMax, signal } = call
  const entry = new URL(`./truth-worker${extname(import.meta.url)}`, import.meta.url)
  const child = fork(fileURLToPath(entry), [], {
    execArgv: [`--max-old-space-size=${TRUTH_MEMORY_MB}`, '--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const talk = keepTalk(child)
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const fail = (what: string) => reject(truthError(check, what, talk()))
  const cancel = () => reject(new RefoldError('QUERY_CANCELLED', `check "${check}" was cancelled`))
  const timer = setTimeout(() => fail(`did not answer within ${timeoutMs} ms`), timeoutMs)
  child.on('message', (answer) => {
    if (!isAnswer(answer)) return
    if (answer.ok) resolve(answer.rows)
    else fail(answer.message)
  })
  child.on('error', (error) => fail(`could not be started: ${error.message}`))
  // 'close' comes after the last of what it printed.
  child.on('close', (code, killedBy) => fail(endText(code, killedBy)))
  if (signal?.aborted) cancel()
  signal?.addEventListener('abort', cancel, { once: true })
  child.send({ check, file, rowsMax }, () => {})
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', cancel)
    child.kill('SIGKILL')
  }
}

function keepTalk(child: ChildProcess): () => string {
  let kept = ''
  const keep = (chunk: Buffer) => {
    kept = (kept + chunk.toString('utf8')).slice(-TALK_BYTES_MAX)
  }
  child.stdout?.on('data', keep)
  child.stderr?.on('data', keep)
  return () => kept.trim()
}

/** `what` goes on from "the function". */
function truthError(check: string, what: string, talk: string): RefoldError {
  const printed = talk === '' ? '' : `; it printed: ${talk}`
  return new RefoldError('CHECK_TRUTH', `the function of check "${check}" ${what}${printed}`, {
    hint: `Try it with \`refold checks run ${check}\`; \`timeout\` gives it more time.`,
  })
}

function endText(code: number | null, signal: NodeJS.Signals | null): string {
  // V8 aborts at the heap's limit.
  if (signal === 'SIGABRT' || code === 134)
    return `ended its process, most likely for want of memory (${TRUTH_MEMORY_MB} MB)`
  return `ended its process (${signal === null ? `exit code ${code}` : `signal ${signal}`}) before it answered`
}

function isAnswer(value: unknown): value is TruthAnswer {
  return (
    typeof value === 'object' && value !== null && (value as Partial<TruthAnswer>).kind === 'refold-truth'
  )
}
