/**
 * `refold dev`: runs a project and takes over every save. A save with mistakes shows them all and changes nothing: the
 * last good project keeps running. A good save folds the new version of each changed view beside the old one and swaps
 * it in when it has caught up. State: the running server, and the number of the last save, so that a slow build of an
 * older save reports nothing once a newer one came.
 */

import { dirname, extname, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import type { LoadResult, ProjectDef } from '../define/types.ts'
import type { RunningServer } from '../server/open-server.ts'
import { createLogger } from '../std/logger.ts'
import { mistakesOf, reportError, reportMistakes } from './cli-error.ts'
import { shownPath } from './code-frame.ts'
import { addExamples } from './command-options.ts'
import { exitCodes } from './exit-codes.ts'
import { addServingOptions, loadNamedProject, type ProjectOptions } from './open-project.ts'
import { shortVersion } from './query.ts'
import { stopRequest } from './start.ts'
import { builtPercent, type ServerStatus } from './status-text.ts'
import type { Cli } from './terminal.ts'
import { type FileWatch, watchFiles } from './watch-files.ts'

interface DevOptions extends ProjectOptions {
  readonly json?: boolean
}

export function devCommand(cli: Cli): Command {
  const command = new Command('dev').description('run a project and reload it on every save')
  addServingOptions(command)
    .option('--json', 'print what happens as JSON on stdout, one object a line')
    .action((options: DevOptions) => new DevSession(cli, options).run())
  return addExamples(command, [
    { does: 'the project in this folder', run: 'refold dev' },
    { does: 'another folder, on a port that is free', run: 'refold dev --project shop --port 0' },
  ])
}

/** What `--json` prints, one object a line. */
type DevEvent =
  | {
      readonly event: 'ready'
      readonly url: string
      readonly streams: readonly string[]
      readonly views: readonly string[]
    }
  | { readonly event: 'mistakes'; readonly mistakes: readonly unknown[] }
  | { readonly event: 'changed'; readonly files: readonly string[] }
  | {
      readonly event: 'building'
      readonly view: string
      readonly version: string
      readonly done: number
      readonly to: number
    }
  | { readonly event: 'live'; readonly view: string; readonly version: string; readonly cut: number }
  | { readonly event: 'removed'; readonly view: string }

const progressEveryMs = 150

class DevSession {
  readonly #cli: Cli
  readonly #options: DevOptions
  readonly #watch: FileWatch
  #server: RunningServer | undefined
  #project: ProjectDef | undefined
  #files: readonly string[] = []
  #save = 0
  #work: Promise<void> = Promise.resolve()
  /** Resolved when nothing runs and no save could mend that. */
  readonly #failed = Promise.withResolvers<void>()

  constructor(cli: Cli, options: DevOptions) {
    this.#cli = cli
    this.#options = options
    this.#watch = watchFiles((files) => this.#saved(files))
  }

  async run(): Promise<void> {
    const stopped = stopRequest(this.#cli)
    try {
      const loaded = await this.#load()
      if (!loaded.ok && loaded.mistakes.some((mistake) => mistake.code === 'PROJECT_NOT_FOUND')) {
        reportMistakes(this.#cli, loaded.mistakes, this.#options.json)
        this.#cli.exitCode = exitCodes.mistakes.code
        return
      }
      await this.#take(loaded)
      await Promise.race([stopped, this.#failed.promise])
    } finally {
      this.#watch.close()
      this.#cli.terminal.endProgress()
      this.#save += 1
      if (this.#server !== undefined) {
        this.#talk(this.#cli.terminal.talkStyle.dim('stopping'))
        await this.#server.close()
      }
    }
  }

  #saved(files: readonly string[]): void {
    const names = files.map((file) => shownPath(file, this.#cli.cwd))
    this.#tell(
      { event: 'changed', files },
      `\n${this.#cli.terminal.talkStyle.dim(`saved ${names.join(', ')}`)}`,
    )
    this.#save += 1
    // Saves are taken one after the other; a build goes on while the next save is loaded.
    this.#work = this.#work.then(async () => this.#take(await this.#load()))
  }

  async #load(): Promise<LoadResult> {
    const named = resolve(this.#cli.cwd, this.#options.project)
    const root = extname(named) === '' ? named : dirname(named)
    // Watched before it is read, so that no save falls between; again after it, when the files are known.
    this.#watch.follow(root, this.#files)
    const loaded = await loadNamedProject(this.#cli, this.#options)
    if (loaded.files.length > 0) this.#files = loaded.files
    this.#watch.follow(loaded.ok ? loaded.project.root : root, this.#files)
    return loaded
  }

  async #take(loaded: LoadResult): Promise<void> {
    if (!loaded.ok) return this.#refuse(loaded.mistakes)
    const { project } = loaded
    try {
      if (this.#server !== undefined && needsRestart(this.#project, project)) {
        this.#talk(this.#cli.terminal.talkStyle.dim('settings changed: starting again'))
        await this.#server.close()
        this.#server = undefined
      }
      if (this.#server === undefined) await this.#start(project)
      else await this.#reload(this.#server, project)
    } catch (error) {
      this.#reportProblem(error)
      // Without a server there is nothing that a save could mend, such as a folder that another server holds.
      if (this.#server === undefined && mistakesOf(error) === undefined) this.#failed.resolve()
    }
  }

  async #start(project: ProjectDef): Promise<void> {
    const beganMs = performance.now()
    const { terminal } = this.#cli
    const style = terminal.talkStyle
    // Loaded here: other commands need neither engine nor server.
    const { openServer } = await import('../server/open-server.ts')
    const logger = createLogger({
      form: 'human',
      level: 'warn',
      write: (line) => terminal.talk(style.dim(line)),
    })
    this.#server = await openServer(project, { logger })
    this.#project = project
    const url = this.#server.http?.url ?? ''
    const streams = project.streams.map((stream) => stream.name)
    const views = project.views.map((view) => view.name)
    const seconds = ((performance.now() - beganMs) / 1_000).toFixed(1)
    const lines = [
      `${style.green('✓')} ${style.bold(project.name)} runs at ${style.cyan(url)}`,
      `  streams  ${streams.join(', ')}`,
      `  views    ${views.join(', ')}`,
      `  data     ${shownPath(project.dataDir, this.#cli.cwd)}`,
      style.dim(`  ready in ${seconds} s; save a file to reload, Ctrl-C to stop`),
    ]
    this.#tell({ event: 'ready', url, streams, views }, lines.join('\n'))
  }

  /** Resolves once the new project is taken over or refused; builds go on and report by themselves. */
  async #reload(server: RunningServer, project: ProjectDef): Promise<void> {
    const save = this.#save
    const beganMs = performance.now()
    const before = servingVersions(server)
    const timer = setInterval(() => void this.#showBuilds(server, save), progressEveryMs)
    const outcome = server
      .reload(project)
      .then(
        () => ({ problem: undefined }),
        (problem: unknown) => ({ problem }),
      )
      .finally(() => clearInterval(timer))
    const finish = ({ problem }: { readonly problem: unknown }): void => {
      if (save !== this.#save) return
      if (problem === undefined) this.#reportSwaps(server, before, performance.now() - beganMs)
      else this.#reportProblem(problem)
    }
    // A reload with mistakes fails before anything is built, so this is long enough to tell saves apart in order.
    const early = await Promise.race([outcome, sleep(1_000, undefined, { ref: false })])
    this.#project = project
    if (early === undefined) void outcome.then(finish)
    else finish(early)
  }

  #reportProblem(error: unknown): void {
    const mistakes = mistakesOf(error)
    if (mistakes !== undefined) {
      this.#refuse(mistakes)
      return
    }
    reportError(this.#cli, error, this.#options.json)
    if (this.#server === undefined) return
    this.#cli.exitCode = exitCodes.ok.code
    this.#talk(
      this.#cli.terminal.talkStyle.dim('the last good versions keep answering; save a corrected file'),
    )
  }

  async #showBuilds(server: RunningServer, save: number): Promise<void> {
    const status = (await server.core.status().catch(() => undefined)) as ServerStatus | undefined
    if (status === undefined || save !== this.#save) return
    const builds = status.views.filter((view) => view.build !== undefined)
    if (builds.length === 0) return
    if (this.#options.json === true) {
      for (const { name, version, build } of builds)
        this.#tell({ event: 'building', view: name, version, ...build! }, '')
      return
    }
    this.#cli.terminal.progress(
      builds.map((view) => `folding ${view.name} ${builtPercent(view.build!)}%`).join('  '),
    )
  }

  #reportSwaps(server: RunningServer, before: ReadonlyMap<string, string>, tookMs: number): void {
    const style = this.#cli.terminal.talkStyle
    this.#cli.terminal.endProgress()
    let changes = 0
    for (const { name, version, cut } of server.core.views()) {
      const old = before.get(name)
      if (old === version) continue
      changes += 1
      const from = old === undefined ? 'new' : style.dim(`${shortVersion(old)} →`)
      const took = `${(tookMs / 1_000).toFixed(1)} s`
      this.#tell(
        { event: 'live', view: name, version, cut },
        `${style.green('✓')} view ${style.bold(`"${name}"`)} ${from} ${shortVersion(version)} live at cut ${cut} ${style.dim(`(${took})`)}`,
      )
    }
    const now = servingVersions(server)
    for (const name of before.keys()) {
      if (now.has(name)) continue
      changes += 1
      this.#tell(
        { event: 'removed', view: name },
        `${style.yellow('−')} view ${style.bold(`"${name}"`)} removed`,
      )
    }
    if (changes === 0) this.#talk(`${style.green('✓')} no view changed`)
  }

  #refuse(mistakes: Parameters<typeof reportMistakes>[1]): void {
    const style = this.#cli.terminal.talkStyle
    if (this.#options.json === true)
      this.#tell({ event: 'mistakes', mistakes: mistakes.map(mistakeLine) }, '')
    else reportMistakes(this.#cli, mistakes)
    this.#talk(
      style.dim(
        this.#server === undefined
          ? 'nothing runs yet; save a corrected file'
          : 'the last good project keeps running; save a corrected file',
      ),
    )
  }

  #tell(event: DevEvent, text: string): void {
    if (this.#options.json === true) void this.#cli.terminal.data(`${JSON.stringify(event)}\n`)
    else this.#talk(text)
  }

  #talk(text: string): void {
    if (this.#options.json !== true) this.#cli.terminal.talk(text)
  }
}

function mistakeLine({ code, message, hint, place }: Parameters<typeof reportMistakes>[1][number]): unknown {
  return { code, message, hint, place }
}

function servingVersions(server: RunningServer): ReadonlyMap<string, string> {
  return new Map(server.core.views().map((view) => [view.name, view.version]))
}

/** What a running server cannot take over. */
function needsRestart(old: ProjectDef | undefined, now: ProjectDef): boolean {
  const settings = ({ dataDir, server, engine, limits, seal }: ProjectDef): string =>
    JSON.stringify([dataDir, server, engine, limits, seal])
  return old !== undefined && settings(old) !== settings(now)
}
