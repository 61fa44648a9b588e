/** What the client makes of a server that is gone, refuses, breaks off or takes its time. */

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { listenFake } from './cli-fixture.ts'
import { openClient } from './client.ts'

test('the URL comes from the option, else from REFOLD_URL, else it is the default', () => {
  assert.equal(openClient({}, {}).url, 'http://127.0.0.1:7717')
  assert.equal(openClient({}, { REFOLD_URL: '' }).url, 'http://127.0.0.1:7717')
  assert.equal(
    openClient({}, { REFOLD_URL: 'https://log.example/refold/' }).url,
    'https://log.example/refold',
  )
  assert.equal(openClient({ url: 'localhost:1234' }, { REFOLD_URL: 'http://x' }).url, 'http://localhost:1234')
  assert.throws(() => openClient({ url: 'ftp://x' }, {}), { code: 'CLI_USAGE' })
})

test('paths go below the base URL, and the token with them', async (t) => {
  const fake = await listenFake(() => ({ body: '{}' }))
  t.after(() => fake.close())
  const client = openClient({ url: `${fake.url}/below/`, token: 'a' }, { REFOLD_TOKEN: 'b' })
  await client.text({ path: '/v1/status', query: { a: '1', b: undefined, c: 'ü' } })
  assert.equal(fake.seen[0]?.path, '/below/v1/status')
  assert.deepEqual(
    [...fake.seen[0].query],
    [
      ['a', '1'],
      ['c', 'ü'],
    ],
  )
  assert.equal(fake.seen[0].headers.authorization, 'Bearer a')
  client.close()
})

test("a server's error keeps its code; one of a newer server is still readable", async (t) => {
  const bodies = [
    '{"error":{"code":"VIEW_UNKNOWN","message":"there is no view","hint":"Look.","retryable":false}}',
    '{"error":{"code":"MADE_UP_LATER","message":"new","hint":"Look there.","retryable":true}}',
    'not even JSON',
  ]
  const fake = await listenFake(() => ({ status: 404, body: bodies.shift() ?? '' }))
  t.after(() => fake.close())
  const client = openClient({ url: fake.url }, {})
  const ask = () => client.text({ path: '/v1/views/x' })
  await assert.rejects(ask, { code: 'VIEW_UNKNOWN', message: 'there is no view', hint: 'Look.' })
  await assert.rejects(ask, { code: 'CLI_ANSWER', message: 'MADE_UP_LATER: new', hint: 'Look there.' })
  await assert.rejects(ask, { code: 'CLI_ANSWER', message: /answered with status 404: not even JSON/ })
  client.close()
})

test('an answer that breaks off is a server that cannot be reached', async (t) => {
  const fake = await listenFake(() => ({ body: '', cut: true }))
  t.after(() => fake.close())
  const client = openClient({ url: fake.url }, {})
  await assert.rejects(client.text({ path: '/' }), { code: 'CLI_UNREACHABLE' })
  client.close()
})

test('lines come as they are written, also in pieces, until the reader has enough', async (t) => {
  const gone = Promise.withResolvers<void>()
  const server = createServer((_request, response) => {
    response.on('close', gone.resolve)
    response.write('{"a":1}\n{"b"')
    setTimeout(() => response.write(':"ü"}\n\n{"c":3}\n'), 20)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const client = openClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }, {})
  const stop = new AbortController()
  const lines: string[] = []
  for await (const line of client.lines({ path: '/', signal: stop.signal })) {
    lines.push(line)
    if (lines.length === 3) stop.abort()
  }
  assert.deepEqual(lines, ['{"a":1}', '{"b":"ü"}', '{"c":3}'])
  await gone.promise
  client.close()
})
