/**
 * `refold explain VIEW`: how a view is folded, merged and finished. Asks the running server; where none answers, or
 * with `--local`, the view is planned here from the project's files. No state.
 */

import { Command } from 'commander'
import { RefoldError } from '../model/errors.ts'
import { nearestName } from '../std/nearest-name.ts'
import { openClient } from './client.ts'
import { addExamples, addServerOptions, type ServerOptions } from './command-options.ts'
import { type Explanation, formatExplanation } from './explain-text.ts'
import { addProjectOption, loadRightProject, MistakenProject } from './open-project.ts'
import type { Cli } from './terminal.ts'

interface ExplainOptions extends ServerOptions {
  readonly project: string
  readonly local?: boolean
}

export function explainCommand(cli: Cli): Command {
  const command = new Command('explain')
    .description('show how a view is folded, merged and finished, its state and what it costs')
    .argument('<view>', 'the view')
    .option('--local', "plan it from the project's files, without a server")
  addServerOptions(addProjectOption(command))
    .option('--json', 'print the plan, one JSON object')
    .action((view: string, options: ExplainOptions) => runExplain(cli, view, options))
  return addExamples(command, [
    { does: 'a live view, with the state it holds', run: 'refold explain user_stats' },
    { does: 'a view that was just written, before anything runs', run: 'refold explain user_stats --local' },
  ])
}

async function runExplain(cli: Cli, view: string, options: ExplainOptions): Promise<void> {
  const { terminal } = cli
  const text =
    options.local === true
      ? await explainLocally(cli, view, options)
      : await explainFromServer(cli, view, options)
  if (options.json === true) return terminal.data(`${text.trimEnd()}\n`)
  await terminal.data(formatExplanation(JSON.parse(text) as Explanation, terminal.dataStyle))
}

async function explainFromServer(cli: Cli, view: string, options: ExplainOptions): Promise<string> {
  const client = openClient(options, cli.env)
  try {
    return await client.text({ path: `/v1/views/${encodeURIComponent(view)}/explain` })
  } catch (error) {
    const unreachable = error instanceof RefoldError && error.code === 'CLI_UNREACHABLE'
    if (!unreachable || options.url !== undefined) throw error
    cli.terminal.talk(
      cli.terminal.talkStyle.dim(`no server at ${client.url}; planned from the project's files`),
    )
    return await explainLocally(cli, view, options)
  } finally {
    client.close()
  }
}

async function explainLocally(cli: Cli, name: string, options: ExplainOptions): Promise<string> {
  const project = await loadRightProject(cli, { project: options.project })
  const view = project.views.find((one) => one.name === name)
  if (view === undefined)
    throw unknownView(
      name,
      project.views.map((one) => one.name),
    )
  // Loaded here: planning asks DuckDB's parser.
  const { planViews } = await import('../server/plan-views.ts')
  const planned = await planViews({ ...project, views: [view] })
  if (!planned.ok) throw new MistakenProject(planned.mistakes)
  const [{ version, plan }] = planned.views as [(typeof planned.views)[number]]
  return JSON.stringify({ view: name, version, onError: view.onError, plan })
}

function unknownView(name: string, names: readonly string[]): RefoldError {
  const nearest = nearestName(name, names)
  return new RefoldError('VIEW_UNKNOWN', `the project has no view "${name}"`, {
    hint: nearest === undefined ? `The views are: ${names.join(', ')}.` : `Did you mean "${nearest}"?`,
  })
}
