/**
 * Laws 1, 3, 5 and 8 under everything that happens to a lake: moves, merges, trims, restarts, a killed engine, slices
 * deleted, a folder put back from a backup, in random order. After each step the views equal plain DuckDB over all
 * events ever sent, the trimmed ones too, the lake checks, and the account of events adds up. REFOLD_SEED sets the order.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { runCommand } from '../../src/cli/cli-fixture.ts'
import { eventually, SalesServer } from '../support/sales-server.ts'
import { seededRandom } from '../support/seeded-random.ts'

const SEED = Number(process.env.REFOLD_SEED ?? randomBytes(4).readUInt32LE())
const STEPS = Number(process.env.REFOLD_STEPS ?? 16)
const options = { retentionCheckMs: 20, lakeMerge: { filesMin: 3 } }

const shop = new SalesServer()
after(() => shop.dispose())

test(`whatever happens to the lake, no number changes (seed ${SEED})`, async () => {
  const random = seededRandom(SEED)
  const project = shop.project({ seal: { rows: 400, bytes: 1e12, ageMs: 1e9 } })
  const backup = join(shop.folder, 'backup')
  let trimmed = 0
  await shop.open(project, options)
  const steps: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['send', () => shop.send(1 + Math.floor(random() * 300))],
    ['flush', async () => shop.server?.flush()],
    ['flush', async () => shop.server?.flush()],
    ['trim', trim],
    ['restart', restart],
    ['kill engine', killEngine],
    ['delete slices', () => restart(deleteSlices)],
    ['back from a backup', () => restart(restoreBackup)],
  ]
  for (let step = 0; step < STEPS; step++) {
    await shop.send(1 + Math.floor(random() * 200))
    const [name, run] = steps[Math.floor(random() * steps.length)]!
    await run()
    await checkAll(`step ${step}: ${name}`)
  }

  async function trim(): Promise<void> {
    await shop.server?.flush()
    const newest = Math.max(...shop.sentAt.keys())
    const cut = Math.floor(random() * (newest + 1))
    const answer = await shop.core.lake.trim({ stream: 'sales', to: { cut }, promote: true })
    trimmed = Math.max(trimmed, answer.cut)
  }

  async function killEngine(): Promise<void> {
    const pid = shop.server?.enginePid()
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
  }

  async function restart(between: () => void | Promise<void> = () => {}): Promise<void> {
    await shop.close()
    await between()
    await shop.open(project, options)
  }

  /** All that can be folded again; bases cannot. */
  function deleteSlices(): void {
    const catalog = new DatabaseSync(join(shop.dataDir, 'catalog.sqlite'), { readOnly: true })
    const rows = catalog.prepare('SELECT path FROM slices WHERE base = 0').all()
    catalog.close()
    for (const { path } of rows) rmSync(join(shop.dataDir, String(path)), { force: true })
  }

  async function restoreBackup(): Promise<void> {
    const slices = random() < 0.5 ? ['--no-slices'] : []
    const made = await runCommand(['backup', backup, '--data', shop.dataDir, ...slices])
    assert.equal(made.code, 0, made.err)
    rmSync(shop.dataDir, { recursive: true })
    const restored = await runCommand(['restore', backup, '--data', shop.dataDir, '--check'])
    assert.equal(restored.code, 0, restored.err)
  }

  async function checkAll(what: string): Promise<void> {
    const newest = Math.max(...shop.sentAt.keys())
    await eventually(async () => {
      try {
        await shop.check(newest)
        return true
      } catch (error) {
        const { code } = error as { code?: string }
        if (code !== 'VIEW_BUILDING' && code !== 'ENGINE_UNAVAILABLE') throw named(error, what)
        return false
      }
    })
    assert.deepEqual((await shop.core.lake.check()).faults, [], what)
    const left = await shop.logged({ from: { kind: 'cut', commit: trimmed } })
    assert.deepEqual(
      left.map(({ json }) => JSON.parse(json).id),
      shop.sent.slice(shop.sentAt.get(trimmed)).map(({ id }) => id),
      what,
    )
    const { conservation } = await shop.status<{ conservation: Record<string, number>[] }>()
    for (const row of conservation) {
      assert.deepEqual([row['accepted'], row['folded']], [shop.sent.length, shop.sent.length], what)
    }
  }

  function named(error: unknown, what: string): unknown {
    if (error instanceof Error) error.message = `${what}: ${error.message}`
    return error
  }
})
