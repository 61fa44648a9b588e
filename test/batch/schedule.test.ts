/**
 * When batches run, with the real server: by intervals, by cron under a clock that the test moves, after events; what
 * one that overruns misses; what becomes of ranges without events; and that a server that was started again goes on
 * with the schedule.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BatchScheduleDef } from '../../src/define/types.ts'
import type { BatchInfo } from '../../src/serve/core-batches.ts'
import { type Clock, systemClock } from '../../src/std/clock.ts'
import { isRefoldError } from '../support/is-refold-error.ts'
import { byHand, LambdaShop, lambdaRun, lambdaSql } from '../support/lambda-shop.ts'
import { eventually, shopView } from '../support/shop-server.ts'

let shop: LambdaShop
beforeEach(() => {
  shop = new LambdaShop()
})
afterEach(() => shop.dispose())

/** The wall clock stands where the test puts it; timers and durations are those of the system. */
class MovedClock implements Clock {
  #aheadMs = 0
  monotonicMs = () => systemClock.monotonicMs()
  after: Clock['after'] = (delayMs, callback) => systemClock.after(delayMs, callback)
  nowMs = () => systemClock.nowMs() + this.#aheadMs
  moveTo(ms: number): void {
    this.#aheadMs = ms - systemClock.nowMs()
  }
}

function project(schedule: BatchScheduleDef, more: Parameters<typeof lambdaRun>[1] = {}) {
  const sql = lambdaSql['per_user'] ?? ''
  return shop.project({ views: [shopView('per_user', sql, { run: lambdaRun(schedule, more) })] })
}

function list(): readonly BatchInfo[] {
  return shop.server.core.batches.list('per_user', 1_000)
}

function published(): readonly BatchInfo[] {
  return list().filter(({ state }) => state === 'published')
}

test('cron names the moments, in UTC; what passed while the server was down is made up for once', async () => {
  const clock = new MovedClock()
  clock.moveTo(Date.parse('2031-03-01T04:29:50Z'))
  const cron = { kind: 'cron', cron: '30 4 * * *' } as const
  await shop.open(project(cron), { clock })
  await shop.send(10)
  await shop.check(['per_user'])
  assert.deepEqual(list(), [])
  clock.moveTo(Date.parse('2031-03-01T04:30:00Z'))
  await eventually(() => published().length === 1)
  assert.match(published()[0]?.startedAt ?? '', /^2031-03-01T04:30:0/)
  const views = (await shop.status())['views'] as unknown as { batch: { dueAt: string } }[]
  assert.equal(views[0]?.batch.dueAt, '2031-03-02T04:30:00.000Z')
  clock.moveTo(Date.parse('2031-03-01T23:00:00Z'))
  await shop.send(10)
  await shop.close()
  clock.moveTo(Date.parse('2031-03-05T12:00:00Z'))
  await shop.open(project(cron), { clock })
  await eventually(() => published().length === 2)
  clock.moveTo(Date.parse('2031-03-06T04:29:00Z'))
  await shop.send(10)
  assert.equal(list().length, 2)
  await shop.check(['per_user'])
})

test('intervals count from the beginning of the batch before, across a restart', async () => {
  const clock = new MovedClock()
  const begin = Date.parse('2031-03-01T00:00:00Z')
  clock.moveTo(begin)
  const hourly = { kind: 'every', everyMs: 3_600_000 } as const
  await shop.open(project(hourly), { clock })
  await shop.send(10)
  clock.moveTo(begin + 3_500_000)
  await shop.check(['per_user'])
  assert.deepEqual(list(), [])
  clock.moveTo(begin + 3_660_000)
  await eventually(() => published().length === 1)
  await shop.close()
  clock.moveTo(begin + 7_200_000)
  await shop.open(project(hourly), { clock })
  await shop.send(10)
  await shop.check(['per_user'])
  assert.equal(list().length, 1)
  clock.moveTo(begin + 7_320_000)
  await eventually(() => published().length === 2)
})

