/** The relations of `lake/relation.ts`, run by DuckDB; the texts alone would prove nothing. */

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { eventArbitrary, streamArbitrary } from '../../test/support/random-schema.ts'
import { type FixtureCommit, writeLogFixture } from '../../test/support/written-log.ts'
import { hotRelation, lakeRelation, logRelation } from '../lake/relation.ts'
import type { LakeFile } from '../lake/types.ts'
import type { Field, StreamDef } from '../model/schema.ts'
import { type DuckDB, openDuckDB, queryRows } from './duckdb.ts'
import type { SqlRow } from './duckdb-values.ts'
import { hotFilesOf } from './hot-files.ts'
import { runInWorker } from './run-in-worker.ts'

let folder = ''
let database: DuckDB
let cases = 0

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'refold-relation-'))
  database = await openDuckDB({ memoryBytes: 1e9, threads: 2, tempDir: join(folder, 'spill') })
})

after(async () => {
  database.close()
  await rm(folder, { recursive: true, force: true })
})

function streamOf(fields: readonly Field[], name = 'events'): StreamDef {
  const dedupe = { timeMs: 0, count: 0 }
  return { name, schema: { kind: 'object', fields }, partitions: 4, dedupe, latenessMs: 0 }
}

function field(name: string, type: Field['type'], more: Partial<Field> = {}): Field {
  return { name, type, optional: false, nullable: false, ...more }
}

async function newFolder(): Promise<string> {
  const path = join(folder, String(++cases))
  await mkdir(path)
  return path
}

async function rowsOf(sql: string): Promise<SqlRow[]> {
  const connection = await database.connect()
  try {
    return await queryRows(connection, sql)
  } finally {
    connection.closeSync()
  }
}

function commitOf(...jsons: string[]): FixtureCommit {
  return {
    timeMs: 1_700_000_000_123,
    events: jsons.map((json) => ({ stream: 'events', partition: 1, json })),
  }
}

async function sealed(
  stream: StreamDef,
  log: Awaited<ReturnType<typeof writeLogFixture>>,
  from: number,
  to: number,
  dir: string,
) {
  const settings = { memoryBytes: 1e9, threads: 2, tempDir: join(dir, 'job') }
  const job = {
    kind: 'lake',
    streams: [stream],
    segments: log,
    range: { from, to },
    stagingDir: dir,
  } as const
  const result = await runInWorker(job, settings, () => {})
  assert.ok(result.kind === 'lake')
  return result.manifest.files
}

const money = field('money', { kind: 'decimal', precision: 38, scale: 10 })

test('values are typed exactly; headers, dead letters and other streams are passed over', async () => {
  const dir = await newFolder()
  const stream = streamOf([
    money,
    field('big', { kind: 'integer', bits: 64 }),
    field('at', { kind: 'timestamp' }),
    field('tags', { kind: 'array', element: { kind: 'string' }, elementNullable: true }),
    field('per', { kind: 'map', value: { kind: 'decimal', precision: 4, scale: 2 }, valueNullable: false }),
  ])
  const dead = {
    stream: 'events',
    index: 0,
    code: 'X',
    reason: 'r',
    place: '/a',
    raw: '{"events":{"money":"1"}}',
  }
  const commits: FixtureCommit[] = [
    {
      ...commitOf(
        '{"money":"1234567890123456789012345678.0123456789","big":9223372036854775807,"at":"2024-02-29T23:59:59.123456Z","tags":["a",null],"per":{"k":"1.5"},"unknown":{"deep":[1]}}',
      ),
      dead: [dead],
    },
    { timeMs: 5, events: [{ stream: 'other', partition: 0, json: '{"money":true}' }] },
  ]
  const log = await writeLogFixture(dir, commits, 9)
  const files = log.segments.map(({ path }) => path)
  assert.deepEqual(await rowsOf(hotRelation(stream, 'all', files, undefined, { system: true })), [
    {
      ...{ money: '1234567890123456789012345678.0123456789', big: 9223372036854775807n },
      ...{ at: '2024-02-29 23:59:59.123456', tags: ['a', null], per: [{ key: 'k', value: '1.50' }] },
      ...{ _partition: 1, _offset: 0n, _commit: 1n, _index: 0, _ingested_at: '2023-11-14 22:13:20.123' },
    },
  ])
  assert.deepEqual(await rowsOf(hotRelation(stream, ['big'], files)), [{ big: 9223372036854775807n }])
  assert.equal((await rowsOf(hotRelation(stream, [], files))).length, 1)
})

