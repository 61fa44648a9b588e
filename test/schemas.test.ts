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
import type { RefoldError } from '../src/model/errors.ts'
import { ProjectMistakes } from '../src/server/checked-project.ts'
import { openServer, type RunningServer, type ServerOptions } from '../src/server/open-server.ts'
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

async function start(project: ProjectDef, options: ServerOptions = {}): Promise<void> {
  await server?.close()
  server = await openServer(project, options)
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

async function refusal(project: ProjectDef): Promise<RefoldError[]> {
  try {
    await server!.reload(project)
  } catch (error) {
    assert.ok(error instanceof ProjectMistakes, String(error))
    return error.mistakes.filter((mistake) => mistake.code === 'STREAM_CHANGED')
  }
  return []
}

/** Messages of the mistakes that a plan of the project finds. */
async function planned(project: ProjectDef): Promise<string[]> {
  try {
    await server!.core.plan(JSON.parse(JSON.stringify(project)))
    return []
  } catch (error) {
    const { details } = error as RefoldError
    return (details as unknown as { mistakes: { message: string }[] }).mistakes.map(({ message }) => message)
  }
}

test('a breaking change is refused with field, schema, views and lines, every mistake at once', async () => {
  const fields = 'id: z.string(), who: z.string(), amount: int64(), kind: z.string()'
  const view =
    "view('sums', {\n  sql: `SELECT who, -- amount\n    sum(amount) AS total\n  FROM orders GROUP BY who` })"
  await start(await load(fields, '', view))
  await send(['{"id":"1","who":"ann","amount":5,"kind":"x"}'])
  await start(await load(`${fields}, more: z.string().default('')`, '', view))
  await send(['{"id":"2","who":"ann","amount":5,"kind":"x"}'])
  const changed = 'id: z.string(), who: z.string(), amount: z.int32(), more: z.string(), added: z.string()'
  const mistakes = await refusal(await load(changed, '', view))
  const file = join(folder, 'refold.config.ts')
  assert.deepEqual(
    mistakes.map(({ message }) => message.replaceAll(file, 'FILE')),
    [
      'stream "orders": field "amount" changed from BIGINT to INTEGER, which events in the log may not fit (schemas since the beginning, cut 1); it breaks view "sums" at FILE:6:9',
      'stream "orders": field "kind" was removed, but events in the log have it (schemas since the beginning, cut 1)',
      'stream "orders": field "more" is new and required, but events in the log lack it (schema since the beginning)',
      'stream "orders": field "added" is new and required, but events in the log lack it (schemas since the beginning, cut 1)',
      'stream "orders": field "more" became required, but events in the log may lack it (schema since cut 1)',
    ],
  )
  assert.deepEqual(mistakes[0]?.details, {
    ...{ stream: 'orders', field: 'amount', rule: 'read', since: [0, 1] },
    broken: [{ view: 'sums', at: `${file}:6:9` }],
  })
  for (const { hint } of mistakes) assert.ok(hint.length > 10)
})

test('a former name stays while the log holds events under it, whatever later schemas say', async () => {
  await start(await load('id: z.string(), user: z.string()'))
  await send(['{"id":"1","user":"ann"}'])
  await start(await load('id: z.string(), customer: z.string()', "aliases: { customer: 'user' }"))
  await send(['{"id":"2","customer":"bob"}'])
  const later = 'id: z.string(), buyer: z.string()'
  const one = await refusal(await load(later, "aliases: { buyer: 'customer' }"))
  assert.deepEqual(
    one.map(({ message }) => message),
    [
      'stream "orders": field "user" was removed, but events in the log have it (schema since the beginning)',
      'stream "orders": field "buyer" is new and required, but events in the log lack it (schema since the beginning)',
      'stream "orders": field "customer" was called "user" before, which is no longer among its names (schema since cut 1)',
    ],
  )
  assert.match(one[0]?.hint ?? '', /aliases: \{ 'buyer': 'user' \}/)
  assert.deepEqual(await refusal(await load(later, "aliases: { buyer: ['customer', 'user'] }")), [])
})

test('a schema whose events are all trimmed counts no more', async () => {
  const count = "view('orders_count', { sql: 'SELECT count(*) AS n FROM orders' })"
  await start(await load('id: z.string(), user: z.string()', '', count))
  const first = await send(['{"id":"1","user":"ann"}'])
  await server!.flush()
  await start(await load('id: z.string(), customer: z.string()', "aliases: { customer: 'user' }", count))
  await send(['{"id":"2","customer":"bob"}'])
  await server!.flush()
  const third = await load('id: z.string(), customer: z.string(), n: z.int().optional()', '', count)
  assert.match((await planned(third))[0] ?? '', /field "user" was removed.*schema since the beginning\)/)
  await server!.core.lake.trim({ stream: 'orders', to: { cut: first }, promote: true })
  assert.deepEqual(await planned(third), [])
  const fourth = await load('id: z.string(), buyer: z.string()', "aliases: { buyer: 'user' }", count)
  assert.match((await planned(fourth))[0] ?? '', /field "customer" was removed.*schema since cut 1\)/)
  // what a new version could not count any more is said
  const views = `${count}, view('sums', { sql: 'SELECT customer, count(*) AS n FROM orders GROUP BY customer' })`
  const wider = await load('id: z.string(), customer: z.string(), n: z.int().optional()', '', views)
  const { views: changes } = await server!.core.plan(JSON.parse(JSON.stringify(wider)))
  assert.deepEqual(
    changes.map(({ view, trimmed }) => [view, trimmed]),
    [['sums', { cut: first, events: 1 }]],
  )
})

