/**
 * Views with two definitions through crashes and chance: a folder as `kill -9` would leave it at each step of a batch
 * and of a build comes back with both layers right, and so they stay under random events, seals, batches, deaths of the
 * engine and restarts.
 */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import type { ServerCrashPoint } from '../../src/server/crash-point.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { BATCH_SQL, TwoShop } from '../support/two-shop.ts'

let shop: TwoShop
beforeEach(() => {
  shop = new TwoShop()
})
afterEach(() => shop.dispose())

test('a crash at any step of a batch costs a repeated batch at most', async () => {
  const points: readonly ServerCrashPoint[] = [
    'batch.captured',
    'batch.lake',
    'batch.folded',
    'batch.staged',
    'batch.published',
    'batch.swapped',
  ]
  let armed = false
  const copies = new Map<string, string>()
  const crash = (point: ServerCrashPoint) => {
    if (armed && points.includes(point) && !copies.has(point))
      copies.set(point, shop.copyOfData(`at-${point}`))
  }
  await shop.open(shop.project(), { crash })
  await shop.send(20)
  await shop.login('u1', 'u2')
  await shop.answer()
  await shop.published('customers')
  await shop.send(9)
  await shop.server.flush()
  await shop.send(6)
  await shop.answer()
  armed = true
  await shop.published('customers')
  await shop.close()
  assert.deepEqual([...copies.keys()], points)
  for (const [point, folder] of copies) {
    await shop.open(shop.project({ dataDir: folder }))
    await shop.checkLayers().catch((error: unknown) => assert.fail(`after ${point}: ${String(error)}`))
    await shop.close()
  }
})

test('a build that is killed goes on, and no reader sees half of it', async () => {
  const changed = BATCH_SQL.replace('0.9)', '0.5)')
  const copies: string[] = []
  const crash = (point: ServerCrashPoint) => {
    if (point === 'build.folded' || point === 'build.published' || point === 'deploy.built')
      copies.push(shop.copyOfData(`at-${copies.length}-${point}`))
  }
  await shop.open(shop.project(), { crash })
  await shop.send(30)
  await shop.login('u1')
  await shop.answer()
  await shop.published('customers')
  await shop.send(4)
  const before = await shop.version('customers')
  const project = shop.project({ views: [shop.twoView({ sql: changed })] })
  await shop.deploy(project, { accept: 'the median' })
  const after = await shop.version('customers')
  await shop.close()
  assert.equal(copies.length, 3)
  for (const folder of copies) {
    await shop.open(shop.project({ dataDir: folder }))
    while ((await shop.version('customers')) === before)
      await new Promise((resolve) => setTimeout(resolve, 20))
    assert.equal(await shop.version('customers'), after, folder)
    const { rows } = await shop.answer('batch')
    assert.ok(rows.length >= 13, folder)
    await shop.close()
  }
})

test('both layers stay right under random events, seals, batches, deaths and restarts', async (t) => {
  const seed = Number(process.env['REFOLD_SEED'] ?? Date.now() % 1_000_000)
  t.diagnostic(`REFOLD_SEED=${seed}`)
  const random = seededRandom(seed)
  const below = (limit: number) => Math.floor(random() * limit)
  await shop.open(shop.project())
  const users = ['u1', 'u2', 'u5', 'u40']
  for (let step = 0; step < 24; step++) {
    const choice = below(9)
    if (choice < 4) await shop.send(1 + below(12))
    else if (choice === 4) await shop.login(users[below(users.length)] ?? 'u1')
    else if (choice === 5) await shop.server.flush()
    else if (choice === 6) await shop.batch('customers')
    else if (choice === 7) {
      const pid = shop.server.enginePid()
      if (pid !== undefined) process.kill(pid, 'SIGKILL')
    } else {
      await shop.close()
      await shop.open(shop.project({ dataDir: join(shop.folder, 'data') }))
    }
    if (shop.cut > 0 && below(2) === 0) await shop.checkLayers()
  }
  await shop.checkLayers()
})
