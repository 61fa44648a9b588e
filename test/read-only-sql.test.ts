/**
 * The jail for people's SQL: attacks are refused and honest queries run, each with the answer that plain DuckDB gives.
 * A property beside the lists: wherever in a query a forbidden thing is hidden, it is found.
 */

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { type DuckDbSyntax, openSqlSyntax } from '../src/engine/sql-syntax.ts'
import type { Column } from '../src/plan/plan.ts'
import { bindReadOnlySql, checkReadOnlySql, type ReadOnlyResult } from '../src/plan/read-only-sql.ts'
import { assertSameRows } from './support/same-rows.ts'
import { ScratchDuckDb } from './support/scratch-duckdb.ts'

const userStats: readonly Column[] = [
  { name: 'user_id', type: 'VARCHAR' },
  { name: 'total', type: 'BIGINT' },
  { name: 'revenue', type: 'DECIMAL(18,2)' },
]
const events: readonly Column[] = [
  { name: 'user_id', type: 'VARCHAR' },
  { name: 'ts', type: 'TIMESTAMP' },
  { name: 'tags', type: 'VARCHAR[]' },
]
const relations = {
  views: { user_stats: userStats },
  streams: { events },
  system: { cuts: [{ name: 'cut', type: 'BIGINT' }] },
}

const rows: Readonly<Record<string, string>> = {
  user_stats:
    "SELECT * FROM (VALUES ('a', 3::BIGINT, 1.50::DECIMAL(18,2)), ('b', 1, 2.25), ('c', NULL, 0)) t(user_id, total, revenue)",
  events:
    "SELECT * FROM (VALUES ('a', TIMESTAMP '2026-01-01', ['x', 'y']), ('a', TIMESTAMP '2026-01-02', []), ('b', TIMESTAMP '2026-01-01', ['x'])) t(user_id, ts, tags)",
  cuts: 'SELECT unnest([1, 2, 3]::BIGINT[]) AS cut',
}

let syntax: DuckDbSyntax
let db: ScratchDuckDb

before(async () => {
  syntax = await openSqlSyntax()
  db = await ScratchDuckDb.open()
  await db.run(`CREATE TABLE user_stats AS ${rows['user_stats']}`)
  await db.run(`CREATE TABLE events AS ${rows['events']}`)
  await db.run('CREATE SCHEMA refold')
  await db.run(`CREATE TABLE refold.cuts AS ${rows['cuts']}`)
})

after(() => {
  db.close()
  syntax.close()
})

const check = (sql: string): Promise<ReadOnlyResult> => checkReadOnlySql({ sql, syntax, relations })