test('a batch begins once enough events came after the last, also after a restart', async () => {
  const after100 = { kind: 'events', events: 100 } as const
  await shop.open(project(after100))
  await shop.send(99)
  await shop.check(['per_user'])
  assert.deepEqual(list(), [])
  await shop.send(1)
  await eventually(() => published().length === 1)
  const [first] = published()
  assert.deepEqual(first?.promise.offsets, { sales: [51, 49] })
  await shop.send(60)
  await shop.server.flush()
  await shop.close()
  await shop.open(project(after100))
  await shop.send(39)
  await shop.check(['per_user'])
  assert.equal(list().length, 1)
  const cut = await shop.send(1)
  await eventually(() => published().length === 2)
  assert.equal(published()[0]?.cut, cut)
})

test('one at a time; what one that overruns has missed is written down and raises an alarm until a batch does not', async () => {
  const clock = new MovedClock()
  const begin = Date.parse('2031-03-01T00:00:00Z')
  clock.moveTo(begin)
  const hourly = { kind: 'every', everyMs: 3_600_000 } as const
  await shop.open(project(hourly), { clock })
  const { batches } = shop.server.core
  await shop.send(10)
  const { running, worker } = await stoppedBatch()
  await assert.rejects(batches.run('per_user', { wait: true }), isRefoldError('BATCH_RUNNING'))
  clock.moveTo(begin + 2 * 3_600_000 + 60_000)
  await eventually(() => list().filter(({ state }) => state === 'skipped').length === 2)
  process.kill(worker, 'SIGCONT')
  assert.equal((await running).state, 'published')
  const states = list().map(({ state }) => state)
  assert.deepEqual(states.slice(-3), ['skipped', 'skipped', 'published'])
  const alarms = async () => (await shop.status())['alarms'] as unknown as { view: string; kind: string }[]
  assert.deepEqual(
    (await alarms()).map(({ view, kind }) => [view, kind]),
    [['per_user', 'batch overran']],
  )
  await shop.published('per_user')
  assert.deepEqual(await alarms(), [])
})

/** A batch whose worker stands still. */
async function stoppedBatch(): Promise<{ readonly running: Promise<BatchInfo>; readonly worker: number }> {
  for (;;) {
    const running = shop.server.core.batches.run('per_user', { wait: true })
    const worker = await shop.worker('per_user', running)
    if (worker !== undefined) {
      process.kill(worker, 'SIGSTOP')
      await sleep(300)
      if (list()[0]?.state === 'running') return { running, worker }
    }
    // It had ended already.
    await running
  }
}

test('ranges without events move T on; an empty log has no batch', async () => {
  const other = { ...(shop.project().streams[0] as object), name: 'other' } as never
  const base = project(byHand)
  await shop.open({ ...base, streams: [...base.streams, other] })
  await shop.published('per_user')
  await shop.send(10)
  const first = await shop.published('per_user')
  const json = JSON.stringify({ id: 'x', user: 'u', amount: '1.00', at: '2024-05-01T10:00:00Z' })
  for (let round = 0; round < 5; round++) {
    const event = { stream: 'other', partition: 0, json, timeUs: 1, id: `x${round}`, index: 0 }
    await shop.server.core.append({ stream: 'other', events: [event], deadLetters: [], bytes: 100 })
  }
  await eventually(async () => ((await shop.status())['views'] as unknown as { cut: number }[])[0]?.cut === 6)
  const second = await shop.published('per_user')
  assert.deepEqual([first.cut, second.cut, second.events], [1, 6, 10])
  assert.deepEqual(second.promise, first.promise)
  await shop.check(['per_user'])
  await shop.server.flush()
  await shop.published('per_user')
  await shop.check(['per_user'])
})

test('views that do not run as lambda have no batches', async () => {
  await shop.open(shop.project({ views: [shopView('per_user', lambdaSql['per_user'] ?? '')] }))
  await assert.rejects(shop.batch('per_user'), isRefoldError('BATCH_NOT_LAMBDA'))
  await assert.rejects(shop.batch('per_usr'), isRefoldError('VIEW_UNKNOWN'))
})
