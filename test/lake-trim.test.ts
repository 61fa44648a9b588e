/**
 * Trimming the lake of a running server: nothing that somebody may ask for becomes wrong. What views must be comes
 * from plain DuckDB over all events ever sent, those that were trimmed too.
 */

import assert from 'node:assert/strict'
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { lakeCrashPoints, type ServerCrashPoint } from '../src/server/crash-point.ts'
import { cellsOf, sorted } from './support/oracle.ts'
import { eventually, expectedRows, SalesServer, salesView } from './support/sales-server.ts'

let shop: SalesServer
beforeEach(() => {
  shop = new SalesServer()
})
afterEach(() => shop.dispose())

function lakeFiles(): string[] {
  const folder = join(shop.dataDir, 'lake', 'sales')
  return existsSync(folder) ? readdirSync(folder).sort() : []
}

interface SliceRow {
  readonly view: string
  readonly from_cut: number
  readonly to_cut: number
  readonly path: string
}

/** Moves of the log: each round is a lake file. */
async function rounds(count: number, events = 100): Promise<number> {
  let cut = 0
  for (let round = 0; round < count; round++) {
    cut = await shop.send(events)
    await shop.server?.flush()
  }
  return cut
}

test('a trim is refused while versions need the events, and each is named', async () => {
  await shop.open()
  await rounds(3)
  await assert.rejects(shop.core.lake.trim({ stream: 'sales', to: { cut: 2 } }), (error: Error) => {
    assert.equal((error as { code?: string }).code, 'TRIM_REFUSED')
    assert.match(error.message, /"per_user" [0-9a-f]{12} \(live\), "totals" [0-9a-f]{12} \(live\)/)
    return true
  })
  const dry = await shop.core.lake.trim({ stream: 'sales', to: { cut: 2 }, dryRun: true })
  assert.deepEqual([dry.cut, dry.files, dry.events, dry.done], [2, 2, 200, false])
  assert.deepEqual(
    dry.needs.map(({ view, promoted }) => [view, promoted]),
    [
      ['per_user', true],
      ['totals', true],
    ],
  )
  assert.equal(lakeFiles().length, 3)
  await assert.rejects(shop.core.lake.trim({ stream: 'sale', to: { cut: 2 } }), { code: 'STREAM_UNKNOWN' })
})

test('after a trim with bases every number stays, live, after a restart, and to the event', async () => {
  await shop.open()
  await rounds(4)
  const trim = await shop.core.lake.trim({ stream: 'sales', to: { cut: 2 }, promote: true })
  assert.deepEqual([trim.cut, trim.files, trim.events, trim.done], [2, 2, 200, true])
  await eventually(() => lakeFiles().length === 2)
  await shop.check(await shop.send(50))
  await shop.close()
  await shop.open()
  await shop.check(await shop.send(50))
  assert.deepEqual((await shop.core.lake.check()).faults, [])
  const { conservation } = await shop.status<{ conservation: Record<string, number>[] }>()
  for (const row of conservation) {
    assert.deepEqual(
      [row['received'], row['accepted'], row['folded'], row['pending']],
      [shop.sent.length, shop.sent.length, shop.sent.length, 0],
    )
  }
  const { audit } = await shop.status<{ audit: { what: string; details: { events?: number } }[] }>()
  assert.equal(audit.find(({ what }) => what === 'trim')?.details.events, 200)
})

test('what only memory holds is sealed first, so that a restart needs no trimmed event', async () => {
  const segments = { rollBytes: 1, rollAgeMs: 1, moveBytes: 1, moveAgeMs: 1, jobBytes: 1 }
  await shop.open(shop.project(), { segments })
  for (let round = 0; round < 3; round++) await shop.send(100)
  await eventually(async () => (await shop.status<{ lake: { through: number } }>()).lake.through >= 2)
  const { views } = await shop.status<{ views: { sealed: number }[] }>()
  assert.deepEqual(new Set(views.map(({ sealed }) => sealed)), new Set([0]))
  const trim = await shop.core.lake.trim({ stream: 'sales', to: { cut: 2 }, promote: true })
  assert.deepEqual([trim.cut, trim.done], [2, true])
  await shop.close()
  await shop.open()
  await shop.check(await shop.send(10))
})

