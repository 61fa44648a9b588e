/**
 * A full disk, a real one: the data folder is a small file system. Ingest answers 507 and writes nothing of the
 * request, queries go on, and when there is space again ingest goes on by itself, with every acknowledged event there
 * once. Mounting needs root; without it the test says that it is skipped.
 */

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ServerProcess, type ViewAnswer } from '../support/server-process.ts'

const CONFIG = `
import { project, stream, view } from 'refold'
import { z } from 'zod'
const events = stream('events', { schema: z.object({ id: z.string(), text: z.string() }), id: 'id', partitions: 2 })
export default project({
  streams: [events],
  views: [view('totals', { sql: 'SELECT count(*) AS n, count(DISTINCT id) AS ids FROM events' })],
  server: { port: PORT },
})
`
const EVENTS_PER_REQUEST = 200
const REQUESTS_MAX = 400

describe('a full disk', () => {
  let server: ServerProcess | undefined
  let mounted: string | undefined
  after(async () => {
    await server?.kill()
    if (mounted !== undefined) execFileSync('umount', ['--lazy', mounted])
    await server?.dispose()
  })

  test('507, queries go on, and ingest resumes by itself', async (context) => {
    server = await ServerProcess.create(CONFIG)
    const data = join(server.folder, '.refold')
    mkdirSync(data)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'refold-test', data], { stdio: 'pipe' })
    } catch {
      context.skip('mounting a small file system needs root')
      return
    }
    mounted = data
    await server.start()
    let accepted = 0
    let refused: readonly string[] | undefined
    for (let request = 0; request < REQUESTS_MAX && refused === undefined; request++) {
      const lines = makeLines(request)
      const { status, body } = await server.post('events', lines)
      if (status === 507) refused = lines
      else {
        assert.equal(status, 200)
        accepted += body.accepted
      }
    }
    assert.ok(refused !== undefined, 'the disk is full')
    assert.deepEqual(await totals(server), { n: accepted, ids: accepted })

    execFileSync('mount', ['-o', 'remount,size=256m', data])
    let status = 507
    while (status === 507) {
      await sleep(50)
      const answer = await server.post('events', refused)
      status = answer.status
      if (status === 200)
        assert.equal(answer.body.accepted, EVENTS_PER_REQUEST, 'nothing of the refused request was written')
    }
    assert.equal(status, 200)
    accepted += EVENTS_PER_REQUEST
    assert.deepEqual(await totals(server), { n: accepted, ids: accepted })
    await server.kill()
    await server.start()
    assert.deepEqual(await totals(server), { n: accepted, ids: accepted })
  })
})

function makeLines(request: number): string[] {
  const text = 'x'.repeat(600)
  return Array.from({ length: EVENTS_PER_REQUEST }, (_, index) =>
    JSON.stringify({ id: `${request}-${index}`, text }),
  )
}

async function totals(server: ServerProcess): Promise<unknown> {
  const { cut } = await server.get<{ cut: number }>('/v1/status')
  return (await server.get<ViewAnswer>(`/v1/views/totals?after=${cut}&timeout=60000`)).rows[0]
}
