/** The three kinds of jobs, run in this process; `run-job.test.ts` runs them in one of their own. */

import assert from 'node:assert/strict'
import { appendFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { isRefoldError } from '../../test/support/is-refold-error.ts'
import {
  commitsOf,
  foldByHand,
  goodOrder,
  type Order,
  ordersStream,
  ordersView,
} from '../../test/support/orders-view.ts'
import { writeLogFixture } from '../../test/support/written-log.ts'
import type { LakeFile } from '../lake/types.ts'
import { type DuckDB, openDuckDB, queryRows } from './duckdb.ts'
import type { Job, JobResult, SliceInfo } from './engine.ts'
import { FoldStalled } from './job-fold.ts'
import { runInWorker } from './run-in-worker.ts'

let folder = ''
let database: DuckDB
let cases = 0

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'refold-jobs-'))
  database = await openDuckDB({ memoryBytes: 1e9, threads: 2, tempDir: join(folder, 'spill') })
})

after(async () => {
  database.close()
  await rm(folder, { recursive: true, force: true })
})

async function newFolder(): Promise<string> {
  const path = join(folder, String(++cases))
  await mkdir(path)
  return path
}

async function perform<K extends Job['kind']>(
  job: Extract<Job, { kind: K }>,
): Promise<Extract<JobResult, { kind: K }>> {
  const settings = { memoryBytes: 1e9, threads: 2, tempDir: join(job.stagingDir, 'job') }
  return (await runInWorker(job, settings, () => {})) as Extract<JobResult, { kind: K }>
}

/** The rows of slices as texts, each part in the order of the file. */
async function partialRows(slices: readonly SliceInfo[]): Promise<Record<string, string[]>> {
  const connection = await database.connect()
  const rows: Record<string, string[]> = {}
  for (const { part, path, rows: count } of slices) {
    const found = await queryRows(
      connection,
      `SELECT coalesce(k0, '-') AS k0, * EXCLUDE (k0) FROM read_parquet('${path}')`,
    )
    assert.equal(found.length, count)
    rows[part] = [...(rows[part] ?? []), ...found.map((row) => Object.values(row).join('|'))]
  }
  connection.closeSync()
  return rows
}

function sorted(rows: Record<string, string[]>): Record<string, string[]> {
  return Object.fromEntries(Object.entries(rows).map(([part, list]) => [part, [...list].sort()]))
}

const history = fc.array(fc.array(goodOrder, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 10 })

