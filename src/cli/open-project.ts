/**
 * The project that a command works on: the options by which a person names it, and loading it with what the command
 * line overrides. No state.
 */

import { resolve } from 'node:path'
import type { Command } from 'commander'
import { loadProject } from '../define/load.ts'
import type { LoadResult, ProjectDef } from '../define/types.ts'
import type { RefoldError } from '../model/errors.ts'
import { wholeNumber } from './command-options.ts'
import type { Cli } from './terminal.ts'

export interface ProjectOptions {
  readonly project: string
  readonly data?: string
  readonly host?: string
  readonly port?: number
}

/** Thrown where a project must be right to go on. */
export class MistakenProject extends Error {
  override readonly name = 'MistakenProject'
  readonly mistakes: readonly RefoldError[]

  constructor(mistakes: readonly RefoldError[]) {
    super(`the project has ${mistakes.length} mistakes`)
    this.mistakes = mistakes
  }
}

export function addProjectOption(command: Command): Command {
  return command.option('--project <path>', 'the project: its folder or its file', '.')
}

export function addServingOptions(command: Command): Command {
  return addProjectOption(command)
    .option('--data <folder>', "the data folder, instead of the project's")
    .option('--host <host>', "the address to listen on, instead of the project's")
    .option(
      '--port <port>',
      "the port, instead of the project's; 0 lets the system choose",
      wholeNumber(0, 65_535),
    )
}

export async function loadNamedProject(cli: Cli, options: ProjectOptions): Promise<LoadResult> {
  const loaded = await loadProject(resolve(cli.cwd, options.project))
  return loaded.ok ? { ...loaded, project: overridden(cli, loaded.project, options) } : loaded
}

export async function loadRightProject(cli: Cli, options: ProjectOptions): Promise<ProjectDef> {
  const loaded = await loadNamedProject(cli, options)
  if (!loaded.ok) throw new MistakenProject(loaded.mistakes)
  return loaded.project
}

function overridden(cli: Cli, project: ProjectDef, options: ProjectOptions): ProjectDef {
  const { data, host, port } = options
  return {
    ...project,
    ...(data === undefined ? {} : { dataDir: resolve(cli.cwd, data) }),
    server: {
      ...project.server,
      ...(host === undefined ? {} : { host }),
      ...(port === undefined ? {} : { port }),
    },
  }
}
