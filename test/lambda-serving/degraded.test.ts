/**
 * What readers get while a part of a lambda view fails, each part killed for real: batches that fail leave the view
 * right and its batch older; engines that die one after the other leave `stale` views with their last batch and
 * `refuse` views with the reason; a paused view is as its deploy said, and batches of it go on.
 */

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BatchMeta } from '../../src/serve/core.ts'
import { isRefoldError } from '../support/is-refold-error.ts'
import { byHand, LambdaShop, lambdaRun, lambdaSql, lambdaViews, sorted } from '../support/lambda-shop.ts'
import { eventually, type Row, shopView } from '../support/shop-server.ts'

let shop: LambdaShop
let killing = false
let killer: Promise<void> = Promise.resolve()

beforeEach(() => {
  shop = new LambdaShop()
})
afterEach(async () => {
  killing = false
  await killer
  await shop.dispose()
})

async function ask(view: string, after?: number) {
  const { core } = shop.server
  const read = { view, where: {}, order: [], limit: 100_000 }
  const answer = await core.readView(read, { ...(after === undefined ? {} : { after }), timeoutMs: 20_000 })
  return { rows: sorted(JSON.parse(answer.json) as Row[]), meta: answer.batches?.[view], answer }
}

async function isExact(view: string, after: number): Promise<BatchMeta> {
  const { rows, meta, answer } = await ask(view, after)
  assert.deepEqual(rows, sorted(await shop.expected(view, answer.cut)))
  assert.ok(meta !== undefined)
  return meta
}

async function isStale(view: string, cut: number): Promise<string> {
  const { rows, meta } = await ask(view)
  assert.deepEqual(rows, sorted(await shop.expected(view, cut)))
  assert.equal(meta?.cut, cut)
  assert.ok(meta?.stale !== undefined)
  return meta.stale
}

/** From now on no engine lives for longer than a moment. */
function killEveryEngine(): void {
  killing = true
  const loop = async () => {
    while (killing) {
      const pid = shop.server.enginePid()
      if (pid !== undefined) {
        try {
          process.kill(pid, 'SIGKILL')
        } catch {
          // It is gone already.
        }
      }
      await sleep(2)
    }
  }
  killer = loop()
}

test('batches that fail leave the view right; its batch grows older, and an alarm is raised until one is published', async () => {
  const views = lambdaViews(byHand, { maxSpanMs: 300 }).filter(({ name }) => name === 'whole')
  await shop.open(shop.project({ views }))
  await shop.send(20)
  await isExactSoon('whole')
  const first = await shop.published('whole')
  await shop.send(5)
  await shop.server.flush()
  const [file] = (await shop.sql(
    `SELECT path FROM refold.lake_files WHERE stream = 'sales'`,
  )) as unknown as readonly { path: string }[]
  const path = file?.path ?? ''
  const bytes = readFileSync(path)
  const damaged = Buffer.from(bytes)
  damaged[damaged.length >> 1] = (damaged[damaged.length >> 1] ?? 0) ^ 0x10
  writeFileSync(path, damaged)
  let age = 0
  for (let round = 0; round < 3; round++) {
    const failed = await shop.batch('whole')
    assert.equal(failed.state, 'failed')
    const meta = await isExact('whole', await shop.send(5))
    assert.equal(meta.cut, first.cut)
    assert.equal(meta.stale, undefined)
    assert.ok(meta.ageMs > age, 'the batch grows older')
    age = meta.ageMs
  }
  await sleep(350)
  assert.ok((await isExact('whole', shop.cut)).spanMs > 300)
  const kinds = async () =>
    ((await shop.status())['alarms'] as unknown as readonly { kind: string }[]).map(({ kind }) => kind).sort()
  assert.deepEqual(await kinds(), ['batch failed', 'speed span'])
  writeFileSync(path, bytes)
  await shop.published('whole')
  assert.deepEqual(await kinds(), [])
  const meta = await isExact('whole', shop.cut)
  assert.deepEqual([meta.cut, meta.spanMs], [shop.cut, 0])
})

async function isExactSoon(view: string): Promise<void> {
  const { rows } = await ask(view, shop.cut)
  assert.deepEqual(rows, sorted(await shop.expected(view, shop.cut)))
}

