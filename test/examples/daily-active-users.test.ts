/**
 * The example of daily active users, whole, by the commands of its README: late actions held back against corrected at
 * once, through a batch, `why`, and a server that is killed. What is expected comes from plain DuckDB over the
 * generated files; which actions are late is worked out here, request by request, as they were sent.
 */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { ExampleRun } from '../support/example-run.ts'
import { Oracle, sorted } from '../support/oracle.ts'

const LATENESS_MS = 6 * 3_600_000
const SQL = `SELECT CAST(date_trunc('day', done_at) AS DATE) AS day, count(DISTINCT user_id) AS users, count(*) AS actions
  FROM actions GROUP BY day`

interface Action {
  readonly action_id: string
  readonly user_id: string
  readonly done_at: string
}

describe('the example of daily active users', () => {
  let example: ExampleRun
  let plain: Oracle
  let answeredAt = ''
  before(async () => {
    example = await ExampleRun.start('daily-active-users')
    plain = await Oracle.create(
      'all_actions',
      'action_id VARCHAR, user_id VARCHAR, done_at TIMESTAMP, late BOOLEAN, held BOOLEAN',
    )
  })
  after(async () => {
    plain.close()
    await example.dispose()
  })

  let watermarkMs = Number.NEGATIVE_INFINITY
  const seen = new Set<string>()

  /** The actions as they were committed, each with whether it was late; `late` ones are held until a batch. */
  async function sent(file: string): Promise<void> {
    const lines = readFileSync(join(example.server.folder, file), 'utf8').trim().split('\n')
    const actions = new Map(
      lines.map((line) => JSON.parse(line) as Action).map((one) => [one.action_id, one]),
    )
    const events = await example.server.lines<{ commit: number; event: Action }>('/v1/streams/actions/events')
    const fresh = events.filter(({ event }) => !seen.has(event.action_id))
    assert.equal(fresh.length, actions.size)
    const added: Record<string, unknown>[] = []
    for (const commit of new Set(fresh.map((one) => one.commit))) {
      const own = fresh.filter((one) => one.commit === commit)
      for (const { event } of own) {
        const own = actions.get(event.action_id)
        assert.equal(own?.user_id, event.user_id)
        assert.equal(Date.parse(own?.done_at ?? ''), Date.parse(event.done_at))
        watermarkMs = Math.max(watermarkMs, Date.parse(event.done_at) - LATENESS_MS)
      }
      for (const { event } of own) {
        seen.add(event.action_id)
        const late = Date.parse(event.done_at) < watermarkMs
        const { action_id, user_id, done_at } = event
        added.push({ action_id, user_id, done_at, late, held: late })
      }
    }
    await plain.insert(added)
  }

  async function rows(view: string): Promise<readonly (readonly unknown[])[]> {
    const { cut } = await example.server.get<{ cut: number }>('/v1/status')
    const answer = await example.server.get<{ at: string; rows: Record<string, unknown>[] }>(
      `/v1/views/${view}?after=${cut}&timeout=60000`,
    )
    answeredAt = answer.at
    return sorted(answer.rows.map((row) => Object.values(row).map(String)))
  }

  async function check(): Promise<void> {
    for (const [view, table] of [
      ['daily_active', 'SELECT * FROM all_actions WHERE NOT held'],
      ['daily_active_corrected', 'SELECT * FROM all_actions'],
    ] as const) {
      const expected = sorted(await plain.rows(`WITH actions AS (${table}) ${SQL}`))
      assert.deepEqual(await rows(view), expected, view)
    }
  }

  async function count(where: string): Promise<number> {
    return Number((await plain.rows(`SELECT count(*) AS n FROM all_actions WHERE ${where}`))[0]?.[0])
  }

  test('held back: the days stand still; corrected: they move at once', async () => {
    const [first = []] = example.blocks()
    await example.runAll(first.slice(0, 2))
    await sent('actions.ndjson')
    await check()
    const held = await count('late')
    assert.ok(held > 2_000)
    const ran = await example.runAll(first.slice(2))
    const grouped = held.toLocaleString('en-US')
    assert.match(ran[1]?.out ?? '', new RegExp(`holds late events back: ${grouped} wait for the next batch`))
    assert.match(ran[2]?.out ?? '', new RegExp(`daily_active +held +${held}`))
    const table = await example.server.get<{ held: number; total: number }>(
      '/v1/views/daily_active/late?limit=1',
    )
    assert.deepEqual([table.held, table.total], [held, held])
  })

  test('the batch takes what was held; why says late events, and no new one', async () => {
    const [, batch = []] = example.blocks()
    const late = await count('late')
    await rows('daily_active')
    const before = answeredAt
    const ran = await example.runAll(batch)
    await plain.run('UPDATE all_actions SET held = false')
    await check()
    assert.match(ran[3]?.out ?? '', /holds late events back: 0 wait/)
    assert.match(ran[4]?.out ?? '', /batch \d+ took it/)
    const [[why = ''] = []] = example.blocks('why')
    const told = await example.run(why.replace('TIME', before))
    const grouped = late.toLocaleString('en-US')
    assert.match(told.out, new RegExp(`${grouped} late and 0 other new events; the logic is the same`))
  })

  test('then it holds again, also after the server was killed', async () => {
    const [, , last = []] = example.blocks()
    const corrected = await example.run(last[0] ?? '')
    assert.match(corrected.out, /corrected its rows/)
    await example.runAll(last.slice(1, 3))
    await sent('more.ndjson')
    await check()
    await example.server.kill('SIGKILL')
    await example.server.start()
    await check()
    const held = (await count('held')).toLocaleString('en-US')
    const ran = await example.runAll(last.slice(3))
    assert.match(ran[0]?.out ?? '', new RegExp(`holds late events back: ${held} wait`))
  })
})
