/** Which publications of batches the catalog takes, and which it refuses with nothing changed. */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { isRefoldError } from '../../test/support/is-refold-error.ts'
import type { ErrorCode } from '../model/errors.ts'
import type { ViewPlan } from '../plan/plan.ts'
import {
  type BatchPublication,
  batchCut,
  beginBatch,
  failBatch,
  failRunningBatches,
  newestBatch,
  publishBatch,
  publishedBatches,
  readBatch,
  skipBatch,
} from './batches.ts'
import { type Catalog, catalogPath, openCatalog } from './open-catalog.ts'
import { dropSlices, pastSlicesOf, publishSlices, type SliceRow, slicesOf } from './slices.ts'
import { addVersion, readVersion, retireVersion } from './versions.ts'

let folder = ''
let catalog: Catalog
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'refold-batches-'))
  catalog = openCatalog(catalogPath(folder))
  const plan = { view: 'v', streams: ['s'], stages: [], columns: [] } as unknown as ViewPlan
  addVersion(catalog, { view: 'v', version: 'one', sql: '', plan, onError: 'stall' })
})
afterEach(() => {
  catalog.close()
  rmSync(folder, { recursive: true, force: true })
})

let files = 0
function slice(from: number, to: number, part = 'main'): SliceRow {
  const path = join(folder, 'slices', `${++files}.parquet`)
  return { view: 'v', version: 'one', stage: 's', part, from, to, path, rows: 1, bytes: 1, checksum: 1 }
}

function seal(from: number, to: number): SliceRow {
  const added = slice(from, to)
  publishSlices(catalog, {
    ...{ view: 'v', version: 'one', replaced: [], added: [added], sealed: to, what: 'seal' },
  })
  return added
}

function publication(change: Partial<BatchPublication>): BatchPublication {
  const { id } = newestBatch(catalog, 'v', ['running']) ?? beginBatch(catalog, 'v', 'one')
  return {
    ...{ id, view: 'v', version: 'one', cut: 10, sealed: 10, kept: [], added: [slice(0, 10)] },
    promise: { offsets: { s: [7, 3] }, watermarksUs: { s: 5 }, timeMs: 9 },
    ...{ repairs: false, events: 10, divergence: null },
    ...change,
  }
}

function refused(code: ErrorCode, change: Partial<BatchPublication>): void {
  const before = [slicesOf(catalog, 'v', 'one'), readVersion(catalog, 'v', 'one')]
  const asked = publication(change)
  assert.throws(() => publishBatch(catalog, asked), isRefoldError(code))
  assert.deepEqual([slicesOf(catalog, 'v', 'one'), readVersion(catalog, 'v', 'one')], before)
  assert.equal(readBatch(catalog, asked.id)?.state, 'running')
}

test('slices, T and promise are there together; what was there before is superseded', () => {
  const old = [seal(0, 4), seal(4, 12)]
  const added = [slice(0, 10), slice(10, 12)]
  const asked = publication({ added, sealed: 12 })
  assert.deepEqual(publishBatch(catalog, asked), [])
  assert.deepEqual(
    slicesOf(catalog, 'v', 'one').map(({ path }) => path),
    added.map(({ path }) => path),
  )
  const superseded = pastSlicesOf(catalog, 'v', 'one').filter(({ supersededMs }) => supersededMs !== null)
  assert.deepEqual(
    superseded.map(({ path }) => path),
    old.map(({ path }) => path),
  )
  assert.equal(batchCut(catalog, 'v', 'one'), 10)
  const row = readBatch(catalog, asked.id)
  assert.deepEqual([row?.state, row?.cut, row?.promise], ['published', 10, asked.promise])
  // With the slices goes T.
  dropSlices(catalog, 'v', 'one')
  assert.equal(batchCut(catalog, 'v', 'one'), 0)
})

test('a batch that repairs leaves nothing of what was there', () => {
  const old = [seal(0, 4), seal(4, 8)]
  const gone = publishBatch(catalog, publication({ repairs: true }))
  assert.deepEqual([...gone].sort(), old.map(({ path }) => path).sort())
  assert.equal(pastSlicesOf(catalog, 'v', 'one').length, 1)
})

