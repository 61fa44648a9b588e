/**
 * The whole command line: one file a command, put together here. Options and help live in the commands' files; what
 * is heavy (the engine, the server) is loaded only when a command's action needs it. No state.
 */

import { readFileSync } from 'node:fs'
import { type Argument, Command, CommanderError } from 'commander'
import { backupCommand } from './backup.ts'
import { batchCommand } from './batch.ts'
import { checksCommand } from './checks.ts'
import { reportError } from './cli-error.ts'
import { compareCommand } from './compare.ts'
import { deadCommand } from './dead.ts'
import { deployCommand } from './deploy.ts'
import { deploysCommand } from './deploys.ts'
import { devCommand } from './dev.ts'
import { divergenceCommand } from './divergence.ts'
import { exitCodes } from './exit-codes.ts'
import { explainCommand } from './explain.ts'
import { ingestCommand } from './ingest.ts'
import { initCommand } from './init.ts'
import { lakeCommand } from './lake.ts'
import { lateCommand } from './late.ts'
import { pauseCommand, resumeCommand } from './pause.ts'
import { planCommand } from './plan.ts'
import { queryCommand } from './query.ts'
import { restoreCommand } from './restore.ts'
import { rollbackCommand } from './rollback.ts'
import { startCommand } from './start.ts'
import { statusCommand } from './status.ts'
import { tailCommand } from './tail.ts'
import type { Cli } from './terminal.ts'
import { verifyCommand } from './verify.ts'
import { whyCommand } from './why.ts'

/** Runs one command line (without node and script) and answers with the exit code. */
export async function runCli(args: readonly string[], cli: Cli): Promise<number> {
  try {
    const program = buildProgram(cli)
    if (args.length === 0) program.outputHelp()
    else await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) reportError(cli, error, args.includes('--json'))
    else if (error.exitCode !== 0) cli.exitCode = exitCodes.mistakes.code
  }
  return cli.exitCode
}

export function buildProgram(cli: Cli): Command {
  const { terminal } = cli
  const program = new Command('refold')
    .description('Views over an immutable event log: fresh in milliseconds, exact after every crash.')
    .version(packageVersion(), '-v, --version', 'print the version')
    // After a command, --version is the command's own.
    .enablePositionalOptions()
    .helpOption('-h, --help', 'print help')
    .addHelpText('after', '\nStart with `refold init my-project`. Every command has examples under --help.')
  const commands = [
    initCommand(cli),
    devCommand(cli),
    startCommand(cli),
    ingestCommand(cli),
    queryCommand(cli),
    tailCommand(cli),
    statusCommand(cli),
    explainCommand(cli),
    planCommand(cli),
    deployCommand(cli),
    deploysCommand(cli),
    rollbackCommand(cli),
    pauseCommand(cli),
    resumeCommand(cli),
    compareCommand(cli),
    whyCommand(cli),
    checksCommand(cli),
    verifyCommand(cli),
    divergenceCommand(cli),
    batchCommand(cli),
    lateCommand(cli),
    deadCommand(cli),
    lakeCommand(cli),
    backupCommand(cli),
    restoreCommand(cli),
  ]
  for (const command of commands) program.addCommand(command)
  for (const command of [program, ...commands]) {
    command
      .exitOverride()
      .helpOption('-h, --help', 'print help')
      .showSuggestionAfterError(true)
      .configureHelp({
        styleTitle: (title) => terminal.dataStyle.bold(title),
        subcommandTerm: (sub) => [sub.name(), ...sub.registeredArguments.map(argumentTerm)].join(' '),
      })
      .configureOutput({
        writeOut: (text) => void terminal.data(text),
        writeErr: (text) => terminal.talk(text),
        getOutHelpWidth: () => Math.min(terminal.dataWidth() ?? 100, 100),
        outputError: (text, write) => write(`${terminal.talkStyle.red(text.trimEnd())}\n`),
      })
  }
  program.helpCommand('help [command]', 'print help for a command')
  return program
}

function argumentTerm(argument: Argument): string {
  return argument.required ? `<${argument.name()}>` : `[${argument.name()}]`
}

function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}
