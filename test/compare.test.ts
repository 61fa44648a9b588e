/**
 * Two versions of one view compared by the running server, one planted scenario for each cause and all of them in one.
 * Versions are deployed by taking over a changed project; what is expected is counted by hand from the sales that are
 * sent here.
 */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, test } from 'node:test'
import { DuckDBInstance } from '@duckdb/node-api'
import type { ExpectDef, ProjectDef, ViewDef } from '../src/define/types.ts'
import type { CompareSummary } from '../src/deploy/types.ts'
import type { PreparedEvent } from '../src/log/types.ts'
import type { FieldType } from '../src/model/schema.ts'
import { openServer, type RunningServer } from '../src/server/open-server.ts'
import { sumFile } from '../src/std/file-sum.ts'

let folder: string
let server: RunningServer | undefined
let nextId: number

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'refold-compare-'))
  nextId = 0
})
afterEach(async () => {
  await server?.close()
  server = undefined
  rmSync(folder, { recursive: true, force: true })
})

const field = (name: string, type: FieldType) => ({ name, type, optional: false, nullable: false })

function project(sql: string, more: Partial<ViewDef> = {}): ProjectDef {
  const sqlPlace = { file: 'v.sql', line: 1, column: 1 }
  const fields = [
    field('id', { kind: 'string' }),
    field('country', { kind: 'string' }),
    field('amount', { kind: 'string' }),
  ]
  return {
    ...{ name: 'shop', root: folder, file: join(folder, 'refold.config.ts'), dataDir: join(folder, 'data') },
    streams: [
      {
        ...{ name: 'sales', schema: { kind: 'object', fields }, id: 'id', key: 'country', partitions: 2 },
        ...{ dedupe: { timeMs: 3_600_000, count: 1_000_000 }, latenessMs: 0 },
      },
    ],
    views: [{ name: 'per_country', sql, sqlPlace, run: { kind: 'kappa' }, onError: 'stall', ...more }],
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

async function send(...sales: readonly (readonly [country: string, amount: string])[]): Promise<number> {
  const events = sales.map(([country, amount], index): PreparedEvent => {
    const id = `s${nextId++}`
    const json = JSON.stringify({ id, country, amount })
    return { stream: 'sales', partition: index % 2, json, id, index }
  })
  const request = { stream: 'sales', events, deadLetters: [], bytes: 100 }
  return (await server!.core.append(request)).cut
}

/** The live version has reached the cut. */
async function reach(cut: number): Promise<void> {
  await server!.core.readView({ view: 'per_country', where: {}, order: [], limit: 1 }, { after: cut })
}

async function compare(more: { readonly folded?: boolean } = {}): Promise<CompareSummary> {
  const { from, to } = pair()
  return await server!.core.compare.versions({
    ...{ view: 'per_country', from, to, folded: more.folded ?? true, sampleRows: 20 },
  })
}

/** The two versions in the order in which they were made. */
function pair(): { readonly from: string; readonly to: string } {
  const catalog = new DatabaseSync(join(folder, 'data', 'catalog.sqlite'), { readOnly: true })
  const rows = catalog.prepare('SELECT version FROM versions ORDER BY created_ms').all()
  catalog.close()
  return { from: String(rows.at(-2)?.version), to: String(rows.at(-1)?.version) }
}

function counts({ equal, changed, added, removed, causes }: CompareSummary) {
  return { equal, changed, added, removed, ...causes }
}

const place = { file: 'refold.config.ts', line: 1, column: 1 }
const oldSql =
  'SELECT country, count(*) AS n, sum(amount::DECIMAL(18,2)) AS total FROM sales GROUP BY country'
const yen: ExpectDef = {
  ...{ name: 'yen in hundreds', place },
  when: `new.country = 'JP' AND new.total < old.total AND new.n = old.n`,
}
const yenSql = `SELECT country, count(*) AS n,
  sum(CASE country WHEN 'JP' THEN amount::DECIMAL(18,2) / 100 ELSE amount::DECIMAL(18,2) END)::DECIMAL(38,2) AS total
  FROM sales GROUP BY country`

test('a correction that a rule expects is expected, and nothing else is', async () => {
  server = await openServer(project(oldSql), { http: false })
  await reach(await send(['NL', '10.50'], ['JP', '5000'], ['JP', '700'], ['US', '3']))
  await server.reload(project(yenSql, { expect: [yen] }))
  const summary = await compare()
  assert.deepEqual(counts(summary), {
    ...{ equal: 2, changed: 1, added: 0, removed: 0 },
    ...{ unexplained: 0, expected: 1, events: 0, logic: 0 },
  })
  assert.deepEqual(summary.expectations, [{ rule: yen.name, rows: 1 }])
  const [row] = summary.sample
  assert.deepEqual(row?.old, { country: 'JP', n: 2, total: '5700.00' })
  assert.deepEqual(row?.new, { country: 'JP', n: 2, total: '57.00' })
  assert.equal(summary.columns[1]?.difference?.sum, '-5643.00')
  await server.reload(project(yenSql))
  assert.equal((await compare()).causes.logic, 1, 'without the rule it is the new logic')
})

test('an event that one version skips makes its row differ by events', async () => {
  server = await openServer(project(oldSql, { onError: 'skip' }), { http: false })
  await reach(await send(['NL', '10'], ['NL', 'ten'], ['US', '3'], ['FR', 'four']))
  const forgiving = oldSql.replace('amount::DECIMAL(18,2)', 'TRY_CAST(amount AS DECIMAL(18,2))')
  await server.reload(project(forgiving))
  const summary = await compare()
  // NL counts one more, FR is there for the first time; US stays.
  assert.deepEqual(counts(summary), {
    ...{ equal: 1, changed: 1, added: 1, removed: 0 },
    ...{ unexplained: 0, expected: 0, events: 2, logic: 0 },
  })
  // The same logic on both sides, the other way round: rows are missing now.
  await server.reload(project(oldSql, { onError: 'skip' }))
  const back = await server.core.compare.versions({
    ...{ view: 'per_country', from: pair().to, to: pair().from, folded: false, sampleRows: 5 },
  })
  assert.equal(back.causes.events, 2)
  assert.equal(back.folded, false)
  assert.equal(back.damaged, undefined)
})

test('what no rule expects and no event explains is the new logic', async () => {
  server = await openServer(project(oldSql), { http: false })
  await reach(await send(['NL', '10'], ['US', '-3'], ['US', '4'], ['FR', '-1']))
  await server.reload(project(oldSql.replace('FROM sales', `FROM sales WHERE amount NOT LIKE '-%'`)))
  const summary = await compare()
  assert.deepEqual(counts(summary), {
    ...{ equal: 1, changed: 1, added: 0, removed: 1 },
    ...{ unexplained: 0, expected: 0, events: 0, logic: 2 },
  })
  assert.deepEqual(summary.damaged, { old: 0, new: 0 })
})

test('a damaged slice whose checksum was made right again is found by folding again', async () => {
  await damaged(oldSql, `${oldSql} ORDER BY total`, [
    ['NL', '10'],
    ['US', '3'],
    ['FR', '1'],
  ])
  const summary = await compare()
  assert.deepEqual(counts(summary), {
    ...{ equal: 2, changed: 1, added: 0, removed: 0 },
    ...{ unexplained: 1, expected: 0, events: 0, logic: 0 },
  })
  assert.deepEqual(summary.damaged, { old: 0, new: 1 })
  assert.deepEqual(summary.sample[0]?.new, { country: 'US', n: 1, total: '1003.00' })
  const quick = await compare({ folded: false })
  assert.deepEqual([quick.folded, quick.causes.logic, quick.causes.unexplained], [false, 1, 0])
})

test('all causes in one compare', async () => {
  const sales: readonly (readonly [string, string])[] = [
    ['NL', '10'],
    ['NL', 'ten'],
    ['JP', '5000'],
    ['US', '3'],
    ['FR', '-1'],
    ['BE', '8'],
  ]
  // Dutch amounts that are no numbers, Japanese ones in hundreds, negative ones left out.
  const next = `SELECT country, count(*) AS n, sum(CASE country WHEN 'JP' THEN TRY_CAST(amount AS DECIMAL(18,2)) / 100
    ELSE TRY_CAST(amount AS DECIMAL(18,2)) END)::DECIMAL(38,2) AS total
    FROM sales WHERE amount NOT LIKE '-%' GROUP BY country`
  await damaged(oldSql, next, sales, { onError: 'skip', expect: [yen] })
  const summary = await compare()
  assert.deepEqual(counts(summary), {
    ...{ equal: 1, changed: 3, added: 0, removed: 1 },
    ...{ unexplained: 1, expected: 1, events: 1, logic: 1 },
  })
  const why = Object.fromEntries(
    summary.sample.map(({ cause, old, new: now }) => [((old ?? now) as { country: string }).country, cause]),
  )
  assert.deepEqual(why, { US: 'unexplained', JP: 'expected', NL: 'events', FR: 'logic' })
})

/** Two versions with sealed slices; in the newer one's slice the total of US is 1000 higher, and nobody was told. */
async function damaged(
  before: string,
  after: string,
  sales: readonly (readonly [string, string])[],
  more: Partial<ViewDef> = {},
): Promise<void> {
  const next = project(after, more)
  server = await openServer(project(before, more), { http: false })
  await reach(await send(...sales))
  await server.reload(next)
  await server.flush()
  await server.close()
  const { to } = pair()
  const catalog = new DatabaseSync(join(folder, 'data', 'catalog.sqlite'))
  const slice = catalog.prepare('SELECT path FROM slices WHERE version = ?').get(to)
  assert.ok(slice !== undefined, 'the newer version was sealed')
  const path = join(folder, 'data', String(slice.path))
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(`CREATE TABLE s AS SELECT * FROM read_parquet('${path}')`)
  // The group, its count, its sum.
  const [, , column] = (await connection.runAndReadAll('SELECT * FROM s')).columnNames()
  await connection.run(`UPDATE s SET ${column} = ${column} + 1000 WHERE k0 = 'US'`)
  await connection.run(`COPY (SELECT * FROM s ORDER BY k0) TO '${path}' (FORMAT parquet)`)
  connection.closeSync()
  instance.closeSync()
  const { bytes, checksum } = await sumFile(path)
  catalog
    .prepare('UPDATE slices SET bytes = ?, checksum = ? WHERE path = ?')
    .run(bytes, checksum, String(slice.path))
  catalog.close()
  server = await openServer(next, { http: false })
  await reach(0)
}