test('no dead letter makes the events beside it unreadable', async () => {
  const dir = await newFolder()
  const odd = '\ud800 \u0000 \u001f \u2028 "\\ \udfff'
  const dead = { stream: 'events', index: 0, code: 'X', reason: odd, place: `/${odd}`, raw: odd }
  const log = await writeLogFixture(dir, [{ ...commitOf('{"money":"1"}'), dead: [dead] }], 1)
  const paths = log.segments.map(({ path }) => path)
  assert.deepEqual(await rowsOf(hotRelation(streamOf([money]), 'all', paths)), [{ money: '1.0000000000' }])
})

test('defaults are applied when read, at every depth, also to events from before the field existed', async () => {
  const dir = await newFolder()
  const inner = field('q', { kind: 'integer', bits: 32 }, { optional: true, defaultValue: 7 })
  const object = { kind: 'object', fields: [field('p', { kind: 'string' }), inner] } as const
  const old = streamOf([field('id', { kind: 'string' })])
  const stream = streamOf([
    ...old.schema.fields,
    field('rate', { kind: 'decimal', precision: 18, scale: 2 }, { optional: true, defaultValue: '0.5' }),
    field('one', object, { optional: true, defaultValue: { p: "it's" } }),
    field(
      'many',
      { kind: 'array', element: object, elementNullable: true },
      { optional: true, defaultValue: [] },
    ),
    field('by', { kind: 'map', value: object, valueNullable: false }, { optional: true }),
  ])
  const commits = [
    commitOf('{"id":"a"}'),
    commitOf(
      '{"id":"b","rate":"2.25","one":{"p":"x"},"many":[{"p":"y"},null,{"p":"z","q":1}],"by":{"k":{"p":"w"}}}',
    ),
  ]
  const log = await writeLogFixture(dir, commits, 1)
  const files = [...(await sealed(old, log, 0, 1, dir)), ...(await sealed(stream, log, 1, 2, dir))]
  const expected = [
    { id: 'a', rate: '0.50', one: { p: "it's", q: 7 }, many: [], by: null },
    {
      ...{ id: 'b', rate: '2.25', one: { p: 'x', q: 7 } },
      ...{ many: [{ p: 'y', q: 7 }, null, { p: 'z', q: 1 }], by: [{ key: 'k', value: { p: 'w', q: 7 } }] },
    },
  ]
  const paths = log.segments.map(({ path }) => path)
  assert.deepEqual(await rowsOf(`SELECT * FROM (${hotRelation(stream, 'all', paths)}) ORDER BY id`), expected)
  assert.deepEqual(
    await rowsOf(`SELECT * FROM (${lakeRelation(stream, 'all', files)}) ORDER BY id`),
    expected,
  )
})

test('a type that was widened, and a field added within an object, fit files from before', async () => {
  const dir = await newFolder()
  const inner = field('a', { kind: 'string' })
  const narrow = streamOf([
    field('n', { kind: 'integer', bits: 32 }),
    field('o', { kind: 'object', fields: [inner] }),
  ])
  const added = field('b', { kind: 'string' }, { optional: true })
  const wide = streamOf([
    field('n', { kind: 'integer', bits: 64 }),
    field('o', { kind: 'object', fields: [inner, added] }),
  ])
  const commits = [
    commitOf('{"n":1,"o":{"a":"x"}}'),
    commitOf('{"n":9223372036854775807,"o":{"a":"y","b":"z"}}'),
  ]
  const log = await writeLogFixture(dir, commits, 1)
  const files = [...(await sealed(narrow, log, 0, 1, dir)), ...(await sealed(wide, log, 1, 2, dir))]
  assert.deepEqual(await rowsOf(`SELECT * FROM (${lakeRelation(wide, 'all', files)}) ORDER BY n`), [
    { n: 1n, o: { a: 'x', b: null } },
    { n: 9223372036854775807n, o: { a: 'y', b: 'z' } },
  ])
})

