/**
 * The catalog under crashes. At every crash point of every kind of transaction the files are copied as a kill -9
 * would leave them (SQLite's pages that it has not written are lost, what it wrote is in the page cache), the copy is
 * opened, and it must show all of the transaction or nothing of it. One point is also hit with a real SIGKILL.
 */

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { RefoldError } from '../model/errors.ts'
import type { StreamDef } from '../model/schema.ts'
import type { ViewPlan } from '../plan/plan.ts'
import { DatabaseSync } from '../std/sqlite.ts'
import { checkResults, recordChecks } from './checks.ts'
import { addDeploy, deployRows, updateDeploy } from './deploys.ts'
import { audit, cuts, recordAudit, recordCut } from './journal.ts'
import { deadLetters, lakeManifest, publishLake } from './lake.ts'
import { readMeta, setMeta } from './meta.ts'
import { migrations } from './migrations.ts'
import { type Catalog, type CatalogCrashPoint, catalogPath, openCatalog } from './open-catalog.ts'
import { allSkipped, recordSkipped } from './skipped.ts'
import { allSlices, dropSlices, publishSlices, slicesOf } from './slices.ts'
import { latestStreams, recordStreams, schemaHistory } from './streams.ts'
import { recordVerify, verifyResults } from './verify-results.ts'
import {
  addVersion,
  failVersion,
  moveServing,
  readVersion,
  retireVersion,
  serving,
  setVersionStates,
  versions,
} from './versions.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'refold-catalog-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const plan = { format: 1, view: 'v', streams: ['s'], stages: [] } as unknown as ViewPlan
const newVersion = (version: string) =>
  ({ view: 'v', version, sql: `SELECT '${version}'`, plan, onError: 'stall' }) as const
const stream: StreamDef = {
  name: 's',
  schema: { kind: 'object', fields: [] },
  partitions: 4,
  dedupe: { timeMs: 1000, count: 10 },
  latenessMs: 0,
}

function slice(from: number, to: number, part = 'main', version = 'a') {
  const path = join(folder, 'slices', `${version}-${part}-${from}-${to}.parquet`)
  return { view: 'v', version, stage: 'g', part, path, from, to, rows: to - from, bytes: 100, checksum: 7 }
}

function lakeFile(from: number, to: number) {
  const path = join(folder, 'lake', 's', `${from}-${to}.parquet`)
  const offsets = [{ from: 0, to: 5 }]
  return { stream: 's', from, to, path, rows: 5, bytes: 10, checksum: 1, offsets, fields: ['x'] }
}

function letter(commit: number) {
  return { commit, timeMs: 1, stream: 's', index: 0, code: 'X', reason: 'r', place: '', raw: '{}' }
}

function seal(catalog: Catalog, from: number, to: number): void {
  const added = [slice(from, to), slice(from, to, 'd0')]
  publishSlices(catalog, { view: 'v', version: 'a', replaced: [], added, sealed: to, what: 'seal' })
}

/** Everything that the catalog says, to compare two states by. */
function contents(catalog: Catalog): unknown {
  return JSON.parse(
    JSON.stringify({
      streams: latestStreams(catalog),
      versions: versions(catalog).map(({ view, version, state, sealed }) => ({
        view,
        version,
        state,
        sealed,
      })),
      serving: serving(catalog),
      slices: allSlices(catalog).map((row) => row.path.slice(catalog.folder.length)),
      lake: lakeManifest(catalog).through,
      files: lakeManifest(catalog).files.map((file) => file.path.slice(catalog.folder.length)),
      letters: deadLetters(catalog, 10),
      skipped: allSkipped(catalog),
      cuts: cuts(catalog, 100).map(({ cut, what, versions: set }) => ({ cut, what, set })),
      audit: audit(catalog, 100).map(({ what }) => what),
      deploys: deployRows(catalog).map(({ state, outcome }) => ({ state, outcome })),
      seed: readMeta(catalog, 'dedupe-seed') ?? null,
      checks: checkResults(catalog, 100),
      verified: verifyResults(catalog, 100),
    }),
  )
}

