/**
 * Which events made a row, for every accepted case: the user's own SQL, run by plain DuckDB over just the events that
 * the plan names for a row, must give that row again and no other; over all the other events it must not give it.
 */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type DuckDbSyntax, openSqlSyntax } from '../src/engine/sql-syntax.ts'
import { quoteIdentifier, type StreamDef } from '../src/model/schema.ts'
import type { ViewPlan } from '../src/plan/plan.ts'
import { planView } from '../src/plan/plan-view.ts'
import { type CaseFile, readCases } from './support/case-file.ts'
import { type Answer, ScratchDuckDb } from './support/scratch-duckdb.ts'

const here = path.join(import.meta.dirname, 'cases')
const stream: StreamDef = JSON.parse(readFileSync(path.join(here, 'streams', 'events.json'), 'utf8'))
const sharedEvents = readFileSync(path.join(here, 'streams', 'events.ndjson'), 'utf8').trim()
const ROWS_TRIED = 4
const EVENTS_TRIED = 12

let syntax: DuckDbSyntax

before(async () => {
  syntax = await openSqlSyntax()
})
after(() => syntax.close())

let tried = 0

describe('the events of a row make the row', () => {
  for (const one of readCases(path.join(here, 'accepted'))) {
    test(one.name, async () => {
      const planned = await planView({
        ...{ name: one.name, sql: one.view, place: { line: 1, column: 1 } },
        ...{ streams: [stream, { ...stream, name: 'orders' }], syntax },
      })
      assert.ok(planned.ok)
      await rowsHaveTheirEvents(planned.plan, one)
    })
  }
  test('most cases have rows that can be tried', () => assert.ok(tried > 150, `${tried} rows were tried`))
})

async function rowsHaveTheirEvents(plan: ViewPlan, one: CaseFile): Promise<void> {
  const events = plan.events
  assert.ok(events !== undefined, 'every plan says which events made a row')
  const stage = plan.stages[0]!
  const named = new Set(Object.values(events.columns))
  const needed = stage.kind === 'group' ? stage.keys : stage.columns
  // A row that some key is not in, or that others decide too, cannot be told from its columns alone.
  if (plan.finish.limited || !needed.every(({ name }) => named.has(name))) return
  const db = await ScratchDuckDb.open()
  try {
    await db.load(stream, one.events ?? sharedEvents, 'kept', '$index')
    await db.run('ALTER TABLE kept ADD COLUMN "$commit" BIGINT DEFAULT 1')
    const source = plan.streams[0]!
    const oracle = one.oracle.replace(/;\s*$/, '')
    const over = async (condition: string): Promise<Answer> => {
      await db.run(
        `CREATE OR REPLACE VIEW ${source} AS SELECT * EXCLUDE ("$commit", "$index") FROM kept WHERE ${condition}`,
      )
      return await db.query(oracle)
    }
    const all = await over('true')
    await db.run(`CREATE TABLE named AS WITH "$events" AS (SELECT * FROM kept) ${events.sql}`)
    const columns = plan.columns.filter(({ name }) => events.columns[name] !== undefined)
    for (let row = 0; row < Math.min(all.rows.length, ROWS_TRIED); row++) {
      await over('true')
      await db.run(`CREATE OR REPLACE TABLE wanted AS SELECT * FROM (${oracle}) LIMIT 1 OFFSET ${row}`)
      const same = columns.map(
        ({ name }) => `named.${events.columns[name]} IS NOT DISTINCT FROM wanted.${quoteIdentifier(name)}`,
      )
      const on = same.length === 0 ? 'true' : same.join(' AND ')
      const ids = `SELECT "$index" FROM named JOIN wanted ON ${on}`
      const its = await over(`"$index" IN (${ids})`)
      const wanted = await db.query('SELECT * FROM wanted')
      assert.ok(
        its.rows.some((found) => JSON.stringify(found) === JSON.stringify(wanted.rows[0])),
        `row ${JSON.stringify(wanted.rows[0])} is made again: ${JSON.stringify(its.rows)}`,
      )
      // An event whose list is unnested is in several groups.
      if (stage.kind === 'group' && !/unnest/i.test(one.view))
        assert.equal(its.rows.length, 1, 'no other row is made')
      const others = await over(`"$index" NOT IN (${ids})`)
      const keys = columns.map(({ name }) => others.columns.findIndex((column) => column.name === name))
      const keyOf = (found: Answer['rows'][number]): string => JSON.stringify(keys.map((at) => found[at]))
      if (keys.length > 0) {
        assert.ok(
          others.rows.every((found) => keyOf(found) !== keyOf(wanted.rows[0]!)),
          'without its events the row is gone',
        )
      }
      const members = await db.query(`SELECT DISTINCT * FROM (${ids}) ORDER BY 1 LIMIT ${EVENTS_TRIED}`)
      for (const [member] of plan.finish.sql.includes(' WHERE ') ? [] : members.rows) {
        const alone = await over(`"$index" = ${member}`)
        assert.ok(
          alone.rows.some((found) => keyOf(found) === keyOf(wanted.rows[0]!)),
          `event ${member} by itself makes a row of this key`,
        )
      }
      tried++
    }
  } finally {
    db.close()
  }
}