const history = streamArbitrary.chain((stream) =>
  fc.record({
    stream: fc.constant(stream),
    commits: fc.array(
      fc
        .array(eventArbitrary(stream.schema.fields), { minLength: 1, maxLength: 4 })
        .map((jsons) => commitOf(...jsons)),
      { minLength: 1, maxLength: 6 },
    ),
    borders: fc.array(fc.nat(6), { maxLength: 3 }),
    range: fc.tuple(fc.nat(6), fc.nat(6)),
    skip: fc.record({ commit: fc.integer({ min: 1, max: 6 }), index: fc.nat(3) }),
  }),
)

test('wherever the lake hands over to the hot log, a range has the same events', async () => {
  await fc.assert(
    fc.asyncProperty(history, async ({ stream, commits, borders, range: [a, b], skip }) => {
      const dir = await newFolder()
      const log = await writeLogFixture(dir, commits, 2)
      const files: LakeFile[] = []
      let through = 0
      for (const to of [...new Set(borders)].sort()) {
        if (to <= through || to > commits.length) continue
        files.push(...(await sealed(stream, log, through, to, dir)))
        through = to
      }
      const range = { from: Math.min(a, b, commits.length), to: Math.min(Math.max(a, b), commits.length) }
      const hotRange = { from: Math.max(range.from, Math.min(through, range.to)), to: range.to }
      const hotFiles = (await hotFilesOf(log, hotRange, dir)).map(({ path }) => path)
      // Segments that the lake has already, whole: the relation must not read their events a second time.
      const late = log.segments.filter(({ closed }) => closed).map(({ path }) => path)
      const sources = { lake: { through, files }, hotFiles: [...new Set([...hotFiles, ...late])] }
      const options = { system: true, skipped: [skip] }
      const ordered = (sql: string) => rowsOf(`SELECT * FROM (${sql}) ORDER BY _commit, _index`)
      const paths = log.segments.map(({ path }) => path)
      const all = await ordered(hotRelation(stream, 'all', paths, undefined, { system: true }))
      const expected = all.filter(({ _commit: commit, _index: index }) => {
        const skipped = Number(commit) === skip.commit && index === skip.index
        return Number(commit) > range.from && Number(commit) <= range.to && !skipped
      })
      const copied = { ...sources, hotFiles }
      assert.deepEqual(await ordered(logRelation(stream, 'all', range, copied, options)), expected)
      const wholly = hotRange.to > hotRange.from && hotFiles.every((path) => late.includes(path))
      if (wholly)
        assert.deepEqual(await ordered(logRelation(stream, 'all', range, sources, options)), expected)
    }),
    { numRuns: Number(process.env['REFOLD_RUNS'] ?? 40) },
  )
})

test('a field may be asked for under a former name, and under two of its names at once', async () => {
  const stream = streamOf([field('now', { kind: 'integer', bits: 64 }, { aliases: ['before', 'once'] })])
  const dir = await newFolder()
  const log = await writeLogFixture(dir, [commitOf('{"now":1}', '{"before":2}', '{"once":3}')], 2)
  const paths = log.segments.map(({ path }) => path)
  const files = await sealed(stream, log, 0, 1, dir)
  for (const relation of [
    (fields: readonly string[]) => hotRelation(stream, fields, paths),
    (fields: readonly string[]) => lakeRelation(stream, fields, files),
  ]) {
    assert.deepEqual(await rowsOf(`SELECT * FROM (${relation(['before'])}) ORDER BY ALL`), [
      { before: 1n },
      { before: 2n },
      { before: 3n },
    ])
    assert.deepEqual(
      await rowsOf(`SELECT sum("once") AS a, sum("now") AS b FROM (${relation(['once', 'now'])})`),
      [{ a: 6n, b: 6n }],
    )
  }
})
