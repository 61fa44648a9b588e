/** The project of `docs/checks.md`, served: each of its checks says what its events and truths make true. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { CheckResult } from '../src/deploy/types.ts'
import { ServerProcess } from './support/server-process.ts'
import { read } from './support/source-files.ts'

test("the guide's project is served, and its checks are green until something is wrong", async (t) => {
  const ledger = createServer((_request, response) => response.end('{"orders": 3, "total": "17.50"}'))
  ledger.listen(0, '127.0.0.1')
  await once(ledger, 'listening')
  t.after(() => ledger.close())
  const address = `http://127.0.0.1:${(ledger.address() as AddressInfo).port}`
  const snippet = /```ts\n([\s\S]*?)```/.exec(read('docs/checks.md'))?.[1] ?? ''
  assert.ok(snippet.includes('https://ledger.example.com'))
  const config = snippet
    .replace('https://ledger.example.com', address)
    .replace(/\}\)\s*$/, '  server: { port: PORT },\n})')
  const billing = 'day,revenue\n2026-01-01,12.49\n2026-01-02,5.01\n'
  const server = await ServerProcess.create(config, { 'truth/billing.csv': billing })
  t.after(() => server.dispose())
  await server.start()
  const order = (id: string, user: string, day: string, amount: string) =>
    JSON.stringify({ order_id: id, user_id: user, day, amount })
  const sent = await server.post('orders', [
    order('o1', 'ann', '2026-01-01', '10.00'),
    order('o2', 'bob', '2026-01-01', '2.50'),
    order('o3', 'ann', '2026-01-02', '5.00'),
  ])
  assert.equal(sent.status, 200)

  const run = async (): Promise<Record<string, string>> => {
    await server.get('/v1/views/user_totals?after=1')
    const answer = await fetch(`${server.url}/v1/checks/run`, { method: 'POST', body: '{}' })
    const { results } = (await answer.json()) as { results: readonly CheckResult[] }
    return Object.fromEntries(results.map(({ name, verdict, text }) => [name, `${verdict}: ${text}`]))
  }
  assert.deepEqual(await run(), {
    no_negative_total: 'green: no row breaks it',
    revenue_as_billed: 'green: 2 rows equal the truth',
    orders_as_booked: 'green: 1 row equals the truth',
    some_users: 'green: view "user_totals" has 2 rows; it must have 1 to 1000000',
  })
  await server.post('orders', [order('o4', 'eve', '2026-01-02', '-0.10')])
  await server.get('/v1/views/user_totals?after=2')
  const after = await run()
  assert.match(after['no_negative_total'] ?? '', /^red: 1 row breaks it/)
  assert.match(after['revenue_as_billed'] ?? '', /^red: 1 of 2 rows differs/)
  assert.match(after['orders_as_booked'] ?? '', /^red: 1 of 1 row differs/)
})