test('however a range is divided, over lake and hot log, folded and merged, the partial rows are the same', async () => {
  const cuts = fc.array(fc.nat(10), { maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(history, cuts, fc.nat(10), async (orders, division, moved) => {
      const stagingDir = await newFolder()
      const log = await writeLogFixture(stagingDir, commitsOf(orders), 3)
      const through = Math.min(moved, orders.length)
      const streams = [ordersStream]
      let files: readonly LakeFile[] = []
      if (through > 0) {
        const range = { from: 0, to: through }
        files = (await perform<'lake'>({ kind: 'lake', streams, segments: log, range, stagingDir })).manifest
          .files
      }
      const view = ordersView('stall')
      const sources = { log, lake: { through, files } }
      const inner = division.filter((cut) => cut > 0 && cut < orders.length)
      const borders = [...new Set([0, ...inner, orders.length])].sort((a, b) => a - b)
      const inputs: SliceInfo[] = []
      let events = 0
      for (let at = 1; at < borders.length; at++) {
        const range = { from: borders[at - 1] ?? 0, to: borders[at] ?? 0 }
        const folded = await perform<'fold'>({ kind: 'fold', view, streams, sources, range, stagingDir })
        inputs.push(...folded.slices)
        events += folded.events
      }
      assert.equal(events, orders.flat().length)
      const { slices } = await perform<'compact'>({ kind: 'compact', view, inputs, stagingDir })
      assert.deepEqual(
        slices.map(({ part, from, to }) => [part, from, to]),
        [
          ['main', 0, orders.length],
          ['d0', 0, orders.length],
        ],
      )
      const expected = foldByHand(orders.flat())
      assert.deepEqual(sorted(await partialRows(slices)), { main: expected.main, d0: expected.d0 })
    }),
    { numRuns: Number(process.env['REFOLD_RUNS'] ?? 25) },
  )
})

test('slices are sorted by key, and keep their types', async () => {
  const stagingDir = await newFolder()
  const orders = [
    [{ who: 'b', amount: '2' }, { who: 'a', amount: '1' }, { amount: '1' }, { who: 'a', amount: '0' }],
  ]
  const log = await writeLogFixture(stagingDir, commitsOf(orders), 3)
  const sources = { log, lake: { through: 0, files: [] } }
  const view = ordersView('stall')
  const range = { from: 0, to: 1 }
  const folded = await perform<'fold'>({
    kind: 'fold',
    view,
    streams: [ordersStream],
    sources,
    range,
    stagingDir,
  })
  const { slices } = await perform<'compact'>({ kind: 'compact', view, inputs: folded.slices, stagingDir })
  for (const staged of [folded.slices, slices]) {
    assert.deepEqual(await partialRows(staged), {
      main: ['a|2|1', 'b|1|2', '-|1|1'],
      d0: ['a|0|1', 'a|1|1', 'b|2|1', '-|1|1'],
    })
    const connection = await database.connect()
    const types = await queryRows(connection, `DESCRIBE FROM read_parquet('${staged[0]?.path}')`)
    connection.closeSync()
    assert.deepEqual(
      types.map((row) => row['column_type']),
      ['VARCHAR', 'BIGINT', 'DECIMAL(38,0)'],
    )
  }
})

test('with onError skip exactly the events that fail are left out, and they are named', async () => {
  const order = fc.oneof(
    { weight: 8, arbitrary: goodOrder.map((good): Order => good) },
    { weight: 1, arbitrary: fc.constant<Order>({ who: 'ann', amount: 'not a number' }) },
  )
  const orders = fc.array(fc.array(order, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(orders, fc.nat(8), async (batches, moved) => {
      const stagingDir = await newFolder()
      const log = await writeLogFixture(stagingDir, commitsOf(batches), 3)
      const through = Math.min(moved, batches.length)
      const streams = [ordersStream]
      const lakeRange = { from: 0, to: through }
      const lake =
        through === 0
          ? { through, files: [] }
          : (await perform<'lake'>({ kind: 'lake', streams, segments: log, range: lakeRange, stagingDir }))
              .manifest
      const range = { from: 0, to: batches.length }
      const job = {
        kind: 'fold',
        view: ordersView('skip'),
        streams,
        sources: { log, lake },
        range,
        stagingDir,
      } as const
      const folded = await perform<'fold'>(job)
      const isBad = ({ amount }: Order) => amount === 'not a number'
      const bad = batches.flatMap((batch, at) =>
        batch.flatMap((item, index) => (isBad(item) ? [{ commit: at + 1, index }] : [])),
      )
      assert.deepEqual(
        folded.skipped.map(({ commit, index }) => ({ commit, index })),
        bad,
      )
      for (const { stream, partition, commit, index, message } of folded.skipped) {
        assert.deepEqual([stream, partition], ['orders', (commit - 1 + index) % 4])
        assert.match(message, /Conversion Error.*'not a number'/)
      }
      const good = batches.flat().filter((item) => !isBad(item))
      assert.equal(folded.events, good.length)
      const expected = foldByHand(good)
      assert.deepEqual(
        // A range whose events are all left out has slices without rows.
        sorted({ main: [], d0: [], ...(await partialRows(folded.slices)) }),
        { main: expected.main ?? [], d0: expected.d0 ?? [] },
      )
      const again = await perform<'fold'>({ ...job, view: { ...job.view, skipped: bad, onError: 'stall' } })
      assert.deepEqual({ skipped: again.skipped, events: again.events }, { skipped: [], events: good.length })
    }),
    { numRuns: Number(process.env['REFOLD_RUNS'] ?? 15) },
  )
})

test('with onError stall the job fails and names the first event that it fails on', async () => {
  const stagingDir = await newFolder()
  const good = { who: 'ann', amount: '1' }
  const orders = [[good, good], [good, good, { who: 'bob', amount: 'x' }], [{ who: 'eve', amount: 'y' }]]
  const log = await writeLogFixture(stagingDir, commitsOf(orders), 2)
  const sources = { log, lake: { through: 0, files: [] } }
  const range = { from: 0, to: 3 }
  const view = ordersView('stall')
  await assert.rejects(
    perform<'fold'>({ kind: 'fold', view, streams: [ordersStream], sources, range, stagingDir }),
    (error) => {
      assert.ok(error instanceof FoldStalled)
      assert.deepEqual(error.stall.position, {
        stream: 'orders',
        commit: 2,
        index: 2,
        partition: 3,
        offset: 0,
      })
      assert.match(error.stall.message, /Conversion Error.*'x'/)
      return true
    },
  )
})

test('what stands after the durable end of a segment is not read', async () => {
  const stagingDir = await newFolder()
  const orders = [[{ amount: '1' }], [{ amount: '2' }], [{ amount: '3' }]]
  const log = await writeLogFixture(stagingDir, commitsOf(orders), 2)
  for (const { path } of log.segments)
    await appendFile(path, '{"c":3,"i":0,"p":0,"o":0,"orders":{"id":"x","amou')
  const streams = [ordersStream]
  const sources = { log, lake: { through: 0, files: [] } }
  const range = { from: 0, to: 3 }
  const folded = await perform<'fold'>({
    kind: 'fold',
    view: ordersView('stall'),
    streams,
    sources,
    range,
    stagingDir,
  })
  assert.equal(folded.events, 3)
  const { manifest } = await perform<'lake'>({ kind: 'lake', streams, segments: log, range, stagingDir })
  assert.deepEqual(
    manifest.files.map(({ rows, offsets }) => ({ rows, offsets })),
    [
      {
        rows: 3,
        offsets: [
          { from: 0, to: 1 },
          { from: 0, to: 1 },
          { from: 0, to: 1 },
          { from: 0, to: 0 },
        ],
      },
    ],
  )
})

test('nothing is moved into the lake that does not add up', async () => {
  const stagingDir = await newFolder()
  const commits = commitsOf([[{ amount: '1' }], [{ amount: '2' }]])
  const log = await writeLogFixture(stagingDir, commits, 5)
  const range = { from: 0, to: 2 }
  const job = { kind: 'lake', streams: [], segments: log, range, stagingDir } as const
  await assert.rejects(
    perform<'lake'>(job),
    isRefoldError('JOB_FAILED', /stream "orders", which is not known/),
  )
})

test('a slice that does not match its checksum is never merged', async () => {
  const stagingDir = await newFolder()
  const log = await writeLogFixture(stagingDir, commitsOf([[{ amount: '1' }]]), 5)
  const sources = { log, lake: { through: 0, files: [] } }
  const view = ordersView('stall')
  const range = { from: 0, to: 1 }
  const { slices } = await perform<'fold'>({
    kind: 'fold',
    view,
    streams: [ordersStream],
    sources,
    range,
    stagingDir,
  })
  const path = slices[0]?.path ?? ''
  await writeFile(path, 'x', { flag: 'r+' })
  await assert.rejects(perform<'compact'>({ kind: 'compact', view, inputs: slices, stagingDir }), (error) => {
    assert.ok(isRefoldError('SLICE_CORRUPT')(error))
    assert.deepEqual((error as { details?: unknown }).details, { path })
    return true
  })
})