/** One change for each kind of transaction; `migrate` happens by opening. */
const changes: Readonly<Record<string, (catalog: Catalog) => void>> = {
  'set-meta': (catalog) => setMeta(catalog, 'dedupe-seed', 'f00'),
  'record-streams': (catalog) => recordStreams(catalog, [{ ...stream, name: 't' }], 9),
  'add-version': (catalog) => void addVersion(catalog, newVersion('b')),
  'fail-version': (catalog) => failVersion(catalog, 'v', 'a', 'why'),
  'move-serving': (catalog) => {
    addVersion(catalog, newVersion('b'))
    moveServing(catalog, { v: 'b' }, 20)
  },
  'version-states': (catalog) => setVersionStates(catalog, [{ view: 'v', version: 'a' }], 'warm'),
  'add-deploy': (catalog) => void addDeploy(catalog, { who: 'w', request: {}, plan: {}, state: 'planned' }),
  'update-deploy': (catalog) => updateDeploy(catalog, 1, { state: 'building', outcome: { events: 1 } }),
  'retire-version': (catalog) => retireVersion(catalog, 'v', 'a', 20),
  'drop-slices': (catalog) => void dropSlices(catalog, 'v', 'a'),
  'publish-slices': (catalog) => seal(catalog, 10, 20),
  'publish-lake': (catalog) => {
    publishLake(catalog, { files: [lakeFile(10, 20)], through: 20, deadLetters: [letter(11)] })
  },
  'record-skipped': (catalog) => {
    const at = { commit: 3, index: 1, stream: 's', partition: 0, offset: 4 }
    recordSkipped(catalog, [{ view: 'v', version: 'a', ...at, message: 'm' }])
  },
  'record-cut': (catalog) => recordCut(catalog, 20),
  'record-audit': (catalog) => recordAudit(catalog, 'start', { pid: 1 }),
  'record-verify': (catalog) => {
    recordVerify(catalog, { view: 'v', version: 'a', cut: 10, timeMs: 1, found: 2, report: {} }, [])
  },
  'record-checks': (catalog) => {
    const said = { verdict: 'red', cut: 10, timeMs: 1, text: 't', rows: [] } as const
    recordChecks(catalog, [{ name: 'c', ...said, versions: { v: 'a' }, live: true }])
  },
}

function prepare(catalog: Catalog): void {
  recordStreams(catalog, [stream], 0)
  addVersion(catalog, newVersion('a'))
  moveServing(catalog, { v: 'a' }, 0)
  addDeploy(catalog, { who: 'w', request: {}, plan: {}, state: 'planned' })
  seal(catalog, 0, 10)
  publishLake(catalog, { files: [lakeFile(0, 10)], through: 10, deadLetters: [] })
}

/** The catalog as a kill at this moment would leave it. */
function copied(name: string): Catalog {
  const copy = join(folder, name)
  for (const file of ['catalog.sqlite', 'catalog.sqlite-wal']) {
    if (existsSync(join(folder, file))) cpSync(join(folder, file), join(copy, file))
  }
  return openCatalog(catalogPath(copy))
}

for (const [kind, change] of Object.entries(changes)) {
  test(`a crash in ${kind} leaves all of it or nothing`, () => {
    const seen = new Map<CatalogCrashPoint, unknown>()
    let armed = false
    const catalog = openCatalog(catalogPath(folder), {
      crash(point) {
        if (!armed || !point.startsWith(`${kind}:`)) return
        const copy = copied(`copy-${seen.size}`)
        seen.set(point, contents(copy))
        copy.close()
      },
    })
    prepare(catalog)
    if (kind === 'move-serving') addVersion(catalog, newVersion('b'))
    const before = contents(catalog)
    armed = true
    change(catalog)
    const after = contents(catalog)
    catalog.close()
    assert.notDeepEqual(after, before)
    assert.deepEqual([...seen.keys()], [`${kind}:begun`, `${kind}:written`, `${kind}:committed`])
    assert.deepEqual(seen.get(`${kind}:begun` as CatalogCrashPoint), before)
    assert.deepEqual(seen.get(`${kind}:written` as CatalogCrashPoint), before)
    assert.deepEqual(seen.get(`${kind}:committed` as CatalogCrashPoint), after)
  })
}

