/**
 * Events of five schema versions in one log, some in the lake and some hot, read through one view, through SQL and as
 * texts. What is expected is written here by hand: the same events as rows of a table in plain DuckDB.
 */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { loadProject } from '../src/define/load.ts'
import type { ProjectDef } from '../src/define/types.ts'
import { openServer, type RunningServer } from '../src/server/open-server.ts'
import { ScratchDuckDb } from './support/scratch-duckdb.ts'

let folder: string
let server: RunningServer | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'refold-schemas-'))
})
afterEach(async () => {
  await server?.close()
  server = undefined
  rmSync(folder, { recursive: true, force: true })
})

async function load(schema: string, options = '', views = ''): Promise<ProjectDef> {
  const config = `import { decimal, int64, project, stream, view } from 'refold'
import { z } from 'zod'
const orders = stream('orders', { schema: z.object({ ${schema} }), partitions: 2, ${options} })
export default project({ streams: [orders], views: [${views}], server: { port: 0 } })
`
  writeFileSync(join(folder, 'refold.config.ts'), config)
  const loaded = await loadProject(folder)
  assert.ok(loaded.ok, JSON.stringify(loaded))
  return loaded.project
}

async function start(project: ProjectDef): Promise<void> {
  await server?.close()
  server = await openServer(project)
}

interface Answer {
  readonly accepted: number
  readonly duplicates: number
  readonly rejected: readonly { readonly code: string }[]
  readonly cut: number
}

