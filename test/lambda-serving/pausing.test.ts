/**
 * A view that kills the engine is paused and the others go on, against the real server. The killer stands in for a
 * system that is out of memory: it ends the engine's process whenever one view's fold takes long, which the fold of one
 * event of this test does. What the other view must be is counted by plain DuckDB over what was sent.
 */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PreparedEvent } from '../../src/log/types.ts'
import { RefoldError } from '../../src/model/errors.ts'
import { isRefoldError } from '../support/is-refold-error.ts'
import { Oracle, sorted } from '../support/oracle.ts'
import { eventually, money, ShopServer, shopView } from '../support/shop-server.ts'

const goodSql = 'SELECT "user", count(*) AS n, sum(amount) AS total FROM sales GROUP BY "user"'
/** A long computation for sales of the user `slow`, about a second, and for nobody else. */
const weight = `max(len(regexp_replace(repeat('ab', CASE WHEN "user" = 'slow' THEN 3000000 ELSE 1 END), 'a(b?)', '\\1x', 'g'))) AS weight`
const badSql = `SELECT count(*) AS n, sum(amount) AS total, ${weight} FROM sales`
const slowCount = `count(*) AS n, ${weight}`

let shop: ShopServer
let killing: { stop: boolean; kills: number; done: Promise<void> } | undefined

beforeEach(() => {
  shop = new ShopServer()
})
afterEach(async () => {
  if (killing !== undefined) killing.stop = true
  await killing?.done
  killing = undefined
  await shop.dispose()
})

function project() {
  return shop.project({ views: [shopView('good', goodSql), shopView('bad', badSql)] })
}

/** Kills the engine whenever it is seen at one and the same fold of the view for a while. */
function killWhileFolding(view: string): void {
  const state = { stop: false, kills: 0, done: Promise.resolve() }
  const path = join(shop.folder, 'data', 'scratch', 'live.work')
  const work = () => {
    try {
      const text = readFileSync(path, 'utf8').slice(0, 512)
      return text.startsWith('{') && text.includes(`"view":"${view}"`) ? text : undefined
    } catch {
      return undefined
    }
  }
  const watch = async () => {
    while (!state.stop) {
      const before = work()
      await sleep(15)
      const pid = shop.server.enginePid()
      if (before === undefined || work() !== before || pid === undefined) continue
      process.kill(pid, 'SIGKILL')
      state.kills++
      await eventually(() => state.stop || shop.server.enginePid() !== pid)
    }
  }
  state.done = watch()
  killing = state
}

async function sendSlow(): Promise<number> {
  const id = `slow${shop.sent.length}`
  const at = '2024-05-01T10:00:00Z'
  const json = JSON.stringify({ id, user: 'slow', amount: '1.00', at })
  const event: PreparedEvent = {
    ...{ stream: 'sales', partition: 0, json, timeUs: Date.parse(at) * 1000, id, index: 0 },
  }
  const { cut } = await shop.server.core.append({
    stream: 'sales',
    events: [event],
    deadLetters: [],
    bytes: 9,
  })
  shop.sent.push({ id, user: 'slow', cents: 100, cut })
  return cut
}

async function expected(sql: string, upTo: number) {
  const oracle = await Oracle.create('sales', 'id VARCHAR, "user" VARCHAR, amount DECIMAL(18,2)')
  try {
    const sales = shop.sent.filter(({ cut }) => cut <= upTo)
    await oracle.insert(sales.map(({ id, user, cents }) => ({ id, '"user"': user, amount: money(cents) })))
    return sorted(await oracle.rows(sql))
  } finally {
    oracle.close()
  }
}

async function checkGood(after: number): Promise<void> {
  const { core } = shop.server
  const answer = await core.readView({ view: 'good', where: {}, order: [], limit: 1000 }, { after })
  const rows = JSON.parse(answer.json) as Record<string, unknown>[]
  const cells = sorted(rows.map(({ user, n, total }) => [String(user), String(n), String(total)]))
  assert.deepEqual(cells, await expected(goodSql, answer.cut))
}

const isPaused = isRefoldError('VIEW_PAUSED')

