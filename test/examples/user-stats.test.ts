/**
 * The example of user stats, whole, by the commands of its README: as lambda and as kappa, equal, and moved from one to
 * the other while events come in and people read. What is expected comes from plain DuckDB over the generated files.
 */

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ExampleRun } from '../support/example-run.ts'
import { ScratchDuckDb } from '../support/scratch-duckdb.ts'

const userStats = `SELECT user_id, count(*) AS total_events, sum(revenue) AS total_revenue,
  count(DISTINCT session_id) AS total_sessions FROM events GROUP BY user_id`
const perMinute = `SELECT date_trunc('minute', ts) AS minute, count(*) AS events, sum(revenue) AS revenue
  FROM events GROUP BY minute`
/** Rows that one has and the other has not, of all views at one cut. */
const differing = `SELECT
  (SELECT count(*) FROM (SELECT * FROM user_stats EXCEPT ALL SELECT * FROM user_stats_as_kappa)) AS users,
  (SELECT count(*) FROM (SELECT * FROM revenue_per_minute EXCEPT ALL SELECT * FROM revenue_per_minute_as_kappa)) AS minutes,
  (SELECT sum(total_events) FROM user_stats)::BIGINT AS folded`

type Rows = readonly Readonly<Record<string, unknown>>[]

describe('the example of user stats', () => {
  let example: ExampleRun
  before(async () => {
    example = await ExampleRun.start('user-stats')
  })
  after(() => example.dispose())

  async function sql(text: string): Promise<Rows> {
    const answer = await fetch(`${example.server.url}/v1/sql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ sql: text }),
    })
    const body = (await answer.json()) as { rows: Rows }
    assert.equal(answer.status, 200, JSON.stringify(body))
    return body.rows
  }

  /** Views follow the log within milliseconds; whoever counts waits for them. */
  async function caughtUp(): Promise<void> {
    const { cut } = await example.server.get<{ cut: number }>('/v1/status')
    for (const view of ['user_stats', 'user_stats_as_kappa', 'revenue_per_minute'])
      await example.server.get(`/v1/views/${view}?limit=1&after=${cut}`)
  }

  /** Every view against plain DuckDB over the files, each event once. */
  async function check(...files: readonly string[]): Promise<void> {
    const plain = await ScratchDuckDb.open()
    try {
      const paths = files.map((file) => `'${example.server.folder}/${file}'`).join(', ')
      await plain.run(`CREATE TABLE events AS SELECT DISTINCT ON (event_id) event_id, user_id, session_id,
        coalesce(CAST(revenue AS DECIMAL(18, 2)), 0) AS revenue, CAST(ts AS TIMESTAMP) AS ts
        FROM read_json([${paths}], format = 'newline_delimited', columns = {event_id: 'VARCHAR', user_id: 'VARCHAR',
        session_id: 'VARCHAR', revenue: 'VARCHAR', ts: 'VARCHAR'})`)
      for (const [view, text] of [
        ['user_stats', userStats],
        ['user_stats_as_kappa', userStats],
        ['revenue_per_minute', perMinute],
        ['revenue_per_minute_as_kappa', perMinute],
      ] as const) {
        const all = await plain.query(`SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (${text}) ORDER BY ALL`)
        const rows = await sql(`SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ${view} ORDER BY ALL LIMIT 100000`)
        assert.ok(rows.length > 50)
        assert.deepEqual(
          rows.map((row) => Object.values(row)),
          all.rows.map((row) => [...row]),
          view,
        )
      }
    } finally {
      plain.close()
    }
  }

  test('both ways to run give what the events come to', async () => {
    const [first = [], second = []] = example.blocks()
    assert.ok(first.length > 5 && second.length > 5)
    await example.runAll(first.slice(0, 2))
    await caughtUp()
    const [totals] = await example.runAll(first.slice(2))
    assert.match(totals?.out ?? '', /20000/)
    await check('events.ndjson')
    const [layers] = await sql(
      'SELECT (SELECT sum(total_events) FROM batch.user_stats)::BIGINT AS batch, (SELECT count(*) FROM speed.user_stats) AS speed',
    )
    assert.deepEqual(layers, { batch: 20_000, speed: 0 })
  })

  test('moved under live input and back: no error, no row that differs, and it runs as it is said to', async () => {
    const [live = []] = example.blocks('live')
    await example.run(live[0] ?? '')
    let sending = true
    const sent = example.run(live[1] ?? '').finally(() => {
      sending = false
    })
    const reads: Rows[] = []
    const reading = (async () => {
      while (sending) {
        reads.push(await sql(differing))
        await sleep(20)
      }
    })()
    const [, commands = []] = example.blocks()
    const [, from = '', to = ''] = /change `([^`]*)` to `([^`]*)`/.exec(example.readme) ?? []
    example.edit('refold.config.ts', from, to)
    const ran = await example.runAll(commands)
    await Promise.all([sent, reading])
    assert.match(ran[0]?.out ?? '', /it moves from lambda to kappa/)
    assert.match(ran[1]?.err ?? '', /is live at cut/)
    const ways = ran.filter((_, index) => commands[index]?.includes('refold.views')).map(({ out }) => out)
    const lambdas = ways.map((out) => out.match(/lambda/g)?.length ?? 0)
    assert.deepEqual(lambdas, [0, 2])
    assert.ok(reads.length > 10)
    let before = 0
    for (const [row] of reads) {
      assert.deepEqual([row?.['users'], row?.['minutes']], [0, 0])
      assert.ok(Number(row?.['folded']) >= before)
      before = Number(row?.['folded'])
    }
    await caughtUp()
    await check('events.ndjson', 'live.ndjson')
    const [divergence] = await sql(
      `SELECT max(divergence) AS most FROM refold.batches WHERE state = 'published'`,
    )
    assert.deepEqual(divergence, { most: 0 })
  })
})
