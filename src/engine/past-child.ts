/**
 * Entry of the past engine's process: turns messages into calls of `PastCore`. It is nice to the live engine, it
 * publishes nothing, and it ends when the server's channel closes, so it never outlives its server.
 */

import { constants, setPriority } from 'node:os'
import { toErrorBody } from '../model/errors.ts'
import { must, unreachable } from '../std/assert.ts'
import { PastCore } from './past-core.ts'
import type { FromPast, PastCalls, PastMethod, ToPast } from './past-protocol.ts'

let core: Promise<PastCore> | undefined
const running = new Map<number, AbortController>()

process.on('message', (message) => receive(message as ToPast))
process.on('disconnect', () => process.exit(0))
// The server ends its engines; a terminal's Ctrl-C reaches the whole group and is not for us.
process.on('SIGINT', () => {})

function receive(message: ToPast): void {
  switch (message.kind) {
    case 'settings':
      beNice()
      core = PastCore.open(message.settings)
      // Whoever calls is told.
      core.catch(() => {})
      return
    case 'call':
      void answer(message.id, message.method, message.args)
      return
    case 'cancel':
      running.get(message.id)?.abort()
      return
    case 'stop':
      process.exit(0)
      return
    default:
      unreachable(message)
  }
}

/** Some containers refuse it; the engine works all the same. */
function beNice(): void {
  try {
    setPriority(constants.priority.PRIORITY_LOW)
  } catch {}
}

async function answer(id: number, method: PastMethod, args: unknown): Promise<void> {
  const controller = new AbortController()
  running.set(id, controller)
  try {
    send({ kind: 'answer', id, value: await call(method, args, controller.signal) })
  } catch (error) {
    const body = toErrorBody(error)
    if (body.code === 'INTERNAL')
      process.stderr.write(`refold past engine: ${error instanceof Error ? error.stack : error}\n`)
    send({ kind: 'failure', id, error: body })
  } finally {
    running.delete(id)
  }
}

async function call(method: PastMethod, args: unknown, signal: AbortSignal): Promise<unknown> {
  const opened = await must(core, 'settings come before the first call')
  switch (method) {
    case 'query':
      return opened.query(args as PastCalls['query']['args'], signal)
    case 'read':
      return opened.read(args as PastCalls['read']['args'], signal)
    case 'sql':
      return opened.sql(args as PastCalls['sql']['args'], signal)
    default:
      return unreachable(method)
  }
}

function send(message: FromPast): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}
