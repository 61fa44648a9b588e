/**
 * Why a report differs from an earlier one, asked of the running server: late events, other new events and a changed
 * logic in one difference, with parts counted by hand; and watermarks of any earlier cut, against what live answers
 * said at the time.
 */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import type { ProjectDef } from '../src/define/types.ts'
import type { WhyRow } from '../src/deploy/types.ts'
import type { PreparedEvent } from '../src/log/types.ts'
import type { FieldType } from '../src/model/schema.ts'
import { timestampUs } from '../src/model/value-time.ts'
import type { Moment } from '../src/serve/core.ts'
import { openServer, type RunningServer } from '../src/server/open-server.ts'
import { seededRandom } from './support/seeded-random.ts'

let folder: string
let server: RunningServer | undefined
let nextId: number

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'refold-why-'))
  nextId = 0
})
afterEach(async () => {
  await server?.close()
  server = undefined
  rmSync(folder, { recursive: true, force: true })
})

const field = (name: string, type: FieldType) => ({ name, type, optional: false, nullable: false })

function project(sql: string, latenessMs = 0): ProjectDef {
  const sqlPlace = { file: 'v.sql', line: 1, column: 1 }
  const fields = [
    field('id', { kind: 'string' }),
    field('who', { kind: 'string' }),
    field('amount', { kind: 'decimal', precision: 18, scale: 2 }),
    field('at', { kind: 'timestamp' }),
  ]
  return {
    ...{ name: 'shop', root: folder, file: join(folder, 'refold.config.ts'), dataDir: join(folder, 'data') },
    streams: [
      {
        ...{ name: 'sales', schema: { kind: 'object', fields }, id: 'id', key: 'who', time: 'at' },
        ...{ partitions: 2, dedupe: { timeMs: 3_600_000, count: 1_000_000 }, latenessMs },
      },
    ],
    views: [{ name: 'per_user', sql, sqlPlace, run: { kind: 'kappa' }, onError: 'stall' }],
    checks: [],
    server: { host: '127.0.0.1', port: 0 },
    engine: { memoryBytes: 512 << 20, threads: 2, statementTimeoutMs: 30_000, heavyStatements: 2 },
    seal: { rows: 1e9, bytes: 1e12, ageMs: 1e9 },
    history: { quickMs: 86_400_000, fineMs: 2_592_000_000 },
    limits: {
      ...{ eventBytes: 1 << 20, requestBytes: 1 << 25, expandedBytes: 1 << 28, depth: 64 },
      ...{ requestEvents: 100_000, queueBytes: 64 << 20 },
    },
  }
}

type Sale = readonly [who: string, amount: string, time: string]

async function send(...sales: readonly Sale[]): Promise<number> {
  const events = sales.map(([who, amount, time], index): PreparedEvent => {
    const id = `s${nextId++}`
    const json = JSON.stringify({ id, who, amount, at: time })
    const timeUs = timestampUs(time)
    return { stream: 'sales', partition: index % 2, json, timeUs, id, index }
  })
  return (await server!.core.append({ stream: 'sales', events, deadLetters: [], bytes: 100 })).cut
}

/** A live answer, as a reader gets it. */
function read(cut: number) {
  return server!.core.readView({ view: 'per_user', where: {}, order: [], limit: 100 }, { after: cut })
}

function why(from: Moment, more: { readonly to?: Moment; readonly key?: Record<string, string> } = {}) {
  const { key = {}, to } = more
  const asked = { view: 'per_user', from, key, limit: 10 }
  return server!.core.compare.why(to === undefined ? asked : { ...asked, to })
}

const oldSql = 'SELECT who, count(*) AS n, sum(amount) AS total, min("at") AS since FROM sales GROUP BY who'
const newSql =
  'SELECT who, count(*) AS n, sum(amount) * 2 AS total, min("at") AS since FROM sales WHERE amount > 1 GROUP BY who'
const noon = (minutes: number) =>
  new Date(Date.UTC(2026, 0, 1, 12, minutes)).toISOString().replace('.000', '')

