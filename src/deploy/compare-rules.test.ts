/** What a rule of `expect` may say, and where its mistakes are told to stand. The places are counted by hand. */

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type DuckDbSyntax, openSqlSyntax } from '../engine/sql-syntax.ts'
import { ruleMistakes, ruleSql } from './compare-rules.ts'

const columns = [
  { name: 'Country', type: 'VARCHAR' },
  { name: 'total', type: 'DECIMAL(38,2)' },
  { name: 'place', type: 'STRUCT(city VARCHAR)' },
  { name: 'tags', type: 'VARCHAR[]' },
]
const place = { file: 'refold.config.ts', line: 10, column: 20 }

let syntax: DuckDbSyntax
before(async () => {
  syntax = await openSqlSyntax()
})
after(() => syntax.close())

async function mistakes(when: string): Promise<string[]> {
  const found = await ruleMistakes('sales', [{ name: 'r', when, place }], columns, syntax)
  return found.map(({ code, message, place: at }) => `${code} ${at?.line}:${at?.column} ${message}`)
}

test('conditions over columns, fields, lists and lambdas are fine', async () => {
  for (const when of [
    `new.country = 'JP' AND new.total IS DISTINCT FROM old.total`,
    'old.total IS NULL OR new.total BETWEEN old.total * 0.9 AND old.total * 1.1',
    `old.place.city = lower(new.place.city) -- a comment`,
    `len(list_filter(new.tags, lambda t: t <> old.country)) > 0`,
    `CASE WHEN old.removed > 3 THEN true ELSE new.total IN (1, 2) END`,
  ]) {
    assert.deepEqual(await mistakes(when), [], when)
  }
})

test('every mistake is told at its place', async () => {
  const cases: readonly (readonly [when: string, expected: readonly string[]])[] = [
    ['new.total >', ['VIEW_EXPECT 10:31 rule "r" of view "sales": it cannot be parsed']],
    ['total > 1', ['VIEW_EXPECT 10:20 rule "r" of view "sales": "total" is neither']],
    ['true AND new.totl > 1', ['VIEW_EXPECT 10:29 rule "r" of view "sales": the view has no column "totl"']],
    ['old.total\n > now()', ['VIEW_VOLATILE 11:4 rule "r" of view "sales": the function "now"']],
    ['sum(new.total) > 1', ['VIEW_EXPECT 10:20 rule "r" of view "sales": it calls "sum"']],
    ['new.total > (SELECT 1)', ['VIEW_NOT_YET 10:32 rule "r" of view "sales": a view cannot use a subquery']],
    [
      `new.country = read_text('/etc/passwd')`,
      ['VIEW_UNSUPPORTED 10:34 rule "r" of view "sales": "read_text" is a table function'],
    ],
    [`getenv('HOME') = 'x'`, ['VIEW_VOLATILE 10:20 rule "r" of view "sales": the function "getenv"']],
    ['true FROM events', ['VIEW_EXPECT 10:20 rule "r" of view "sales": it is more than one condition']],
    ['true, false', ['VIEW_EXPECT 10:20 rule "r" of view "sales": it is more than one condition']],
    ['true; SELECT 1', ['VIEW_EXPECT 10:20 rule "r" of view "sales": it is more than one condition']],
    ['new.total', ['VIEW_EXPECT 10:20 rule "r" of view "sales": it gives a value of type DECIMAL(38,2)']],
    ['new.country + 1 > 2', ['VIEW_EXPECT 10:20 rule "r" of view "sales": it does not bind']],
    ['*', ['VIEW_EXPECT 10:20 rule "r" of view "sales": it uses a star']],
  ]
  for (const [when, expected] of cases) {
    const found = await mistakes(when)
    assert.equal(found.length, expected.length, `${when}: ${found.join(' | ')}`)
    for (const [index, text] of expected.entries()) {
      assert.ok(found[index]!.startsWith(text), `${when}: ${found[index]}`)
    }
  }
})

test('a column that one version lacks is NULL there, and is named', async () => {
  const rule = { name: 'r', when: 'old.gone IS NULL AND new.TOTAL > old.country' }
  const made = await ruleSql(rule, { old: [columns[0]!], new: [columns[1]!] }, syntax)
  assert.deepEqual(made.missing, ['old.gone'])
  assert.match(made.sql, /NULL IS NULL/)
  assert.match(made.sql, /"?new"?\.total/)
  assert.match(made.sql, /"?old"?\."?Country"?/)
})