test('while no engine lives, stale views answer from their last batch, and others refuse with the reason', async () => {
  const refusing = shopView('refusing', lambdaSql['whole'] ?? '', {
    run: lambdaRun(byHand, { whenSpeedFails: 'refuse' }),
  })
  const project = shop.project({ views: [...lambdaViews(byHand), refusing] })
  await shop.open(project)
  await shop.send(30)
  for (const view of ['per_user', 'large', 'whole']) await isExactSoon(view)
  for (const view of ['per_user', 'large', 'whole', 'refusing']) await shop.published(view)
  const batch = shop.cut
  await shop.send(10)
  await isExactSoon('whole')
  killEveryEngine()
  await shop.send(10)
  await eventually(
    async () => ((await shop.status())['engine'] as unknown as { restarts: number }).restarts >= 4,
  )
  for (const view of ['per_user', 'large', 'whole']) {
    assert.match(await isStale(view, batch), /the engine dies again and again \(signal SIGKILL\)/)
  }
  const refused = isRefoldError(
    'ENGINE_UNAVAILABLE',
    /view "refusing" does not answer: the engine dies again and again/,
  )
  await assert.rejects(ask('refusing'), refused)
  const sql = 'SELECT p."user", p.n, w.n AS whole FROM per_user p, whole w ORDER BY ALL'
  const answer = await shop.server.core.sql({ sql, limit: 100 }, {})
  const users = JSON.parse(answer.json) as { whole: number }[]
  assert.deepEqual(
    users.map(({ whole }) => whole),
    users.map(() => 30),
  )
  assert.deepEqual(Object.keys(answer.batches ?? {}).sort(), ['per_user', 'whole'])
  for (const meta of Object.values(answer.batches ?? {})) assert.ok(meta.stale !== undefined)
  await assert.rejects(shop.server.core.sql({ sql: 'SELECT * FROM whole, refusing', limit: 1 }, {}), refused)
  // What was reported then comes again, when all is well.
  killing = false
  await killer
  for (const view of ['per_user', 'large', 'whole', 'refusing']) {
    const { meta } = await ask(view, shop.cut)
    assert.deepEqual([meta?.cut, meta?.stale], [batch, undefined])
  }
  await isExactSoon('per_user')
  const us = microsOf(answer.at)
  const again = await shop.server.core.sql({ sql, limit: 100 }, { moment: { kind: 'reported', us } })
  assert.equal(again.json, answer.json)
})

test('a paused lambda view answers from its last batch, which goes on; one that is to refuse does', async () => {
  const refusing = shopView('refusing', lambdaSql['whole'] ?? '', {
    run: lambdaRun(byHand, { whenSpeedFails: 'refuse' }),
  })
  await shop.open(shop.project({ views: [...lambdaViews(byHand), refusing] }))
  const { pauses } = shop.server.core
  const who = { who: 'ada' }
  await shop.send(25)
  await isExactSoon('per_user')
  await isExactSoon('large')
  const early = await pauses.pause('whole', 'too early', who)
  assert.equal(early.answers, 'refuse')
  await assert.rejects(ask('whole'), isRefoldError('VIEW_PAUSED', /too early/))
  for (const view of ['per_user', 'large', 'refusing']) await shop.published(view)
  const batch = shop.cut
  await shop.send(10)
  assert.equal((await pauses.pause('per_user', 'looked into', who)).answers, 'stale')
  assert.equal((await pauses.pause('large', 'looked into', who)).answers, 'stale')
  assert.equal((await pauses.pause('refusing', 'looked into', who)).answers, 'refuse')
  await shop.send(10)
  for (const view of ['per_user', 'large']) assert.equal(await isStale(view, batch), 'looked into')
  await assert.rejects(ask('refusing'), isRefoldError('VIEW_PAUSED', /looked into/))
  await assert.rejects(shop.sql('SELECT * FROM speed.per_user'), isRefoldError('VIEW_PAUSED'))
  const joined = await shop.server.core.sql(
    { sql: 'SELECT count(*) AS n FROM per_user, large', limit: 1 },
    {},
  )
  assert.deepEqual(
    Object.values(joined.batches ?? {}).map(({ stale, cut }) => [stale, cut]),
    [
      ['looked into', batch],
      ['looked into', batch],
    ],
  )
  // The next batch is what it answers from then, also of a view that had none before.
  for (const view of ['per_user', 'large', 'whole']) {
    const next = await shop.published(view)
    await isStale(view, next.cut ?? 0)
    assert.equal(next.cut, shop.cut)
  }
  await shop.send(4)
  const restarted = shop.server.enginePid() ?? 0
  process.kill(restarted, 'SIGKILL')
  await isStale('per_user', shop.cut - 1)
  for (const view of ['per_user', 'large', 'whole', 'refusing']) {
    await pauses.resume(view, who)
    assert.equal((await ask(view, shop.cut)).meta?.stale, undefined)
  }
  for (const view of ['per_user', 'large', 'whole']) await isExactSoon(view)
})

function microsOf(at: string | null): number {
  const match = /^(.*\.\d{3})(\d{3})Z$/.exec(at ?? '')
  assert.ok(match !== null, `an answer has a moment, not ${at}`)
  return Date.parse(`${match[1]}Z`) * 1000 + Number(match[2])
}
