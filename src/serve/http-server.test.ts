/** The HTTP surface over real sockets, with a core in memory: ingest, reads, errors and who may ask. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { createFakeCore, type FakeCore, failWith, fakeVersion } from '../../test/support/fake-core.ts'
import { defaultIngestLimits } from '../model/limits.ts'
import { createHttpServer, type HttpServer } from './http-server.ts'
import type { HttpSettings } from './http-settings.ts'

interface Started {
  readonly core: FakeCore
  readonly server: HttpServer
  get(path: string, init?: RequestInit): Promise<Answer>
  post(path: string, body: string | Uint8Array, headers?: Record<string, string>): Promise<Answer>
}

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked at freely
  readonly json: any
}

async function start(
  t: TestContext,
  core: FakeCore = createFakeCore(),
  settings: Partial<HttpSettings> = {},
): Promise<Started> {
  const server = await createHttpServer(core, { host: '127.0.0.1', port: 0, stopGraceMs: 200, ...settings })
  t.after(() => server.close())
  const get = async (path: string, init: RequestInit = {}): Promise<Answer> => {
    const response = await fetch(server.url + path, init)
    const text = await response.text()
    const json = /^[{[]/.test(text) && !/\}\n\{/.test(text) ? JSON.parse(text) : undefined
    return { status: response.status, headers: response.headers, text, json }
  }
  return {
    core,
    server,
    get,
    post: (path, body, headers = {}) => get(path, { method: 'POST', body: body as string, headers }),
  }
}

const path = '/v1/streams/orders/events'

function order(id: string, more: Record<string, unknown> = {}): string {
  return JSON.stringify({ order_id: id, user_id: 'u1', amount: '1.50', at: '2026-01-01T00:00:00Z', ...more })
}

test('events are taken as one object, an array or lines, whatever the content type says', async (t) => {
  const { core, post } = await start(t)
  const bodies: [string, string, number][] = [
    ['application/json', order('a'), 1],
    ['application/json', JSON.stringify(JSON.parse(order('b')), null, 2), 1],
    ['application/json', `[${order('c')}, ${order('d')}]`, 2],
    ['application/x-ndjson', `${order('e')}\n${order('f')}\n`, 2],
    ['application/json', `${order('g')}\r\n\r\n  \n${order('h')}`, 2],
    ['text/plain', ` \n${order('i')}\n`, 1],
    ['application/octet-stream', `\ufeff${order('j')}`, 1],
    ['', order('k'), 1],
  ]
  let cut = 0
  for (const [type, body, accepted] of bodies) {
    const answer = await post(path, Buffer.from(body), type === '' ? {} : { 'content-type': type })
    assert.equal(answer.status, 200, `${type} ${answer.text}`)
    assert.deepEqual(answer.json, { accepted, duplicates: 0, rejected: [], cut: ++cut })
    assert.equal(answer.headers.get('refold-cut'), String(cut))
  }
  assert.deepEqual(core.events_.map((event) => JSON.parse(event.json).order_id).join(''), 'abcdefghijk')
})

test('a bad event is rejected alone, with its position, code, place and source', async (t) => {
  const { core, post } = await start(t)
  const bad = '{"order_id":"x","user_id":"u","amount":"1.234","at":"2026-01-01T00:00:00Z"}'
  const answer = await post(path, `${order('a')}\n{broken\n\n${bad}\n${order('b')}\n`)
  assert.equal(answer.status, 200)
  assert.equal(answer.json.accepted, 2)
  assert.deepEqual(
    answer.json.rejected.map((r: { index: number; place: string }) => [r.index, r.place]),
    [
      [1, ''],
      [2, '/amount'],
    ],
  )
  assert.equal(answer.json.rejected[0].code, 'EVENT_NOT_JSON')
  assert.equal(typeof answer.json.rejected[1].reason, 'string')
  assert.deepEqual(
    core.requests[0]!.deadLetters.map((letter) => letter.raw),
    ['{broken', bad],
  )
  assert.deepEqual(
    core.requests[0]!.events.map((event) => event.index),
    [0, 3],
  )
})

test('a request with nothing good is 422, still durable; duplicates alone are 200', async (t) => {
  const { core, post } = await start(t)
  const none = await post(path, '{"a":1}\n{"b":2}\n')
  assert.equal(none.status, 422)
  assert.equal(none.json.rejected.length, 2)
  assert.equal(core.requests[0]!.deadLetters.length, 2)
  await post(path, order('a'))
  const again = await post(path, order('a'))
  assert.deepEqual([again.status, again.json.duplicates], [200, 1])
  const conflict = await post(path, order('a', { amount: '9.00' }))
  assert.equal(conflict.status, 422)
  assert.deepEqual(
    { ...conflict.json.rejected[0], reason: '' },
    { index: 0, code: 'EVENT_ID_CONFLICT', reason: '', place: '/order_id' },
  )
})

test('rejections and conflicts come in the order of the request', async (t) => {
  const { post } = await start(t)
  await post(path, order('a'))
  const answer = await post(path, `{}\n${order('a', { amount: '2' })}\n[]\n${order('b')}`)
  assert.deepEqual(
    answer.json.rejected.map((r: { index: number }) => r.index),
    [0, 1, 2],
  )
})

test('a syntax error in an array refuses the request, and says where', async (t) => {
  const { core, post } = await start(t)
  for (const [body, line, column] of [
    ['[{"order_id":"a"},\n {"order_id":}]', 2, 2],
    ['[{}', 1, 4],
    ['[{},]', 1, 5],
    ['[{} {}]', 1, 5],
    ['[] x', 1, 4],
    ['[1,2', 1, 5],
  ] as const) {
    const answer = await post(path, body)
    assert.equal(answer.status, 400, body)
    assert.equal(answer.json.error.code, 'REQUEST_BODY')
    assert.deepEqual(answer.json.error.place, { line, column }, body)
  }
  assert.equal(core.requests.length, 0)
  const elements = await post(path, `[${order('a')}, 5, null, "x", [1], {"order_id": 1}]`)
  assert.deepEqual([elements.status, elements.json.accepted, elements.json.rejected.length], [200, 1, 5])
})

test('numbers keep all their digits on the way in and out', async (t) => {
  const { core, get, post } = await start(t)
  const text = (id: string) =>
    `{"order_id":"${id}","user_id":"u","amount":1234567890123456.78,"units":9007199254740993,"at":"2026-01-01T00:00:00Z"}`
  await post(path, `[${text('a')}]`)
  await post(path, text('b'))
  for (const event of core.events_) {
    assert.match(event.json, /"amount":"1234567890123456\.78"/)
    assert.match(event.json, /"units":9007199254740993[,}]/)
  }
  const big = createFakeCore({
    readView: async () => ({
      columns: [{ name: 'n', type: 'BIGINT' }],
      json: '[{"n":9007199254740993}]',
      count: 1,
      truncated: false,
      cut: 7,
      versions: { user_totals: fakeVersion },
      watermarks: { orders: '2026-01-01T00:00:00Z', clicks: '2025-12-31T23:59:59.5Z' },
      lagMs: 3,
      at: null,
      stalled: {},
    }),
  })
  const other = await start(t, big)
  const answer = await other.get('/v1/views/user_totals')
  assert.match(answer.text, /"rows":\[\{"n":9007199254740993\}\]/)
  assert.equal(answer.json.watermark, '2025-12-31T23:59:59.5Z')
  const log = await get('/v1/streams/orders/events')
  assert.equal(log.text.match(/9007199254740993/g)?.length, 2)
})

test('gzip is undone, and what is not gzip is refused', async (t) => {
  const { post } = await start(t)
  const good = await post(path, gzipSync(`${order('a')}\n${order('b')}`), { 'content-encoding': 'gzip' })
  assert.equal(good.json.accepted, 2)
  const packed = gzipSync(order('c'))
  for (const body of [order('x'), packed.subarray(0, packed.length - 5)]) {
    const bad = await post(path, body, { 'content-encoding': 'gzip' })
    assert.deepEqual([bad.status, bad.json.error.code], [400, 'REQUEST_BODY'])
  }
  const other = await post(path, order('x'), { 'content-encoding': 'br' })
  assert.deepEqual([other.status, other.json.error.code], [415, 'REQUEST_ENCODING'])
})

test('limits hold before anything is parsed, and the connection stays usable', async (t) => {
  const limits = {
    ...defaultIngestLimits,
    requestBytes: 5000,
    expandedBytes: 20_000,
    requestEvents: 10,
    eventBytes: 500,
  }
  const { core, post } = await start(t, createFakeCore(), { limits })
  const bomb = await post(path, gzipSync(Buffer.alloc(4_000_000, 0x20)), { 'content-encoding': 'gzip' })
  assert.deepEqual([bomb.status, bomb.json.error.code], [413, 'REQUEST_TOO_LARGE'])
  const long = await post(path, Buffer.alloc(5001, 0x20))
  assert.equal(long.status, 413)
  const chunked = await fetch(`${(await start(t, core, { limits })).server.url}${path}`, {
    method: 'POST',
    body: new ReadableStream({
      start(controller) {
        for (let at = 0; at < 10; at++) controller.enqueue(new Uint8Array(1000))
        controller.close()
      },
    }),
    duplex: 'half',
  } as RequestInit)
  assert.equal(chunked.status, 413)
  const many = await post(path, '{}\n'.repeat(11))
  assert.equal(many.status, 413)
  const manyInArray = await post(path, `[${'{},'.repeat(10)}{}]`)
  assert.equal(manyInArray.status, 413)
  assert.equal(core.requests.length, 0)
  const fat = await post(path, `${order('a')}\n${order('b', { user_id: 'x'.repeat(600) })}`)
  assert.deepEqual([fat.status, fat.json.accepted, fat.json.rejected[0].code], [200, 1, 'EVENT_TOO_LARGE'])
})

test('an event nested too deep is rejected alone, also far beyond any stack', async (t) => {
  const { post } = await start(t)
  const deep = `{"page":"p","more":${'['.repeat(200_000)}${']'.repeat(200_000)}}`
  const fine = `{"page":"p","more":${'['.repeat(60)}${']'.repeat(60)}}`
  const answer = await post('/v1/streams/clicks/events', `${deep}\n${fine}\n[${deep}]`)
  assert.equal(answer.json.accepted, 1)
  assert.equal(answer.json.rejected[0].code, 'EVENT_TOO_DEEP')
})

test('a line that is no UTF-8 is rejected alone', async (t) => {
  const { core, post } = await start(t)
  const bad = Buffer.concat([Buffer.from('{"order_id":"'), Buffer.from([0xff, 0xc3]), Buffer.from('"}')])
  const umlaut = order('ü', { user_id: '日本' })
  const body = Buffer.concat([Buffer.from(`${order('a')}\n`), bad, Buffer.from(`\n${umlaut}\n`)])
  const answer = await post(path, body)
  assert.deepEqual([answer.json.accepted, answer.json.rejected[0].code], [2, 'EVENT_NOT_UTF8'])
  assert.equal(JSON.parse(core.events_[1]!.json).user_id, '日本')
})

test('the source of a dead letter is cut to 4 KiB, between characters', async (t) => {
  const { core, post } = await start(t)
  await post(path, `{"x":"${'é'.repeat(5000)}`)
  const { raw } = core.requests[0]!.deadLetters[0]!
  assert.equal(Buffer.byteLength(raw), 4096)
  assert.match(raw, /^\{"x":"é+$/)
  await post(path, `{"xy":"${'é'.repeat(5000)}`)
  assert.equal(Buffer.byteLength(core.requests[1]!.deadLetters[0]!.raw), 4095)
})

test('Idempotency-Key gives ids to streams that have none', async (t) => {
  const { core, post } = await start(t)
  const clicks = '/v1/streams/clicks/events'
  const send = (key: string) => post(clicks, '{"page":"a"}\n{"page":"b"}', { 'idempotency-key': key })
  assert.deepEqual((await send('k-1')).json, { accepted: 2, duplicates: 0, rejected: [], cut: 1 })
  assert.equal((await send('k-1')).json.duplicates, 2)
  assert.deepEqual(
    core.requests[0]!.events.map((event) => event.id),
    ['k-1#0', 'k-1#1'],
  )
  for (const key of ['', 'a b', 'x'.repeat(256)]) assert.equal((await send(key)).status, 400, key)
  const own = await post(path, order('a'), { 'idempotency-key': 'k' })
  assert.deepEqual([own.status, own.json.error.code], [400, 'REQUEST_PARAMETER'])
})

test('events without a key stay together, and requests rotate over the partitions', async (t) => {
  const { core, post } = await start(t)
  for (let at = 0; at < 5; at++) await post('/v1/streams/clicks/events', '{"page":"a"}\n{"page":"b"}')
  assert.deepEqual(
    core.requests.map((request) => [...new Set(request.events.map((event) => event.partition))]),
    [[0], [1], [2], [3], [0]],
  )
})

test('what is empty or not there is named', async (t) => {
  const { get, post } = await start(t)
  for (const body of ['', ' \n ', '[]', '\n\n']) {
    const answer = await post(path, body)
    assert.deepEqual([answer.status, answer.json.error.code], [400, 'REQUEST_BODY'], JSON.stringify(body))
  }
  const stream = await post('/v1/streams/order/events', order('a'))
  assert.equal(stream.status, 404)
  assert.equal(stream.json.error.code, 'STREAM_UNKNOWN')
  assert.match(stream.json.error.hint, /"orders"/)
  const view = await get('/v1/views/user_total')
  assert.deepEqual([view.status, view.json.error.code], [404, 'VIEW_UNKNOWN'])
  assert.match(view.json.error.hint, /"user_totals"/)
  const route = await get('/v1/view')
  assert.deepEqual([route.status, route.json.error.code], [404, 'ROUTE_UNKNOWN'])
  assert.match(route.json.error.hint, /\/v1\/views"/)
})

test('errors of the log keep their status and say when to try again', async (t) => {
  for (const [code, status, retry] of [
    ['LOG_BUSY', 429, '3'],
    ['LOG_FULL', 507, '10'],
    ['LOG_FAILED', 503, '1'],
  ] as const) {
    const options = code === 'LOG_BUSY' ? { details: { retryAfterMs: 2500 } } : {}
    const { post } = await start(t, createFakeCore({ append: failWith(code, 'the log said no', options) }))
    const answer = await post(path, order('a'))
    assert.deepEqual([answer.status, answer.headers.get('retry-after')], [status, retry])
    assert.equal(answer.json.error.code, code)
    assert.equal(answer.json.error.retryable, true)
  }
  const broken = createFakeCore({
    append: () => {
      throw new TypeError('oops')
    },
  })
  const { post } = await start(t, broken)
  const answer = await post(path, order('a'))
  assert.deepEqual([answer.status, answer.json.error.code], [500, 'INTERNAL'])
})

test('bodies of all requests together are bounded', async (t) => {
  let finish = () => {}
  const held = new Promise<void>((resolve) => {
    finish = resolve
  })
  const core = createFakeCore()
  const slow = createFakeCore({
    append: async (request) => {
      await held
      return core.append(request)
    },
  })
  const { post } = await start(t, slow, { bodyBytesMax: 300 })
  const first = post(path, `${order('a')}\n${order('b')}\n${order('c')}`)
  await new Promise((resolve) => setTimeout(resolve, 50))
  const second = await post(path, `${order('d')}\n${order('e')}`)
  assert.deepEqual([second.status, second.json.error.code], [429, 'SERVER_BUSY'])
  assert.equal(second.headers.get('retry-after'), '1')
  finish()
  assert.equal((await first).status, 200)
  assert.equal((await post(path, order('f'))).status, 200)
  // alone, a request is bounded by its own limits only, in however many pieces it comes
  const large = gzipSync(order('g') + '\n'.repeat(500_000))
  assert.equal((await post(path, large, { 'content-encoding': 'gzip' })).status, 200)
})

test('a view is read with filters, order and limits; mistakes are named together', async (t) => {
  const { core, get, post } = await start(t)
  await post(path, `${order('a')}\n${order('b', { user_id: 'a b&c=ü' })}\n${order('c')}`)
  const all = await get('/v1/views/user_totals?order=-total,user_id&limit=1&after=1&timeout=500')
  assert.equal(all.status, 200)
  assert.deepEqual(Object.keys(all.json), [
    'view',
    'version',
    'cut',
    'at',
    'watermark',
    'lagMs',
    'columns',
    'rows',
    'truncated',
  ])
  assert.equal(all.json.truncated, true)
  assert.equal(all.headers.get('refold-cut'), '1')
  const [request, options] = core.calls.find((call) => call.method === 'readView')!.arguments as [
    Record<string, unknown>,
    Record<string, unknown>,
  ]
  assert.deepEqual(request.order, [
    { column: 'total', descending: true },
    { column: 'user_id', descending: false },
  ])
  assert.deepEqual([options.after, options.timeoutMs], [1, 500])
  const one = await get(`/v1/views/user_totals?user_id=${encodeURIComponent('a b&c=ü')}`)
  assert.deepEqual(one.json.rows, [{ user_id: 'a b&c=ü', orders: 1, total: '1.50' }])
  const plus = await get('/v1/views/user_totals?where.user_id=a+b%26c=%C3%BC')
  assert.equal(plus.json.rows.length, 1)
  await get('/v1/views/user_totals?USER_ID&where.total=')
  assert.deepEqual((core.calls.at(-1)!.arguments[0] as { where: object }).where, {
    __proto__: null,
    USER_ID: null,
    total: '',
  })
  const bad = await get('/v1/views/user_totals?usr_id=1&limit=0&order=-totl&after=x&limit=5&user_id=%ff')
  assert.equal(bad.status, 400)
  assert.deepEqual(bad.json.error.details.mistakes.map((m: { parameter: string }) => m.parameter).sort(), [
    'after',
    'limit',
    'limit',
    'totl',
    'user_id',
    'usr_id',
  ])
  assert.match(bad.json.error.hint, /"user_id"/)
  const reserved = await get('/v1/views/user_totals?as_of=2026-01-01')
  assert.equal(reserved.status, 400)
})

test('versions and moments of the past are led to the core, which knows them', async (t) => {
  const { core, get, post } = await start(t)
  for (const query of [
    'version=ffffffffffff',
    'as_of=17',
    'as_of=2026-01-31T12:00:00Z',
    'as_reported_at=2026-01-31T12:00:00.000001%2B00:00&where.gone=1',
  ]) {
    assert.equal((await get(`/v1/views/user_totals?${query}`)).status, 200, query)
  }
  await post('/v1/sql', '{"sql":"SELECT 1","as_of":17}')
  const reads = core.calls.filter(({ method }) => method === 'readView' || method === 'sql')
  const asked = reads.map(({ arguments: [wanted, options] }) => [
    (wanted as { version?: string }).version,
    (options as { moment?: unknown }).moment,
  ])
  const us = Date.UTC(2026, 0, 31, 12) * 1000
  assert.deepEqual(asked, [
    ['ffffffffffff', undefined],
    [undefined, { kind: 'cut', cut: 17 }],
    [undefined, { kind: 'time', us }],
    [undefined, { kind: 'reported', us: us + 1 }],
    [undefined, { kind: 'cut', cut: 17 }],
  ])
  for (const query of [
    'as_of=x',
    'as_of=-1',
    'as_reported_at=7',
    'as_of=1&as_reported_at=2026-01-31T12:00:00Z',
  ]) {
    const { status, json } = await get(`/v1/views/user_totals?${query}`)
    assert.deepEqual([status, json.error.code], [400, 'REQUEST_PARAMETER'], query)
  }
})

test('a stalled view says so in its answer', async (t) => {
  const position = { commit: 3, index: 1, stream: 'orders', partition: 0, offset: 9 }
  const stall = { position, message: 'division by zero' }
  const core = createFakeCore({
    readView: async () => ({
      columns: [],
      json: '[]',
      count: 0,
      truncated: false,
      cut: 2,
      versions: {},
      watermarks: {},
      lagMs: 9,
      at: null,
      stalled: { user_totals: stall },
    }),
  })
  const { get } = await start(t, core)
  const { json } = await get('/v1/views/user_totals')
  assert.deepEqual([json.stalled, json.watermark, json.version], [stall, null, null])
})

test('SQL is run, and a wrong body is named field by field', async (t) => {
  const { core, post } = await start(t)
  const good = await post(
    '/v1/sql',
    '{"sql":"SELECT count(*) AS n FROM orders","limit":5,"after":0,"timeout":9}',
  )
  assert.equal(good.status, 200)
  assert.deepEqual(good.json.rows, [{ n: 0 }])
  assert.deepEqual(core.calls.at(-1)!.arguments[0], { sql: 'SELECT count(*) AS n FROM orders', limit: 5 })
  for (const [body, code] of [
    ['{"sql":', 'REQUEST_BODY'],
    ['[1]', 'REQUEST_BODY'],
    ['', 'REQUEST_BODY'],
    ['{"sql":""}', 'REQUEST_PARAMETER'],
    ['{"sql":"SELECT 1","limt":1}', 'REQUEST_PARAMETER'],
    ['{"sql":"SELECT 1","limit":1.5}', 'REQUEST_PARAMETER'],
  ]) {
    const bad = await post('/v1/sql', body!)
    assert.deepEqual([bad.status, bad.json.error.code], [400, code], body)
  }
  const huge = await post('/v1/sql', JSON.stringify({ sql: 'x'.repeat(2_000_000) }))
  assert.equal(huge.status, 413)
})

test('lists, explain, status, health and the description', async (t) => {
  const { get } = await start(t)
  const streams = await get('/v1/streams')
  assert.deepEqual(
    streams.json.streams.map((s: { name: string; id: string | null; partitions: number }) => [s.name, s.id]),
    [
      ['orders', 'order_id'],
      ['clicks', null],
    ],
  )
  assert.equal((await get('/v1/views')).json.views[0].name, 'user_totals')
  assert.equal((await get('/v1/views/user_totals/explain')).json.view, 'user_totals')
  assert.deepEqual((await get('/v1/status')).json, { cut: 0, events: 0 })
  assert.deepEqual((await get('/healthz')).json, { ok: true })
  assert.deepEqual((await get('/readyz')).json, { ok: true })
  const { json } = await get('/v1/openapi.json')
  assert.equal(json.openapi, '3.1.0')
  assert.deepEqual(Object.keys(json.paths['/v1/streams/{stream}/events']), ['post', 'get'])
})

test('readiness needs an answered query within the deadline', async (t) => {
  const hanging = await start(t, createFakeCore({ probe: () => new Promise(() => {}) }), {
    probeTimeoutMs: 30,
  })
  const answer = await hanging.get('/readyz')
  assert.deepEqual([answer.status, answer.json.error.code], [503, 'ENGINE_UNAVAILABLE'])
  assert.equal((await hanging.get('/healthz')).status, 200)
  const failing = await start(
    t,
    createFakeCore({ probe: async () => Promise.reject(new Error('no engine')) }),
  )
  assert.match((await failing.get('/readyz')).json.error.message, /no engine/)
})

test('methods: HEAD and OPTIONS are answered, others are named', async (t) => {
  const { get } = await start(t)
  const head = await get('/v1/views/user_totals', { method: 'HEAD' })
  assert.deepEqual([head.status, head.text], [200, ''])
  const options = await get(path, { method: 'OPTIONS' })
  assert.deepEqual([options.status, options.headers.get('allow')], [204, 'POST, GET, OPTIONS'])
  assert.equal(options.headers.get('access-control-allow-origin'), null)
  for (const method of ['DELETE', 'PUT', 'PROPFIND']) {
    const answer = await get('/v1/views/user_totals', { method })
    assert.deepEqual([answer.status, answer.json.error.code], [405, 'METHOD_UNKNOWN'], method)
    assert.equal(answer.headers.get('allow'), 'GET, HEAD, OPTIONS')
  }
})