test('late events, new events and new logic, taken apart', async () => {
  // Lateness one minute: with the newest event at 12:30 the watermark stands at 12:29.
  server = await openServer(project(oldSql, 60_000), { http: false })
  const first = await read(
    await send(['ann', '10.00', noon(10)], ['bob', '0.50', noon(30)], ['eve', '7.00', noon(5)]),
  )
  assert.ok(first.at !== null)
  // Late for ann (12:20) and cid (12:28); at the watermark or after it for ann (12:29) and bob (12:40).
  const second = await send(
    ['ann', '3.00', noon(20)],
    ['cid', '4.00', noon(28)],
    ['ann', '5.00', noon(29)],
    ['bob', '0.25', noon(40)],
  )
  await read(second)
  await server.reload(project(newSql, 60_000))
  const last = await read(second)
  const report = await why({ kind: 'reported', us: timestampUs(first.at) })
  assert.equal(report.from.at, first.at)
  assert.deepEqual([report.from.cut, report.from.version], [first.cut, first.versions['per_user']])
  assert.deepEqual([report.to.cut, report.to.version], [last.cut, last.versions['per_user']])
  assert.equal(report.watermark, '2026-01-01T12:29:00.000000Z')
  assert.deepEqual([report.lateEvents, report.newEvents], [2, 2])
  assert.deepEqual(report.key, ['who'])
  const rows: Record<string, WhyRow> = Object.fromEntries(
    report.rows.map((row) => [String(row.key['who']), row]),
  )
  assert.deepEqual(Object.keys(rows).sort(), ['ann', 'bob', 'cid', 'eve'])
  const parts = (who: string, column: string) => {
    const {
      first: a,
      late,
      arrived,
      logic,
      last: e,
    } = rows[who]!.columns.find(({ column: name }) => name === column)!
    return [a, late, arrived, logic, e]
  }
  // ann: 10, +3 late, +5 new, doubled. bob: 0.50, +0.25 new, then left out. cid is late. eve is doubled.
  assert.deepEqual(parts('ann', 'total'), ['10.00', '3.00', '5.00', '18.00', '36.00'])
  assert.deepEqual(parts('bob', 'total'), ['0.50', '0', '0.25', '-0.75', null])
  assert.deepEqual(parts('cid', 'total'), [null, '4.00', '0', '4.00', '8.00'])
  assert.deepEqual(parts('eve', 'total'), ['7.00', '0', '0', '7.00', '14.00'])
  assert.deepEqual(parts('ann', 'n'), ['1', '1', '1', '0', '3'])
  assert.deepEqual(parts('bob', 'n'), ['1', '0', '1', '-2', null])
  assert.deepEqual(rows['bob']!.values, [
    { column: 'since', first: '2026-01-01T12:30:00Z', last: null, changed: ['logic'] },
  ])
  assert.deepEqual(rows['cid']!.values, [
    { column: 'since', first: null, last: '2026-01-01T12:28:00Z', changed: ['late'] },
  ])
  assert.deepEqual(rows['ann']!.values, [])
  assert.deepEqual(report.totals, [
    { column: 'n', first: '3', late: '2', arrived: '2', logic: '-2', last: '5' },
    { column: 'total', first: '17.50', late: '7.00', arrived: '5.25', logic: '28.25', last: '58.00' },
  ])
  assert.deepEqual(report.rowCount, { first: '3', late: '1', arrived: '0', logic: '-1', last: '3' })

  // By cuts: each step by itself. At the second cut both versions answered: from means the first, to the last.
  const events = await why({ kind: 'cut', cut: first.cut }, { to: { kind: 'cut', cut: second } })
  assert.deepEqual(events.totals, report.totals)
  const logic = await why({ kind: 'cut', cut: second }, { to: { kind: 'cut', cut: second } })
  assert.deepEqual([logic.lateEvents, logic.newEvents], [0, 0])
  assert.deepEqual(logic.totals[1], {
    ...{ column: 'total', first: '29.75', late: '0', arrived: '0', logic: '28.25', last: '58.00' },
  })
  const one = await why({ kind: 'reported', us: timestampUs(first.at) }, { key: { who: 'cid' } })
  assert.deepEqual(one.rows, [rows['cid']])
  assert.equal(one.totals[1]?.last, '8.00')
  await assert.rejects(
    why({ kind: 'cut', cut: second }, { to: { kind: 'cut', cut: first.cut } }),
    /before "from"/,
  )
  await assert.rejects(why({ kind: 'cut', cut: 1 }, { key: { total: '1' } }), /no key column/)
})

test('nothing differs between a report and itself', async () => {
  server = await openServer(project(oldSql), { http: false })
  const { at } = await read(await send(['ann', '10.00', noon(10)]))
  const moment = { kind: 'reported', us: timestampUs(at ?? '') } as const
  const report = await why(moment, { to: moment })
  assert.deepEqual(report.rows, [])
  assert.deepEqual(report.totals[1], {
    ...{ column: 'total', first: '10.00', late: '0', arrived: '0', logic: '0', last: '10.00' },
  })
})