const attacks: readonly string[] = [
  "SELECT * FROM read_csv('/etc/passwd')",
  "SELECT * FROM read_text('/etc/passwd')",
  "SELECT * FROM read_blob('/etc/*')",
  "SELECT * FROM read_json_auto('x.json')",
  "SELECT * FROM read_parquet('x.parquet')",
  "SELECT * FROM parquet_scan('x.parquet')",
  "SELECT * FROM parquet_metadata('x.parquet')",
  "SELECT * FROM glob('/**')",
  "SELECT * FROM sniff_csv('/etc/passwd')",
  "SELECT * FROM '/etc/passwd'",
  "SELECT * FROM 'https://example.com/x.csv'",
  'FROM "data/x.parquet"',
  "SELECT * FROM user_stats, 'x.csv' AS f",
  "SELECT * FROM user_stats WHERE total > (SELECT count(*) FROM 'x.csv')",
  "WITH f AS (FROM 'x.csv') SELECT * FROM user_stats",
  "SELECT 1 UNION ALL SELECT count(*) FROM 'x.csv'",
  "SELECT * FROM user_stats ORDER BY (SELECT max(column0) FROM 'x.csv')",
  "SELECT 1 LIMIT (SELECT count(*) FROM 'x.csv')",
  'SELECT * FROM duckdb_settings()',
  'SELECT * FROM duckdb_secrets()',
  'SELECT * FROM duckdb_tables',
  'SELECT * FROM pragma_database_size()',
  'SELECT * FROM information_schema.tables',
  'SELECT * FROM pg_catalog.pg_tables',
  'SELECT * FROM pg_tables',
  'SELECT * FROM sqlite_master',
  'SELECT * FROM main.user_stats',
  'SELECT * FROM memory.main.user_stats',
  'SELECT * FROM refold.secrets',
  'SELECT * FROM temp."$source"',
  'SELECT * FROM "$view:user_stats"',
  'WITH "$view:user_stats" AS (SELECT 1) SELECT * FROM user_stats',
  "SELECT getenv('HOME')",
  "SELECT current_setting('memory_limit')",
  "SELECT getvariable('x')",
  "SELECT nextval('s')",
  'SELECT setseed(0.5)',
  'SELECT sleep_ms(100000)',
  "SELECT write_log('x')",
  'SELECT pg_sleep(1)',
  'SELECT txid_current()',
  'SELECT current_query()',
  "SELECT json_serialize_sql('SELECT 1')",
  "SELECT * FROM query('SELECT 1')",
  "SELECT * FROM query_table('user_stats')",
  "SELECT * FROM json_execute_serialized_sql('{}')",
  'SELECT pg_catalog.pg_sleep(1)',
  "SELECT * REPLACE (getenv('HOME') AS user_id) FROM user_stats",
  "SELECT list_transform([1], lambda x: getenv('HOME'))",
  "SELECT COLUMNS(c -> getenv('HOME') = c) FROM user_stats",
  "SELECT sum(total) FILTER (WHERE getenv('HOME') = '/') FROM user_stats",
  "SELECT sum(total) OVER (PARTITION BY getenv('HOME')) FROM user_stats",
  "SELECT * FROM user_stats JOIN events ON getenv('HOME') = events.user_id",
  "SELECT * FROM unnest([getenv('HOME')])",
  "SELECT * FROM range((SELECT count(*) FROM 'x.csv'))",
  "VALUES (getenv('HOME'))",
  'SELECT * FROM user_stats AT (VERSION => 1)',
  'SELECT $1',
  'SELECT ?',
  'DESCRIBE user_stats',
  'SUMMARIZE user_stats',
  'SHOW TABLES',
  'SELECT * FROM (DESCRIBE user_stats)',
  'SELECT * FROM (SHOW ALL TABLES)',
  'WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n FROM t) SELECT * FROM t',
  'SELECT 1; SELECT 2',
  "SELECT 1; ATTACH 'x.db'",
  "ATTACH 'x.db'",
  "COPY user_stats TO 'x.csv'",
  "COPY (SELECT 1) TO '/tmp/x'",
  'SET memory_limit = 1',
  'RESET ALL',
  'PRAGMA threads = 1',
  'INSTALL httpfs',
  'LOAD httpfs',
  'CREATE TABLE x AS SELECT 1',
  'INSERT INTO user_stats VALUES (1)',
  'UPDATE user_stats SET total = 0',
  'DELETE FROM user_stats',
  'DROP TABLE user_stats',
  "EXPORT DATABASE 'x'",
  'CALL pragma_version()',
  'CHECKPOINT',
  'BEGIN',
  "EXECUTE IMMEDIATE 'SELECT 1'",
  'PREPARE p AS SELECT 1',
  'EXPLAIN SELECT * FROM user_stats',
  'SET VARIABLE x = 1',
  'PIVOT user_stats ON user_id USING sum(total)',
  "SELECT * FROM user_stats PIVOT (sum(total) FOR user_id IN ('a'))",
  '',
  'SELECT',
]

describe('attacks are refused', () => {
  for (const sql of attacks) {
    test(JSON.stringify(sql), async () => {
      const checked = await check(sql)
      assert.ok(!checked.ok, 'it was let through')
      assert.ok(checked.mistakes.length > 0)
      for (const mistake of checked.mistakes) assert.match(mistake.code, /^SQL_/)
    })
  }
})

