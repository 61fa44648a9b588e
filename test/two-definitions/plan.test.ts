/**
 * Planning a view with two definitions: what the batch SQL may be, that both definitions fit each other, and that merge
 * rules are checked on types and on associativity. Reference files are real ones.
 */

import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { BatchDef, MergeDef } from '../../src/define/types.ts'
import { openReferenceFiles } from '../../src/engine/reference-files.ts'
import { openSqlSyntax } from '../../src/engine/sql-syntax.ts'
import type { StreamDef } from '../../src/model/schema.ts'
import { counterexample } from '../../src/plan/merge-property.ts'
import { type BatchResult, planBatch } from '../../src/plan/plan-batch.ts'
import { planView } from '../../src/plan/plan-view.ts'

const root = mkdtempSync(join(tmpdir(), 'refold-two-plan-'))
const syntax = await openSqlSyntax()
after(() => {
  syntax.close()
  rmSync(root, { recursive: true, force: true })
})
mkdirSync(join(root, 'ref'))
writeFileSync(join(root, 'ref/users.csv'), 'user_id,country\nu1,FR\nu2,JP\n')
writeFileSync(join(tmpdir(), 'refold-two-outside.csv'), 'a\n1\n')
symlinkSync(join(tmpdir(), 'refold-two-outside.csv'), join(root, 'ref/link.csv'))

const sales: StreamDef = {
  name: 'sales',
  schema: {
    kind: 'object',
    fields: [
      { name: 'user_id', type: { kind: 'string' }, optional: false, nullable: false },
      {
        name: 'amount',
        type: { kind: 'decimal', precision: 12, scale: 2 },
        optional: false,
        nullable: false,
      },
      { name: 'x', type: { kind: 'double' }, optional: false, nullable: false },
      { name: 'ts', type: { kind: 'timestamp' }, optional: false, nullable: false },
    ],
  },
  partitions: 1,
  dedupe: { timeMs: 0, count: 0 },
  latenessMs: 0,
}
const users: StreamDef = {
  ...sales,
  name: 'users',
  schema: {
    kind: 'object',
    fields: [
      { name: 'user_id', type: { kind: 'string' }, optional: false, nullable: false },
      { name: 'name', type: { kind: 'string' }, optional: false, nullable: false },
    ],
  },
}
const streams = [sales, users]
const SPEED = 'SELECT user_id, count(*) AS n, sum(amount) AS total, max(x) AS p99 FROM sales GROUP BY user_id'
const BATCH =
  'SELECT user_id, count(*) AS n, sum(amount) AS total, quantile_cont(x, 0.99) AS p99 FROM sales GROUP BY user_id'
const MERGE: Readonly<Record<string, MergeDef>> = {
  n: { kind: 'add' },
  total: { kind: 'add' },
  p99: { kind: 'replace' },
}

async function planned(
  sql: string,
  options: { readonly speed?: string } & Partial<BatchDef> = {},
): Promise<BatchResult> {
  const place = { file: 'view.sql', line: 1, column: 1 }
  const { speed = SPEED, ...more } = options
  const plan = await planView({ name: 'v', sql: speed, place, streams, syntax })
  assert.ok(plan.ok, JSON.stringify(plan))
  const batch: BatchDef = {
    sql,
    sqlPlace: { file: 'batch.sql', line: 1, column: 1 },
    key: ['user_id'],
    keyPlace: { file: 'key', line: 1, column: 1 },
    merge: MERGE,
    mergePlace: { file: 'merge', line: 1, column: 1 },
    approximate: [],
    approximatePlace: { file: 'approximate', line: 1, column: 1 },
    files: {},
    ...more,
  }
  const files = openReferenceFiles({ root, copies: join(root, 'copies') }, batch.files)
  try {
    return await planBatch({
      ...{
        name: 'v',
        batch,
        speed: plan.plan,
        speedPlace: place,
        streams,
        views: ['v', 'other'],
        syntax,
        files,
      },
    })
  } finally {
    files.close()
  }
}