test('a crash in migrate leaves a catalog that opens', () => {
  const points: string[] = []
  const catalog = openCatalog(catalogPath(folder), {
    crash(point) {
      points.push(point)
      const copy = copied(`copy-${points.length}`)
      assert.deepEqual(serving(copy), {})
      copy.close()
    },
  })
  catalog.close()
  assert.deepEqual(points, ['migrate:begun', 'migrate:written', 'migrate:committed'])
})

test('a process killed before the commit leaves nothing, one killed after it everything', () => {
  const script = join(folder, 'child.mjs')
  const module = (name: string) => JSON.stringify(new URL(`./${name}.ts`, import.meta.url).href)
  writeFileSync(
    script,
    `import { openCatalog } from ${module('open-catalog')}
     import { setMeta } from ${module('meta')}
     const [path, point] = process.argv.slice(2)
     const catalog = openCatalog(path, { crash: (at) => at === point && process.kill(process.pid, 'SIGKILL') })
     setMeta(catalog, 'dedupe-seed', 'f00')`,
  )
  for (const [point, expected] of [
    ['set-meta:written', undefined],
    ['set-meta:committed', 'f00'],
  ] as const) {
    const path = catalogPath(folder)
    const child = spawnSync(process.execPath, [script, path, point], { encoding: 'utf8' })
    assert.equal(child.signal, 'SIGKILL', child.stderr)
    const catalog = openCatalog(path)
    assert.equal(readMeta(catalog, 'dedupe-seed'), expected)
    catalog.close()
  }
})

test('a transaction whose body throws leaves nothing, and the catalog goes on', () => {
  const catalog = openCatalog(catalogPath(folder))
  prepare(catalog)
  const before = contents(catalog)
  assert.throws(() => moveServing(catalog, { v: 'nowhere' }, 20), { code: 'VERSION_UNKNOWN' })
  assert.deepEqual(contents(catalog), before)
  setMeta(catalog, 'dedupe-seed', 'x')
  assert.equal(readMeta(catalog, 'dedupe-seed'), 'x')
  catalog.close()
})

test('slices with a gap, an overlap or a missing part cannot be published', () => {
  const catalog = openCatalog(catalogPath(folder))
  prepare(catalog)
  const publish = (
    added: readonly ReturnType<typeof slice>[],
    sealed: number,
    replaced: readonly string[] = [],
  ) => publishSlices(catalog, { view: 'v', version: 'a', replaced, added, sealed, what: 'seal' })
  assert.throws(() => publish([slice(11, 20), slice(11, 20, 'd0')], 20), /gap/)
  assert.throws(() => publish([slice(9, 20), slice(9, 20, 'd0')], 20), /gap/)
  assert.throws(() => publish([slice(10, 20)], 20), /reach cut 20/)
  assert.throws(() => publish([slice(10, 20), slice(10, 20, 'd0')], 21), /reach cut 21/)
  assert.throws(() => publish([], 10, [slice(0, 10).path, slice(0, 10, 'd0').path]), /has slices/)
  assert.throws(() => publish([slice(10, 20)], 20, ['nowhere']), /is published/)
  publish([slice(10, 20), slice(10, 20, 'd0')], 20)
  const old = slicesOf(catalog, 'v', 'a').map((row) => row.path)
  const merged = [slice(0, 20), slice(0, 20, 'd0')]
  publish(merged, 20, old)
  assert.deepEqual(
    slicesOf(catalog, 'v', 'a').map(({ from, to, part }) => [part, from, to]),
    [
      ['d0', 0, 20],
      ['main', 0, 20],
    ],
  )
  catalog.close()
})

test('the lake only grows, and only by the range that is published', () => {
  const catalog = openCatalog(catalogPath(folder))
  prepare(catalog)
  assert.throws(() => publishLake(catalog, { files: [], through: 10, deadLetters: [] }), /grows/)
  assert.throws(
    () => publishLake(catalog, { files: [lakeFile(9, 20)], through: 20, deadLetters: [] }),
    /lies in/,
  )
  assert.throws(() => publishLake(catalog, { files: [], through: 20, deadLetters: [letter(10)] }), /lies in/)
  publishLake(catalog, { files: [], through: 20, deadLetters: [letter(20)] })
  assert.equal(lakeManifest(catalog).through, 20)
  catalog.close()
})

