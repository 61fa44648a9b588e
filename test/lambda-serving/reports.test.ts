/**
 * As reported, through batches: live answers over views that run as lambda, and over their layers, come again by their
 * moments with the same bytes, while batches are published every second, slices are sealed, merged and replaced, engines
 * are killed and the server is started again. Nothing is expected but what was answered. REFOLD_SEED sets the seed.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Rows } from '../../src/engine/engine.ts'
import type { AnswerMeta, Core, ReadOptions } from '../../src/serve/core.ts'
import { LambdaShop, lambdaViews } from '../support/lambda-shop.ts'
import { HOUR_MS, LateShop } from '../support/late-shop.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { TwoShop } from '../support/two-shop.ts'

const SEED = Number(process.env['REFOLD_SEED'] ?? randomBytes(4).readUInt32LE())
const ANSWERS = Number(process.env['REFOLD_ANSWERS'] ?? 250)

type Answer = Rows & AnswerMeta
type Ask = (options: ReadOptions) => Promise<Answer>

describe(`answers over layers come again as they were reported (seed ${SEED})`, () => {
  const random = seededRandom(SEED)
  const shop = new LambdaShop()
  const taken: { readonly name: string; readonly ask: Ask; readonly answer: Answer }[] = []
  let flowing = true
  after(() => shop.dispose())

  test(`${ANSWERS} answers`, async () => {
    const project = shop.project({
      views: lambdaViews({ kind: 'every', everyMs: 1_000 }),
      seal: { rows: 200, bytes: 1e12, ageMs: 700 },
    })
    await shop.open(project, { segments: { rollBytes: 20_000, moveAgeMs: 1_500 } })
    await shop.send(20)
    await shop.check()
    for (const view of ['per_user', 'large', 'whole']) await shop.batchAfter(view, 1)
    const flow = [sendAlways(), changeAlways()]
    await Promise.all([1, 2].map(() => readUntil(ANSWERS)))
    flowing = false
    await Promise.all(flow)
    const batches = new Set(taken.map(({ answer }) => answer.batches?.['per_user']?.cut))
    assert.ok(batches.size >= 3, 'answers came over several batches')
    assert.equal(new Set(taken.map(({ answer }) => answer.at)).size, taken.length)
    await comeAgain(shuffled(taken))
    await shop.close()
    await shop.open(project)
    await comeAgain(shuffled(taken).slice(0, 40))
  })

  async function comeAgain(answers: typeof taken): Promise<void> {
    for (const { name, ask, answer } of answers) {
      const again = await ask({ moment: { kind: 'reported', us: microsOf(answer.at) }, timeoutMs: 60_000 })
      const of = ({ cut, versions, json, columns, truncated }: Answer) => ({
        cut,
        versions,
        json,
        columns,
        truncated,
      })
      assert.deepEqual(of(again), of(answer), `${name} at ${answer.at}`)
    }
  }

  async function sendAlways(): Promise<void> {
    while (flowing) {
      await shop.send(1 + Math.floor(random() * 20))
      await sleep(random() * 25)
    }
  }

  async function changeAlways(): Promise<void> {
    while (flowing) {
      await sleep(300 + random() * 700)
      if (random() < 0.3) process.kill(shop.server.enginePid() ?? 0, 'SIGKILL')
      else if (random() < 0.5) await shop.server.flush()
    }
  }

  async function readUntil(count: number): Promise<void> {
    while (taken.length < count) {
      const { name, ask } = anyQuestion()
      const answer = await ask({ timeoutMs: 30_000 })
      if (taken.length < count) taken.push({ name, ask, answer })
      await sleep(random() * 40)
    }
  }

  function anyQuestion(): { readonly name: string; readonly ask: Ask } {
    const read = (view: string, more: object = {}) => ({
      name: `${view} ${JSON.stringify(more)}`,
      ask: (options: ReadOptions) =>
        shop.server.core.readView({ view, where: {}, order: [], limit: 100, ...more }, options),
    })
    const sql = (text: string) => ({
      name: text,
      ask: (options: ReadOptions) => shop.server.core.sql({ sql: text, limit: 1000 }, options),
    })
    const questions = [
      read('per_user'),
      read('whole'),
      read('per_user', { layer: 'batch' }),
      read('per_user', { layer: 'speed' }),
      read('large', { layer: 'speed', order: [{ column: 'amount', descending: true }], limit: 5 }),
      read('whole', { layer: 'batch' }),
      sql('SELECT b.n AS settled, s.n AS since, v.n AS n FROM batch.whole b, speed.whole s, whole v'),
      sql(
        'SELECT "user", b.n, s.n AS since FROM batch.per_user b LEFT JOIN speed.per_user s USING ("user") ORDER BY ALL',
      ),
      sql('SELECT count(*) AS sales, (SELECT n FROM whole) AS n FROM sales'),
    ]
    return questions[Math.floor(random() * questions.length)] as (typeof questions)[number]
  }

  function shuffled<T>(values: readonly T[]): T[] {
    return values
      .map((value) => [random(), value] as const)
      .sort(([a], [b]) => a - b)
      .map(([, value]) => value)
  }
})

/** Rows of these views depend on T itself: the same cut was shown before and after a batch, with other rows. */
describe('answers whose rows depend on T come again', () => {
  interface Taken {
    readonly view: string
    readonly answer: Answer
  }

  async function comeAgain(core: Core, taken: readonly Taken[]): Promise<void> {
    for (const { view, answer } of taken) {
      const moment = { kind: 'reported', us: microsOf(answer.at) } as const
      const again = await core.readView(
        { view, where: {}, order: [], limit: 1000 },
        { moment, timeoutMs: 60_000 },
      )
      const of = ({ cut, versions, json }: Answer) => ({ cut, versions, json })
      assert.deepEqual(of(again), of(answer), `${view} at ${answer.at}`)
    }
  }

  const read = async (core: Core, view: string, after: number): Promise<Taken> => {
    const answer = await core.readView({ view, where: {}, order: [], limit: 1000 }, { after })
    return { view, answer }
  }

  test('late events that are held back', async (t) => {
    const shop = new LateShop()
    t.after(() => shop.dispose())
    const project = shop.project()
    const views = project.views.filter(({ late }) => late === 'hold')
    await shop.open({ ...project, views })
    const taken: Taken[] = []
    for (let round = 0; round < 4; round++) {
      const at = (hours: number) =>
        new Date(Date.UTC(2024, 0, 5) + (round * 24 + hours) * HOUR_MS).toISOString()
      const visit = (n: number, hours: number) => ({
        id: `v${round}.${n}`,
        person: `p${n}`,
        amount: '95.00',
        ts: at(hours),
      })
      await shop.send([visit(0, 0), visit(1, 20)])
      const cut = await shop.send([visit(2, 2), visit(3, -40), visit(4, 20)])
      for (const { name } of views) taken.push(await read(shop.server.core, name, cut))
      if (round % 2 === 1) for (const { name } of views) await shop.batch(name)
      for (const { name } of views) taken.push(await read(shop.server.core, name, cut))
      if (round === 2) await shop.server.flush()
    }
    const texts = new Set(
      taken.filter(({ view }) => view === 'totals_held').map(({ answer }) => `${answer.cut} ${answer.json}`),
    )
    assert.ok(texts.size > 4, 'a batch changed what was shown at one cut')
    await comeAgain(shop.server.core, taken)
    await shop.close()
    await shop.open({ ...project, views })
    await comeAgain(shop.server.core, taken)
  })

  test('two definitions', async (t) => {
    const shop = new TwoShop()
    t.after(() => shop.dispose())
    await shop.open(shop.project())
    const taken: Taken[] = []
    for (let round = 0; round < 3; round++) {
      await shop.send(20)
      taken.push(await read(shop.server.core, 'customers', shop.cut))
      await shop.published('customers')
      taken.push(await read(shop.server.core, 'customers', shop.cut))
      await shop.login('u1', 'u2')
      await shop.send(7)
      if (round === 1) await shop.server.flush()
      taken.push(await read(shop.server.core, 'customers', shop.cut))
    }
    await comeAgain(shop.server.core, taken)
    await shop.close()
    await shop.open(shop.project())
    await comeAgain(shop.server.core, taken)
  })
})

function microsOf(at: string | null): number {
  const match = /^(.*\.\d{3})(\d{3})Z$/.exec(at ?? '')
  assert.ok(match !== null, `an answer has a moment, not ${at}`)
  return Date.parse(`${match[1]}Z`) * 1000 + Number(match[2])
}
