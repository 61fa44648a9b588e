/**
 * Law 6 through cutovers and rollbacks: two views change in one deploy while events pour in and clients read both, in
 * one statement, by key and by version, the whole time. No read fails, none sees the old version of one view and the new one of the
 * other, numbers equal the log's own count at the answer's cut, and whoever saw the new version of one view never sees
 * the old one of the other afterwards, until it is rolled back.
 */

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { deployFile, postJson } from '../support/deploy-over-http.ts'
import { ServerProcess } from '../support/server-process.ts'

const EVENTS = 100
const TIMES = 3

/** The project in which both views count each event `factor` times, and say so. */
function config(factor: number): string {
  return `
import { project, stream, view } from 'refold'
import { z } from 'zod'
const clicks = stream('clicks', { schema: z.object({ user: z.string() }), key: 'user', partitions: 4 })
export default project({
  streams: [clicks],
  views: [
    view('totals', { sql: 'SELECT count(*) * ${factor} AS n, ${factor} AS v FROM clicks' }),
    view('users', { sql: 'SELECT user, count(*) * ${factor} AS n, ${factor} AS v FROM clicks GROUP BY user' }),
  ],
  server: { port: PORT },
  seal: { rows: 5000, age: '1s' },
})
`
}

const SQL = `SELECT (SELECT n FROM totals) AS totals, (SELECT v FROM totals) AS totals_v,
  (SELECT sum(n) FROM users)::BIGINT AS users, (SELECT min(v) FROM users) AS least_v, (SELECT max(v) FROM users) AS most_v`

interface Seen {
  readonly cut: number
  readonly row: Readonly<Record<string, number>>
}

describe('cutovers under load', () => {
  let server: ServerProcess
  before(async () => {
    server = await ServerProcess.create(config(1))
    await server.start()
  })
  after(() => server.dispose())

  test('no read fails, none sees a mix, and a rollback takes less than a second', async () => {
    const requestsAtCut = new Map<number, number>([[0, 0]])
    let running = true
    let requests = 0
    const send = async () => {
      const lines = Array.from({ length: EVENTS }, (_, index) =>
        JSON.stringify({ user: index === 0 ? 'key' : `u${(requests * 31 + index * 7) % 997}` }),
      )
      const { body } = await server.post('clicks', lines)
      requestsAtCut.set(body.cut, ++requests)
    }
    await send()
    await server.get('/v1/views/users?after=1&user=key')
    await server.get('/v1/views/totals?after=1')
    const writer = (async () => {
      while (running) await send()
    })()
    const bySql: Seen[] = []
    const sqlReader = (async () => {
      while (running) {
        const answer = await postJson<{ cut: number; rows: Seen['row'][] }>(server, '/v1/sql', { sql: SQL })
        bySql.push({ cut: answer.cut, row: answer.rows[0] ?? {} })
      }
    })()
    /** Pairs of answers, the second asked for after the first was there. */
    const byKey: (readonly [Seen, Seen])[] = []
    const one = async (path: string): Promise<Seen> => {
      const { cut, rows } = await server.get<{ cut: number; rows: Seen['row'][] }>(path)
      return { cut, row: rows[0] ?? {} }
    }
    const keyReader = (async () => {
      while (running) {
        const pair = [await one('/v1/views/totals'), await one('/v1/views/users?user=key')] as const
        byKey.push(pair)
      }
    })()
    // The first version by its number, whichever answers for the view; by key too.
    const { version: first } = await server.get<{ version: string }>('/v1/views/users?limit=1')
    const byVersion: Seen[] = []
    const versionReader = (async () => {
      while (running) byVersion.push(await one(`/v1/views/users?user=key&version=${first}`))
    })()
    const rollbackMs: number[] = []
    try {
      for (let time = 0; time < TIMES; time++) {
        await sleep(300)
        const info = await deployFile(server, config(2))
        assert.equal(info.state, 'live', info.reason)
        await sleep(300)
        const began = performance.now()
        await postJson(server, '/v1/rollback', { reason: 'a test' })
        rollbackMs.push(performance.now() - began)
      }
      await sleep(200)
    } finally {
      running = false
    }
    await Promise.all([writer, sqlReader, keyReader, versionReader])
    for (const { cut, row } of bySql) {
      const count = (requestsAtCut.get(cut) ?? Number.NaN) * EVENTS
      const v = row['totals_v'] ?? 0
      const expected = { totals: count * v, totals_v: v, users: count * v, least_v: v, most_v: v }
      assert.deepEqual(row, expected, `at cut ${cut}`)
    }
    const versions = new Set(bySql.map(({ row }) => row['totals_v']))
    assert.deepEqual([...versions].sort(), [1, 2])
    checkPairs(byKey, requestsAtCut)
    for (const { cut, row } of byVersion)
      assert.deepEqual([row['v'], row['n']], [1, requestsAtCut.get(cut)], `version ${first} at cut ${cut}`)
    console.log(
      `  ${bySql.length} statements, ${byKey.length * 2} lookups, ${byVersion.length} by version, rollbacks in ${rollbackMs.map(Math.round).join(', ')} ms`,
    )
    // A second is the promise; tests do not depend on how fast a machine is, so ten are the limit here.
    assert.ok(rollbackMs.every((ms) => ms < 10_000))
  })
})

function checkPairs(
  pairs: readonly (readonly [Seen, Seen])[],
  requestsAtCut: ReadonlyMap<number, number>,
): void {
  for (const [totals, key] of pairs) {
    for (const [seen, each] of [
      [totals, EVENTS],
      [key, 1],
    ] as const) {
      const expected = (requestsAtCut.get(seen.cut) ?? Number.NaN) * each * (seen.row['v'] ?? 0)
      assert.equal(seen.row['n'], expected, `at cut ${seen.cut}`)
    }
  }
  // In the order in which they were asked, versions alternate with the moves and never flicker.
  const order = pairs.flatMap(([totals, key]) => [totals.row['v'] ?? 0, key.row['v'] ?? 0])
  assert.ok(changes(order).length <= 2 * TIMES + 1, `versions in order: ${changes(order).join(' ')}`)
}

/** The values without repetitions in a row. */
function changes(values: readonly number[]): readonly number[] {
  return values.filter((value, index) => value !== values[index - 1])
}
