/**
 * Entry of the live engine's process: turns messages into calls of `LiveCore`. It ends when the server's channel
 * closes, so an engine never outlives its server.
 */

import { toErrorBody } from '../model/errors.ts'
import { unreachable } from '../std/assert.ts'
import type { EngineSpec } from './engine.ts'
import { LiveCore } from './live-core.ts'
import type { FromEngine, LiveCalls, LiveMethod, ToEngine } from './live-protocol.ts'
import { Outbox } from './outbox.ts'

let core: LiveCore | undefined
const running = new Map<number, AbortController>()
const outbox = new Outbox<FromEngine>((messages) => {
  if (process.connected) process.send?.([...messages], undefined, undefined, () => {})
})

process.on('message', (messages) => {
  for (const message of messages as readonly ToEngine[]) receive(message)
})
process.on('disconnect', () => process.exit(0))
// The server stops the engine; a terminal's Ctrl-C reaches the whole group and is not for us.
process.on('SIGINT', () => {})

function receive(message: ToEngine): void {
  switch (message.kind) {
    case 'call':
      void answer(message.id, message.method, message.args)
      return
    case 'cancel':
      running.get(message.id)?.abort()
      return
    case 'advance':
      core?.advance(message.log)
      return
    case 'stop':
      void (core?.stop() ?? Promise.resolve()).finally(() => process.exit(0))
      return
    default:
      unreachable(message)
  }
}

async function answer(id: number, method: LiveMethod, args: unknown): Promise<void> {
  const controller = new AbortController()
  running.set(id, controller)
  try {
    outbox.send({ kind: 'answer', id, value: await call(method, args, controller.signal) })
  } catch (error) {
    const body = toErrorBody(error)
    if (body.code === 'INTERNAL')
      process.stderr.write(`refold engine: ${error instanceof Error ? error.stack : error}\n`)
    outbox.send({ kind: 'failure', id, error: body })
  } finally {
    running.delete(id)
  }
}

async function call(method: LiveMethod, args: unknown, signal: AbortSignal): Promise<unknown> {
  if (method === 'start') {
    const started = await LiveCore.start(args as EngineSpec, (progress) =>
      outbox.send({ kind: 'progress', progress }),
    )
    core = started.core
    return { badSlices: started.badSlices }
  }
  if (core === undefined) throw new Error(`the engine was called (${method}) before it was started`)
  switch (method) {
    case 'setSources':
      return core.setSources(args as LiveCalls['setSources']['args'])
    case 'seal':
      return core.seal(args as LiveCalls['seal']['args'])
    case 'published':
      return core.published(args as LiveCalls['published']['args'])
    case 'addVersion':
      return core.addVersion(args as LiveCalls['addVersion']['args'])
    case 'removeVersion': {
      const { view, version } = args as LiveCalls['removeVersion']['args']
      return core.removeVersion(view, version)
    }
    case 'setServing':
      return core.setServing(args as LiveCalls['setServing']['args'])
    case 'skip': {
      const { view, version, position } = args as LiveCalls['skip']['args']
      return core.skip(view, version, position)
    }
    case 'read':
      return core.reads.read(args as LiveCalls['read']['args'], signal)
    case 'sql':
      return core.reads.sql(args as LiveCalls['sql']['args'], signal)
    case 'capture':
      return core.reads.capture(args as LiveCalls['capture']['args'], signal)
    case 'delta':
      return core.reads.delta(args as LiveCalls['delta']['args'], signal)
    default:
      return unreachable(method)
  }
}
