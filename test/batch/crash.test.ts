/**
 * Law 3 for batches: at every named point of a batch and its publication the data folder is kept as a kill -9 would
 * leave it, and a server is started on it. The batch is run again by itself, T moves on, and every answer before and
 * after equals the SQL over the events.
 */

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { batchCrashPoints, type ServerCrashPoint } from '../../src/server/crash-point.ts'
import { byHand, LambdaShop, lambdaViews } from '../support/lambda-shop.ts'

let shop: LambdaShop
beforeEach(() => {
  shop = new LambdaShop()
})
afterEach(() => shop.dispose())

test('a server that is killed at any point of a batch starts again, and the batch with it', async () => {
  const points: readonly ServerCrashPoint[] = batchCrashPoints
  const copies = new Map<ServerCrashPoint, string>()
  let armed = false
  const crash = (point: ServerCrashPoint) => {
    if (armed && points.includes(point) && !copies.has(point))
      copies.set(point, shop.copyOfData(`crash-${point}`))
  }
  await shop.open(shop.project({ views: lambdaViews(byHand) }), { crash })
  await shop.send(100)
  await shop.published('per_user')
  await shop.send(100)
  await shop.server.flush()
  await shop.send(50)
  await shop.check()
  armed = true
  const { cut } = await shop.published('per_user')
  assert.equal(cut, shop.cut)
  await shop.close()
  assert.deepEqual([...copies.keys()].sort(), [...points].sort())
  const sent = shop.sent.length

  for (const [point, dataDir] of copies) {
    await shop.open(shop.project({ dataDir, views: lambdaViews(byHand) }))
    await shop.check()
    const [last] = shop.server.core.batches.list('per_user', 1)
    const isPublished = point === 'batch.published' || point === 'batch.swapped'
    if (isPublished) assert.deepEqual([last?.state, last?.cut], ['published', cut], point)
    else assert.ok(last?.state === 'failed' || last?.state === 'running', `${point}: ${last?.state}`)
    await shop.send(13)
    await shop.batchAfter('per_user', cut ?? 0)
    await shop.check()
    await shop.published('per_user')
    await shop.check()
    assert.deepEqual(readdirSync(join(dataDir, 'staging')), [], point)
    shop.sent.splice(sent)
    await shop.close()
  }
})
