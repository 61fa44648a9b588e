/** The HTTP surface at the level of sockets: who may ask, endless answers, clients that go away, metrics. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { createFakeCore, type FakeCore, failWith } from '../../test/support/fake-core.ts'
import type { LogEvent } from '../log/types.ts'
import { RefoldError } from '../model/errors.ts'
import { defaultIngestLimits } from '../model/limits.ts'
import { createLogger } from '../std/logger.ts'
import { createHttpServer, type HttpServer } from './http-server.ts'
import type { HttpSettings } from './http-settings.ts'

const path = '/v1/streams/orders/events'

async function start(
  t: TestContext,
  core: FakeCore = createFakeCore(),
  settings: Partial<HttpSettings> = {},
): Promise<HttpServer> {
  const server = await createHttpServer(core, { host: '127.0.0.1', port: 0, stopGraceMs: 200, ...settings })
  t.after(() => server.close())
  return server
}

function order(id: string): string {
  return JSON.stringify({ order_id: id, user_id: 'u1', amount: '1.50', at: '2026-01-01T00:00:00Z' })
}

/** Sends text over a socket of its own and gives what comes back until the other side is silent or closes. */
async function raw(server: HttpServer, text: string | Buffer, silenceMs = 150): Promise<string> {
  const socket = net.connect(server.port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(text)
  let answer = ''
  await new Promise<void>((resolve) => {
    let timer = setTimeout(resolve, silenceMs * 4)
    socket.on('data', (data) => {
      answer += data.toString()
      clearTimeout(timer)
      timer = setTimeout(resolve, silenceMs)
    })
    socket.on('close', () => {
      clearTimeout(timer)
      resolve()
    })
  })
  socket.destroy()
  return answer
}

function status(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1])
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

function get(path: string, headers: readonly string[] = ['Host: localhost']): string {
  return `GET ${path} HTTP/1.1\r\n${headers.map((header) => `${header}\r\n`).join('')}\r\n`
}

test('a host that others reach needs a token', async () => {
  for (const host of ['0.0.0.0', '::', 'example.com', '192.168.1.5']) {
    await assert.rejects(createHttpServer(createFakeCore(), { host, port: 0 }), {
      code: 'SERVER_NEEDS_TOKEN',
    })
  }
  await assert.rejects(createHttpServer(createFakeCore(), { host: '127.0.0.1', port: 0, token: '' }), {
    code: 'SERVER_NEEDS_TOKEN',
  })
  const server = await createHttpServer(createFakeCore(), { host: '0.0.0.0', port: 0, token: 'secret' })
  await server.close()
})

test('a port in use is named', async (t) => {
  const server = await start(t)
  await assert.rejects(createHttpServer(createFakeCore(), { host: '127.0.0.1', port: server.port }), {
    code: 'SERVER_PORT',
  })
})

test('with a token every path asks for it, but health, readiness and metrics', async (t) => {
  const server = await start(t, createFakeCore(), { token: 'secret' })
  const ask = async (path: string, authorization?: string) =>
    (await fetch(server.url + path, authorization === undefined ? {} : { headers: { authorization } })).status
  for (const path of [
    '/v1/views',
    '/v1/status',
    '/v1/nothing',
    '/%761/views',
    '//v1/views',
    '/v1/openapi.json',
  ]) {
    assert.equal(await ask(path), 401, path)
  }
  for (const wrong of [
    'Bearer wrong',
    'Bearer',
    'Basic secret',
    'secret',
    'Bearer secret2',
    'Bearer secre',
  ]) {
    assert.equal(await ask('/v1/views', wrong), 401, wrong)
  }
  assert.equal(await ask('/v1/views', 'Bearer secret'), 200)
  assert.equal(await ask('/v1/views', 'bearer  secret'), 200)
  for (const path of ['/healthz', '/readyz', '/metrics']) assert.equal(await ask(path), 200, path)
  const post = await fetch(server.url + path, { method: 'POST', body: order('a') })
  assert.equal(post.status, 401)
  assert.match(post.headers.get('www-authenticate') ?? '', /^Bearer/)
  const other = await raw(server, get('/v1/views', ['Host: db.example.com', 'Authorization: Bearer secret']))
  assert.equal(status(other), 200)
})

