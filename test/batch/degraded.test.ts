/**
 * A batch that fails: what is served goes on, the batch's age grows, an alarm is raised with the reason, and once the
 * cause is gone the next batch is published and the alarm is over.
 */

import assert from 'node:assert/strict'
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import type { BatchInfo } from '../../src/serve/core-batches.ts'
import { DatabaseSync } from '../../src/std/sqlite.ts'
import { byHand, LambdaShop, lambdaViews } from '../support/lambda-shop.ts'
import { eventually } from '../support/shop-server.ts'

let shop: LambdaShop
beforeEach(() => {
  shop = new LambdaShop()
})
afterEach(() => shop.dispose())

interface Alarm {
  readonly view: string
  readonly kind: string
  readonly since: string
  readonly message: string
}

async function alarms(): Promise<readonly Alarm[]> {
  return (await shop.status())['alarms'] as unknown as readonly Alarm[]
}

async function ageMs(): Promise<number> {
  const views = (await shop.status())['views'] as unknown as {
    name: string
    batch: { ageMs: number; cut: number }
  }[]
  return views.find(({ name }) => name === 'per_user')?.batch.ageMs ?? 0
}

test('a batch whose worker is killed fails; the speed layer goes on, and the next batch is well', async () => {
  await shop.open(shop.project({ views: lambdaViews(byHand) }))
  await shop.send(20)
  const first = await shop.published('per_user')
  await shop.send(20)
  const failed = await killedBatch()
  assert.equal(failed.state, 'failed')
  assert.match(failed.reason ?? '', /SIGKILL/)
  const [alarm] = await alarms()
  assert.deepEqual([alarm?.view, alarm?.kind], ['per_user', 'batch failed'])
  assert.match(alarm?.message ?? '', /SIGKILL/)
  const answer = await shop.server.core.readView({ view: 'per_user', where: {}, order: [], limit: 1 }, {})
  assert.equal(answer.batches?.['per_user']?.cut, first.cut)
  const age = await ageMs()
  await shop.send(20)
  await shop.check()
  assert.ok((await ageMs()) > age)
  // It is tried again by itself, long before the schedule.
  await shop.batchAfter('per_user', failed.cut ?? 0)
  await eventually(async () => (await alarms()).length === 0)
  await shop.check()
})

/** A batch whose worker was killed. */
async function killedBatch(): Promise<BatchInfo> {
  for (;;) {
    const running = shop.batch('per_user')
    const worker = await shop.worker('per_user', running)
    if (worker !== undefined) process.kill(worker, 'SIGKILL')
    const ended = await running
    // Its worker may have been done already.
    if (ended.state === 'failed') return ended
  }
}

for (const how of ['damaged', 'missing'] as const) {
  test(`a ${how} lake file fails the batch, which names it; a mended one ends it`, async () => {
    await shop.open(shop.project({ views: lambdaViews(byHand) }))
    await shop.send(200)
    const first = await shop.published('per_user')
    await shop.send(20)
    const dataDir = join(shop.folder, 'data')
    const catalog = new DatabaseSync(join(dataDir, 'catalog.sqlite'), { readOnly: true })
    const [row] = catalog.prepare('SELECT path FROM lake_files ORDER BY from_cut').all()
    catalog.close()
    const path = join(dataDir, String(row?.path))
    const kept = join(shop.folder, 'kept.parquet')
    copyFileSync(path, kept)
    const bytes = readFileSync(path)
    if (how === 'damaged') bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0x20
    if (how === 'damaged') writeFileSync(path, bytes)
    else rmSync(path)
    const failed = await shop.batch('per_user')
    assert.equal(failed.state, 'failed')
    assert.ok(failed.reason?.includes(path), failed.reason ?? '')
    const [alarm] = await alarms()
    assert.deepEqual([alarm?.kind, alarm?.message.includes(path)], ['batch failed', true])
    await shop.send(20)
    await shop.check()
    const again = await shop.batch('per_user').catch(() => undefined)
    if (again !== undefined) assert.equal(again.state, 'failed')
    const cut = (await shop.server.core.sql({ sql: `SELECT 1`, limit: 1 }, {})).cut
    assert.ok(cut > (first.cut ?? 0))
    copyFileSync(kept, path)
    await shop.batchAfter('per_user', cut)
    assert.deepEqual(await alarms(), [])
    await shop.check()
  })
}

test('a speed layer that spans more than the view allows raises an alarm, until a batch has what it holds', async () => {
  await shop.open(shop.project({ views: lambdaViews(byHand, { maxSpanMs: 300 }) }))
  await shop.send(20)
  for (const view of ['per_user', 'large', 'whole']) await shop.published(view)
  assert.deepEqual(await alarms(), [])
  await shop.send(20)
  const raised = async () => (await alarms()).map(({ view, kind }) => `${view}: ${kind}`)
  const all = ['large: speed span', 'per_user: speed span', 'whole: speed span']
  await eventually(async () => (await raised()).length === 3)
  assert.deepEqual(await raised(), all)
  await shop.published('per_user')
  assert.deepEqual(await raised(), [all[0], all[2]])
  const audit = () => shop.sql(`SELECT details FROM refold.audit WHERE what = 'alarm'`)
  await eventually(async () => (await audit()).length >= 2)
})

test('batches go on while no engine runs', async () => {
  await shop.open(shop.project({ views: lambdaViews(byHand) }))
  await shop.send(20)
  await shop.published('per_user')
  await shop.send(20)
  await shop.check()
  process.kill(shop.server.enginePid() ?? 0, 'SIGKILL')
  const running = shop.batch('per_user')
  await shop.send(20)
  assert.equal((await running).state, 'published')
  await shop.check()
  await shop.published('per_user')
  await shop.send(20)
  await shop.server.flush()
  await shop.check()
})
