/**
 * A disk that fills up while a deploy is built, a real one: the data folder is a small file system. The old version goes
 * on answering, the deploy neither fails nor puts anything in place, and when there is space again it goes on by itself,
 * also on a server that was started on the full disk. Mounting needs root; without it the test says that it is skipped.
 */

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { deployOptions, eventually, ShopServer, shopView } from '../support/shop-server.ts'

const small = shopView('sold', 'SELECT count(*) AS n FROM sales')
/** Its slices need the space that those of the first do not. */
const large = shopView('sold', 'SELECT md5(id) AS digest, count(*) AS n FROM sales GROUP BY 1')
const SALES = 40_000
const LEFT_BYTES = 256 << 10

let shop: ShopServer
let mounted: string | undefined
beforeEach(() => {
  shop = new ShopServer()
})
afterEach(async () => {
  await shop.close()
  if (mounted !== undefined) execFileSync('umount', ['--lazy', mounted])
  mounted = undefined
  await shop.dispose()
})

for (const restarts of [false, true]) {
  const what = restarts ? 'a server that was started meanwhile' : 'the same server'
  test(`the old version answers on a full disk, and the deploy goes on with ${what}`, async (context) => {
    const data = join(shop.folder, 'data')
    mkdirSync(data)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'refold-test', data], { stdio: 'pipe' })
    } catch {
      context.skip('mounting a small file system needs root')
      return
    }
    mounted = data
    await shop.open(shop.project({ views: [small] }))
    for (let sent = 0; sent < SALES; sent += 5_000) await shop.send(5_000)
    await shop.server.flush()
    const filler = join(data, 'filler')
    const { bavail, bsize } = statfsSync(data)
    writeFileSync(filler, Buffer.alloc(bavail * bsize - LEFT_BYTES))

    const { deploys } = shop.server
    const project = shop.project({ views: [large] })
    const { id } = await deploys.deploy(project, deployOptions(), { who: 'tester' })
    await eventually(() => deploys.show(id).state !== 'planned')
    for (let look = 0; look < 20; look++) {
      const { state, reason } = deploys.show(id)
      assert.equal(state, 'building', reason)
      assert.deepEqual(await shop.rows('sold'), [{ n: SALES }])
      await sleep(100)
    }
    if (restarts) {
      await shop.close()
      await shop.open(project)
      assert.deepEqual(await shop.rows('sold'), [{ n: SALES }])
      assert.equal(shop.server.deploys.show(id).state, 'building')
    }
    rmSync(filler)
    const ended = await shop.server.deploys.settled(id)
    assert.equal(ended.state, 'live', ended.reason)
    assert.deepEqual(await shop.sql('SELECT count(digest) AS ids, sum(n)::BIGINT AS n FROM sold'), [
      { ids: SALES, n: SALES },
    ])
  })
}
