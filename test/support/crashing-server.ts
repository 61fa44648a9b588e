/**
 * For tests: a server as a process of its own that ends with SIGKILL at a named crash point, and seals or moves when it
 * is told to. Started by `LawServer`; what it is to open comes as a file. State: the server, the points it is to end at.
 */

import { readFileSync, writeSync } from 'node:fs'
import type { ProjectDef } from '../../src/define/types.ts'
import { openServer, type ServerOptions } from '../../src/server/open-server.ts'
import { createLogger } from '../../src/std/logger.ts'

export interface CrashingSpec {
  readonly project: ProjectDef
  readonly options: Pick<ServerOptions, 'segments' | 'historyCheckMs' | 'lakeMerge' | 'retentionCheckMs'>
  readonly armed: readonly string[]
}

export type Command =
  | { readonly arm: readonly string[] }
  | { readonly flush: true }
  | { readonly close: true }

const spec = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as CrashingSpec
let armed = spec.armed
const seen = new Set<string>()

// Whoever started it is gone.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))

const logger = createLogger({ form: 'human' })

const server = await openServer(spec.project, {
  ...spec.options,
  views: 'deployed',
  logger,
  crash: (point) => {
    if (!seen.has(point)) writeSync(1, `${point}\n`)
    seen.add(point)
    if (armed.includes(point)) {
      writeSync(1, `killed ${point}\n`)
      process.kill(process.pid, 'SIGKILL')
    }
  },
})

process.on('message', (command: Command) => {
  if ('arm' in command) armed = command.arm
  else if ('close' in command) void server.close().then(() => process.exit(0))
  else
    void server.flush().then(
      () => process.send?.('flushed'),
      () => process.send?.('flushed'),
    )
})
process.send?.({ url: server.http?.url })