test('whoever needs trimmed events is told so', async () => {
  await shop.open()
  await rounds(4)
  await shop.core.lake.trim({ stream: 'sales', to: { cut: 2 }, promote: true })
  const trimmed = (error: Error) => {
    const { code, details } = error as { code?: string; details?: Record<string, unknown> }
    assert.equal(code, 'HISTORY_TRIMMED')
    assert.deepEqual([details?.['stream'], details?.['cut'], details?.['events']], ['sales', 2, 200])
    assert.match(String(details?.['until']), /^\d{4}-\d\d-\d\dT/)
    return true
  }
  await assert.rejects(shop.logged(), trimmed)
  await assert.rejects(shop.logged({ from: { kind: 'cut', commit: 1 } }), trimmed)
  await assert.rejects(shop.logged({ from: { kind: 'offset', partition: 0, offset: 99 } }), trimmed)
  await assert.rejects(shop.logged({ from: { kind: 'time', timeMs: 0 } }), trimmed)
  const rest = await shop.logged({ from: { kind: 'cut', commit: 2 } })
  assert.deepEqual(
    rest.map(({ json }) => JSON.parse(json).id),
    shop.sent.slice(200).map(({ id }) => id),
  )
  const byOffset = await shop.logged({ from: { kind: 'offset', partition: 0, offset: 100 }, partition: 0 })
  assert.equal(byOffset.length, 100)
  const answer = await shop.core.sql({ sql: 'SELECT count(*) AS n FROM Sales', limit: 1 }, {})
  assert.deepEqual(JSON.parse(answer.json), [{ n: 200 }])
  assert.deepEqual([answer.trimmed?.['sales']?.cut, answer.trimmed?.['sales']?.events], [2, 200])
  const other = await shop.core.sql({ sql: 'SELECT n FROM totals', limit: 1 }, {})
  assert.deepEqual([JSON.parse(other.json), other.trimmed], [[{ n: 400 }], undefined])
  const fresh = salesView('per_user', 'SELECT "user", count(*) AS n FROM sales GROUP BY "user"')
  await assert.rejects(shop.server!.reload(shop.project({ views: [fresh] })), trimmed2)
  await shop.server!.reload(shop.project())
  await shop.check(await shop.send(10))

  function trimmed2(error: Error): boolean {
    assert.equal((error as { code?: string }).code, 'HISTORY_TRIMMED')
    return true
  }
})

test('states of the past: at the trim and after it exact, before it refused', async () => {
  await shop.open()
  await rounds(4)
  await shop.core.lake.trim({ stream: 'sales', to: { cut: 3 }, promote: true })
  await rounds(2)
  for (let cut = 1; cut <= 6; cut++) {
    const read = shop.core.readView(
      { view: 'per_user', where: {}, order: [], limit: 1000 },
      { moment: { kind: 'cut', cut } },
    )
    // Every round was sealed, so the states at these borders are slices; the trim took events alone.
    const answer = await read
    const cells = (JSON.parse(answer.json) as Record<string, unknown>[]).map((row) =>
      cellsOf(row, answer.columns),
    )
    assert.deepEqual(sorted(cells), await expectedRows('per_user', shop.sent.slice(0, shop.sentAt.get(cut))))
  }
})

test('a state between borders before the trim is refused, one after it is folded from the base', async () => {
  await shop.open()
  for (let n = 0; n < 4; n++) await shop.send(50)
  await shop.server?.flush()
  for (let n = 0; n < 4; n++) await shop.send(50)
  await shop.server?.flush()
  await shop.core.lake.trim({ stream: 'sales', to: { cut: 4 }, promote: true })
  const at = (cut: number) =>
    shop.core.readView({ view: 'totals', where: {}, order: [], limit: 1 }, { moment: { kind: 'cut', cut } })
  await assert.rejects(at(3), { code: 'HISTORY_TRIMMED' })
  for (const cut of [4, 5, 6, 7, 8]) {
    const answer = await at(cut)
    const [row] = JSON.parse(answer.json) as { n: number }[]
    assert.equal(row?.n, shop.sentAt.get(cut), `at cut ${cut}`)
  }
})

