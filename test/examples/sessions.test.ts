/**
 * The example of sessions, whole, by the commands of its README: the wrong rule, the mended one over all of history, back,
 * and forward again. What is expected is worked out here by a plain loop over the generated files.
 */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { ExampleRun } from '../support/example-run.ts'

interface Click {
  readonly visitor_id: string
  readonly page: string
  readonly paid?: string
  readonly at: string
}

type Rows = readonly Readonly<Record<string, unknown>>[]

const WRONG_MS = 30 * 3_600_000
const RIGHT_MS = 30 * 60_000

describe('the example of sessions', () => {
  let example: ExampleRun
  before(async () => {
    example = await ExampleRun.start('sessions')
  })
  after(() => example.dispose())

  function clicksOf(files: readonly string[]): Click[] {
    return files.flatMap((file) =>
      readFileSync(join(example.server.folder, file), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Click),
    )
  }

  /** Visitor → sessions and clicks, by hand. */
  function expected(files: readonly string[], gapMs: number): unknown[] {
    const visitors = new Map<string, { sessions: number; clicks: number; last: number }>()
    for (const { visitor_id, at } of clicksOf(files)) {
      const ms = Date.parse(at)
      const { sessions = 0, clicks = 0, last = Number.NEGATIVE_INFINITY } = visitors.get(visitor_id) ?? {}
      const isNew = ms - last > gapMs
      visitors.set(visitor_id, {
        sessions: sessions + (isNew ? 1 : 0),
        clicks: clicks + 1,
        last: Math.max(ms, last),
      })
    }
    return [...visitors]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([visitor_id, { sessions, clicks, last }]) => ({
        visitor_id,
        sessions,
        clicks,
        last_seen: Date.parse(new Date(last).toISOString()),
      }))
  }

  async function rows(): Promise<unknown[]> {
    const { cut } = await example.server.get<{ cut: number }>('/v1/status')
    const answer = await example.server.get<{ rows: Rows }>(`/v1/views/sessions?limit=1000&after=${cut}`)
    return answer.rows.map(({ visitor_id, sessions, clicks, last_seen }) => ({
      visitor_id,
      sessions,
      clicks,
      last_seen: Date.parse(String(last_seen)),
    }))
  }

  test('wrong, mended, back and forward again', async () => {
    const [first = [], mend = [], again = []] = example.blocks()
    assert.ok(first.length > 3 && mend.length > 2 && again.length > 5)
    await example.runAll(first.slice(0, 2))
    assert.deepEqual(await rows(), expected(['clicks.ndjson'], WRONG_MS))
    await example.runAll(first.slice(2))
    const [, from = '', to = ''] = /change `([^`]*)` to `([^`]*)`/.exec(example.readme) ?? []
    example.edit('sessions.ts', from, to)
    const [plan, ...rest] = await example.runAll(mend)
    assert.match(plan?.out ?? '', /sessions\.ts/)
    assert.match(rest[0]?.err ?? '', /is live at cut/)
    const right = expected(['clicks.ndjson'], RIGHT_MS)
    assert.deepEqual(await rows(), right)
    assert.notDeepEqual(right, expected(['clicks.ndjson'], WRONG_MS))
    await example.run(again[0] ?? '')
    assert.deepEqual(await rows(), expected(['clicks.ndjson'], WRONG_MS))
    await example.runAll(again.slice(1, 4))
    assert.deepEqual(await rows(), expected(['clicks.ndjson', 'more.ndjson'], WRONG_MS))
    await example.runAll(again.slice(4))
    assert.deepEqual(await rows(), expected(['clicks.ndjson', 'more.ndjson'], RIGHT_MS))
  })
})
