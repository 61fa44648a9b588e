/**
 * What a plan says, on the real server: projects are written as files, loaded as `refold plan` loads them, and sent as
 * JSON. Counts of events are those that the test sent.
 */

import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { loadProject } from '../src/define/load.ts'
import type { ProjectDef } from '../src/define/types.ts'
import type { DeployPlan } from '../src/deploy/types.ts'
import { RefoldError } from '../src/model/errors.ts'
import { openServer, type RunningServer } from '../src/server/open-server.ts'

let folder: string
let server: RunningServer | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'refold-plan-'))
})
afterEach(async () => {
  await server?.close()
  server = undefined
  rmSync(folder, { recursive: true, force: true })
})

interface Parts {
  readonly fields?: string
  readonly stream?: string
  readonly views?: string
  readonly files?: Readonly<Record<string, string>>
}

const perUser = `view('per_user', {
  sql: \`SELECT user_id, count(*) AS n, sum(amount) AS total
    FROM orders
    WHERE \${paid}
    GROUP BY user_id\`,
})`
const helper = { 'lib/paid.ts': "export const paid = 'amount > 0'\n" }

async function load(parts: Parts = {}): Promise<ProjectDef> {
  const { fields = '', stream = '', views = perUser, files = helper } = parts
  const config = `import { decimal, project, stream, view } from 'refold'
import { z } from 'zod'
import { paid } from './lib/paid.ts'
const orders = stream('orders', {
  schema: z.object({ user_id: z.string(), amount: decimal(18, 2), ${fields} }), partitions: 2, ${stream}
})
export default project({ streams: [orders], views: [${views}] })
`
  for (const [name, text] of Object.entries({ 'refold.config.ts': config, ...files })) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  const loaded = await loadProject(folder)
  assert.ok(loaded.ok, JSON.stringify(loaded))
  return loaded.project
}

async function open(): Promise<RunningServer> {
  server = await openServer(await load(), { http: false })
  return server
}

/** As it comes over the wire. */
async function plan(project: ProjectDef): Promise<DeployPlan> {
  return await server!.core.plan(JSON.parse(JSON.stringify(project)))
}

async function send(count: number): Promise<number> {
  const events = Array.from({ length: count }, (_, index) => ({
    stream: 'orders',
    partition: index % 2,
    json: JSON.stringify({ user_id: `u${index % 7}`, amount: String(index) }),
    index,
  }))
  return (await server!.core.append({ stream: 'orders', events, deadLetters: [], bytes: count * 40 })).cut
}

/** `view change: what text` of every reason. */
function said(result: DeployPlan): string[] {
  const all = [
    ...result.streams.map(({ stream, change, reasons }) => ({ name: stream, change, reasons })),
    ...result.views.map(({ view, change, reasons }) => ({ name: view, change, reasons })),
  ]
  return all.flatMap(({ name, change, reasons }) =>
    reasons.map(({ what, text }) => `${name} ${change}: ${what} ${text}`),
  )
}

test('a project that runs gives an empty plan, again and again', async () => {
  await open()
  await send(10)
  for (const _ of [1, 2]) {
    const result = await plan(await load())
    assert.deepEqual(result, { cut: 1, streams: [], views: [], empty: true })
  }
})

test('layout and comments change nothing', async () => {
  await open()
  const views = perUser.replace('FROM orders', '-- all of them\n  from   orders')
  assert.equal((await plan(await load({ views }))).empty, true)
})

test('a changed helper in another file is named, with the clause that it changed', async () => {
  await open()
  const result = await plan(await load({ files: { 'lib/paid.ts': "export const paid = 'amount > 10'\n" } }))
  assert.deepEqual(said(result), [
    'per_user changed: sql WHERE changed from "amount > 0" to "amount > 10", line 3 of its SQL',
    'per_user changed: source "lib/paid.ts", from which the view is made, changed',
  ])
  const [view] = result.views
  assert.notEqual(view?.from, view?.to)
  assert.equal(result.empty, false)
})

test('columns, clauses, new views and views that went are told apart', async () => {
  await open()
  const views = `view('per_user', { sql: 'SELECT user_id, sum(amount) AS total, max(amount) AS most FROM orders GROUP BY user_id' }),
    view('all_orders', { sql: 'SELECT count(*) AS n FROM orders' })`
  assert.deepEqual(said(await plan(await load({ views }))), [
    'per_user changed: sql column "most" is new: "max(amount)"',
    'per_user changed: sql column "n" is gone',
    'per_user changed: sql WHERE "amount > 0" is gone',
    'all_orders new: sql it reads stream "orders"',
  ])
  const gone = await plan(await load({ views: '' }))
  assert.deepEqual(said(gone), ['per_user removed: setting the project no longer has it'])
})

