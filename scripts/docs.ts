/**
 * Writes the pages of `docs/` that are made from the source: the error catalogue. With `--check` it writes nothing
 * and fails when a page is not what it would write.
 */

import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { errorTable } from '../src/model/errors.ts'
import { root } from './steps.ts'

const file = path.join(root, 'docs/errors.md')
const page = errorsPage()
if (process.argv.includes('--check')) {
  if (readFileSync(file, 'utf8') !== page) {
    console.error('docs/errors.md is not what the error table says: run `npm run docs`')
    process.exitCode = 1
  }
} else {
  writeFileSync(file, page)
}

function errorsPage(): string {
  const sections = Object.entries(errorTable)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([code, row]) =>
        `### ${code}\n\nHTTP ${row.status}, ${row.retryable ? 'retryable' : 'not retryable'}. ${row.meaning}\n\n` +
        `What to do: ${row.hint}\n`,
    )
  return `# Errors

Every error that Refold gives has a code from this list. A code never changes its meaning. Over HTTP an error is
\`{"error":{"code","message","hint","retryable","place","details"}}\`, where \`place\` (file, line, column) and
\`details\` are there only when they help; the CLI prints the same, and with \`--json\` the same object.
"Retryable" means that sending the same again later may succeed.

This page is written by \`npm run docs\` from \`src/model/errors.ts\`; a test compares the two.

${sections.join('\n')}`
}
