/**
 * Laws 3, 4 and 6 for deploys against the real processes: the server is killed with SIGKILL at random moments of deploys
 * and rollbacks while events come in. Afterwards no deploy is left open, both views are of one deploy, and they count
 * every acknowledged event once. A worker that a budget made stand still does not outlive its server. REFOLD_SEED and
 * REFOLD_KILLS repeat a run.
 */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { DeployInfo } from '../../src/deploy/types.ts'
import { beginDeploy, postJson } from '../support/deploy-over-http.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { ServerProcess, type ViewAnswer } from '../support/server-process.ts'
import { ShopServer, shopView } from '../support/shop-server.ts'

const SHOP = fileURLToPath(new URL('../support/shop-server.ts', import.meta.url))

const KILLS = Number(process.env.REFOLD_KILLS ?? 8)
const SEED = Number(process.env.REFOLD_SEED ?? randomBytes(4).readUInt32LE())

/** A server whose deploy may fold one event a second; it prints the deploy's number. */
const HELD = `
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { deployOptions, ShopServer, shopView } from ${JSON.stringify(SHOP)}
const shop = new ShopServer()
rmSync(shop.folder, { recursive: true })
const view = (factor) => shopView('totals', 'SELECT count(*) * ' + factor + ' AS n FROM sales')
const project = (factor) => shop.project({ views: [view(factor)], dataDir: join(process.argv.at(-1), 'data') })
await shop.open(project(1))
await shop.send(2_000)
await shop.server.flush()
const options = deployOptions({ budget: { eventsPerSecond: 1 } })
const { id } = await shop.server.deploys.deploy(project(2), options, { who: 'tester' })
console.log(id)
`

function config(factor: number): string {
  return `
import { project, stream, view } from 'refold'
import { z } from 'zod'
const clicks = stream('clicks', {
  schema: z.object({ id: z.string(), user: z.string() }), id: 'id', key: 'user', partitions: 4,
})
export default project({
  streams: [clicks],
  views: [
    view('totals', { sql: 'SELECT count(*) * ${factor} AS n, ${factor} AS v FROM clicks' }),
    view('users', { sql: 'SELECT user, count(*) * ${factor} AS n, ${factor} AS v FROM clicks GROUP BY user' }),
  ],
  server: { port: PORT },
  seal: { rows: 3000, age: '1s' },
})
`
}

describe(`SIGKILL amid deploys (seed ${SEED})`, () => {
  const random = seededRandom(SEED)
  const servers: ServerProcess[] = []
  after(async () => {
    for (const server of servers) await server.dispose()
  })

  test(`${KILLS} times: deploys go on, views stay together and exact`, async () => {
    const server = await ServerProcess.create(config(1))
    servers.push(server)
    let sent = 0
    const send = async () => {
      const lines = Array.from({ length: 200 }, (_, index) =>
        JSON.stringify({ id: `${sent}-${index}`, user: `u${index % 50}` }),
      )
      // Who got no answer sends the same again: it is there once.
      for (;;) {
        try {
          if ((await server.post('clicks', lines)).status === 200) break
        } catch {
          await sleep(20)
        }
      }
      sent++
    }
    let running = true
    await server.start()
    const load = (async () => {
      while (running) await send()
    })()
    for (let kill = 0; kill < KILLS; kill++) {
      await change(server).catch(() => {})
      await sleep(random() * 600)
      await server.kill()
      await server.start()
    }
    running = false
    await load
    await settled(server)
    const { cut } = await server.get<{ cut: number }>('/v1/status')
    const totals = await server.get<ViewAnswer>(`/v1/views/totals?after=${cut}&timeout=60000`)
    const users = await server.get<ViewAnswer>(`/v1/views/users?after=${cut}&timeout=60000`)
    const factor = Number(totals.rows[0]?.['v'])
    assert.ok(factor >= 1)
    assert.equal(totals.rows[0]?.['n'], sent * 200 * factor)
    assert.equal(users.rows.length, 50)
    for (const row of users.rows) assert.deepEqual([row['n'], row['v']], [sent * 4 * factor, factor])
  })

  /** A deploy of another factor, or a rollback. */
  async function change(server: ServerProcess): Promise<void> {
    if (random() < 0.3) await postJson(server, '/v1/rollback', { reason: 'a test' })
    else
      await beginDeploy(server, config(2 + Math.floor(random() * 3)), {
        budget: random() < 0.5 ? {} : { cpuShare: 0.3 },
      })
  }

  /** Every deploy goes to its end by itself. */
  async function settled(server: ServerProcess): Promise<void> {
    for (;;) {
      const { deploys } = await server.get<{ deploys: DeployInfo[] }>('/v1/deploys')
      for (const { state, reason } of deploys) assert.notEqual(state, 'failed', reason)
      if (deploys.every(({ state }) => /^(live|rolled_back|cancelled)$/.test(state))) return
      await sleep(50)
    }
  }

  const skip = process.platform === 'linux' ? false : 'only on Linux: processes are read from /proc'
  test('a worker that stands still is gone with its server, and the deploy goes on', { skip }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'refold-held-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    const server = spawn(process.execPath, ['--input-type=module-typescript', '-e', HELD, folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const id = await new Promise<number>((resolve) => {
      server.stdout.once('data', (data: Buffer) => resolve(Number(data.toString())))
    })
    let workers: readonly number[] = []
    while (workers.length === 0) {
      await sleep(10)
      workers = children(server.pid ?? 0).filter((child) => stateOf(child) === 'T')
    }
    server.kill('SIGKILL')
    while (workers.some((worker) => !['gone', 'Z'].includes(stateOf(worker)))) await sleep(10)

    const shop = new ShopServer()
    t.after(() => shop.dispose())
    const view = shopView('totals', 'SELECT count(*) AS n FROM sales')
    await shop.open(shop.project({ views: [view], dataDir: join(folder, 'data') }))
    const { deploys } = shop.server
    assert.equal(deploys.show(id).state, 'building')
    await deploys.cancel(id, 'seen', { who: 'tester' })
    assert.deepEqual(await shop.rows('totals'), [{ n: 2_000 }])
  })
})

function children(pid: number): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((child) => {
      try {
        return new RegExp(`^PPid:\\s+${pid}$`, 'm').test(readFileSync(`/proc/${child}/status`, 'utf8'))
      } catch {
        return false
      }
    })
}

function stateOf(pid: number): string {
  try {
    return /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 'gone'
  } catch {
    return 'gone'
  }
}