test('a view that uses a former name is told the new one, at its place', async () => {
  await start(await load('id: z.string(), user: z.string()'))
  const views = "view('per_user', { sql: 'SELECT user, count(*) AS n FROM orders GROUP BY user' })"
  const project = await load('id: z.string(), customer: z.string()', "aliases: { customer: 'user' }", views)
  await assert.rejects(server!.reload(project), (error) => {
    assert.ok(error instanceof ProjectMistakes)
    const found = error.mistakes.map(({ message, hint, place }) => [
      message,
      hint,
      place?.line,
      place?.column,
    ])
    const fact = 'stream "orders" has no column "user"'
    assert.deepEqual(found[0], [fact, 'It is called "customer" now.', 4, 85])
    return true
  })
})

test('an id or a time may be added, and stays what it is while there are events', async () => {
  const fields = 'id: z.string(), other: z.string(), at: z.iso.datetime(), seen: z.iso.datetime()'
  const line = (id: number) =>
    JSON.stringify({ id: `${id}`, other: `o${id}`, at: '2026-01-01T00:00:00Z', seen: '2027-01-01T00:00:00Z' })
  await start(await load(fields))
  await send([line(1)])
  assert.deepEqual(await refusal(await load(fields, "id: 'id', time: 'at'")), [])
  await send([line(2)])
  assert.equal((await post([line(2)])).duplicates, 1)
  for (const roles of ["id: 'other', time: 'at'", "time: 'at'", "id: 'id', time: 'seen'", "id: 'id'"]) {
    const mistakes = await refusal(await load(fields, roles))
    assert.equal(mistakes.length, 1, roles)
    assert.match(mistakes[0]?.message ?? '', /the (id|time) changed from "(id|at)" to /)
  }
  const renamed = fields.replace('id:', 'event_id:').replace('at:', 'happened:')
  const aliases = "id: 'event_id', time: 'happened', aliases: { event_id: 'id', happened: 'at' }"
  assert.deepEqual(await refusal(await load(renamed, aliases)), [])
})

test('forward, full and none ask for other things than backward', async () => {
  const old = 'id: z.string(), n: z.int32(), note: z.string().optional()'
  await start(await load(old))
  await send(['{"id":"1","n":1}'])
  const wider = old.replace('z.int32()', 'int64()')
  const required = old.replace('.optional()', '')
  const gone = 'id: z.string(), n: z.int32()'
  const added = `${old}, more: z.string().optional()`
  const narrower = old.replace('z.int32()', 'z.boolean()')
  const allowed: [string, readonly string[]][] = [
    ['backward', [wider, added]],
    ['forward', [required, gone, added]],
    ['full', [added]],
    ['none', [wider, required, gone, added]],
  ]
  for (const [compatibility, fine] of allowed) {
    for (const schema of [wider, required, gone, added, narrower]) {
      const project = await load(schema, `compatibility: '${compatibility}'`)
      const refused = await planned(project)
      assert.deepEqual(refused.length === 0, fine.includes(schema), `${compatibility}: ${schema}: ${refused}`)
    }
  }
})

test('a producer may send both names with one value, and is refused with two', async () => {
  await start(await load('id: z.string(), customer: z.string().optional()', "aliases: { customer: 'user' }"))
  const answer = await post([
    '{"id":"1","user":"ann","customer":"ann"}',
    '{"id":"2","user":"ann","customer":"bob"}',
    '{"id":"3","user":"ann"}',
    '{"user":"cy","id":"4"}',
  ])
  assert.equal(answer.accepted, 3)
  assert.deepEqual(
    answer.rejected.map(({ code }) => code),
    ['EVENT_FIELD_TWICE'],
  )
  assert.deepEqual(await eventTexts(), [
    '{"id":"1","customer":"ann"}',
    '{"id":"3","customer":"ann"}',
    '{"id":"4","customer":"cy"}',
  ])
})

