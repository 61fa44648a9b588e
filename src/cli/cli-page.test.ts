/** `docs/cli.md` is what the commands say. `REFOLD_WRITE_DOCS=1` writes the page instead of comparing it. */

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { cliPage } from './cli-page.ts'
import { exitCodes } from './exit-codes.ts'

const page = new URL('../../docs/cli.md', import.meta.url)

test('docs/cli.md is up to date', () => {
  if (process.env['REFOLD_WRITE_DOCS']) writeFileSync(page, cliPage())
  assert.equal(readFileSync(page, 'utf8'), cliPage())
})

test('the page lists every exit code once', () => {
  const listed = [...readFileSync(page, 'utf8').matchAll(/^\| (\d+) \|/gm)].map((match) => Number(match[1]))
  assert.deepEqual(
    listed,
    Object.values(exitCodes).map(({ code }) => code),
  )
})
