/**
 * The load generator against a trivial server that parses and counts: what the generator's account says was
 * acknowledged is what arrived, every id once, and its events are what the oracle will count.
 */

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { createServer } from 'node:http'
import path from 'node:path'
import { test } from 'node:test'
import type { GeneratorReport, Order, Reply } from '../bench/generator-protocol.ts'
import { eventBytes, poolEvent, requestBody, stampIds, type Workload } from '../bench/workload.ts'
import { root } from './support/source-files.ts'

const workload: Workload = { keys: 50, poolEvents: 4000, eventsPerRequest: 100 }

interface Received {
  readonly ids: Set<string>
  readonly perUser: Map<string, number>
  events: number
  cut: number
}

async function fakeServer() {
  const received: Received = { ids: new Set(), perUser: new Map(), events: 0, cut: 0 }
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      let body: string
      if (request.method === 'POST') {
        const lines = Buffer.concat(chunks).toString('utf8').trimEnd().split('\n')
        for (const line of lines) {
          const event = JSON.parse(line) as { event_id: string; user_id: string }
          received.ids.add(event.event_id)
          received.perUser.set(event.user_id, (received.perUser.get(event.user_id) ?? 0) + 1)
        }
        received.events += lines.length
        received.cut += 1
        body = JSON.stringify({ accepted: lines.length, duplicates: 0, rejected: [], cut: received.cut })
      } else {
        const key = new URL(request.url ?? '', 'http://localhost').searchParams.get('user_id')
        body = JSON.stringify({ cut: received.cut, rows: [{ user_id: key }] })
      }
      response.writeHead(200, { 'content-length': Buffer.byteLength(body) }).end(body)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return { server, port, received }
}

function generate(order: Order): Promise<GeneratorReport> {
  const child = fork(path.join(root, 'bench/load-generator.ts'), { execArgv: [] })
  return new Promise((resolve, reject) => {
    child.once('message', (reply: Reply) => {
      if (reply.kind === 'report') resolve(reply.report)
      else reject(new Error(reply.message))
    })
    child.send(order)
  })
}

function expectedPerUser(report: GeneratorReport): Map<string, number> {
  const counts = new Map<string, number>()
  report.account?.acknowledged.forEach((times, template) => {
    for (let at = 0; at < workload.eventsPerRequest; at += 1) {
      const { user_id: user } = poolEvent(workload, template * workload.eventsPerRequest + at)
      counts.set(user, (counts.get(user) ?? 0) + times)
    }
  })
  return new Map([...counts].filter(([, n]) => n > 0))
}

for (const kind of ['flood', 'paced'] as const) {
  test(`${kind}: the account is what arrived`, async (t) => {
    const { server, port, received } = await fakeServer()
    t.after(() => server.close())
    const target = { port, stream: 'events', view: 'user_stats' }
    const common = { target, workload, firstId: 7_000_000, connections: 4 }
    const report = await generate(
      kind === 'flood'
        ? { kind, ...common, lagEvents: 10_000, warmupEvents: 0, events: 20_000 }
        : { kind, ...common, eventsPerSecond: 10_000, warmupSeconds: 0, seconds: 0.5, probeEvery: 2 },
    )
    assert.ok(received.events >= (kind === 'flood' ? 20_000 : 5000))
    assert.equal(received.ids.size, received.events, 'each event has its own id')
    assert.deepEqual(new Map([...received.perUser].sort()), new Map([...expectedPerUser(report)].sort()))
    assert.equal(report.account?.lastCut, received.cut)
    if (kind === 'paced') assert.ok((report.queryableMs?.count ?? 0) >= 20)
  })
}

test('lookups check each answer and count', async (t) => {
  const { server, port } = await fakeServer()
  t.after(() => server.close())
  const target = { port, stream: 'events', view: 'user_stats' }
  const report = await generate({
    kind: 'lookups',
    target,
    keys: 50,
    connections: 2,
    perSecond: 0,
    warmupSeconds: 0,
    seconds: 0.3,
  })
  assert.ok(report.done > 0 && report.lookupMs?.count === report.done)
})

test('lines have one length, every key appears, and stamped ids count up', () => {
  const users = new Set<string>()
  for (let template = 0; template < 40; template += 1) {
    const body = requestBody(workload, template)
    stampIds(body, workload.eventsPerRequest, 9_999_950)
    const lines = body.toString('utf8').trimEnd().split('\n')
    assert.equal(body.length, workload.eventsPerRequest * eventBytes)
    lines.forEach((line, index) => {
      const event = JSON.parse(line) as { event_id: string; user_id: string }
      assert.equal(event.event_id, String(9_999_950 + index).padStart(16, '0'))
      users.add(event.user_id)
    })
  }
  assert.equal(users.size, workload.keys)
})