test('gaps are refused: before, between, after, in one part, and behind what is sealed', () => {
  refused('BATCH_GAP', { added: [slice(1, 10)] })
  refused('BATCH_GAP', { added: [slice(0, 4), slice(5, 10)] })
  refused('BATCH_GAP', { added: [slice(0, 9)] })
  refused('BATCH_GAP', { added: [] })
  refused('BATCH_GAP', { added: [slice(0, 10), slice(0, 9, 'd0')] })
  seal(0, 12)
  refused('BATCH_GAP', { added: [slice(0, 10)] })
})

test('overlaps are refused: of two slices, past the end, and a slice in whose middle T lies', () => {
  refused('BATCH_OVERLAP', { added: [slice(0, 6), slice(5, 10)] })
  refused('BATCH_OVERLAP', { added: [slice(0, 11)] })
  refused('BATCH_OVERLAP', { added: [slice(0, 10), slice(0, 10)] })
  refused('BATCH_OVERLAP', { added: [slice(0, 12)], sealed: 12 })
})

test('an older T is refused, the same is not', () => {
  publishBatch(catalog, publication({}))
  refused('BATCH_OLDER', { cut: 9, added: [slice(0, 9), slice(9, 10)] })
  publishBatch(catalog, publication({}))
  assert.equal(batchCut(catalog, 'v', 'one'), 10)
})

test('a batch that somebody else has ended, of a version that is over, or that keeps what is gone, is refused', () => {
  refused('BATCH_OVERTAKEN', { kept: [join(folder, 'slices/none.parquet')] })
  const late = publication({})
  assert.throws(() => beginBatch(catalog, 'v', 'one'), isRefoldError('BATCH_RUNNING'))
  assert.equal(failRunningBatches(catalog, 'the server ended'), 1)
  assert.throws(() => publishBatch(catalog, late), isRefoldError('BATCH_OVERTAKEN'))
  assert.equal(readBatch(catalog, late.id)?.reason, 'the server ended')
  failBatch(catalog, late.id, 'again')
  assert.equal(readBatch(catalog, late.id)?.reason, 'the server ended')
  const next = publication({})
  retireVersion(catalog, 'v', 'one', 3)
  assert.throws(() => publishBatch(catalog, next), isRefoldError('BATCH_OVERTAKEN'))
  assert.equal(slicesOf(catalog, 'v', 'one').length, 0)
})

test('published batches are found behind any number of skipped ones', () => {
  const wanted = publication({})
  publishBatch(catalog, wanted)
  for (let dueMs = 0; dueMs < 50; dueMs++)
    skipBatch(catalog, { view: 'v', version: 'one', dueMs, reason: 'late' })
  assert.deepEqual(
    publishedBatches(catalog, 'v', 5).map(({ id }) => id),
    [wanted.id],
  )
})

test('of two definitions the batch part ends at T and all others begin there', () => {
  publishBatch(catalog, publication({ added: [slice(0, 10, 'batch')] }))
  seal(10, 14)
  const refused = (added: readonly SliceRow[], code: ErrorCode) =>
    assert.throws(
      () => publishBatch(catalog, publication({ cut: 12, sealed: 14, added })),
      isRefoldError(code),
    )
  refused([slice(0, 12, 'batch'), slice(10, 14)], 'BATCH_OVERLAP')
  refused([slice(0, 12, 'batch'), slice(13, 14)], 'BATCH_GAP')
  refused([slice(0, 11, 'batch'), slice(12, 14)], 'BATCH_GAP')
  refused([slice(2, 12, 'batch'), slice(12, 14)], 'BATCH_GAP')
  publishBatch(catalog, publication({ cut: 12, sealed: 14, added: [slice(0, 12, 'batch'), slice(12, 14)] }))
  assert.deepEqual(
    slicesOf(catalog, 'v', 'one').map(({ part, from, to }) => [part, from, to]),
    [
      ['batch', 0, 12],
      ['main', 12, 14],
    ],
  )
})