test('SQL over the stream as it was: before the trim refused, after it with a note', async () => {
  await shop.open()
  await rounds(4)
  await shop.core.lake.trim({ stream: 'sales', to: { cut: 2 }, promote: true })
  const ask = (sql: string, cut: number) => shop.core.sql({ sql, limit: 1 }, { moment: { kind: 'cut', cut } })
  await assert.rejects(ask('SELECT count(*) AS n FROM sales', 1), { code: 'HISTORY_TRIMMED' })
  const later = await ask('SELECT count(*) AS n FROM sales', 3)
  assert.deepEqual([JSON.parse(later.json), later.trimmed?.['sales']?.events], [[{ n: 100 }], 200])
  assert.deepEqual(JSON.parse((await ask('SELECT n FROM totals', 2)).json), [{ n: 200 }])
})

test('trim after trim: bases grow, old ones go, and slices made of them are healed from them', async () => {
  await shop.open(shop.project({ seal: { rows: 1, bytes: 1e12, ageMs: 1e9 } }))
  for (let round = 0; round < 6; round++) {
    await rounds(2)
    const { lastCut } = { lastCut: shop.sentAt.size - 1 }
    const trim = await shop.core.lake.trim({ stream: 'sales', to: { cut: lastCut - 1 }, promote: true })
    assert.equal(trim.cut, lastCut - 1)
    await shop.check()
  }
  await shop.close()
  const { rows } = await slicesOnDisk()
  for (const { path, base } of rows) if (!base) rmSync(join(shop.dataDir, path))
  await shop.open()
  await eventually(async () => {
    try {
      await shop.check()
      return true
    } catch (error) {
      if ((error as { code?: string }).code !== 'VIEW_BUILDING') throw error
      return false
    }
  })
  await shop.check(await shop.send(10))
})

test('a damaged base is named, with what to do; the file put back, all is well', async () => {
  await shop.open()
  await rounds(3)
  await shop.core.lake.trim({ stream: 'sales', to: { cut: 3 }, promote: true })
  await shop.close()
  const { rows } = await slicesOnDisk()
  const all = rows.filter(({ view }) => view === 'totals').map(({ path }) => join(shop.dataDir, path))
  const kept = all.map((path) => readFileSync(path))
  for (const path of all) writeFileSync(path, 'damaged')
  await shop.open()
  const read = () => shop.core.readView({ view: 'totals', where: {}, order: [], limit: 1 }, {})
  await eventually(async () => {
    const error = await read().then(
      () => undefined,
      (caught: unknown) => caught as { code?: string; message: string; hint: string },
    )
    if (error?.code === 'VIEW_BUILDING') return false
    assert.equal(error?.code, 'BASE_CORRUPT')
    assert.ok(all.some((path) => error?.message.includes(path)))
    assert.match(error?.hint ?? '', /back from a backup/)
    return true
  })
  await assert.rejects(shop.core.sql({ sql: 'SELECT * FROM totals', limit: 1 }, {}), { code: 'BASE_CORRUPT' })
  assert.equal((await shop.core.sql({ sql: 'SELECT * FROM per_user', limit: 100 }, {})).count, 13)
  await shop.close()
  all.forEach((path, at) => {
    writeFileSync(path, kept[at]!)
  })
  await shop.open()
  await shop.check(await shop.send(10))
})

test('a version that answered before keeps what it reported: its state is promoted too', async () => {
  await shop.open()
  await rounds(2)
  const first = salesView('per_user', 'SELECT "user", count(*) AS n FROM sales GROUP BY "user"')
  await shop.server!.reload(shop.project({ views: [first, ...shop.project().views.slice(1)] }))
  await rounds(1)
  const dry = await shop.core.lake.trim({ stream: 'sales', to: { cut: 3 }, dryRun: true })
  assert.deepEqual(dry.needs.map(({ view, state, by }) => [view, state, by]).sort(), [
    ['per_user', 'live', 'slices'],
    ['per_user', 'retired', 'fold'],
    ['totals', 'live', 'slices'],
  ])
  await shop.core.lake.trim({ stream: 'sales', to: { cut: 3 }, promote: true })
  const { rows } = await slicesOnDisk()
  const bases = rows.filter(({ base }) => base)
  assert.equal(new Set(bases.map(({ version }) => version)).size, 3)
})

