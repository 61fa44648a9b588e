/**
 * Hold against correct on the real server: random visits up to 48 hours late, with batches, seals, moves to the lake,
 * restarts, kills of the engine and of the server in between. After every step each view equals its own SQL in plain
 * DuckDB over the visits that belong to it, late ones by a definition of our own, and every visit is accounted for.
 * REFOLD_SEED sets the seed, REFOLD_STEPS the steps.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, test } from 'node:test'
import { HOUR_MS, LateShop, lateViews, randomVisits } from '../support/late-shop.ts'
import { seededRandom } from '../support/seeded-random.ts'

const SEED = Number(process.env.REFOLD_SEED ?? randomBytes(4).readUInt32LE())
const STEPS = Number(process.env.REFOLD_STEPS ?? 24)
const START_MS = Date.UTC(2024, 4, 1)

const names = Object.keys(lateViews)
let shop: LateShop

beforeEach(() => {
  shop = new LateShop()
})
afterEach(() => shop.dispose())

test(`held and corrected views agree with plain DuckDB at every cut (seed ${SEED})`, async () => {
  const random = seededRandom(SEED)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  let nowMs = START_MS
  /** T of each held view by the cut from which it stood on it. */
  const stood = new Map(names.map((name) => [`${name}_held`, [{ from: 0, batch: 0 }]]))
  await shop.open()
  for (let step = 0; step < STEPS; step++) {
    for (let commits = 1 + Math.floor(random() * 5); commits > 0; commits--) {
      nowMs += random() * 4 * HOUR_MS
      await shop.send(randomVisits(random, shop.sent.length, 1 + Math.floor(random() * 60), nowMs))
    }
    const what = `step ${step}`
    await shop.check(what)
    const dice = random()
    if (dice < 0.35) {
      const name = `${pick(names)}_held`
      // Then a slice of the speed layer ends where the batch does.
      if (random() < 0.5) await shop.server.flush()
      const batch = await shop.batch(name)
      stood.get(name)!.push({ from: batch, batch })
    } else if (dice < 0.5) await shop.server.flush()
    else if (dice < 0.6) {
      await shop.close()
      await shop.open()
    } else if (dice < 0.7) await shop.killed()
    else if (dice < 0.8) process.kill(shop.server.enginePid()!, 'SIGKILL')
    await shop.check(`${what}, after ${dice.toFixed(2)}`)
    await checkPast(what)
  }
  await shop.server.flush()
  for (const name of names) await shop.batch(`${name}_held`)
  for (const name of names) {
    const [held, corrected] = [await shop.read(`${name}_held`), await shop.read(name)]
    assert.deepEqual(held.cells, corrected.cells, `${name}: a batch takes all that was held`)
  }

  async function checkPast(what: string): Promise<void> {
    const cut = pick(shop.sent).cut
    for (const [name, batches] of stood) {
      const { batch } = batches.findLast(({ from }) => from <= cut)!
      const found = await shop.read(name, { moment: { kind: 'cut', cut } })
      assert.deepEqual(found.cells, await shop.expected(name, cut, batch), `${what}: ${name} at cut ${cut}`)
    }
  }
})

test(`while batches run and events come in, every answer is right for the cut and the T that it states (seed ${SEED})`, async () => {
  const random = seededRandom(SEED + 1)
  let nowMs = START_MS
  await shop.open()
  const send = async () => {
    nowMs += random() * 4 * HOUR_MS
    await shop.send(randomVisits(random, shop.sent.length, 1 + Math.floor(random() * 40), nowMs))
  }
  await send()
  const answers: { name: string; cut: number; batch: number; cells: unknown }[] = []
  for (let round = 0; round < 3; round++) {
    let running = true
    const batches = Promise.all(names.map((name) => shop.batch(`${name}_held`))).finally(() => {
      running = false
    })
    while (running) {
      await send()
      if (random() < 0.1) await shop.server.flush()
      for (const name of names) {
        const { cells, cut, meta } = await shop.read(`${name}_held`)
        answers.push({ name, cut, batch: meta.batches?.[`${name}_held`]?.cut ?? 0, cells })
      }
    }
    await batches
    await shop.check(`round ${round}`)
  }
  assert.ok(new Set(answers.map(({ batch }) => batch)).size > 2)
  for (const { name, cut, batch, cells } of answers) {
    assert.deepEqual(cells, await shop.expected(`${name}_held`, cut, batch), `${name} at ${cut}, T ${batch}`)
  }
})
