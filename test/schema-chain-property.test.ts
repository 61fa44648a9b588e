/**
 * Random chains of allowed changes of a schema. Events come in under the schema of their time, sometimes under former
 * names; some are moved to the lake on the way, each time under the schema of that moment. Read under the newest
 * schema, and under each older one up to its end as a version of that time reads them, every event must show what
 * was sent. What that is, is worked out by the generator, which shares nothing with the reader.
 */

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { refusedChanges } from '../src/define/stream-change.ts'
import { type DuckDB, openDuckDB, queryRows } from '../src/engine/duckdb.ts'
import { runInWorker } from '../src/engine/run-in-worker.ts'
import { compileDecoder } from '../src/ingest/decoder.ts'
import { logRelation } from '../src/lake/relation.ts'
import type { LakeFile } from '../src/lake/types.ts'
import type { StreamDef } from '../src/model/schema.ts'
import { plannedStream } from '../src/plan/planned-stream.ts'
import { Evolution, type SentEvent } from './support/random-evolution.ts'
import { seededRandom } from './support/seeded-random.ts'
import { type FixtureCommit, writeLogFixture } from './support/written-log.ts'

const seed = Number(process.env['REFOLD_SEED'] ?? Math.floor(Math.random() * 1e9))
const runs = Number(process.env['REFOLD_RUNS'] ?? 25)

let folder = ''
let database: DuckDB

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'refold-chain-'))
  database = await openDuckDB({ memoryBytes: 1e9, threads: 2, tempDir: join(folder, 'spill') })
})
after(async () => {
  database.close()
  await rm(folder, { recursive: true, force: true })
})

interface Epoch {
  readonly schema: Evolution
  readonly stream: StreamDef
  /** Commits up to this one came under the schema or an earlier one. */
  readonly through: number
}

for (let round = 0; round < runs; round++) {
  test(`a chain of changes, seed ${seed} round ${round}`, async () => {
    const random = seededRandom(seed + 7919 * round)
    const evolution = new Evolution(random)
    const epochs: Epoch[] = []
    const sent: SentEvent[] = []
    const commits: FixtureCommit[] = []
    for (let epoch = 0; epoch < 5; epoch++) {
      if (epoch > 0) for (let changes = 0; changes < 3; changes++) evolution.change()
      const { stream } = evolution
      const held = epochs.map((one) => ({ since: 0, def: one.stream }))
      assert.deepEqual(refusedChanges(held, stream), [])
      const decoder = compileDecoder(stream)
      for (let commit = 0; commit < 2; commit++) {
        const events = Array.from({ length: 1 + Math.floor(random() * 3) }, () => evolution.event())
        sent.push(...events)
        const stored = events.map(({ json }) => {
          const decoded = decoder.decode(json)
          assert.ok(decoded.ok, `${JSON.stringify(decoded)} of ${json}`)
          return { stream: 'events', partition: 0, json: decoded.json }
        })
        commits.push({ timeMs: 1000 * commits.length, events: stored })
      }
      epochs.push({ schema: evolution.snapshot(), stream, through: commits.length })
    }
    await check(epochs, sent, commits, random)
  })
}

async function check(
  epochs: readonly Epoch[],
  sent: readonly SentEvent[],
  commits: readonly FixtureCommit[],
  random: () => number,
): Promise<void> {
  const dir = await mkdtemp(join(folder, 'case-'))
  const log = await writeLogFixture(dir, commits, 1)
  const files: LakeFile[] = []
  let through = 0
  for (const { stream, through: to } of epochs) {
    if (random() < 0.5 || to === commits.length) continue
    const stagingDir = join(dir, 'staging')
    await mkdir(stagingDir, { recursive: true })
    const range = { from: through, to }
    const job = { kind: 'lake', streams: [stream], segments: log, range, stagingDir } as const
    const settings = { memoryBytes: 1e9, threads: 2, tempDir: join(dir, `job-${to}`) }
    const result = await runInWorker(job, settings, () => {})
    if (result.kind === 'lake') files.push(...result.manifest.files)
    through = to
  }
  const hotFiles = log.segments.filter(({ last }) => last > through).map(({ path }) => path)
  const newest = epochs.at(-1)!
  for (const { schema, stream, through: to } of epochs) {
    // The newest is read as it is; an older one as a plan from its time reads the newest.
    const read = plannedStream({ reads: [{ stream: 'events', fields: stream.schema.fields }] }, newest.stream)
    const names = stream.schema.fields.map(({ name }) => name)
    const sources = { lake: { through, files }, hotFiles }
    const range = { from: 0, to }
    const relation = logRelation(read, names, range, sources, { system: true })
    const sql = `SELECT ${schema.columns().join(', ')} FROM (${relation}) ORDER BY _commit, _index`
    const connection = await database.connect()
    const rows = await queryRows(connection, sql)
    connection.closeSync()
    const count = commits.slice(0, to).reduce((sum, commit) => sum + commit.events.length, 0)
    const expected = sent.slice(0, count).map(({ values }) => schema.expected(values))
    assert.deepEqual(
      rows.map((row) => ({ ...row })),
      expected,
    )
  }
}