const honest: readonly string[] = [
  'SELECT * FROM user_stats',
  'FROM user_stats',
  'SELECT * FROM User_Stats',
  'SELECT user_id, total FROM user_stats WHERE total > 1 ORDER BY total DESC LIMIT 10',
  'SELECT count(*) FROM events',
  'SELECT * FROM refold.cuts WHERE cut > 1',
  'SELECT max(cut) FROM Refold.Cuts',
  'SELECT u.user_id, e.ts FROM user_stats u JOIN events e ON u.user_id = e.user_id',
  'SELECT * FROM user_stats LEFT JOIN events USING (user_id)',
  'SELECT * FROM user_stats NATURAL JOIN events',
  'SELECT a.user_id FROM user_stats a, user_stats b WHERE a.total > b.total',
  'SELECT * FROM user_stats SEMI JOIN events USING (user_id)',
  'SELECT * FROM events ASOF JOIN (SELECT user_id, ts AS t2 FROM events) x ON events.user_id = x.user_id AND events.ts >= x.t2',
  'SELECT user_stats.user_id, events.ts FROM user_stats JOIN events ON user_stats.user_id = events.user_id',
  'WITH top AS (SELECT * FROM user_stats ORDER BY total DESC LIMIT 2) SELECT avg(revenue) FROM top',
  'WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS x FROM a) SELECT * FROM a UNION ALL SELECT * FROM b',
  'WITH user_stats AS (SELECT 1 AS x) SELECT * FROM user_stats',
  'WITH a AS MATERIALIZED (SELECT * FROM events) SELECT count(*) FROM a x JOIN a y USING (user_id)',
  'SELECT * FROM (WITH a AS (FROM user_stats) SELECT user_id FROM a) t',
  'SELECT user_id FROM user_stats EXCEPT SELECT user_id FROM events',
  'SELECT user_id FROM user_stats INTERSECT SELECT user_id FROM events ORDER BY 1',
  'SELECT user_id FROM user_stats WHERE total = (SELECT max(total) FROM user_stats)',
  'SELECT user_id FROM user_stats u WHERE EXISTS (SELECT 1 FROM events e WHERE e.user_id = u.user_id)',
  "SELECT user_id IN (SELECT user_id FROM events WHERE ts > '2026-01-01') FROM user_stats",
  'SELECT user_id, row_number() OVER (ORDER BY total DESC) AS place FROM user_stats',
  'SELECT user_id, sum(total) OVER (ORDER BY user_id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM user_stats',
  'SELECT user_id FROM user_stats QUALIFY rank() OVER (ORDER BY revenue) = 1',
  'SELECT user_id, lag(total) OVER w FROM user_stats WINDOW w AS (ORDER BY user_id)',
  'SELECT median(total), stddev(revenue), quantile_cont(total, 0.5) FROM user_stats',
  "SELECT string_agg(user_id, ',' ORDER BY user_id) FROM user_stats",
  'SELECT user_id, count(*) FROM events GROUP BY ROLLUP (user_id) ORDER BY ALL',
  'SELECT user_id, tag FROM events, unnest(tags) AS t(tag)',
  'SELECT user_id, unnest(tags) FROM events',
  'SELECT i FROM range(3) AS r(i)',
  'SELECT * FROM generate_series(1, 3)',
  'SELECT list_transform(tags, lambda t: upper(t)), tags[1], len(tags) FROM events',
  'SELECT {a: user_id, b: total}.a, [1, 2, 3][1:2], MAP {1: 2} FROM user_stats',
  "SELECT CASE WHEN total > 1 THEN 'many' ELSE 'few' END, coalesce(total, 0), total::VARCHAR, TRY_CAST(user_id AS INTEGER) FROM user_stats",
  "SELECT date_trunc('day', ts), time_bucket(INTERVAL 1 DAY, ts), ts + INTERVAL 1 HOUR, extract(year FROM ts) FROM events",
  "SELECT user_id LIKE 'a%', user_id SIMILAR TO '[ab]', regexp_replace(user_id, 'a', 'b'), user_id COLLATE nocase FROM user_stats",
  'SELECT * EXCLUDE (revenue) REPLACE (total + 1 AS total) FROM user_stats',
  "SELECT COLUMNS(c -> c LIKE 't%') FROM user_stats",
  'SELECT max(COLUMNS(*)) FROM user_stats',
  'SELECT DISTINCT ON (user_id) user_id, ts FROM events ORDER BY user_id, ts',
  'SELECT t.total, l.x FROM user_stats t, LATERAL (SELECT t.total + 1 AS x) l',
  'VALUES (1, 2), (3, 4)',
  "SELECT * FROM (VALUES (1, 'a')) v(n, s)",
  'SELECT 1 + 1 AS two, 1e3, 123456789012345678901234567890, NULL, true',
  "SELECT '/etc/passwd', 'SELECT * FROM x', 'it''s'",
  'SELECT total, #1 FROM user_stats',
  'SELECT * FROM user_stats LIMIT 50%',
  'SELECT "user_id" AS "from" FROM "user_stats"',
  '-- a comment\nSELECT /* another */ total\nFROM user_stats;',
  'SELECT a.total * 2 AS double, double + 1 AS more FROM user_stats AS a',
]