test('a view keeps its version where a change of the stream cannot change its rows, and answers all the while', async () => {
  const fields = 'id: z.string(), who: z.string(), n: z.int()'
  const views = `view('per_who', { sql: 'SELECT who, sum(n) AS n FROM orders GROUP BY who' }),
    view('all', { sql: 'SELECT * FROM orders' }), view('ids', { sql: 'SELECT count(DISTINCT id) AS n FROM orders' })`
  await start(await load(fields, '', views))
  await send(['{"id":"1","who":"ann","n":1}'])
  const versions = () => Object.fromEntries(server!.core.views().map(({ name, version }) => [name, version]))
  const before = versions()
  const renamed = `key_: z.string(), who: z.string(), n: z.int(), more: z.string().default('m')`.replace(
    'key_',
    'order_id',
  )
  await server!.reload(
    await load(renamed, "aliases: { order_id: 'id' }", views.replace('DISTINCT id', 'DISTINCT order_id')),
  )
  const after = versions()
  assert.equal(after['per_who'], before['per_who'])
  assert.notEqual(after['all'], before['all'])
  assert.notEqual(after['ids'], before['ids'])
  const cut = await send(['{"id":"2","who":"ann","n":2}', '{"order_id":"1","who":"bob","n":4,"more":"x"}'])
  assert.deepEqual(await rowsOf('SELECT * FROM per_who ORDER BY who', cut), [
    { who: 'ann', n: 3 },
    { who: 'bob', n: 4 },
  ])
  assert.deepEqual(await rowsOf('SELECT * FROM ids', cut), [{ n: 2 }])
  assert.deepEqual(await rowsOf('SELECT * FROM "all" ORDER BY n', cut), [
    { order_id: '1', who: 'ann', n: 1, more: 'm' },
    { order_id: '2', who: 'ann', n: 2, more: 'm' },
    { order_id: '1', who: 'bob', n: 4, more: 'x' },
  ])
})

test('a version from before a change reads on as it was made, and stops rather than round', async () => {
  const views = `view('per_who', { sql: 'SELECT who, sum(n) AS n, max(mood) AS mood FROM orders GROUP BY who' }),
    view('count_all', { sql: 'SELECT count(*) AS n FROM orders' })`
  await start(
    await load("id: z.string(), who: z.string(), n: int64(), mood: z.string().default('old')", '', views),
  )
  await send(['{"id":"1","who":"ann","n":1}'])
  const next = await load(
    "id: z.string(), customer: z.string(), n: decimal(24, 2), mood: z.string().default('new')",
    "aliases: { customer: 'who' }",
    views.replaceAll('who,', 'customer,').replace('BY who', 'BY customer'),
  )
  await start(next, { views: 'deployed' })
  const cut = await send(['{"id":"2","customer":"ann","n":"2"}', '{"id":"3","who":"bob","n":"3.00"}'])
  const rows = [
    { who: 'ann', n: '3', mood: 'old' },
    { who: 'bob', n: '3', mood: 'old' },
  ]
  const read = async (after: number) => {
    const order = [{ column: 'who', descending: false }]
    return await server!.core.readView({ view: 'per_who', where: {}, order, limit: 10 }, { after })
  }
  assert.equal((await read(cut)).json.replace(/"n":(\d+)/g, '"n":"$1"'), JSON.stringify(rows))
  // with all of it moved to the lake, and folded again from there by another engine
  await server!.flush()
  await start(next, { views: 'deployed' })
  assert.equal((await read(cut)).json.replace(/"n":(\d+)/g, '"n":"$1"'), JSON.stringify(rows))
  const late = await send(['{"id":"4","customer":"ann","n":"0.25"}'])
  assert.deepEqual(await rowsOf('SELECT * FROM count_all', late), [{ n: 4 }])
  const stalled = await server!.core.readView({ view: 'per_who', where: {}, order: [], limit: 10 }, {})
  assert.equal(stalled.cut, cut)
  assert.match(stalled.stalled['per_who']?.message ?? '', /field "n" has a value that is no BIGINT/)
})

test('whoever follows the events goes on in the newest form when the schema changes', async () => {
  await start(await load('id: z.string(), user: z.string()'))
  await send(['{"id":"1","user":"ann"}'])
  const stop = new AbortController()
  const events = server!.core
    .events({ stream: 'orders', follow: true, signal: stop.signal })
    [Symbol.asyncIterator]()
  const next = async () => ((await events.next()).value as { json: string }).json
  assert.equal(await next(), '{"id":"1","user":"ann"}')
  await server!.reload(await load('customer: z.string(), id: z.string()', "aliases: { customer: 'user' }"))
  await send(['{"id":"2","user":"bob"}', '{"id":"3","customer":"cy"}'])
  assert.deepEqual(
    [await next(), await next()],
    ['{"customer":"bob","id":"2"}', '{"customer":"cy","id":"3"}'],
  )
  stop.abort()
  await events.return?.()
  assert.deepEqual(await eventTexts(), [
    '{"customer":"ann","id":"1"}',
    '{"customer":"bob","id":"2"}',
    '{"customer":"cy","id":"3"}',
  ])
})