test('without a token only names of this machine are answered', async (t) => {
  const server = await start(t)
  for (const [host, wanted] of [
    ['localhost', 200],
    [`127.0.0.1:${server.port}`, 200],
    ['[::1]:80', 200],
    ['LOCALHOST:1', 200],
    ['evil.example', 403],
    ['localhost.evil.example', 403],
    ['127.0.0.1.evil.example', 403],
    ['', 403],
  ] as const) {
    assert.equal(status(await raw(server, get('/v1/views', [`Host: ${host}`]), 50)), wanted, host)
  }
  assert.equal(status(await raw(server, get('/v1/views', []), 50)), 400)
})

test('web pages of other origins get nothing, whatever content type they use', async (t) => {
  const core = createFakeCore()
  const server = await start(t, core)
  const send = (headers: Record<string, string>) =>
    raw(
      server,
      `POST ${path} HTTP/1.1\r\nHost: localhost:${server.port}\r\nContent-Type: text/plain\r\n` +
        `${Object.entries(headers)
          .map(([name, value]) => `${name}: ${value}\r\n`)
          .join('')}Content-Length: ${order('a').length}\r\n\r\n${order('a')}`,
      50,
    )
  for (const headers of [
    { Origin: 'https://evil.example' },
    { Origin: 'null' },
    { Origin: `http://localhost:${server.port + 1}` },
    { 'Sec-Fetch-Site': 'cross-site' },
    { 'Sec-Fetch-Site': 'same-site' },
  ]) {
    const answer = await send(headers as Record<string, string>)
    assert.equal(status(answer), 403, JSON.stringify(headers))
    assert.doesNotMatch(answer, /access-control/i)
  }
  assert.equal(core.requests.length, 0)
  assert.equal(
    status(await send({ Origin: `http://localhost:${server.port}`, 'Sec-Fetch-Site': 'same-origin' })),
    200,
  )
  const link = ['Host: localhost', 'Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: navigate']
  assert.equal(status(await raw(server, get('/v1/views', link), 50)), 200)
})

test('events are read by range, one line each', async (t) => {
  const core = createFakeCore()
  const server = await start(t, core)
  for (const id of ['a', 'b', 'c']) await fetch(server.url + path, { method: 'POST', body: order(id) })
  const { partition } = core.events_[0]!
  const ids = async (query: string) => {
    const response = await fetch(`${server.url}${path}?${query}`)
    assert.equal(response.headers.get('content-type'), 'application/x-ndjson; charset=utf-8')
    const text = await response.text()
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line).event.order_id)
      .join('')
  }
  assert.equal(await ids(''), 'abc')
  assert.equal(await ids('from=1'), 'bc')
  assert.equal(await ids('from=cut:1&to=cut:2'), 'b')
  assert.equal(await ids(`from=offset:1&partition=${partition}`), 'bc')
  assert.equal(await ids(`to=offset:1&partition=${partition}&limit=5`), 'a')
  assert.equal(await ids('from=2026-01-01T00:00:02Z&to=2026-01-01T00:00:03Z'), 'b')
  assert.equal(await ids('from=2026-01-01T01:00:02%2B01:00'), 'bc')
  assert.equal(await ids('limit=2'), 'ab')
  const [line] = (await (await fetch(`${server.url}${path}?limit=1`)).text()).split('\n')
  assert.equal(
    line,
    `{"commit":1,"index":0,"partition":${partition},"offset":0,"time":"2026-01-01T00:00:01.000Z","event":${core.events_[0]!.json}}`,
  )
  for (const query of [
    'from=offset:1',
    'from=x',
    'to=2026-13-01',
    'partition=4',
    'limit=0',
    'follow=maybe',
    'form=1',
  ]) {
    const bad = await fetch(`${server.url}${path}?${query}`)
    assert.equal(bad.status, 400, query)
    await bad.text()
  }
})

