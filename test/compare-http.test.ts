/**
 * Compare, the events of a row, and why, as a stranger uses them: the real server over HTTP, asked by the command line.
 * What is expected is counted by hand from the sales sent here.
 */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { runCommand } from '../src/cli/cli-fixture.ts'
import type { ProjectDef } from '../src/define/types.ts'
import type { CompareSummary } from '../src/deploy/types.ts'
import type { FieldType } from '../src/model/schema.ts'
import { openServer, type RunningServer } from '../src/server/open-server.ts'

const folder = mkdtempSync(join(tmpdir(), 'refold-compare-http-'))
let server: RunningServer
let url: string

const field = (name: string, type: FieldType, optional = false) => ({ name, type, optional, nullable: false })

function project(change = ''): ProjectDef {
  const fields = [
    field('who', { kind: 'string' }, true),
    field('amount', { kind: 'integer', bits: 64 }),
    field('at', { kind: 'timestamp' }),
  ]
  const view = (name: string, sql: string) => ({
    ...{ name, sql, sqlPlace: { file: 'v.sql', line: 1, column: 1 } },
    ...({ run: { kind: 'kappa' }, onError: 'stall' } as const),
  })
  return {
    ...{ name: 'shop', root: folder, file: join(folder, 'refold.config.ts'), dataDir: join(folder, 'data') },
    streams: [
      {
        ...{ name: 'sales', schema: { kind: 'object', fields }, time: 'at', partitions: 2, latenessMs: 0 },
        dedupe: { timeMs: 3_600_000, count: 1_000_000 },
      },
    ],
    views: [
      view(
        'per_user',
        `SELECT lower(who) AS who, sum(amount${change}) AS total FROM sales WHERE amount > 0 GROUP BY 1`,
      ),
      view('big', 'SELECT who, amount FROM sales WHERE amount >= 100'),
    ],
    checks: [],
    server: { host: '127.0.0.1', port: 0 },
    history: { quickMs: 86_400_000, fineMs: 86_400_000 },
    engine: { memoryBytes: 512 << 20, threads: 2, statementTimeoutMs: 30_000, heavyStatements: 2 },
    seal: { rows: 1e9, bytes: 1e12, ageMs: 1e9 },
    limits: {
      ...{ eventBytes: 1 << 20, requestBytes: 1 << 25, expandedBytes: 1 << 28, depth: 64 },
      ...{ requestEvents: 100_000, queueBytes: 64 << 20 },
    },
  }
}

