/**
 * Law 6: an answer over several views sees all of them at one cut. While events pour in, one SQL statement asks two
 * views for the same number in different ways; they must never differ, and must equal the log's own count at the
 * answer's cut, which the test knows because each request is one commit.
 */

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ServerProcess } from '../support/server-process.ts'

const ROUNDS = 150
const CONFIG = `
import { project, stream, view } from 'refold'
import { z } from 'zod'
const clicks = stream('clicks', { schema: z.object({ user: z.string() }), key: 'user', partitions: 4 })
export default project({
  streams: [clicks],
  views: [
    view('totals', { sql: 'SELECT count(*) AS n FROM clicks' }),
    view('users', { sql: 'SELECT user, count(*) AS n FROM clicks GROUP BY user' }),
    view('raw', { sql: 'SELECT user FROM clicks' }),
  ],
  server: { port: PORT },
  seal: { rows: 2000, age: '1s' },
})
`
const SQL = `SELECT (SELECT n FROM totals) AS totals, (SELECT sum(n) FROM users)::BIGINT AS users,
  (SELECT count(*) FROM raw) AS raw`

describe('one version, one cut', () => {
  let server: ServerProcess
  before(async () => {
    server = await ServerProcess.create(CONFIG)
    await server.start()
  })
  after(() => server.dispose())

  test('three views in one statement never differ under load', async () => {
    const countAtCut = new Map<number, number>([[0, 0]])
    let count = 0
    let writing = true
    const writer = (async () => {
      while (writing) {
        const lines = Array.from({ length: 100 }, (_, index) =>
          JSON.stringify({ user: `u${(count + index * 7) % 997}` }),
        )
        const { body } = await server.post('clicks', lines)
        count += lines.length
        countAtCut.set(body.cut, count)
      }
    })()
    const seen: { cut: number; row: Record<string, number | null> | undefined }[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const answer = await fetch(`${server.url}/v1/sql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ sql: SQL }),
      })
      assert.equal(answer.status, 200)
      const { cut, rows } = (await answer.json()) as { cut: number; rows: Record<string, number | null>[] }
      seen.push({ cut, row: rows[0] })
    }
    writing = false
    await writer
    assert.ok(new Set(seen.map((answer) => answer.cut)).size > 5, 'the answers stand at many cuts')
    for (const { cut, row } of seen) {
      const expected = countAtCut.get(cut)
      assert.deepEqual(
        row,
        { totals: expected, users: expected === 0 ? null : expected, raw: expected },
        `at cut ${cut}`,
      )
    }
  })
})