test('the watermark of an earlier cut is the one that the log had, whatever the lateness was since', async () => {
  const seed = Number(process.env['REFOLD_SEED'] ?? Date.now() % 1_000_000)
  const random = seededRandom(seed)
  const said: { readonly cut: number; readonly watermark: string | null }[] = []
  const note = async (lateness: number, commits: number) => {
    server = await openServer(project(oldSql, lateness), { http: false })
    for (let commit = 0; commit < commits; commit++) {
      const cut = await send(['ann', '1.00', noon(Math.floor(random() * 600))])
      const { watermarks } = await read(cut)
      said.push({ cut, watermark: watermarks['sales'] ?? null })
    }
    // With the events in the lake the log's own headers are gone.
    await server.flush()
    await server.close()
    server = undefined
  }
  await note(0, 3)
  await note(7_200_000, 3)
  await note(60_000, 3)
  server = await openServer(project(oldSql, 60_000), { http: false })
  await read(said.at(-1)!.cut)
  for (const { cut, watermark } of said) {
    const report = await why({ kind: 'cut', cut })
    const found = report.watermark === null ? null : report.watermark.replace(/000Z$/, 'Z')
    assert.equal(found, watermark, `seed ${seed}, cut ${cut}`)
  }
})

test('random histories: parts are what plain counting gives, between any two reports', async () => {
  const seed = Number(process.env['REFOLD_SEED'] ?? Date.now() % 1_000_000)
  const random = seededRandom(seed)
  const lateness = Math.floor(random() * 3) * 60_000
  const history: {
    readonly cut: number
    readonly who: string
    readonly cents: number
    readonly us: number
  }[] = []
  const reports: { readonly us: number; readonly cut: number; readonly factor: number }[] = []
  server = await openServer(project(oldSql, lateness), { http: false })
  let factor = 1
  for (let commit = 0; commit < 24; commit++) {
    const sales = Array.from({ length: 1 + Math.floor(random() * 4) }, () => {
      const cents = Math.floor(random() * 1000) - 300
      const at = noon(Math.floor(random() * 240))
      return { who: `u${Math.floor(random() * 5)}`, cents, at }
    })
    const cut = await send(...sales.map(({ who, cents, at }): Sale => [who, money(cents), at]))
    history.push(...sales.map(({ who, cents, at }) => ({ cut, who, cents, us: timestampUs(at) })))
    if (commit === 10) {
      await server.reload(project(oldSql.replace('sum(amount)', 'sum(amount) * 3'), lateness))
      factor = 3
    }
    if (commit === 5 || commit === 15) await server.flush()
    if (random() < 0.6) reports.push({ us: timestampUs((await read(cut)).at ?? ''), cut, factor })
  }
  for (let question = 0; question < 6; question++) {
    const picked = [Math.floor(random() * reports.length), Math.floor(random() * reports.length)].sort(
      (a, b) => a - b,
    )
    const [from, to] = picked.map((index) => reports[index]!)
    const report = await why({ kind: 'reported', us: from!.us }, { to: { kind: 'reported', us: to!.us } })
    const known = history.filter(({ cut }) => cut <= from!.cut)
    const watermark = Math.max(...known.map(({ us }) => us)) - lateness * 1000
    const more = history.filter(({ cut }) => cut > from!.cut && cut <= to!.cut)
    const late = more.filter(({ us }) => us < watermark)
    const rest = more.filter(({ us }) => us >= watermark)
    const what = `seed ${seed}, from ${JSON.stringify(from)} to ${JSON.stringify(to)}`
    assert.deepEqual([report.lateEvents, report.newEvents], [late.length, rest.length], what)
    const sum = (sales: typeof history) => sales.reduce((all, { cents }) => all + cents, 0)
    const total = report.totals.find(({ column }) => column === 'total')!
    const logic = (to!.factor - from!.factor) * (sum(known) + sum(more))
    const wanted = [sum(known), sum(late), sum(rest)].map((cents) => cents * from!.factor)
    assert.deepEqual(
      [total.first, total.late, total.arrived, total.logic, total.last].map((text) =>
        Math.round(Number(text) * 100),
      ),
      [...wanted, logic, to!.factor * (sum(known) + sum(more))],
      what,
    )
    const rows = ['late', 'arrived', 'logic'] as const
    for (const part of rows) {
      const inRows = report.rows.flatMap((row) => row.columns.filter(({ column }) => column === 'total'))
      const cents = inRows.reduce((all, column) => all + Math.round(Number(column[part]) * 100), 0)
      assert.equal(cents, Math.round(Number(total[part]) * 100), `${what}: ${part} of rows and of totals`)
    }
  }
})

function money(cents: number): string {
  const whole = Math.abs(cents)
  return `${cents < 0 ? '-' : ''}${Math.floor(whole / 100)}.${String(whole % 100).padStart(2, '0')}`
}