test('retention trims by itself, by bytes, and says so', async () => {
  const retention = { lake: { bytes: 1, promote: true } }
  await shop.open(shop.project({}, { retention }), { retentionCheckMs: 20 })
  await rounds(3)
  await eventually(() => lakeFiles().length === 0)
  await shop.check(await shop.send(10))
  const { audit } = await shop.status<{ audit: { what: string; details: { reason?: string } }[] }>()
  assert.ok(audit.some(({ what, details }) => what === 'trim' && details.reason === 'retention'))
})

test('retention without promotion deletes nothing that is needed, and says so once', async () => {
  const retention = { lake: { bytes: 1, promote: false } }
  await shop.open(shop.project({}, { retention }), { retentionCheckMs: 5 })
  await rounds(2)
  const refusals = async () => {
    const { audit } = await shop.status<{ audit: { what: string; details: { cut?: number } }[] }>()
    return audit.filter(({ what, details }) => what === 'trim refused' && details.cut === 2).length
  }
  await eventually(async () => (await refusals()) > 0)
  await rounds(1)
  assert.equal(await refusals(), 1)
  assert.equal(lakeFiles().length, 3)
})

test('moved segments stay in the hot log as long as a stream wants', async () => {
  await shop.open(shop.project({}, { retention: { hotMs: 3_600_000 } }))
  await rounds(3)
  const segments = () =>
    readdirSync(join(shop.dataDir, 'log')).filter((name) => name.endsWith('.ndjson')).length
  assert.equal(segments(), 4)
  await shop.close()
  await shop.open(shop.project({}, { retention: { hotMs: 3_600_000 } }))
  assert.equal(segments(), 4)
  await shop.check(await shop.send(10))
  const { conservation } = await shop.status<{ conservation: Record<string, number>[] }>()
  for (const row of conservation) assert.deepEqual([row['folded'], row['pending']], [310, 0])
  assert.deepEqual((await shop.core.lake.check()).faults, [])
  await shop.close()
  await shop.open(shop.project())
  await eventually(() => segments() <= 2)
  await shop.check()
})

test('a crash at any point of a trim leaves a folder that is right', async () => {
  const copies = new Map<ServerCrashPoint, string>()
  const crash = (point: ServerCrashPoint) => {
    if (!(lakeCrashPoints as readonly string[]).includes(point) || copies.has(point)) return
    const copy = join(shop.folder, `copy-${copies.size}`)
    cpSync(shop.dataDir, copy, { recursive: true })
    copies.set(point, copy)
  }
  await shop.open(shop.project(), { crash })
  await shop.send(100)
  await rounds(3)
  await shop.core.lake.trim({ stream: 'sales', to: { cut: 3 }, promote: true })
  await shop.close()
  const wanted = lakeCrashPoints.filter((point) => !point.includes('merge'))
  assert.deepEqual([...copies.keys()].sort(), [...wanted].sort())
  for (const [, copy] of copies) {
    rmSync(shop.dataDir, { recursive: true, force: true })
    renameSync(copy, shop.dataDir)
    await shop.open()
    await shop.check()
    assert.deepEqual((await shop.core.lake.check()).faults, [])
    assert.deepEqual(readdirSync(join(shop.dataDir, 'lost+found')), [])
    const done = await shop.core.lake.trim({ stream: 'sales', to: { cut: 3 }, promote: true })
    assert.equal(done.cut, 3)
    await shop.check(await shop.send(10))
    shop.sent.length -= 10
    await shop.close()
  }
})

async function slicesOnDisk(): Promise<{
  rows: (SliceRow & { base: boolean; version: string })[]
}> {
  const { DatabaseSync } = await import('node:sqlite')
  const database = new DatabaseSync(join(shop.dataDir, 'catalog.sqlite'), { readOnly: true })
  const rows = database.prepare('SELECT * FROM slices').all() as unknown as (SliceRow & {
    base: number
    version: string
  })[]
  database.close()
  return { rows: rows.map((row) => ({ ...row, base: row.base === 1 })) }
}