test('a setting makes no new version and is listed all the same', async () => {
  await open()
  const views = perUser.replace('GROUP BY user_id`,', "GROUP BY user_id`, onError: 'skip',")
  const result = await plan(await load({ views }))
  assert.deepEqual(said(result), [
    'per_user changed: setting onError changed from "stall" to "skip"; the version stays',
  ])
  assert.equal(result.views[0]?.from, result.views[0]?.to)
  assert.equal(result.views[0]?.estimate, undefined)
})

test('a field that a view does not read changes the stream alone; one that it reads changes the view', async () => {
  await open()
  assert.deepEqual(said(await plan(await load({ fields: 'note: z.string().optional()' }))), [
    'orders changed: schema field "note" of type VARCHAR is new',
  ])
  const config = await load()
  const [stream] = config.streams
  const fields = stream!.schema.fields.map((field) =>
    field.name === 'amount'
      ? { ...field, type: { kind: 'decimal', precision: 20, scale: 4 } as const }
      : field,
  )
  const wider = { ...config, streams: [{ ...stream!, schema: { kind: 'object', fields } as const }] }
  assert.deepEqual(said(await plan(wider)), [
    'orders changed: schema field "amount" changed its type from DECIMAL(18,2) to DECIMAL(20,4)',
    'per_user changed: schema the type of field "amount" of stream "orders" changed from DECIMAL(18,2) to DECIMAL(20,4)',
  ])
  assert.deepEqual(said(await plan(await load({ stream: "lateness: '1m'" }))), [
    'orders changed: setting latenessMs changed from 0 to 60000',
  ])
})

test('events to fold are those in the log, hot and cold', async () => {
  await open()
  await send(30)
  await server!.flush()
  await send(12)
  const changed = await load({ files: { 'lib/paid.ts': "export const paid = 'amount > 10'\n" } })
  const estimate = (await plan(changed)).views[0]?.estimate
  assert.equal(estimate?.events, 42)
  assert.equal(estimate.reusedEvents, 0)
  assert.ok(estimate.bytes > 0 && estimate.diskBytes > 0)
  assert.equal(estimate.basis, 'default')
  assert.ok(
    estimate.seconds.low <= estimate.seconds.likely && estimate.seconds.likely <= estimate.seconds.high,
  )
  assert.equal(estimate.catchesUp, true)
})

test('mistakes in SQL and in streams come together, as one error that the wire can carry', async () => {
  await open()
  await send(1)
  const views = `view('broken', { sql: 'SELECT no_such FROM orders' })`
  const project = await load({ views, stream: "key: 'user_id'" })
  await assert.rejects(plan(project), (error) => {
    assert.ok(error instanceof RefoldError)
    assert.equal(error.code, 'PROJECT_REFUSED')
    const { mistakes } = error.details as { mistakes: { code: string; place: { line: number } }[] }
    assert.deepEqual(mistakes.map(({ code }) => code).sort(), ['STREAM_CHANGED', 'VIEW_COLUMN_UNKNOWN'])
    return true
  })
})

test('where the sender keeps its data and how it listens is ignored', async () => {
  await open()
  const project = await load()
  const elsewhere = { ...project, dataDir: '/nowhere', server: { host: '0.0.0.0', port: 1 } }
  assert.equal((await plan(elsewhere)).empty, true)
})

test('over HTTP a plan is answered, and a body that is no project is refused', async () => {
  const project = await load()
  server = await openServer({ ...project, server: { host: '127.0.0.1', port: 0 } })
  const url = `${server.http!.url}/v1/plan`
  const post = async (body: string) => {
    const response = await fetch(url, { method: 'POST', body })
    const answer = (await response.json()) as { error?: { code: string; message: string } }
    return { status: response.status, answer, cut: response.headers.get('refold-cut') }
  }
  const fine = await post(JSON.stringify({ project }))
  assert.deepEqual(fine, { status: 200, cut: '0', answer: { cut: 0, streams: [], views: [], empty: true } })
  const refused: readonly (readonly [string, number, string, RegExp])[] = [
    ['{', 400, 'REQUEST_BODY', /not valid JSON/],
    ['[]', 400, 'REQUEST_BODY', /not a JSON object/],
    [JSON.stringify({ project, other: 1 }), 400, 'REQUEST_BODY', /"other" is unknown/],
    ['{}', 400, 'PROJECT_RECEIVED', /the project/],
    [
      JSON.stringify({ project: { ...project, streams: [{}] } }),
      400,
      'PROJECT_RECEIVED',
      /streams\[0\]\.name/,
    ],
  ]
  for (const [body, status, code, message] of refused) {
    const { status: found, answer } = await post(body)
    assert.deepEqual([found, answer.error?.code], [status, code], body.slice(0, 40))
    assert.match(answer.error?.message ?? '', message)
  }
})
