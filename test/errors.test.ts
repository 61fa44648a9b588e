/**
 * The error catalogue: `docs/errors.md` says exactly what the table in `src/model/errors.ts` says, and each row
 * keeps the rules for codes, meanings and hints. The page is written by `node scripts/docs.ts`.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorTable } from '../src/model/errors.ts'
import { filesOf, read } from './support/source-files.ts'

const rows = Object.entries(errorTable)

test('docs/errors.md has each code of the table once, with its meaning and hint', () => {
  const page = read('docs/errors.md')
  const sections = page.split(/^### /m).slice(1)
  assert.deepEqual(
    sections.map((section) => section.slice(0, section.indexOf('\n'))),
    rows.map(([code]) => code).sort(),
    'codes differ: run `node scripts/docs.ts`',
  )
  for (const section of sections) {
    const [code = '', ...rest] = section.trim().split('\n')
    const row = errorTable[code as keyof typeof errorTable]
    const text = rest.join('\n').trim()
    assert.ok(text.startsWith(`HTTP ${row.status}, ${row.retryable ? 'retryable' : 'not retryable'}.`), code)
    assert.ok(text.includes(row.meaning) && text.includes(row.hint), `${code}: run \`node scripts/docs.ts\``)
  }
})

test('codes, meanings and hints keep the rules', () => {
  for (const [code, row] of rows) {
    assert.match(code, /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/, code)
    assert.ok(row.status >= 400 && row.status < 600, `${code}: an HTTP status of an error`)
    assert.match(row.meaning, /^[A-Z].*\.$/s, `${code}: the meaning is a sentence`)
    assert.match(row.hint, /^\S.*[.!?`]$/s, `${code}: the hint is a sentence`)
    assert.doesNotMatch(
      `${row.meaning} ${row.hint}`,
      /\b(oops|sorry|invalid|illegal|bad)\b/i,
      `${code}: no blame`,
    )
  }
})

test('every code is used somewhere', () => {
  const texts = filesOf('src/**/*.ts').filter(
    (file) => file.path !== 'src/model/errors.ts' && !file.path.endsWith('.test.ts'),
  )
  const unused = rows
    .map(([code]) => code)
    .filter((code) => !texts.some(({ text }) => text.includes(`'${code}'`)))
  // INTERNAL is what anything that is not a RefoldError becomes; the table's own module says so.
  assert.deepEqual(
    unused.filter((code) => code !== 'INTERNAL'),
    [],
  )
})
