/** What is said of two texts of SQL, as a table by hand. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sqlChanges } from './plan-sql-change.ts'

const base = 'SELECT a, sum(b) AS total FROM s WHERE c > 0 GROUP BY a ORDER BY total LIMIT 10'

const cases: readonly (readonly [string, string, readonly string[]])[] = [
  [base, base.toLowerCase().replaceAll(' ', '\n  '), []],
  [base, `-- why\n${base.replace('sum(b)', 'sum( /* all */ b )')};`, []],
  [base, base.replace('c > 0', 'c > 1'), ['WHERE changed from "c > 0" to "c > 1"']],
  [base, base.replace('WHERE c > 0 ', ''), ['WHERE "c > 0" is gone']],
  [
    base,
    base.replace(' GROUP', '\nHAVING total > 1\nGROUP'),
    ['HAVING "total > 1" is new, line 2 of its SQL'],
  ],
  [base, base.replace('GROUP BY a', 'GROUP BY a, d'), ['GROUP BY changed from "a" to "a, d"']],
  [base, base.replace('BY total', 'BY total DESC'), ['ORDER BY changed from "total" to "total DESC"']],
  [
    base,
    base.replace('LIMIT 10', 'LIMIT 9 OFFSET 1'),
    ['LIMIT changed from "10" to "9"', 'OFFSET "1" is new'],
  ],
  [base, base.replace('sum(b)', 'sum(b + 1)'), ['column "total" changed from "sum(b)" to "sum(b + 1)"']],
  [base, base.replace('a, sum(b) AS total', 'sum(b) AS total, a'), ['the order of the columns changed']],
  [
    base,
    base.replace('a, sum(b) AS total', 'a,\n  sum(b) AS total,\n  max("d e") AS "most, d"'),
    ['column "most, d" is new: "max("d e")", line 3 of its SQL'],
  ],
  [
    "SELECT x FROM (SELECT a AS x FROM s WHERE b = ',') AS t",
    "SELECT x FROM (SELECT a AS x FROM s WHERE b = ';') AS t",
    [`WHERE of the subquery changed from "b = ','" to "b = ';'"`],
  ],
  ['SELECT a FROM s', 'SELECT a FROM other', ['FROM changed from "s" to "other"']],
  ["SELECT 'X' AS a FROM s", "SELECT 'x' AS a FROM s", [`column "a" changed from "'X'" to "'x'"`]],
]

test('a change is told by clause and column', () => {
  for (const [before, after, expected] of cases) assert.deepEqual(sqlChanges(before, after), expected, after)
})

test('whatever the text is, an answer comes', () => {
  for (const odd of ['', '(((', ')))', "'", '"', 'SELECT', ', ,', 'SELECT a, FROM', '/*', '--']) {
    assert.ok(Array.isArray(sqlChanges(odd, base)))
    assert.ok(Array.isArray(sqlChanges(base, odd)))
  }
  const long = `SELECT ${'x'.repeat(500)} FROM s`
  assert.ok(sqlChanges(base, long).every((text) => text.length < 900))
})