/** `CODE file:line:column message` of what is wrong. */
async function mistakeOf(sql: string, options: Parameters<typeof planned>[1] = {}): Promise<string> {
  const result = await planned(sql, options)
  assert.ok(!result.ok, `the definitions were accepted: ${sql} ${JSON.stringify(options)}`)
  const first = result.mistakes[0]
  const { file, line, column } = first?.place ?? {}
  return `${first?.code} ${file}:${line}:${column} ${first?.message}`
}

test('the batch SQL may be anything: windows, quantiles, joins over streams and reference files', async () => {
  const sql = `WITH ranked AS (
      SELECT s.*, row_number() OVER (PARTITION BY user_id ORDER BY ts, _commit, _index) AS r FROM sales s)
    SELECT r.user_id, count(*) AS n, sum(r.amount) AS total, quantile_cont(r.x, 0.99) AS p99
    FROM ranked r LEFT JOIN users u USING (user_id) LEFT JOIN read_csv('ref/users.csv', header = true) c USING (user_id)
    WHERE coalesce(country, name, '') <> (SELECT max(name) FROM users) OR r.r > 0
    GROUP BY r.user_id`
  const result = await planned(sql, { approximate: ['p99'] })
  assert.ok(result.ok, JSON.stringify(result))
  const { batch } = result
  assert.deepEqual(
    batch.streams.map(({ stream, system }) => [stream, system]),
    [
      ['sales', true],
      ['users', true],
    ],
  )
  assert.deepEqual(
    batch.files.map(({ path, reader, options, columns }) => ({ path, reader, options, columns })),
    [
      {
        path: 'ref/users.csv',
        reader: 'read_csv',
        options: ["header = CAST('t' AS BOOLEAN)"],
        columns: [
          { name: 'user_id', type: 'VARCHAR' },
          { name: 'country', type: 'VARCHAR' },
        ],
      },
    ],
  )
  assert.deepEqual(batch.key, [{ column: 'user_id', key: 'k0' }])
  assert.deepEqual(batch.approximate, ['p99'])
})

test('only the columns that the SQL names are read', async () => {
  const result = await planned(
    BATCH.replace('FROM sales', `FROM sales SEMI JOIN 'ref/users.csv' USING (user_id)`),
  )
  assert.ok(result.ok, JSON.stringify(result))
  assert.deepEqual(result.batch.streams, [
    { bindName: '$stream:sales', stream: 'sales', fields: ['user_id', 'amount', 'x'], system: false },
  ])
})

test('both definitions have the same columns, or both lists are shown', async () => {
  assert.equal(
    await mistakeOf(BATCH.replace('sum(amount) AS total', 'sum(x) AS total')),
    'VIEW_LAYERS batch.sql:1:1 the two definitions of view "v" have other columns: ' +
      'batch has (user_id VARCHAR, n BIGINT, total DOUBLE, p99 DOUBLE), ' +
      'speed has (user_id VARCHAR, n BIGINT, total DECIMAL(38,2), p99 DOUBLE)',
  )
  assert.match(
    await mistakeOf(BATCH.replace('count(*) AS n,', '')),
    /^VIEW_LAYERS batch.sql:1:1 .*other columns/,
  )
})

