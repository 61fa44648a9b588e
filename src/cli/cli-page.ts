/** The page `docs/cli.md`, made from the commands themselves: their help and the table of exit codes. No state. */

import { Readable, Writable } from 'node:stream'
import { exitCodes } from './exit-codes.ts'
import { buildProgram } from './program.ts'
import { openTerminal } from './terminal.ts'

export function cliPage(): string {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const program = buildProgram({
    terminal: openTerminal(nowhere, nowhere, {}),
    env: {},
    cwd: '.',
    stdin: Readable.from([]),
    onStop: () => () => {},
    exitCode: 0,
  })
  const rows = Object.values(exitCodes).map(({ code, meaning }) => `| ${code} | ${meaning} |`)
  const sections = program.commands.map((command) => {
    const help: string[] = []
    command.configureOutput({ writeOut: (text) => void help.push(text) }).outputHelp()
    return `## refold ${command.name()}\n\n\`\`\`text\n${help.join('').trim()}\n\`\`\`\n`
  })
  return `# Command line

\`refold COMMAND --help\` prints what stands here; this page is written from it and a test compares the two.

Data goes to stdout and talk to stderr, so that \`refold query … > rows.txt\` holds rows alone. With \`--json\` the data
is JSON, one object or one object a line, and an error is \`{"error":{"code","message","hint",…}}\` on stderr. Colours
and redrawn lines are for terminals only; \`NO_COLOR\` turns colours off there too. \`REFOLD_URL\` and \`REFOLD_TOKEN\`
stand for \`--url\` and \`--token\`. \`REFOLD_DEBUG=1\` adds the stack of an error.

## Exit codes

| code | meaning |
| --- | --- |
${rows.join('\n')}

${sections.join('\n')}
## How \`ingest\` can be stopped and run again

While a file is sent, \`FILE.STREAM.refold-ingest\` beside it (or the file that \`--progress\` names) keeps how far the
server has acknowledged it. A second run goes on there. What was on its way when the first run ended is sent again,
cut at the same places: an event of a stream with an id is recognised by its id, and the events of a batch for a stream
without one by the batch's \`Idempotency-Key\`, which is made from the file's path, the place in the file and the
content. Only those last batches need to be within the dedupe window, so a file may hold more events than the window.

- A file that grew is gone on with; a last line without its end that is no JSON yet is left for the next run.
- A file whose beginning is another one, and a server whose log is another one, are refused; \`--restart\` sends the
  file from its first event.
- Delete the progress of a stream without an id, or use \`--restart\`, with another \`--batch\`, and events that the log
  has are taken again: without an id nothing tells them apart.
- Values of Parquet files are sent exactly: decimals and 64-bit integers digit for digit, times in UTC with
  microseconds. A NULL is left out, or sent as null where the schema says that the field may be null.
`
}