test('a cutover retires the version before it; a retired version that is asked for again begins anew', () => {
  const catalog = openCatalog(catalogPath(folder))
  prepare(catalog)
  addVersion(catalog, newVersion('b'))
  assert.equal(readVersion(catalog, 'v', 'b')?.state, 'building')
  assert.deepEqual(serving(catalog), { v: 'a' })
  moveServing(catalog, { v: 'b' }, 12)
  assert.equal(readVersion(catalog, 'v', 'a')?.state, 'retired')
  assert.deepEqual(serving(catalog), { v: 'b' })
  assert.deepEqual(cuts(catalog, 1)[0]?.versions, { v: 'b' })
  assert.equal(addVersion(catalog, newVersion('a')).state, 'building')
  catalog.close()
})

test('a schema is kept with the cut from which it holds', () => {
  const catalog = openCatalog(catalogPath(folder))
  recordStreams(catalog, [stream], 0)
  recordStreams(catalog, [stream], 5)
  const wider = { ...stream, latenessMs: 5 }
  recordStreams(catalog, [wider], 7)
  assert.deepEqual(
    schemaHistory(catalog).map(({ since }) => since),
    [0, 7],
  )
  assert.deepEqual(latestStreams(catalog), [wider])
  catalog.close()
})

test('the data folder can be moved: paths are stored relative to it', () => {
  const catalog = openCatalog(catalogPath(folder))
  prepare(catalog)
  catalog.close()
  const moved = copied('elsewhere')
  assert.equal(slicesOf(moved, 'v', 'a')[0]?.path, join(folder, 'elsewhere/slices/a-d0-0-10.parquet'))
  assert.equal(lakeManifest(moved).files[0]?.path, join(folder, 'elsewhere/lake/s/0-10.parquet'))
  moved.close()
})

test('a catalog of a newer format, or a damaged one, is refused by name', () => {
  const path = catalogPath(folder)
  openCatalog(path).close()
  const database = new DatabaseSync(path)
  database.exec('PRAGMA user_version=999')
  database.close()
  assert.throws(() => openCatalog(path), { code: 'CATALOG_NEWER' })
  rmSync(`${path}-wal`, { force: true })
  writeFileSync(path, 'this is no database, but it is long enough to be taken for one'.repeat(100))
  assert.throws(
    () => openCatalog(path),
    (error) => error instanceof RefoldError && error.code === 'CATALOG_CORRUPT',
  )
})

test('loading SQLite writes no warning', () => {
  const file = fileURLToPath(new URL('./open-catalog.ts', import.meta.url))
  const child = spawnSync(process.execPath, [file], { encoding: 'utf8' })
  assert.equal(child.stderr, '')
})

test('a catalog of the first format keeps its rows and their references', () => {
  const database = new DatabaseSync(catalogPath(folder))
  database.exec(`${migrations[0]}; PRAGMA user_version=1;
    INSERT INTO versions (view, version, sql, plan, on_error, state, sealed_cut, created_ms, changed_ms)
      VALUES ('v', 'a1', 'SELECT 1', '{}', 'stall', 'live', 7, 1, 2);
    INSERT INTO pointers (view, version, cut, moved_ms) VALUES ('v', 'a1', 7, 2);
    INSERT INTO slices (path, view, version, stage, part, from_cut, to_cut, rows, bytes, checksum, published_ms)
      VALUES ('slices/v/0-7.parquet', 'v', 'a1', 'group', 'main', 0, 7, 1, 1, 1, 2);`)
  database.close()

  const catalog = openCatalog(catalogPath(folder))
  const row = readVersion(catalog, 'v', 'a1')
  assert.deepEqual([row?.state, row?.start, row?.sealed, row?.warmUntilMs], ['live', 0, 7, null])
  assert.deepEqual(serving(catalog), { v: 'a1' })
  assert.equal(slicesOf(catalog, 'v', 'a1').length, 1)
  const orphan = () => catalog.transaction('set-meta', () => catalog.run('DELETE FROM versions'))
  assert.throws(orphan, /FOREIGN KEY/)
  catalog.close()
})
