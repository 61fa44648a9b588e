/**
 * `refold start`: runs a project until it is told to stop. Log lines go to stderr, as text on a terminal and as JSON
 * elsewhere. The first SIGINT or SIGTERM ends it in order, the second at once. State: the running server.
 */

import { Command } from 'commander'
import { createLogger } from '../std/logger.ts'
import { addExamples } from './command-options.ts'
import { exitCodes } from './exit-codes.ts'
import { addServingOptions, loadRightProject, type ProjectOptions } from './open-project.ts'
import type { Cli } from './terminal.ts'

interface StartOptions extends ProjectOptions {
  readonly json?: boolean
  readonly log?: string
}

export function startCommand(cli: Cli): Command {
  const command = new Command('start').description('run a project in production, until SIGTERM or Ctrl-C')
  addServingOptions(command)
    .option('--log <form>', 'log lines as "text" or "json" (default: text on a terminal, else json)')
    .option('--json', 'print one JSON object on stdout once it is ready: url, pid, cut, views')
    .action((options: StartOptions) => runStart(cli, options))
  return addExamples(command, [
    { does: 'the project in this folder', run: 'refold start' },
    {
      does: 'another folder, another port, log lines for a program',
      run: 'refold start --project /srv/shop --port 8080 --log json',
    },
  ])
}

async function runStart(cli: Cli, options: StartOptions): Promise<void> {
  const { terminal } = cli
  const beganMs = performance.now()
  const stopped = stopRequest(cli)
  const project = await loadRightProject(cli, options)
  const form = (options.log ?? (terminal.talkIsTty ? 'text' : 'json')) === 'json' ? 'json' : 'human'
  const logger = createLogger({ form, write: (line) => terminal.talk(line) })
  // Loaded here: other commands need neither engine nor server.
  const { openServer } = await import('../server/open-server.ts')
  const server = await openServer(project, { logger, views: 'deployed' })
  try {
    const ready = {
      url: server.http?.url ?? '',
      pid: process.pid,
      project: project.name,
      data: project.dataDir,
      views: project.views.length,
      startedMs: Math.round(performance.now() - beganMs),
    }
    logger.info('ready', ready)
    if (options.json === true) await terminal.data(`${JSON.stringify({ ready: true, ...ready })}\n`)
    await stopped
    logger.info('stopping')
  } finally {
    await server.close()
  }
  logger.info('stopped')
}

/** Resolves at the first request to stop; a second one does not wait any longer. */
export function stopRequest(cli: Cli): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let asked = false
  cli.onStop(() => {
    if (asked) process.exit(exitCodes.stopped.code)
    asked = true
    resolve()
  })
  return promise
}
