/** A mistake is shown where it is; the pictures are drawn by hand. */

import assert from 'node:assert/strict'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { formatMistake, formatMistakes } from './code-frame.ts'
import { plainStyle } from './colours.ts'

const cwd = mkdtempSync(join(tmpdir(), 'refold-frame-'))
writeFileSync(join(cwd, 'top.sql'), '-- best\n\tSELECT 抹茶, usr_id\nFROM orders\n')

const mistake = {
  code: 'VIEW_COLUMN_UNKNOWN',
  message: 'stream "orders" has no column "usr_id"',
  hint: 'Did you mean "user_id"?',
  retryable: false,
} as const

test('file, line and column, the line itself, a caret under the word, the hint', () => {
  const place = { file: join(cwd, 'top.sql'), line: 2, column: 13 }
  assert.equal(
    formatMistake({ ...mistake, place }, { style: plainStyle, cwd }),
    [
      'error stream "orders" has no column "usr_id" VIEW_COLUMN_UNKNOWN',
      '  top.sql:2:13',
      '  1 │ -- best',
      '  2 │   SELECT 抹茶, usr_id',
      '    │                ^^^^^^',
      '  hint Did you mean "user_id"?',
      '',
    ].join('\n'),
  )
})

test('a place in SQL that was typed shows that SQL', () => {
  const text = formatMistake(
    { ...mistake, place: { line: 1, column: 8 } },
    { style: plainStyle, cwd, text: 'SELECT usr_id' },
  )
  assert.match(text, / {2}SQL:1:8\n {2}1 │ SELECT usr_id\n {4}│ {8}\^{6}\n/)
})

test('a file that is gone or shorter is no reason to fail', () => {
  for (const place of [
    { file: 'gone.sql', line: 3, column: 1 },
    { file: 'top.sql', line: 99 },
    { file: 'top.sql' },
  ]) {
    assert.match(formatMistake({ ...mistake, place }, { style: plainStyle, cwd }), /\n {2}(gone|top)\.sql/)
  }
})

test('all mistakes at once, by place, with their number', () => {
  const at = (file: string, line: number) => ({
    ...mistake,
    message: `${file} ${line}`,
    place: { file, line },
  })
  const text = formatMistakes([at('b.sql', 1), at('a.sql', 9), at('a.sql', 2)], { style: plainStyle, cwd })
  assert.deepEqual(text.match(/^error \S+ \d/gm), ['error a.sql 2', 'error a.sql 9', 'error b.sql 1'])
  assert.match(text, /\n3 mistakes\n$/)
})
