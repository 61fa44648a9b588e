/**
 * Publication of staged slices over a real catalog and real files, with an engine that only notes what it is told:
 * what belongs to an engine that is gone, or to a version that ended, is dropped and leaves no file.
 */

import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { type Catalog, catalogPath, openCatalog } from '../catalog/open-catalog.ts'
import { pastSlicesOf, slicesOf } from '../catalog/slices.ts'
import { addVersion, moveServing, retireVersion } from '../catalog/versions.ts'
import type { SliceInfo } from '../engine/engine.ts'
import { RefoldError } from '../model/errors.ts'
import type { ViewPlan } from '../plan/plan.ts'
import { Serial } from '../std/serial.ts'
import type { ServerContext } from './context.ts'
import { publishStagedSlices } from './publish-slices.ts'

let root: string
let catalog: Catalog
let told: { sealed: number; slices: number }[]
let running: { epoch: number; dead: boolean } | undefined

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'refold-publish-'))
  for (const name of ['staging', 'slices']) mkdirSync(join(root, name))
  catalog = openCatalog(catalogPath(root))
  const plan = { format: 1, stages: [], streams: [] } as unknown as ViewPlan
  addVersion(catalog, { view: 'v', version: 'a'.repeat(64), sql: '', plan, onError: 'stall' })
  moveServing(catalog, { v: version }, 0)
  told = []
  running = { epoch: 1, dead: false }
})
afterEach(() => {
  catalog.close()
  rmSync(root, { recursive: true, force: true })
})

const version = 'a'.repeat(64)

function context(): ServerContext {
  const engine = {
    async published(_view: string, _version: string, sealed: number, slices: readonly SliceInfo[]) {
      told.push({ sealed, slices: slices.length })
      if (running?.dead) throw new RefoldError('ENGINE_UNAVAILABLE', 'gone')
    },
  }
  return {
    catalog,
    folder: { slices: join(root, 'slices') },
    publications: new Serial(),
    skips: { write() {} },
    crash() {},
    supervisor: {
      get running() {
        return running === undefined ? undefined : { engine, epoch: running.epoch }
      },
      viewProgress: () => (running === undefined ? undefined : {}),
    },
  } as unknown as ServerContext
}

function staged(from: number, to: number): SliceInfo {
  const path = join(root, 'staging', `${from}-${to}.parquet`)
  writeFileSync(path, `${from}-${to}`)
  return { view: 'v', version, stage: 'g', part: 'main', path, from, to, rows: 1, bytes: 1, checksum: 1 }
}

function seal(from: number, to: number, epoch?: number): Promise<boolean> {
  const slices = { staged: [staged(from, to)], replaced: [], sealed: to }
  return publishStagedSlices(context(), {
    view: 'v',
    version,
    what: 'seal',
    ...slices,
    ...(epoch === undefined ? {} : { epoch }),
  })
}

function files(folder: string): number {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  ).length
}

test('a published slice has its final name, its row, and the engine knows', async () => {
  assert.equal(await seal(0, 5, 1), true)
  const [slice] = slicesOf(catalog, 'v', version)
  assert.ok(existsSync(slice!.path))
  assert.equal(files('staging'), 0)
  assert.deepEqual(told, [{ sealed: 5, slices: 1 }])
})

test('what an engine staged that was replaced meanwhile is dropped', async () => {
  assert.equal(await seal(0, 5, 0), false)
  assert.deepEqual(slicesOf(catalog, 'v', version), [])
  assert.deepEqual([files('staging'), files('slices'), told.length], [0, 0, 0])
})

test('what belongs to a version that ended is dropped', async () => {
  retireVersion(catalog, 'v', version, 0)
  assert.equal(await seal(0, 5), false)
  assert.deepEqual([files('staging'), files('slices')], [0, 0])
})

test('slices that a merge took the place of stay for reads of the past; damaged ones go', async () => {
  for (const [from, to] of [
    [0, 5],
    [5, 9],
  ] as const)
    await seal(from, to)
  running = { epoch: 1, dead: true }
  const replaced = slicesOf(catalog, 'v', version)
  const merged = { view: 'v', version, what: 'compact', staged: [staged(0, 9)], replaced } as const
  assert.equal(await publishStagedSlices(context(), merged), true)
  assert.deepEqual(told.at(-1), { sealed: 9, slices: 1 })
  assert.equal(files('slices'), 3)
  const kept = pastSlicesOf(catalog, 'v', version)
  assert.deepEqual(
    kept.map(({ from, to, supersededMs }) => [from, to, supersededMs === null]),
    [
      [0, 5, false],
      [0, 9, true],
      [5, 9, false],
    ],
  )
  // The same inputs cannot be merged twice.
  assert.equal(await publishStagedSlices(context(), { ...merged, staged: [staged(0, 9)] }), false)
  assert.equal(files('slices'), 3)
  const damaged = slicesOf(catalog, 'v', version)
  const again = { ...merged, what: 'refold', staged: [staged(0, 9)], replaced: damaged } as const
  assert.equal(await publishStagedSlices(context(), again), true)
  assert.ok(damaged.every(({ path }) => !existsSync(path)))
  assert.equal(files('slices'), 3)
})

test('with no engine running the catalog alone is changed; the next engine reads it', async () => {
  running = undefined
  assert.equal(await seal(0, 5), true)
  assert.equal(told.length, 0)
})