test('what would give other rows when it is run again is refused', async () => {
  const head = 'SELECT user_id, count(*) AS n, sum(amount) AS total,'
  const tail = 'AS p99 FROM sales GROUP BY user_id'
  for (const [sql, message] of [
    [`${head} max(x) + random() ${tail}`, 'the function "random" is not decided by the events alone'],
    [`${head} max(epoch(now() - ts)) ${tail}`, 'the function "now" is not decided by the events alone'],
    [
      `${head} max(epoch(current_date - ts::DATE)) ${tail}`,
      '"current_date" is not decided by the events alone',
    ],
    [
      `${head} any_value(x) ${tail}`,
      '"any_value" without an ORDER BY takes values in whatever order they come',
    ],
    [`${head} approx_quantile(x, 0.5) ${tail}`, 'the result of "approx_quantile" depends on the order'],
    [BATCH.replace('FROM sales', 'FROM sales TABLESAMPLE 10%'), 'a sample takes events by chance'],
    [
      BATCH.replace('FROM sales', 'FROM (SELECT * FROM sales LIMIT 3)'),
      'LIMIT without ORDER BY takes rows by chance',
    ],
  ] as const) {
    assert.ok((await mistakeOf(sql)).includes(message), `${sql}\n${await mistakeOf(sql)}`)
    assert.match(await mistakeOf(sql), /^VIEW_VOLATILE batch.sql:/)
  }
  const ordered = await planned(`${head} first(x ORDER BY ts, _commit, _index) ${tail}`)
  assert.ok(ordered.ok, JSON.stringify(ordered))
})

test('files lie below the project folder, one at a time, with options that are constants', async () => {
  const from = (file: string) =>
    BATCH.replace('FROM sales', `FROM sales CROSS JOIN (SELECT count(*) FROM ${file})`)
  for (const [file, message] of [
    [`'ref/nobody.csv'`, 'there is no reference file "ref/nobody.csv"'],
    [`'/etc/hosts.csv'`, 'the reference file "/etc/hosts.csv" lies outside of the project\'s folder'],
    [
      `read_csv('../secrets.csv')`,
      'the reference file "../secrets.csv" lies outside of the project\'s folder',
    ],
    [`'ref/link.csv'`, 'the reference file "ref/link.csv" lies outside of the project\'s folder'],
    [`read_csv('ref/*.csv')`, '"ref/*.csv" is not the path of one file'],
    [
      `read_parquet('https://example.com/x.parquet')`,
      '"https://example.com/x.parquet" is not the path of one file',
    ],
    [`read_csv('ref/users.csv', filename = true)`, 'cannot be read with the option "filename"'],
    [`read_csv(['ref/users.csv'])`, '"read_csv" does not name its file as a text'],
    [`read_parquet('ref/users.csv')`, 'the reference file "ref/users.csv" cannot be read'],
  ] as const) {
    const said = await mistakeOf(from(file))
    assert.ok(said.startsWith('VIEW_FILE batch.sql:') && said.includes(message), `${file}: ${said}`)
  }
  const changed = await mistakeOf(from(`'ref/users.csv'`), { files: { 'ref/users.csv': '0'.repeat(64) } })
  assert.match(changed, /is not the one that was sent/)
  assert.match(await mistakeOf(from('other')), /^VIEW_STREAM_UNKNOWN .* reads the view "other"/)
  assert.match(await mistakeOf(from("glob('*')")), /^VIEW_UNSUPPORTED .* table function "glob"/)
})

test('the key is what the speed SQL groups by', async () => {
  const two =
    'SELECT user_id, x, count(*) AS n, sum(amount) AS total, max(x) AS p99 FROM sales GROUP BY user_id, x'
  const byTime = two.replaceAll(', x,', ', ts,').replace(', x', ', ts')
  assert.match(
    await mistakeOf(byTime, { speed: byTime, key: ['user_id'], merge: { ...MERGE, ts: { kind: 'max' } } }),
    /^VIEW_LAYERS key:1:1 the key of view "v" leaves out columns/,
  )
  assert.match(
    await mistakeOf(BATCH, { key: ['total'] }),
    /"total" of the key of view "v" is no column by which/,
  )
  assert.match(await mistakeOf(BATCH, { key: ['user'] }), /view "v" has no column "user"/)
  assert.match(await mistakeOf(BATCH, { speed: `${SPEED} ORDER BY n` }), /has an ORDER BY/)
  assert.match(await mistakeOf(BATCH, { speed: `${SPEED} ORDER BY n LIMIT 3` }), /has a LIMIT/)
})

