/**
 * The supervisor over engines that only pretend, with a clock that the test moves: restarts, waits, deadlines, epochs.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EngineProgress, EngineSpec, LiveEngine } from '../engine/engine.ts'
import { RefoldError } from '../model/errors.ts'
import type { Clock } from '../std/clock.ts'
import { silentLogger } from '../std/logger.ts'
import { Serial } from '../std/serial.ts'
import { EngineSupervisor } from './engine-supervisor.ts'

class HandClock implements Clock {
  #now = 1_000
  #timers: { at: number; callback: () => void }[] = []

  nowMs = () => this.#now
  monotonicMs = () => this.#now

  after(delayMs: number, callback: () => void): () => void {
    const timer = { at: this.#now + delayMs, callback }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  async pass(ms: number): Promise<void> {
    this.#now += ms
    const due = this.#timers.filter((timer) => timer.at <= this.#now)
    this.#timers = this.#timers.filter((timer) => timer.at > this.#now)
    for (const timer of due) timer.callback()
    await turns()
  }
}

async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

function unavailable(): RefoldError {
  return new RefoldError('ENGINE_UNAVAILABLE', 'gone')
}

/** An engine whose start and reads the test decides. */
class FakeEngine {
  readonly pid: number
  stopped = false
  #fails: boolean
  #exit: ((reason: string) => void)[] = []
  #progress: ((progress: EngineProgress) => void)[] = []

  constructor(pid: number, fails: boolean) {
    this.pid = pid
    this.#fails = fails
  }