async function post(lines: readonly string[]): Promise<Answer> {
  const response = await fetch(`${server!.http!.url}/v1/streams/orders/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: lines.join('\n'),
  })
  return (await response.json()) as Answer
}

async function send(lines: readonly string[]): Promise<number> {
  const answer = await post(lines)
  assert.equal(answer.accepted, lines.length, JSON.stringify(answer))
  return answer.cut
}

async function eventTexts(): Promise<string[]> {
  const response = await fetch(`${server!.http!.url}/v1/streams/orders/events`)
  const lines = (await response.text()).split('\n').filter((line) => line !== '')
  return lines.map((line) => /"event":(\{.*\})\}$/s.exec(line)?.[1] ?? line)
}

async function rowsOf(sql: string, after: number): Promise<unknown> {
  const answer = await server!.core.sql({ sql, limit: 1000 }, { after })
  return JSON.parse(answer.json)
}

/** Five schemas; each must take in, and read, what came under those before it. */
const v1 = `id: z.string(), user: z.string(), amount: z.int(), kind: z.enum(['a', 'b']), address: z.object({ zip: z.string(), street: z.string() })`
const v2 = `${v1}, currency: z.string().default('EUR'), note: z.string().optional()`
const v3 = `id: z.string(), customer: z.string(), amount: z.int(), kind: z.enum(['a', 'b', 'c']),
  address: z.object({ street: z.string(), postcode: z.string(), city: z.string().default('?') }), currency: z.string().default('EUR'), note: z.string().optional()`
const v4 = v3
  .replace('amount: z.int()', 'amount: decimal(20, 2)')
  .replace('note: z.string().optional()', 'note: z.string().optional().nullable()')
const v5 = v4
  .replace('customer:', 'buyer:')
  .replace("z.enum(['a', 'b', 'c'])", 'z.string()')
  .replace(/address: (z\.object\(.*?\}\))/s, 'address: $1.optional()')
const roles3 = "id: 'id', key: 'customer', aliases: { customer: 'user', 'address.postcode': 'zip' }"
const roles5 = "id: 'id', key: 'buyer', aliases: { buyer: ['customer', 'user'], 'address.postcode': 'zip' }"
const roles = "id: 'id', key: 'user'"

const perBuyer = `view('per_buyer', { sql: \`SELECT buyer, count(*) AS n, sum(amount) AS total, min(amount) AS least,
  count(DISTINCT currency) AS currencies, min(address.postcode) AS postcode, max(address.city) AS city,
  count(note) AS notes, max(kind) AS kind FROM orders GROUP BY buyer\` })`

const sent1 = [
  '{"id":"1","user":"ann","amount":5,"kind":"a","address":{"zip":"100","street":"s1"}}',
  '{"id":"2","user":"bob","amount":9007199254740991,"kind":"b","address":{"zip":"200","street":"s2"}}',
]
const sent2 = [
  '{"id":"3","user":"ann","amount":7,"kind":"a","address":{"zip":"101","street":"s3"},"currency":"USD","note":"x"}',
  '{"id":"4","user":"cy","amount":-3,"kind":"b","address":{"zip":"300","street":"s4"}}',
]
const sent3 = [
  '{"id":"5","customer":"ann","amount":11,"kind":"c","address":{"street":"s5","postcode":"099","city":"Rome"}}',
  // a producer that knows only the old names
  '{"id":"6","user":"bob","amount":1,"kind":"a","address":{"zip":"201","street":"s6"},"note":"y"}',
]
const sent4 = [
  '{"id":"7","customer":"ann","amount":"0.25","kind":"c","address":{"street":"s7","postcode":"102"},"note":null}',
  '{"id":"8","user":"cy","amount":2,"kind":"a","address":{"street":"s8","zip":"301"}}',
]
const sent5 = [
  '{"id":"9","buyer":"bob","amount":"123456789012345678.99","kind":"z","note":null}',
  '{"id":"10","customer":"dee","amount":"1.5","kind":"a","address":{"street":"s10","zip":"400","city":"Bern"},"currency":"CHF"}',
  '{"id":"11","user":"dee","buyer":"dee","amount":1,"kind":"b"}',
]

/** The same eleven events under the last schema, by hand. */
const table = `SELECT * FROM (VALUES
  ('1', 'ann', 5.00::DECIMAL(20,2), 'a', '100', '?', 'EUR', NULL),
  ('2', 'bob', 9007199254740991.00, 'b', '200', '?', 'EUR', NULL),
  ('3', 'ann', 7.00, 'a', '101', '?', 'USD', 'x'),
  ('4', 'cy', -3.00, 'b', '300', '?', 'EUR', NULL),
  ('5', 'ann', 11.00, 'c', '099', 'Rome', 'EUR', NULL),
  ('6', 'bob', 1.00, 'a', '201', '?', 'EUR', 'y'),
  ('7', 'ann', 0.25, 'c', '102', '?', 'EUR', NULL),
  ('8', 'cy', 2.00, 'a', '301', '?', 'EUR', NULL),
  ('9', 'bob', 123456789012345678.99, 'z', NULL, NULL, 'EUR', NULL),
  ('10', 'dee', 1.50, 'a', '400', 'Bern', 'CHF', NULL),
  ('11', 'dee', 1.00, 'b', NULL, NULL, 'EUR', NULL)
) t(id, buyer, amount, kind, postcode, city, currency, note)`

const texts = [
  '{"id":"1","buyer":"ann","amount":"5","kind":"a","address":{"street":"s1","postcode":"100"}}',
  '{"id":"2","buyer":"bob","amount":"9007199254740991","kind":"b","address":{"street":"s2","postcode":"200"}}',
  '{"id":"3","buyer":"ann","amount":"7","kind":"a","address":{"street":"s3","postcode":"101"},"currency":"USD","note":"x"}',
  '{"id":"4","buyer":"cy","amount":"-3","kind":"b","address":{"street":"s4","postcode":"300"}}',
  '{"id":"5","buyer":"ann","amount":"11","kind":"c","address":{"street":"s5","postcode":"099","city":"Rome"}}',
  '{"id":"6","buyer":"bob","amount":"1","kind":"a","address":{"street":"s6","postcode":"201"},"note":"y"}',
  '{"id":"7","buyer":"ann","amount":"0.25","kind":"c","address":{"street":"s7","postcode":"102"},"note":null}',
  '{"id":"8","buyer":"cy","amount":"2","kind":"a","address":{"street":"s8","postcode":"301"}}',
  '{"id":"9","buyer":"bob","amount":"123456789012345678.99","kind":"z","note":null}',
  '{"id":"10","buyer":"dee","amount":"1.5","kind":"a","address":{"street":"s10","postcode":"400","city":"Bern"},"currency":"CHF"}',
  '{"id":"11","buyer":"dee","amount":"1","kind":"b"}',
]

async function oracle(sql: string): Promise<unknown[]> {
  const duck = await ScratchDuckDb.open()
  try {
    const { columns, rows } = await duck.query(sql)
    return rows.map((row) => Object.fromEntries(columns.map(({ name }, index) => [name, row[index]])))
  } finally {
    duck.close()
  }
}

async function check(after: number): Promise<void> {
  const groups = await oracle(`SELECT buyer, count(*)::INT AS n, sum(amount) AS total, min(amount) AS least,
    count(DISTINCT currency)::INT AS currencies, min(postcode) AS postcode, max(city) AS city, count(note)::INT AS notes,
    max(kind) AS kind FROM (${table}) GROUP BY buyer ORDER BY buyer`)
  assert.deepEqual(await rowsOf('SELECT * FROM per_buyer ORDER BY buyer', after), groups)
  const raw = `SELECT id, buyer, amount, kind, address.postcode AS postcode, address.city AS city, currency, note
    FROM orders ORDER BY CAST(id AS INT)`
  assert.deepEqual(await rowsOf(raw, after), await oracle(`${table} ORDER BY CAST(id AS INT)`))
  assert.deepEqual(await eventTexts(), texts)
}

test('events of five schema versions are read through one view, hot and cold, before and after a restart', async () => {
  const perUser = "view('per_user', { sql: 'SELECT user, count(*) AS n FROM orders GROUP BY user' })"
  await start(await load(v1, roles, perUser))
  await send(sent1)
  await start(await load(v2, roles, perUser))
  await send(sent2)
  await server!.flush()
  const perCustomer = perUser.replaceAll('user', 'customer')
  await server!.reload(await load(v3, roles3, perCustomer))
  await send(sent3)
  await server!.flush()
  await start(await load(v4, roles3, perCustomer))
  await send(sent4.slice(0, 1))
  await server!.reload(await load(v4, roles3, perBuyer.replaceAll('buyer', 'customer')))
  await send(sent4.slice(1))
  const project = await load(v5, roles5, perBuyer)
  await server!.reload(project)
  const after = await send(sent5)
  await check(after)
  // again from nothing but the log: slices of a restart, then everything in the lake
  await start(project)
  await check(after)
  await server!.flush()
  await check(after)
  await start(project)
  await check(after)
})
