/**
 * Laws 3 and 4 against the real processes: the server, and its engine, are killed with SIGKILL at random moments under
 * load, again and again. Afterwards: every acknowledged event is there exactly once, every request wholly or not at
 * all, offsets are dense, and the views equal a count made here by hand. REFOLD_KILLS and REFOLD_SEED set run and seed.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from '../support/seeded-random.ts'
import { ServerProcess, type ViewAnswer } from '../support/server-process.ts'

const KILLS = Number(process.env.REFOLD_KILLS ?? 30)
const SEED = Number(process.env.REFOLD_SEED ?? randomBytes(4).readUInt32LE())
const EVENTS_PER_REQUEST = 500
const REQUESTS_IN_FLIGHT = 4
const EVENTS_PER_SECOND_MIN = 20_000

const CONFIG = `
import { project, stream, view } from 'refold'
import { z } from 'zod'
const events = stream('events', {
  schema: z.object({ id: z.string(), user: z.string(), amount: z.int() }),
  id: 'id', key: 'user', partitions: 4,
})
export default project({
  streams: [events],
  views: [
    view('totals', { sql: 'SELECT count(*) AS n, sum(amount) AS total FROM events' }),
    view('users', { sql: 'SELECT user, count(*) AS n, sum(amount) AS total, count(DISTINCT amount) AS amounts FROM events GROUP BY user' }),
  ],
  server: { port: PORT },
  seal: { rows: 20000, age: '2s' },
})
`

interface Sent {
  readonly number: number
  readonly lines: readonly string[]
  state: 'acknowledged' | 'unknown'
}

interface StoredEvent {
  readonly partition: number
  readonly offset: number
  readonly event: { readonly id: string; readonly user: string; readonly amount: number }
}

describe(`SIGKILL under load (seed ${SEED})`, () => {
  const random = seededRandom(SEED)
  const servers: ServerProcess[] = []
  after(async () => {
    for (const server of servers) await server.dispose()
  })

  test(`the server, ${KILLS} times`, async () => {
    const server = await ServerProcess.create(CONFIG)
    servers.push(server)
    const sent: Sent[] = []
    let loadMs = 0
    for (let kill = 0; kill < KILLS; kill++) {
      await server.start()
      const started = performance.now()
      const load = startLoad(server, sent, random)
      await sleep(200 + random() * 900)
      loadMs += performance.now() - started
      await server.kill()
      await load.stop()
    }
    await server.start()
    const acknowledged = sent.filter((request) => request.state === 'acknowledged')
    const rate = (acknowledged.length * EVENTS_PER_REQUEST) / (loadMs / 1000)
    console.log(
      `  ${sent.length} requests, ${acknowledged.length} acknowledged, ${Math.round(rate)} events/s under load`,
    )
    assert.ok(acknowledged.length > 0, 'some requests were acknowledged')
    if (rate < EVENTS_PER_SECOND_MIN)
      console.log(`  this machine gave less than ${EVENTS_PER_SECOND_MIN} events/s`)
    await checkLog(server, sent)
    await resendUnknown(server, sent)
    await checkViews(server, sent)
  })

  test(`the engine, ${Math.ceil(KILLS / 3)} times`, async () => {
    const server = await ServerProcess.create(CONFIG)
    servers.push(server)
    const sent: Sent[] = []
    await server.start()
    const load = startLoad(server, sent, random)
    for (let kill = 0; kill < Math.ceil(KILLS / 3); kill++) {
      await sleep(200 + random() * 700)
      const { engine } = await server.get<{ engine: { pid: number | null } }>('/v1/status')
      if (engine.pid !== null) process.kill(engine.pid, 'SIGKILL')
    }
    await load.stop()
    assert.equal(
      sent.filter((request) => request.state === 'unknown').length,
      0,
      'ingest does not need the engine',
    )
    await checkViews(server, sent)
  })
})

/** Sends requests, several in flight, until the server is gone or `stop` is called. */
function startLoad(server: ServerProcess, sent: Sent[], random: () => number): { stop(): Promise<void> } {
  let stopped = false
  const one = async (): Promise<void> => {
    while (!stopped) {
      const request: Sent = { number: sent.length, lines: makeLines(sent.length, random), state: 'unknown' }
      sent.push(request)
      try {
        const { status, body } = await server.post('events', request.lines)
        assert.equal(status, 200)
        assert.equal(body.accepted, EVENTS_PER_REQUEST)
        request.state = 'acknowledged'
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error
        return
      }
    }
  }
  const all = Promise.all(Array.from({ length: REQUESTS_IN_FLIGHT }, one))
  return {
    async stop() {
      stopped = true
      await all
    },
  }
}

