/** Places that DuckDB points at, found in the text it was given. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { placeOfDuckDbError } from './duckdb-error-place.ts'

const message = (line: string, excerpt: string, caret: number): Error =>
  new Error(`Binder Error: no\n\nLINE ${line}: ${excerpt}\n${' '.repeat(`LINE ${line}: `.length + caret)}^`)

test('the first line begins after what was put before the SQL', () => {
  const sql = 'SELECT a FROM events'
  assert.equal(placeOfDuckDbError(message('1', `DESCRIBE ${sql}`, 16), sql), 7)
})

test('later lines are counted in whole lines', () => {
  const sql = 'SELECT a,\n  wrong\nFROM events'
  assert.equal(placeOfDuckDbError(message('2', '  wrong', 2), sql), 12)
})

test('an excerpt that is cut on both sides is found in its line', () => {
  const sql = `SELECT ${'a, '.repeat(40)}wrong, b FROM events`
  const excerpt = '...a, a, wrong, b FR...'
  assert.equal(placeOfDuckDbError(message('1', excerpt, excerpt.indexOf('wrong')), sql), sql.indexOf('wrong'))
})

test('a message without a place has none', () => {
  assert.equal(placeOfDuckDbError(new Error('Catalog Error: no'), 'SELECT 1'), undefined)
})