test('following goes on with what arrives, and ends when the client goes away', async (t) => {
  const core = createFakeCore()
  const server = await start(t, core)
  const abort = new AbortController()
  const response = await fetch(`${server.url}${path}?follow=1`, { signal: abort.signal })
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  for (const id of ['a', 'b']) {
    await fetch(server.url + path, { method: 'POST', body: order(id) })
    const { value } = await reader.read()
    assert.equal(JSON.parse(value!).event.order_id, id)
  }
  const signal = (
    core.calls.find((call) => call.method === 'events')!.arguments[0] as { signal: AbortSignal }
  ).signal
  assert.equal(signal.aborted, false)
  abort.abort()
  await assert.rejects(reader.read())
  await until(() => signal.aborted)
  await until(() => core.waiting() === 0)
})

test('changes are one line for each row that changed', async (t) => {
  const core = createFakeCore()
  const server = await start(t, core)
  const body = [order('a'), order('b').replace('u1', 'u2'), order('c')].join('\n')
  await fetch(server.url + path, { method: 'POST', body })
  const abort = new AbortController()
  const response = await fetch(`${server.url}/v1/views/user_totals/changes?follow=1`, {
    signal: abort.signal,
  })
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  const first = (await reader.read()).value!.split('\n')
  assert.equal(first.length, 3)
  assert.match(
    first[0]!,
    /^\{"from":0,"to":1,"version":"a1b2[0-9a-f]+","op":"insert","new":\{"user_id":"u1","orders":2,/,
  )
  await fetch(server.url + path, { method: 'POST', body: order('d') })
  const change = JSON.parse((await reader.read()).value!)
  assert.deepEqual(
    [change.from, change.to, change.op, change.old.orders, change.new.orders],
    [1, 2, 'update', 2, 3],
  )
  abort.abort()
  await assert.rejects(reader.read())
  const later = await fetch(`${server.url}/v1/views/user_totals/changes?from=2`)
  assert.equal(await later.text(), '')
})

test('into silence comes an empty line', async (t) => {
  const server = await start(t, createFakeCore(), { heartbeatMs: 20 })
  const abort = new AbortController()
  const response = await fetch(`${server.url}${path}?follow`, { signal: abort.signal })
  const { value } = await response.body!.getReader().read()
  assert.equal(Buffer.from(value!).toString(), '\n')
  abort.abort()
})

test('an early error of a stream has its status, a late one is the last line', async (t) => {
  const early = () => ({
    [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new RefoldError('LOG_FAILED', 'not now')) }),
  })
  async function* late(): AsyncGenerator<LogEvent> {
    yield { commit: 1, index: 0, stream: 'orders', partition: 0, offset: 0, timeMs: 0, json: '{}' }
    await new Promise((resolve) => setTimeout(resolve, 20))
    throw new RefoldError('LOG_CORRUPT', 'segment 7')
  }
  const one = await start(t, createFakeCore({ events: early }))
  assert.equal((await fetch(one.url + path)).status, 503)
  const two = await start(t, createFakeCore({ events: late }))
  const lines = (await (await fetch(two.url + path)).text()).trimEnd().split('\n')
  assert.equal(lines.length, 2)
  assert.equal(JSON.parse(lines[1]!).error.code, 'LOG_CORRUPT')
  const three = await start(t, createFakeCore({ changes: failWith('DELTA_TOO_OLD', 'too old') }))
  const answer = await fetch(`${three.url}/v1/views/user_totals/changes?from=1`)
  assert.equal(((await answer.json()) as { error: { code: string } }).error.code, 'DELTA_TOO_OLD')
})