function makeLines(request: number, random: () => number): string[] {
  return Array.from({ length: EVENTS_PER_REQUEST }, (_, index) => {
    const user = `user-${Math.floor(random() * 5_000)}`
    return JSON.stringify({ id: `${request}-${index}`, user, amount: Math.floor(random() * 1_000) })
  })
}

async function checkLog(server: ServerProcess, sent: readonly Sent[]): Promise<void> {
  const stored = await server.lines<StoredEvent>('/v1/streams/events/events')
  const perRequest = new Map<number, Set<string>>()
  const perPartition = new Map<number, number[]>()
  for (const { event, partition, offset } of stored) {
    const number = Number(event.id.split('-')[0])
    const ids = perRequest.get(number) ?? new Set()
    assert.ok(!ids.has(event.id), `event ${event.id} is there once`)
    ids.add(event.id)
    perRequest.set(number, ids)
    const offsets = perPartition.get(partition) ?? []
    offsets.push(offset)
    perPartition.set(partition, offsets)
  }
  for (const request of sent) {
    const count = perRequest.get(request.number)?.size ?? 0
    if (request.state === 'acknowledged')
      assert.equal(count, EVENTS_PER_REQUEST, `request ${request.number} was acknowledged`)
    else
      assert.ok(
        count === 0 || count === EVENTS_PER_REQUEST,
        `request ${request.number} is there wholly or not, not ${count}`,
      )
  }
  assert.equal(perPartition.size, 4, 'requests span the partitions')
  for (const [partition, offsets] of perPartition) {
    offsets.sort((a, b) => a - b)
    for (const [index, offset] of offsets.entries())
      assert.equal(offset, index, `partition ${partition} is dense`)
  }
}

/** A client that got no answer sends again: whatever was there is a duplicate, whatever was not is accepted. */
async function resendUnknown(server: ServerProcess, sent: readonly Sent[]): Promise<void> {
  for (const request of sent) {
    if (request.state === 'acknowledged') continue
    const { body } = await server.post('events', request.lines)
    assert.ok(body.accepted === 0 || body.duplicates === 0, 'a request was there wholly or not')
    assert.equal(body.accepted + body.duplicates, EVENTS_PER_REQUEST)
    request.state = 'acknowledged'
  }
}

async function checkViews(server: ServerProcess, sent: readonly Sent[]): Promise<void> {
  const users = new Map<string, { n: number; total: number; amounts: Set<number> }>()
  let count = 0
  let total = 0
  for (const request of sent) {
    for (const line of request.lines) {
      const event = JSON.parse(line) as StoredEvent['event']
      const user = users.get(event.user) ?? { n: 0, total: 0, amounts: new Set<number>() }
      user.n++
      user.total += event.amount
      user.amounts.add(event.amount)
      users.set(event.user, user)
      count++
      total += event.amount
    }
  }
  const { cut } = await server.get<{ cut: number }>('/v1/status')
  const totals = await server.get<ViewAnswer>(`/v1/views/totals?after=${cut}&timeout=60000`)
  assert.deepEqual(totals.rows, [{ n: count, total }])
  const answer = await server.get<ViewAnswer>(`/v1/views/users?limit=10000&after=${cut}&timeout=60000`)
  assert.equal(answer.rows.length, users.size)
  for (const row of answer.rows) {
    const user = users.get(String(row.user))
    assert.deepEqual(
      { n: row.n, total: row.total, amounts: row.amounts },
      { n: user?.n, total: user?.total, amounts: user?.amounts.size },
    )
  }
}
