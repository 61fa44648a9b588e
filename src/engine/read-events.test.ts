/** From hot log to lake and back: the text of every event, and the filters and pages of a reader. */

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { eventArbitrary, streamArbitrary } from '../../test/support/random-schema.ts'
import { type FixtureCommit, writeLogFixture } from '../../test/support/written-log.ts'
import type { LakeManifest } from '../lake/types.ts'
import type { LogEvent, LogManifest } from '../log/types.ts'
import type { StreamDef } from '../model/schema.ts'
import { type DuckDB, openDuckDB } from './duckdb.ts'
import { readLakeEvents } from './read-events.ts'
import { runInWorker } from './run-in-worker.ts'

let folder = ''
let database: DuckDB
let cases = 0

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'refold-events-'))
  database = await openDuckDB({ memoryBytes: 1e9, threads: 2, tempDir: join(folder, 'spill') })
})

after(async () => {
  database.close()
  await rm(folder, { recursive: true, force: true })
})

async function seal(
  stream: StreamDef,
  commits: readonly FixtureCommit[],
  cuts: readonly number[],
): Promise<{ log: LogManifest; lake: LakeManifest }> {
  const caseDir = join(folder, String(++cases))
  await mkdir(caseDir)
  const log = await writeLogFixture(caseDir, commits, 2)
  const files: LakeManifest['files'][number][] = []
  let from = 0
  for (const to of cuts) {
    const stagingDir = join(caseDir, 'staging')
    const settings = { memoryBytes: 1e9, threads: 2, tempDir: join(caseDir, 'job') }
    const range = { from, to }
    const job = { kind: 'lake', streams: [stream], segments: log, range, stagingDir } as const
    const result = await runInWorker(job, settings, () => {})
    assert.equal(result.kind, 'lake')
    if (result.kind === 'lake') files.push(...result.manifest.files)
    from = to
  }
  return { log, lake: { through: from, files } }
}

/** What the log holds, from the commits as they were given. */
function expectedEvents(commits: readonly FixtureCommit[]): LogEvent[] {
  const next = new Map<number, number>()
  return commits.flatMap(({ events, timeMs }, at) =>
    events.map(({ stream, partition, json }, index) => {
      const offset = next.get(partition) ?? 0
      next.set(partition, offset + 1)
      return { commit: at + 1, index, stream, partition, offset, timeMs, json }
    }),
  )
}

const history = streamArbitrary.chain((stream) =>
  fc.record({
    stream: fc.constant(stream),
    commits: fc.array(
      fc.record({
        timeMs: fc.integer({ min: 1_600_000_000_000, max: 1_900_000_000_000 }),
        events: fc.array(
          fc.record({
            stream: fc.constant('events'),
            partition: fc.nat(3),
            json: eventArbitrary(stream.schema.fields),
          }),
          { minLength: 1, maxLength: 6 },
        ),
      }),
      { minLength: 2, maxLength: 6 },
    ),
    cut: fc.integer({ min: 1, max: 5 }),
  }),
)

test('events come back from the lake byte for byte as the log held them', async () => {
  await fc.assert(
    fc.asyncProperty(history, async ({ stream, commits, cut }) => {
      const cuts = [...new Set([Math.min(cut, commits.length), commits.length])]
      const { lake } = await seal(stream, commits, cuts)
      const connection = await database.connect()
      const read = await readLakeEvents(connection, stream, lake.files, {}, 1000)
      connection.closeSync()
      assert.deepEqual(read, expectedEvents(commits))
    }),
    { numRuns: Number(process.env['REFOLD_RUNS'] ?? 60) },
  )
})

const simple: StreamDef = {
  ...{ name: 'events', partitions: 4, dedupe: { timeMs: 0, count: 0 }, latenessMs: 0 },
  schema: {
    kind: 'object',
    fields: [{ name: 'n', type: { kind: 'integer', bits: 32 }, optional: false, nullable: false }],
  },
}

test('filters by range, partition, offset and time, and pages after a position', async () => {
  const commits = Array.from({ length: 6 }, (_, at) => ({
    timeMs: 1_000_000 + at * 1000,
    events: Array.from({ length: 5 }, (_, index) => ({
      ...{ stream: 'events', partition: index % 4, json: `{"n":${at * 5 + index}}` },
    })),
  }))
  const { lake } = await seal(simple, commits, [2, 3, 6])
  const all = expectedEvents(commits)
  const connection = await database.connect()
  const read = (filter: Parameters<typeof readLakeEvents>[3], limit = 1000) =>
    readLakeEvents(connection, simple, lake.files, filter, limit)
  assert.deepEqual(
    await read({ range: { from: 1, to: 4 } }),
    all.filter(({ commit }) => commit > 1 && commit <= 4),
  )
  assert.deepEqual(
    await read({ partition: 0, offsets: { from: 3, to: 7 } }),
    all.filter(({ partition, offset }) => partition === 0 && offset >= 3 && offset < 7),
  )
  assert.deepEqual(
    await read({ timeMs: { from: 1_001_000, to: 1_003_000 } }),
    all.filter(({ timeMs }) => timeMs >= 1_001_000 && timeMs < 1_003_000),
  )
  const paged: LogEvent[] = []
  for (;;) {
    const last = paged.at(-1)
    const page = await read(last === undefined ? {} : { after: last }, 7)
    if (page.length === 0) break
    paged.push(...page)
  }
  assert.deepEqual(paged, all)
  connection.closeSync()
})