test('a slow reader holds the source back', async (t) => {
  let made = 0
  async function* endless(): AsyncGenerator<LogEvent> {
    const json = JSON.stringify({ pad: 'x'.repeat(1000) })
    for (;;) {
      yield { commit: 1, index: made++, stream: 'orders', partition: 0, offset: 0, timeMs: 0, json }
    }
  }
  const server = await start(t, createFakeCore({ events: endless }))
  const socket = net.connect(server.port, '127.0.0.1')
  await once(socket, 'connect')
  socket.pause()
  socket.write(get(path))
  let before = -1
  while (made !== before || made === 0) {
    before = made
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  assert.ok(made < 50_000, `${made} events were made for a reader that reads nothing`)
  socket.destroy()
  const after = made
  await new Promise((resolve) => setTimeout(resolve, 50))
  assert.ok(made - after < 1000, 'the source went on after the reader was gone')
})

test('a client that goes away cancels its query', async (t) => {
  let seen: AbortSignal | undefined
  const core = createFakeCore({
    sql: (_request, { signal }) => {
      seen = signal!
      return new Promise((_resolve, reject) => {
        signal!.addEventListener('abort', () => reject(new RefoldError('QUERY_CANCELLED', 'cancelled')))
      })
    },
  })
  const server = await start(t, core)
  const abort = new AbortController()
  const asked = fetch(`${server.url}/v1/sql`, {
    method: 'POST',
    body: '{"sql":"SELECT 1"}',
    signal: abort.signal,
  })
  await until(() => seen !== undefined)
  abort.abort()
  await assert.rejects(asked)
  await until(() => seen!.aborted)
})

test('half a body and then nothing leaves nothing behind', async (t) => {
  const core = createFakeCore()
  const lines: string[] = []
  const logger = createLogger({ form: 'human', write: (line) => void lines.push(line) })
  const server = await start(t, core, { bodyBytesMax: 2000, logger })
  const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n`
  const packed = gzipSync(`${order('a')}\n${'x'.repeat(3000)}`)
  for (const part of [
    `${head}\r\n${order('a')}\n`,
    Buffer.concat([Buffer.from(`${head}Content-Encoding: gzip\r\n\r\n`), packed.subarray(0, 60)]),
  ]) {
    for (let at = 0; at < 10; at++) {
      const socket = net.connect(server.port, '127.0.0.1')
      await once(socket, 'connect')
      socket.write(part)
      await new Promise((resolve) => setTimeout(resolve, 10))
      socket.destroy()
    }
  }
  const metrics = async () => (await fetch(`${server.url}/metrics`)).text()
  while (!/in_flight 1\n/.test(await metrics())) await new Promise((resolve) => setTimeout(resolve, 5))
  assert.match(await metrics(), /refold_http_requests_total\{[^}]*status="499"\} 20\n/)
  // the room that the halves took is free again
  const body = Array.from({ length: 18 }, (_, at) => order(`n${at}`)).join('\n')
  assert.equal((await fetch(server.url + path, { method: 'POST', body })).status, 200)
  assert.equal(core.requests.length, 1)
  assert.deepEqual(lines, [])
})

test('a connection is used again, also after errors and refused bodies', async (t) => {
  const server = await start(t)
  const post = (body: string, headers = '') =>
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  const answers = await raw(
    server,
    post(order('a')) +
      post('[1') +
      get('/v1/nothing') +
      post(order('b'), 'Content-Encoding: br\r\n') +
      post(order('b'), 'Content-Encoding: gzip\r\n') +
      get('/healthz'),
  )
  const statuses = [...answers.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => match[1])
  assert.deepEqual(statuses, ['200', '400', '404', '415', '400', '200'])
})

test('what is left of a refused body is read and forgotten, and the connection is used again', async (t) => {
  const limits = { ...defaultIngestLimits, requestBytes: 5000, expandedBytes: 5000 }
  const server = await start(t, createFakeCore(), { limits })
  const chunk = `3e8\r\n${'x'.repeat(1000)}\r\n`
  const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n`
  for (const [encoding, first] of [
    ['', chunk],
    ['Content-Encoding: gzip\r\n', bombChunk()],
  ] as const) {
    const socket = net.connect(server.port, '127.0.0.1')
    await once(socket, 'connect')
    let answers = ''
    socket.on('data', (data) => {
      answers += data.toString()
    })
    socket.write(
      Buffer.concat([
        Buffer.from(`${head}${encoding}\r\n`),
        Buffer.from(first),
        Buffer.from(chunk.repeat(6)),
      ]),
    )
    await until(() => /REQUEST_TOO_LARGE/.test(answers))
    socket.write(`${chunk.repeat(2)}0\r\n\r\n${get('/healthz')}`)
    await until(() => /\{"ok":true\}/.test(answers))
    socket.destroy()
  }
})

/** One chunk of gzip that expands to more than it looks. */
function bombChunk(): Buffer {
  const packed = gzipSync(Buffer.alloc(200_000))
  return Buffer.concat([Buffer.from(`${packed.length.toString(16)}\r\n`), packed, Buffer.from('\r\n')])
}

test('a client without end is cut off', async (t) => {
  const limits = { ...defaultIngestLimits, requestBytes: 5000 }
  const server = await start(t, createFakeCore(), { limits })
  const socket = net.connect(server.port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(`POST ${path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n`)
  const timer = setInterval(() => socket.write(`3e8\r\n${'x'.repeat(1000)}\r\n`), 1)
  await until(() => socket.destroyed)
  clearInterval(timer)
})

test('Expect: 100-continue is answered, and a body too large is refused before it is sent', async (t) => {
  const server = await start(t)
  const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n`
  const good = await raw(server, `${head}Content-Length: ${order('a').length}\r\n\r\n${order('a')}`)
  assert.match(good, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200/)
  const large = await raw(server, `${head}Content-Length: 999999999\r\n\r\n`)
  assert.equal(status(large), 413)
})

test('bytes that are no HTTP get an error in JSON', async (t) => {
  const server = await start(t)
  for (const [text, wanted, code] of [
    ['hello\r\n\r\n', 400, 'REQUEST_MALFORMED'],
    [get('/healthz', ['Host: localhost', `X: ${'y'.repeat(20_000)}`]), 431, 'REQUEST_HEADERS'],
    [get('/v1/views/%zz'), 400, 'REQUEST_MALFORMED'],
  ] as const) {
    const answer = await raw(server, text)
    assert.equal(status(answer), wanted, text.slice(0, 40))
    assert.equal(JSON.parse(answer.split('\r\n\r\n')[1]!).error.code, code)
  }
  const type = await fetch(server.url + path, {
    method: 'POST',
    body: order('a'),
    headers: { 'content-type': '?' },
  })
  assert.equal(type.status, 400)
})

test('closing does not wait for a source that ends never', async (t) => {
  const deaf = () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) })
  const core = createFakeCore({ events: deaf })
  const server = await createHttpServer(core, { host: '127.0.0.1', port: 0 })
  t.after(() => server.close())
  const response = await fetch(`${server.url}${path}?follow=1`)
  const text = response.text()
  await server.close()
  assert.equal(await text, '')
})

test('closing lets answers under way finish, refuses new requests, and has an end', async (t) => {
  const held = Promise.withResolvers<void>()
  const inner = createFakeCore()
  let appending = 0
  const core = createFakeCore({
    append: async (request) => {
      appending++
      await held.promise
      return inner.append(request)
    },
    sql: () => new Promise(() => {}),
  })
  const server = await createHttpServer(core, { host: '127.0.0.1', port: 0, stopGraceMs: 300 })
  t.after(() => server.close())
  const kept = net.connect(server.port, '127.0.0.1')
  await once(kept, 'connect')
  let late = ''
  kept.on('data', (data) => {
    late += data.toString()
  })
  // The head of a request that is under way keeps its connection from being idle.
  kept.write('GET /v1/views HTTP/1.1\r\nHost: localhost\r\n')
  const first = fetch(server.url + path, { method: 'POST', body: order('a') })
  const hangs = fetch(`${server.url}/v1/sql`, { method: 'POST', body: '{"sql":"SELECT 1"}' })
  const cutOff = assert.rejects(hangs)
  await until(() => appending === 1)
  const closed = server.close()
  kept.write('\r\n')
  await until(() => late !== '')
  assert.equal(status(late), 503)
  assert.match(late, /connection: close/i)
  assert.match(late, /SERVER_STOPPING/)
  held.resolve()
  assert.equal((await first).status, 200)
  await closed
  await cutOff
})

test('closing waits neither for connections that say nothing nor for kept ones', async () => {
  const held = Promise.withResolvers<void>()
  const core = createFakeCore({ probe: () => held.promise })
  const never = 1_000_000
  const server = await createHttpServer(core, { host: '127.0.0.1', port: 0, stopGraceMs: never })
  const silent = net.connect(server.port, '127.0.0.1')
  const kept = net.connect(server.port, '127.0.0.1')
  await Promise.all([once(silent, 'connect'), once(kept, 'connect')])
  kept.write(get('/readyz'))
  await new Promise((resolve) => setTimeout(resolve, 20))
  const closed = server.close()
  setTimeout(held.resolve, 50)
  const [answer] = await once(kept, 'data')
  assert.equal(status(String(answer)), 200)
  await closed
})

test('closing ends followers and refuses what comes later', async (t) => {
  const core = createFakeCore()
  const server = await createHttpServer(core, { host: '127.0.0.1', port: 0 })
  const response = await fetch(`${server.url}${path}?follow=1`)
  const text = response.text()
  await server.close()
  assert.equal(await text, '')
  assert.equal(core.waiting(), 0)
  await assert.rejects(fetch(`${server.url}/healthz`))
  t.diagnostic('closed')
})

test('metrics keep to the exposition format', async (t) => {
  const label = 'a "quoted"\\ back\nline'
  const core = createFakeCore({
    metrics: async () => [
      {
        name: 'x_total',
        help: 'help with \\ and\nline',
        type: 'counter',
        samples: [{ labels: { v: label }, value: 1.5e300 }],
      },
      { name: 'y', help: 'h', type: 'gauge', samples: [{ labels: {}, value: Number.POSITIVE_INFINITY }] },
      { name: 'x_total', help: 'again', type: 'counter', samples: [{ labels: { v: 'b' }, value: 2 }] },
    ],
  })
  const server = await start(t, core)
  await (await fetch(`${server.url}/healthz`)).text()
  const response = await fetch(`${server.url}/metrics`)
  assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
  const groups = parseExposition(await response.text())
  assert.deepEqual(
    groups.get('x_total')!.samples.map((sample) => [sample.labels.v, sample.value]),
    [
      [label, 1.5e300],
      ['b', 2],
    ],
  )
  assert.equal(groups.get('y')!.samples[0]!.value, Number.POSITIVE_INFINITY)
  const histogram = groups
    .get('refold_http_request_duration_seconds')!
    .samples.filter((sample) => sample.labels.route === '/healthz')
  const buckets = histogram.filter((sample) => sample.name.endsWith('_bucket'))
  assert.equal(buckets.at(-1)!.labels.le, '+Inf')
  assert.deepEqual(
    buckets.map((bucket) => bucket.value),
    buckets.map((bucket) => bucket.value).toSorted((a, b) => a - b),
  )
  assert.equal(histogram.find((sample) => sample.name.endsWith('_count'))!.value, buckets.at(-1)!.value)
  const down = await start(t, createFakeCore({ metrics: failWith('ENGINE_UNAVAILABLE', 'no') }))
  const text = await (await fetch(`${down.url}/metrics`)).text()
  assert.equal(parseExposition(text).get('refold_up')!.samples[0]!.value, 0)
})

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** A strict reader of the text format: HELP, TYPE, then the samples of that name, each name once. */
function parseExposition(text: string): Map<string, { readonly type: string; readonly samples: Sample[] }> {
  assert.ok(text.endsWith('\n'))
  const groups = new Map<string, { type: string; samples: Sample[] }>()
  let current = ''
  for (const line of text.slice(0, -1).split('\n')) {
    const help = /^# HELP ([a-zA-Z_:][\w:]*) ((?:[^\\]|\\[\\n])*)$/.exec(line)
    if (help !== null) {
      assert.ok(!groups.has(help[1]!), `${help[1]} comes twice`)
      current = help[1]!
      continue
    }
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line)
    if (type !== null) {
      assert.equal(type[1], current)
      groups.set(current, { type: type[2]!, samples: [] })
      continue
    }
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\]|\\[\\"n])*",?)*)\})? (\S+)$/.exec(
      line,
    )
    assert.ok(sample !== null, `not a sample: ${line}`)
    assert.match(sample[1]!, new RegExp(`^${current}(_bucket|_sum|_count)?$`))
    const pairs = [...(sample[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)]
    const plain = (value: string) => value.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c))
    const labels = Object.fromEntries(pairs.map(([, name, value]) => [name!, plain(value!)]))
    const value = sample[3] === '+Inf' ? Number.POSITIVE_INFINITY : Number(sample[3])
    groups.get(current)!.samples.push({ name: sample[1]!, labels, value })
  }
  return groups
}