test('a view that kills the engine is paused, the others go on, and it comes back when it is told to', async () => {
  await shop.open(project())
  await checkGood(await shop.send(40))
  assert.equal((await shop.rows('bad'))[0]?.n, 40)
  killWhileFolding('bad')
  const slow = await sendSlow()
  await checkGood(slow)
  for (let round = 0; round < 5; round++) await checkGood(await shop.send(7))
  const paused = () => shop.server.core.pauses.list()
  await eventually(() => paused().length > 0)
  assert.deepEqual(
    paused().map(({ view, answers }) => [view, answers]),
    [['bad', 'refuse']],
  )
  assert.match(
    paused()[0]?.reason ?? '',
    /^the engine died 3 times while it folded this view up to cut \d+; at last by signal SIGKILL$/,
  )
  assert.equal(killing?.kills, 3)
  const restarts = async () =>
    Number(((await shop.status())['engine'] as unknown as { restarts: number }).restarts)
  const before = await restarts()
  for (let round = 0; round < 5; round++) await checkGood(await shop.send(7))
  assert.equal(await restarts(), before)
  await refused()
  // It stays paused in a server that is started again, and events go on past it.
  killing.stop = true
  await killing.done
  await shop.close()
  await shop.open(project())
  await checkGood(await shop.send(3))
  await refused()
  const [resumed] = await shop.server.core.pauses.resume('bad', { who: 'tester' })
  assert.equal(resumed?.view, 'bad')
  const cut = await shop.send(1)
  const [row] = await shop.rows('bad', { after: cut })
  assert.deepEqual([String(row?.n), row?.total], (await expected(badSql, cut))[0]?.slice(0, 2))
  assert.deepEqual(paused(), [])
  const audit = await shop.sql(
    `SELECT what, details FROM refold.audit WHERE what LIKE 'view %' ORDER BY time`,
  )
  assert.deepEqual(
    audit.map(({ what }) => what),
    ['view paused', 'view resumed'],
  )
})

/** The paused view says why, in every way in which it can be asked for. */
async function refused(): Promise<void> {
  const { core } = shop.server
  await assert.rejects(shop.rows('bad'), isPaused)
  await assert.rejects(shop.sql('SELECT * FROM bad'), isPaused)
  await assert.rejects(shop.sql('SELECT good.n FROM good, bad'), isPaused)
  await assert.rejects(async () => {
    for await (const _ of core.changes('bad', { follow: false })) assert.fail('a paused view has no changes')
  }, isPaused)
  assert.equal((await shop.sql('SELECT count(*) AS n FROM good')).length, 1)
  const views = (await shop.status())['views'] as unknown as readonly { name: string; state: string }[]
  assert.deepEqual(views.map(({ name, state }) => [name, state]).sort(), [
    ['bad', 'paused'],
    ['good', 'live'],
  ])
  const metric = (await core.metrics()).find(({ name }) => name === 'refold_view_paused')
  assert.deepEqual(metric?.samples.map(({ labels, value }) => [labels.view, value]).sort(), [
    ['bad', 1],
    ['good', 0],
  ])
  const listed = await shop.sql('SELECT view, reason FROM refold.paused')
  assert.deepEqual(
    listed.map(({ view }) => view),
    ['bad'],
  )
}

test('a deploy whose new version kills the engine fails with the reason, and what answers goes on', async () => {
  await shop.open(project())
  await checkGood(await shop.send(20))
  await sendSlow()
  await shop.rows('bad')
  const worse = shopView('good', `${goodSql.replace('count(*) AS n', slowCount)}`)
  killWhileFolding('good')
  const deploy = await shop.deploy(shop.project({ views: [worse, shopView('bad', badSql)] }))
  assert.deepEqual(
    [deploy.state, /cannot go on: it is paused: the engine died/.test(deploy.reason ?? '')],
    ['failed', true],
    deploy.reason,
  )
  await checkGood(await shop.send(5))
  assert.equal((await shop.status())['engine'] === null, false)
  const [paused] = shop.server.core.pauses.list()
  assert.equal(paused?.view, 'good')
  // The version that answers is another one.
  assert.notEqual(paused?.version, await shop.version('good'))
  await shop.server.core.pauses.resume('good', { who: 'tester' })
  assert.deepEqual(shop.server.core.pauses.list(), [])
  await checkGood(await shop.send(5))
})

test('a view is paused and resumed by hand, at once and with a reason', async () => {
  await shop.open(project())
  await shop.send(10)
  await shop.server.core.pauses.pause('good', 'its numbers are looked into', { who: 'ada' })
  const error = await shop.rows('good').catch((thrown: unknown) => thrown)
  assert.ok(error instanceof RefoldError)
  assert.deepEqual(
    [error.code, error.message],
    ['VIEW_PAUSED', 'view "good" is paused: its numbers are looked into'],
  )
  assert.match(error.hint, /refold resume/)
  const cut = await shop.send(10)
  assert.equal((await shop.rows('bad', { after: cut }))[0]?.n, 20)
  await shop.server.core.pauses.resume('good', { who: 'ada' })
  await checkGood(cut)
  await assert.rejects(
    shop.server.core.pauses.pause('goud', 'x', { who: 'ada' }),
    isRefoldError('VIEW_UNKNOWN'),
  )
})