describe('honest queries run, and answer as plain DuckDB does', () => {
  for (const sql of honest) {
    test(JSON.stringify(sql), async () => {
      const checked = await check(sql)
      assert.ok(checked.ok, checked.ok ? '' : checked.mistakes.map(({ message }) => message).join('\n'))
      const bound = bindReadOnlySql(checked, ({ name }) => rows[name]!)
      const isolated = await ScratchDuckDb.open()
      try {
        const actual = await isolated.query(bound)
        const expected = await db.query(sql)
        const unnamed = { ...expected, columns: actual.columns }
        assertSameRows(
          actual,
          unnamed,
          { ordered: / ORDER BY /.test(sql) && !/ OVER /.test(sql), inexact: [] },
          sql,
        )
      } finally {
        isolated.close()
      }
    })
  }
})

test('what a query uses is told, each once', async () => {
  const checked = await check(
    'SELECT * FROM user_stats a JOIN user_stats b USING (user_id) JOIN events e USING (user_id), refold.cuts',
  )
  assert.ok(checked.ok)
  assert.deepEqual(
    checked.used.map(({ kind, name }) => `${kind} ${name}`),
    ['view user_stats', 'stream events', 'system cuts'],
  )
})

test('an unknown name has its place and the nearest right one', async () => {
  const checked = await check('SELECT *\nFROM usr_stats')
  assert.ok(!checked.ok)
  const [mistake] = checked.mistakes
  assert.equal(mistake!.code, 'SQL_NAME_UNKNOWN')
  assert.deepEqual([mistake!.place?.line, mistake!.place?.column], [2, 6])
  assert.match(mistake!.hint, /user_stats/)
})

test('a forbidden thing is found wherever it is hidden', async () => {
  const forbidden = fc.constantFrom(
    "getenv('X')",
    "nextval('s')",
    "(SELECT count(*) FROM 'x.csv')",
    "current_setting('x')",
    "(SELECT max(x) FROM glob('*') t(x))",
  )
  const wraps: readonly ((inner: string) => string)[] = [
    (inner) => `coalesce(${inner}, NULL)`,
    (inner) => `CASE WHEN true THEN ${inner} END`,
    (inner) => `[${inner}]`,
    (inner) => `{a: ${inner}}`,
    (inner) => `(${inner})::VARCHAR`,
    (inner) => `(SELECT ${inner})`,
    (inner) => `list_transform([1], lambda x: ${inner})`,
    (inner) => `(SELECT max(${inner}) OVER () FROM user_stats LIMIT 1)`,
    (inner) => `(WITH c AS (SELECT ${inner} AS v) SELECT v FROM c)`,
    (inner) => `(SELECT count(*) FROM user_stats WHERE ${inner} IS NULL)`,
    (inner) => `(SELECT v FROM (VALUES (${inner})) t(v))`,
    (inner) => `(SELECT 1 UNION ALL SELECT ${inner})`,
    (inner) => `(SELECT 1 FROM user_stats GROUP BY ${inner} HAVING ${inner} IS NULL)`,
    (inner) => `(SELECT 1 FROM user_stats ORDER BY ${inner})`,
    (inner) => `(${inner} BETWEEN 1 AND 2)`,
    (inner) => `(1 IN (2, ${inner}))`,
  ]
  await fc.assert(
    fc.asyncProperty(
      forbidden,
      fc.array(fc.nat(wraps.length - 1), { maxLength: 4 }),
      async (secret, chosen) => {
        const hidden = chosen.reduce<string>((inner, index) => wraps[index]!(inner), secret)
        const checked = await check(`SELECT ${hidden} AS x FROM user_stats`)
        assert.ok(!checked.ok, hidden)
        assert.ok(
          checked.mistakes.every(({ code }) => code === 'SQL_FORBIDDEN' || code === 'SQL_NAME_UNKNOWN'),
          `${hidden}: ${checked.mistakes.map(({ message }) => message).join(', ')}`,
        )
      },
    ),
    { numRuns: 150 },
  )
})
