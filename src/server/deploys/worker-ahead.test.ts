/** When a worker is started ahead of a build, and that none is left waiting: over a real catalog, with noted workers. */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { type Catalog, catalogPath, openCatalog } from '../../catalog/open-catalog.ts'
import type { StartedWorker } from '../../engine/started-worker.ts'
import { ManualClock } from '../../std/manual-clock.ts'
import type { ServerContext } from '../context.ts'
import { createWorkerAhead } from './worker-ahead.ts'

let folder: string
let catalog: Catalog
let clock: ManualClock
let bytes: number
let closing: boolean
/** The state of each worker that was started. */
let workers: { ready: boolean }[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'refold-ahead-'))
  catalog = openCatalog(catalogPath(folder))
  clock = new ManualClock(0)
  bytes = 1 << 30
  closing = false
  workers = []
})
afterEach(() => {
  catalog.close()
  rmSync(folder, { recursive: true, force: true })
})

function ahead() {
  const startFoldWorker = (): StartedWorker => {
    const worker = { ready: true }
    workers.push(worker)
    const end = async () => {
      worker.ready = false
    }
    return { isReady: () => worker.ready, end } as unknown as StartedWorker
  }
  const history = { bytesAfter: () => bytes }
  const context = { catalog, clock, history, closing: () => closing, startFoldWorker }
  return createWorkerAhead(context as unknown as ServerContext)
}

const waiting = () => workers.filter(({ ready }) => ready).length

test('one worker waits, and ends when no build comes', () => {
  const one = ahead()
  one.start()
  clock.advance(15_000)
  one.start()
  clock.advance(15_000)
  assert.deepEqual([workers.length, waiting()], [1, 1])
  clock.advance(10_000)
  assert.equal(waiting(), 0)
  assert.equal(one.take(), undefined)
})

test('one that is taken belongs to who took it', async () => {
  const one = ahead()
  one.start()
  assert.ok(one.take()?.isReady())
  clock.advance(60_000)
  await one.end()
  assert.equal(waiting(), 1)
  assert.equal(one.take(), undefined)
})

test('one that is gone is replaced, and the end of the server ends it', async () => {
  const one = ahead()
  one.start()
  workers[0]!.ready = false
  one.start()
  assert.deepEqual([workers.length, waiting()], [2, 1])
  await one.end()
  assert.equal(waiting(), 0)
})

test('none is started for little history, or while the server ends', () => {
  const one = ahead()
  bytes = 1 << 20
  one.start()
  bytes = 1 << 30
  closing = true
  one.start()
  assert.equal(workers.length, 0)
})
