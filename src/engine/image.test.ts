/**
 * The next image's distinct values, looked at directly: their multiplicities are not seen in any answer yet, but what
 * takes events back will need them. The expected counts are counted by hand.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DuckDBInstance } from '@duckdb/node-api'
import type { GroupStage } from '../plan/plan.ts'
import { queryRows, run } from './duckdb.ts'
import { nextImage } from './image.ts'
import type { ReadSet } from './read-set.ts'

const STAGE: GroupStage = {
  kind: 'group',
  name: 's0',
  source: { kind: 'stream', stream: 'events', fields: ['user', 'page'] },
  keys: [{ name: 'k0', type: 'VARCHAR' }],
  parts: [
    {
      kind: 'main',
      name: 'main',
      foldSql: '',
      aggregates: [{ name: 'a0', type: 'BIGINT', merge: 'sum', emptySql: '0' }],
    },
    {
      kind: 'distinct',
      name: 'd0',
      foldSql: '',
      value: { name: 'v', type: 'VARCHAR' },
      results: [{ name: 'r0', type: 'BIGINT', sql: 'count(v)', emptySql: '0' }],
    },
  ],
}

test('each value stands once, with how often it came', async () => {
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  for (const sql of [
    `CREATE TABLE main0 AS SELECT * FROM (VALUES ('a', 3::BIGINT, 2::BIGINT, hash('a')), ('b', 1, 1, hash('b'))) t(k0, a0, r0, _h)`,
    `CREATE TABLE d0 AS SELECT * FROM (VALUES ('a', 'x', 2::BIGINT, hash('a')), ('a', 'y', 1, hash('a')), ('b', 'x', 1, hash('b'))) t(k0, v, n, _h)`,
    `CREATE TABLE g_main AS SELECT * FROM (VALUES ('a', 2::BIGINT, hash('a'), 7::BIGINT), (NULL, 1, hash(NULL::VARCHAR), 7)) t(k0, a0, _h, _cut)`,
    `CREATE TABLE g_d0 AS SELECT * FROM (VALUES ('a', 'x', 1::BIGINT, hash('a'), 7::BIGINT), ('a', 'z', 1, hash('a'), 7), (NULL, 'x', 1, hash(NULL::VARCHAR), 7)) t(k0, v, n, _h, _cut)`,
  ]) {
    await run(connection, sql)
  }
  const readSet: ReadSet = {
    view: 'users',
    version: 'v1',
    plan: {
      format: 1,
      view: 'users',
      sql: '',
      streams: ['events'],
      columns: [],
      stages: [STAGE],
      finish: { sql: '', ordered: false, limited: false, keyColumns: {} },
      inexact: [],
    },
    cut: 7,
    image: { cut: 5, main: 'main0', distinct: { d0: 'd0' }, groups: 2 },
    generations: [{ from: 5, to: 7, tables: { main: 'g_main', d0: 'g_d0' }, rows: 5 }],
    slices: [],
  }
  const image = await nextImage(connection, (stem) => `new_${stem}`, STAGE, readSet)
  assert.deepEqual(
    await queryRows(connection, `SELECT k0, v, n FROM ${image.distinct.d0} ORDER BY ALL NULLS LAST`),
    [
      { k0: 'a', v: 'x', n: 3n },
      { k0: 'a', v: 'y', n: 1n },
      { k0: 'a', v: 'z', n: 1n },
      { k0: 'b', v: 'x', n: 1n },
      { k0: null, v: 'x', n: 1n },
    ],
  )
  assert.deepEqual(
    await queryRows(connection, `SELECT k0, a0, r0 FROM ${image.main} ORDER BY ALL NULLS LAST`),
    [
      { k0: 'a', a0: 5n, r0: 3n },
      { k0: 'b', a0: 1n, r0: 1n },
      { k0: null, a0: 1n, r0: 1n },
    ],
  )
})