test('merge rules fit their columns', async () => {
  const names = (kind: 'add' | 'min') => ({
    speed: SPEED.replace('max(x) AS p99', 'max(ts) AS p99'),
    merge: { ...MERGE, p99: { kind } as const },
  })
  const byTime = BATCH.replace('quantile_cont(x, 0.99) AS p99', 'max(ts) AS p99')
  assert.match(
    await mistakeOf(byTime, names('add')),
    /^VIEW_MERGE merge:1:1 .*"p99".* adds values of type TIMESTAMP/,
  )
  assert.ok((await planned(byTime, names('min'))).ok)
  const { n: _, ...without } = MERGE
  assert.match(await mistakeOf(BATCH, { merge: without }), /does not say how both values of "n" become one/)
  assert.match(
    await mistakeOf(BATCH, { merge: { ...MERGE, m: { kind: 'add' } } }),
    /has no column "m" beside its key, and a merge rule for it/,
  )
  assert.match(await mistakeOf(BATCH, { approximate: ['p9'] }), /has no column "p9" .*calls it approximate/)
})

const place = { file: 'rule', line: 1, column: 1 }
const rule = (sql: string): Partial<BatchDef> => ({ merge: { ...MERGE, p99: { kind: 'sql', sql, place } } })

test('an expression binds, gives the type of its column, and is associative', async () => {
  for (const sql of [
    'greatest(batch.p99, speed.p99)',
    'coalesce(batch.p99, 0) + coalesce(speed.p99, 0)',
    'batch.p99',
    'coalesce(speed.p99, batch.p99)',
    '(batch.p99 * batch.n + speed.p99 * speed.n) / (batch.n + speed.n)',
    // Computed from columns that are merged, whatever it was before.
    'CAST((batch.total + speed.total) / (batch.n + speed.n) AS DOUBLE)',
  ]) {
    const result = await planned(BATCH, rule(sql))
    assert.ok(result.ok, `${sql}: ${JSON.stringify(result)}`)
  }
  for (const [sql, message] of [
    ['(batch.p99 + speed.p99) / 2', 'is not associative: with a.p99 = '],
    ['batch.p99 - speed.p99', 'is not associative'],
    ['batch.p99 || speed.p99', 'gives a value of type VARCHAR, and the column has the type DOUBLE'],
    ['batch.p99 + x', 'uses "x", which says neither batch nor speed'],
    ['batch.nothing + 1', 'does not bind'],
    ['random() + batch.p99', 'calls "random", which is no function of its arguments alone'],
    ['max(batch.p99)', 'calls "max", which is no function of its arguments alone'],
    ['(SELECT 1)', 'is no expression over one row of each layer'],
    ['batch.p99 FROM sales', 'it is not one expression'],
    ['batch.p99 +', 'cannot be parsed'],
  ] as const) {
    const said = await mistakeOf(BATCH, rule(sql))
    assert.ok(said.startsWith('VIEW_MERGE rule:1:') && said.includes(message), `${sql}: ${said}`)
  }
})

test('add, replace, min and max are associative for every type that they are for', async () => {
  const numbers = ['BIGINT', 'HUGEINT', 'DECIMAL(18,2)', 'DOUBLE']
  const others = ['VARCHAR', 'TIMESTAMP', 'INTEGER[]']
  for (const type of [...numbers, 'INTERVAL', ...others]) {
    const columns = [
      { name: 'k', type: 'VARCHAR' },
      { name: 'v', type },
    ]
    for (const kind of ['add', 'replace', 'min', 'max'] as const) {
      if (kind === 'add' && others.includes(type)) continue
      const rule = { column: 'v', kind }
      const found = await counterexample(columns, ['k'], [rule], rule, syntax)
      assert.equal(found, undefined, `${kind} of ${type}: ${JSON.stringify(found)}`)
    }
  }
})