  async start(): Promise<{ badSlices: [] }> {
    if (!this.#fails) return { badSlices: [] }
    this.die('failed to start')
    throw unavailable()
  }

  onExit(listener: (reason: string) => void): void {
    this.#exit.push(listener)
  }

  onProgress(listener: (progress: EngineProgress) => void): void {
    this.#progress.push(listener)
  }

  report(cut: number): void {
    const progress = { cut, views: [], ticks: 1, tickMs: 1, commits: 1, skipped: [] }
    for (const listener of this.#progress) listener(progress)
  }

  die(reason: string): void {
    for (const listener of this.#exit) listener(reason)
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.die('stopped')
  }
}

const atStart = { sources: { log: { durable: 0 } } }

function setUp(fails: (count: number) => boolean = () => false, spec: () => object = () => atStart) {
  const clock = new HandClock()
  const engines: FakeEngine[] = []
  const serial = new Serial()
  const reports: { cut: number; epoch: number }[] = []
  const told: string[] = []
  const supervisor = new EngineSupervisor({
    clock,
    logger: silentLogger,
    startEngine: () => {
      const engine = new FakeEngine(engines.length + 1, fails(engines.length))
      engines.push(engine)
      return engine as unknown as LiveEngine
    },
    spec: () => spec() as EngineSpec,
    exclusive: (task) => serial.run(task),
    onBadSlices: () => {},
    onProgress: ({ cut }, epoch) => reports.push({ cut, epoch }),
    onStarted: () => {},
    onDied: (reason, careful) => told.push(`${reason}${careful ? ', careful' : ''}`),
    onHealthy: () => told.push('healthy'),
  })
  return { clock, engines, supervisor, reports, serial, told }
}

function pidOf(supervisor: EngineSupervisor): number | undefined {
  return supervisor.running?.engine.pid
}

test('an engine that ends is replaced at once; one that keeps failing with growing pauses', async () => {
  const { clock, engines, supervisor } = setUp((count) => count > 0 && count < 5)
  await supervisor.start()
  assert.equal(pidOf(supervisor), 1)
  engines[0]!.die('killed')
  assert.equal(pidOf(supervisor), undefined)
  await clock.pass(0)
  assert.equal(engines.length, 2)
  for (const pause of [50, 100, 200]) {
    const before: number = engines.length
    await clock.pass(pause - 1)
    assert.equal(engines.length, before, `no start before ${pause} ms`)
    await clock.pass(1)
    assert.equal(engines.length, before + 1)
  }
  await clock.pass(400)
  assert.equal(pidOf(supervisor), 6)
  assert.equal(supervisor.restarts, 5)
  await supervisor.close()
  assert.ok(engines.at(-1)?.stopped)
})

test('a read that loses its engine is asked again of the next one', async () => {
  const { clock, engines, supervisor } = setUp()
  await supervisor.start()
  const asked: number[] = []
  const answer = supervisor.use(async (engine) => {
    asked.push(engine.pid)
    if (engine.pid === 1) {
      engines[0]!.die('killed')
      throw unavailable()
    }
    return engine.pid
  }, 99_999)
  await turns()
  await clock.pass(0)
  assert.equal(await answer, 2)
  assert.deepEqual(asked, [1, 2])
  await supervisor.close()
})

test('a read without an engine ends at its deadline; another error is not tried again', async () => {
  const { clock, engines, supervisor } = setUp((count) => count > 0)
  await supervisor.start()
  await assert.rejects(
    supervisor.use(async () => {
      throw new RefoldError('QUERY_FAILED', 'no')
    }, 99_999),
    { code: 'QUERY_FAILED' },
  )
  engines[0]!.die('killed')
  const read = supervisor.use(async () => 1, clock.monotonicMs() + 500)
  const refused = assert.rejects(read, { code: 'ENGINE_UNAVAILABLE' })
  await clock.pass(499)
  await clock.pass(1)
  await refused
  await supervisor.close()
})

test('reports of an engine that was replaced are not taken', async () => {
  const { clock, engines, supervisor, reports } = setUp()
  await supervisor.start()
  engines[0]!.report(5)
  engines[0]!.die('killed')
  await clock.pass(0)
  engines[0]!.report(9)
  engines[1]!.report(6)
  assert.deepEqual(reports, [
    { cut: 5, epoch: 1 },
    { cut: 6, epoch: 2 },
  ])
  await supervisor.close()
})

test('who waits for a cut is woken by the report that reaches it, or by the end', async () => {
  const { engines, supervisor } = setUp()
  await supervisor.start()
  const there = supervisor.until(() => (supervisor.progress?.cut ?? 0) >= 3)
  let done = false
  void there.then(() => {
    done = true
  })
  engines[0]!.report(2)
  await turns()
  assert.equal(done, false)
  engines[0]!.report(3)
  assert.equal(await there, true)
  const never = supervisor.until(() => false)
  await supervisor.close()
  assert.equal(await never, false)
})

test('no engine starts while a publication runs', async () => {
  const { clock, engines, supervisor, serial } = setUp()
  await supervisor.start()
  let release = () => {}
  const publication = serial.run(
    () =>
      new Promise<void>((resolve) => {
        release = resolve
      }),
  )
  engines[0]!.die('killed')
  await clock.pass(0)
  assert.equal(engines.length, 1)
  release()
  await publication
  await turns()
  assert.equal(engines.length, 2)
  await supervisor.close()
})

test('a careful engine is handed out once it has caught up, or after a while', async () => {
  const spec = () => ({ careful: true, sources: { log: { durable: 7 } } })
  const { clock, engines, supervisor, told } = setUp(() => false, spec)
  await supervisor.start()
  let answered = 0
  const ask = () => supervisor.use(async () => answered++, clock.monotonicMs() + 60_000)
  const first = ask()
  engines[0]!.report(6)
  await turns()
  assert.equal(answered, 0)
  engines[0]!.report(7)
  await first
  assert.deepEqual([answered, told], [1, ['healthy']])
  engines[0]!.die('killed')
  await clock.pass(0)
  const second = ask()
  await clock.pass(29_999)
  assert.equal(answered, 1)
  await clock.pass(1)
  await second
  assert.equal(answered, 2)
  assert.deepEqual(told, ['healthy', 'killed, careful'])
  await supervisor.close()
})

test('engines that die as soon as they answer are failing, and one that lives is not', async () => {
  const { clock, engines, supervisor, told } = setUp()
  await supervisor.start()
  for (let death = 0; death < 3; death++) {
    assert.equal(supervisor.failing, undefined)
    engines.at(-1)!.die('out of memory')
    if (death < 2) await clock.pass(5_000 * death + 50)
    assert.equal(supervisor.failing, death === 2 ? 'out of memory' : undefined)
  }
  await clock.pass(5_000)
  assert.equal(supervisor.failing, undefined)
  await clock.pass(1_001)
  engines.at(-1)!.die('killed once')
  assert.equal(supervisor.failing, undefined)
  assert.deepEqual(told, ['out of memory', 'out of memory', 'out of memory', 'killed once'])
  // An end that we wanted is no death.
  await clock.pass(5_000)
  const restarted = supervisor.restart('new streams')
  await clock.pass(0)
  await restarted
  assert.equal(told.length, 4)
  await supervisor.close()
})