async function send(...lines: readonly string[]): Promise<number> {
  const answer = await fetch(`${url}/v1/streams/sales/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: lines.join('\n'),
  })
  const { cut } = (await answer.json()) as { cut: number }
  return cut
}

async function refold(...args: readonly string[]) {
  return await runCommand([...args, '--url', url])
}

async function get<T>(path: string): Promise<T> {
  const answer = await fetch(`${url}${path}`)
  const body = await answer.text()
  assert.equal(answer.status, 200, body)
  return JSON.parse(body) as T
}

interface Events {
  readonly total: number
  readonly next?: string
  readonly events: readonly { readonly commit: number; readonly index: number; readonly event: unknown }[]
}

const sale = (who: string | undefined, amount: number | string, minute: number) =>
  `{${who === undefined ? '' : `"who":"${who}",`}"amount":${amount},"at":"2026-01-01T12:${String(minute).padStart(2, '0')}:00Z"}`

let first: { readonly cut: number; readonly at: string }

before(async () => {
  server = await openServer(project())
  url = server.http!.url
  await send(sale('Ann', 1, 1), sale('bob', 100, 2), sale('ann', -5, 3), sale(undefined, 7, 4))
  await server.flush()
  const cut = await send(sale('ANN', '9007199254740993', 10), sale('bob', 2, 11), sale(undefined, 8, 12))
  first = await get(`/v1/views/per_user?after=${cut}`)
  await send(sale('ann', 3, 5), sale('cid', 4, 20))
  await server.reload(project(' * 2'))
})
after(async () => {
  await server.close()
  rmSync(folder, { recursive: true, force: true })
})

test('the events of a row, from lake and log, in pages, with every digit', async () => {
  const whole = await get<Events>('/v1/views/per_user/events?key.who=ann')
  assert.equal(whole.total, 3)
  assert.deepEqual(
    whole.events.map(({ commit, index }) => [commit, index]),
    [
      [1, 0],
      [2, 0],
      [3, 0],
    ],
  )
  const page = await fetch(`${url}/v1/views/per_user/events?key.who=ann&limit=2`)
  const text = await page.text()
  assert.match(text, /"event":\{"who":"ANN","amount":9007199254740993,"at":/)
  const { next, events } = JSON.parse(text) as Events
  assert.deepEqual([events.length, next], [2, '2.0'])
  const rest = await get<Events>(`/v1/views/per_user/events?key.who=ann&limit=2&after=${next}`)
  assert.deepEqual([rest.events.map(({ commit }) => commit), rest.total, rest.next], [[3], 3, undefined])
  const earlier = await get<Events>('/v1/views/per_user/events?key.who=ann&to=2')
  assert.equal(earlier.total, 2)
  const nobody = await get<Events>('/v1/views/per_user/events?key.who')
  assert.deepEqual(
    nobody.events.map(({ commit, index }) => [commit, index]),
    [
      [1, 3],
      [2, 2],
    ],
    'a name alone means NULL',
  )
  const rows = await get<Events>('/v1/views/big/events?key.amount=100&key.who=bob')
  assert.deepEqual(
    rows.events.map(({ commit, index }) => [commit, index]),
    [[1, 1]],
  )
})

test('columns that do not say which events made a row are refused with those that do', async () => {
  const answer = await fetch(`${url}/v1/views/per_user/events?key.total=5`)
  const { error } = (await answer.json()) as { error: { code: string; hint: string } }
  assert.deepEqual([answer.status, error.code, error.hint], [400, 'COLUMN_UNKNOWN', 'These do: who.'])
})

test('refold compare --events shows them to people', async () => {
  const shown = await refold('compare', 'per_user', '--row', 'who=ann', '--events', '--rows', '2')
  assert.equal(shown.code, 0, shown.err)
  const lines = shown.out.trimEnd().split('\n')
  assert.match(lines[0]!, /^per_user · version [0-9a-f]{12} · cut 3 · 3 events$/)
  assert.match(lines[1]!, /^1\.0 {2}\S+Z {2}\{"who":"Ann","amount":1,/)
  assert.match(lines[2]!, /^2\.0 {2}\S+Z {2}\{"who":"ANN","amount":9007199254740993,/)
  assert.equal(lines[3], 'there are more: --after 2.0')
  const nobody = await refold('compare', 'per_user', '--row', 'who', '--events', '--json')
  assert.equal((JSON.parse(nobody.out) as Events).total, 2)
  const lost = await refold('compare', 'per_user', '--row', 'who=ann')
  assert.equal(lost.code, 2)
  assert.match(lost.err, /--row goes with --events/)
})

test('refold compare tells what differs, and its exit code says that something does', async () => {
  const versions = await get<{ rows: { version: string }[] }>('/v1/views/per_user')
  assert.ok(versions)
  const pair = await pairOf('per_user')
  const shown = await refold('compare', 'per_user', '--from', pair.old, '--to', pair.now)
  assert.equal(shown.code, 5, shown.err)
  assert.match(shown.out, /rows are paired by who/)
  assert.match(
    shown.out,
    / {2}equal +0 {2}of 4 old and 4 new rows\n {2}changed +4\n {2}added +0\n {2}removed +0\n/,
  )
  assert.match(shown.out, / {2}unexplained +0 {2}not looked for: add --folded\n/)
  assert.match(shown.out, / {2}logic +4 {2}the new logic\n/)
  assert.match(shown.out, /\n- +logic +bob +102\n\+ +bob +204\n/)
  const json = await refold('compare', 'per_user', '--from', pair.now, '--to', pair.now, '--folded', '--json')
  assert.equal(json.code, 0)
  const summary = JSON.parse(json.out) as CompareSummary
  assert.deepEqual([summary.equal, summary.changed, summary.damaged], [4, 0, { old: 0, new: 0 }])
  const unknown = await refold('compare', 'per_user', '--from', 'ffff', '--to', pair.now)
  assert.equal(unknown.code, 1)
  assert.match(unknown.err, /VERSION_UNKNOWN/)
})

async function pairOf(view: string): Promise<{ readonly old: string; readonly now: string }> {
  const { version } = await get<{ version: string }>(`/v1/views/${view}`)
  const { rows } = (await (
    await fetch(`${url}/v1/sql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ sql: `SELECT version FROM refold.versions WHERE view = '${view}'` }),
    })
  ).json()) as { rows: readonly { readonly version: string }[] }
  const old = rows.find((row) => row.version !== version)!.version
  return { old, now: version.slice(0, 12) }
}

test('refold why takes the difference apart', async () => {
  const shown = await refold('why', 'per_user', '--from', first.at, '--key', 'who=ann')
  assert.equal(shown.code, 0, shown.err)
  assert.match(shown.out, / {2}1 late and 1 other new events; the logic changed\n/)
  assert.match(shown.out, /late is before 2026-01-01T12:12:00.000000Z/)
  // 1 + 9007199254740993, plus 3, doubled.
  assert.match(shown.out, /\nann +total +9007199254740994 +\+3 +\+9007199254740997 +18014398509481994\n/)
  const json = await refold('why', 'per_user', '--from', String(first.cut), '--json')
  const report = JSON.parse(json.out) as { rows: { key: { who: string | null } }[]; totals: unknown }
  assert.equal(report.rows.length, 4)
  const missing = await refold('why', 'per_user')
  assert.equal(missing.code, 2)
  const wrong = await refold('why', 'per_user', '--from', 'yesterday')
  assert.match(wrong.err, /neither a time nor a cut/)
})

test('mistakes in the parameters are named all at once', async () => {
  const mistakes = async (path: string) => {
    const answer = await fetch(`${url}${path}`)
    const { error } = (await answer.json()) as {
      error: { details?: { mistakes: readonly { parameter: string }[] } }
    }
    return [answer.status, error.details?.mistakes.map(({ parameter }) => parameter)]
  }
  assert.deepEqual(await mistakes('/v1/views/per_user/events?after=2&limit=0&who=ann'), [
    400,
    ['limit', 'after', 'who'],
  ])
  assert.deepEqual(await mistakes('/v1/views/per_user/why?key.who=ann'), [400, ['from']])
  assert.deepEqual(await mistakes('/v1/views/per_user/why?from=soon&to=2026-13-01'), [400, ['from', 'to']])
  assert.deepEqual(await mistakes('/v1/views/per_user/compare?cut=-1&folded=maybe&rows=3'), [
    400,
    ['cut', 'folded', 'rows'],
  ])
  assert.deepEqual(await mistakes('/v1/views/per_usr/compare'), [404, undefined])
})
