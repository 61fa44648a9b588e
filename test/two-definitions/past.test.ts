/**
 * The past of a view with two definitions: its rows at any cut are the batch layer of the last batch before it, merged
 * with the speed SQL over what came after, from slices and without any.
 */

import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import type { Row } from '../support/shop-server.ts'
import { asTexts, TwoShop } from '../support/two-shop.ts'

let shop: TwoShop
beforeEach(() => {
  shop = new TwoShop()
})
afterEach(() => shop.dispose())

async function rowsAt(cut: number): Promise<readonly Row[]> {
  const read = { view: 'customers', where: {}, order: [], limit: 100_000 }
  const answer = await shop.server.core.readView(read, { moment: { kind: 'cut', cut } })
  return JSON.parse(answer.json) as Row[]
}

test('earlier cuts are read with the batch that stood then, and again without any slice', async () => {
  await shop.open(shop.project())
  const cuts: number[] = []
  const batches: number[] = []
  for (let round = 0; round < 3; round++) {
    await shop.send(12)
    cuts.push(await shop.login('u1', 'u2'))
    await shop.server.flush()
    cuts.push(await shop.send(5))
    await shop.answer()
    batches.push((await shop.published('customers')).cut ?? 0)
    cuts.push(await shop.send(4))
  }
  const check = async () => {
    for (const cut of cuts) {
      const batch = Math.max(0, ...batches.filter((at) => at <= cut))
      const expected = await shop.expectedRows(undefined, batch, cut)
      assert.deepEqual(asTexts(await rowsAt(cut)), asTexts(expected), `cut ${cut}, T ${batch}`)
    }
  }
  await check()
  await shop.close()
  rmSync(join(shop.folder, 'data/slices'), { recursive: true, force: true })
  await shop.open(shop.project())
  await check()
  await shop.checkLayers()
})
