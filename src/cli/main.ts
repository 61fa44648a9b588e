#!/usr/bin/env node
/**
 * The `refold` command: checks Node's version in a sentence before anything is loaded that would fail in another
 * way, quiets one known warning, and hands the command line to `program.ts`. State: none beside the process's own.
 */

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 22)) {
  process.stderr.write(
    `refold needs Node 22.22 or newer; this is Node ${process.versions.node}. Install one from https://nodejs.org.\n`,
  )
  process.exit(1)
}

quietSqliteWarning()
for (const output of [process.stdout, process.stderr]) {
  // A reader that went away wants no more: the command ends, and that is no failure.
  output.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
}

const { runCli } = await import('./program.ts')
const { openTerminal } = await import('./terminal.ts')

const exitCode = await runCli(process.argv.slice(2), {
  terminal: openTerminal(process.stdout, process.stderr, process.env),
  env: process.env,
  cwd: process.cwd(),
  stdin: process.stdin,
  onStop(listener) {
    process.on('SIGINT', listener).on('SIGTERM', listener)
    return () => void process.off('SIGINT', listener).off('SIGTERM', listener)
  },
  exitCode: 0,
})
process.exit(exitCode)

/** `node:sqlite` warns that it is experimental in the Node versions that we support; nobody can act on it. */
function quietSqliteWarning(): void {
  const emitWarning = process.emitWarning.bind(process) as (...args: unknown[]) => void
  process.emitWarning = ((...args: unknown[]) => {
    const text = args[0] instanceof Error ? args[0].message : String(args[0])
    if (!text.startsWith('SQLite is an experimental feature')) emitWarning(...args)
  }) as typeof process.emitWarning
}
