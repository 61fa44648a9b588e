/**
 * As reported: a thousand live answers, taken at random moments while events flow, through cutovers, going back, seals,
 * compactions, moves to the lake and killed engines. Each is asked for again by its moment, and must come with the same
 * bytes, cut and versions. Nothing is expected but what was answered. REFOLD_SEED sets the seed, REFOLD_ANSWERS the
 * number of answers.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Rows } from '../../src/engine/engine.ts'
import type { AnswerMeta, ReadOptions } from '../../src/serve/core.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { ShopServer, shopView } from '../support/shop-server.ts'

const SEED = Number(process.env['REFOLD_SEED'] ?? randomBytes(4).readUInt32LE())
const ANSWERS = Number(process.env['REFOLD_ANSWERS'] ?? 1000)

const perUser =
  'SELECT "user", count(*) AS n, sum(amount) AS total, count(DISTINCT id) AS ids FROM sales GROUP BY "user"'
const perUserV2 = `SELECT "user", count(*) AS n, sum(amount) * 2 AS total, count(DISTINCT id) AS ids FROM sales WHERE "user" <> 'u3' GROUP BY "user"`
const totals = 'SELECT count(*) AS n, sum(amount) AS total FROM sales'
const totalsV2 = 'SELECT count(*) AS n, sum(amount) + 1 AS total FROM sales'
const large = 'SELECT id, "user", amount FROM sales WHERE amount > 9'
const best =
  'SELECT "user", sum(amount) AS total FROM sales GROUP BY "user" ORDER BY total DESC, "user" LIMIT 3'

type Answer = Rows & AnswerMeta
type Ask = (options: ReadOptions) => Promise<Answer>

describe(`answers come again as they were reported (seed ${SEED})`, () => {
  const random = seededRandom(SEED)
  const shop = new ShopServer()
  const views = (changed: boolean) => [
    shopView('per_user', changed ? perUserV2 : perUser),
    shopView('totals', changed ? totalsV2 : totals),
    shopView('large', large),
    shopView('best', best),
  ]
  const project = (changed: boolean) =>
    shop.project({ views: views(changed), seal: { rows: 200, bytes: 1e12, ageMs: 500 } })
  const taken: { readonly name: string; readonly ask: Ask; readonly answer: Answer }[] = []
  let flowing = true

  before(() => shop.open(project(false), { segments: { rollBytes: 20_000, moveAgeMs: 1_500 } }))
  after(() => shop.dispose())

  test(`${ANSWERS} answers`, async () => {
    const flow = [sendAlways(), changeAlways()]
    await Promise.all([1, 2, 3].map(() => readUntil(ANSWERS)))
    flowing = false
    await Promise.all(flow)
    assert.ok(new Set(taken.map(({ answer }) => answer.cut)).size > Math.min(100, ANSWERS / 10))
    const versions = new Set(taken.map(({ answer }) => answer.versions['totals']))
    assert.ok(versions.size >= 2, 'answers came from two versions')
    assert.equal(new Set(taken.map(({ answer }) => answer.at)).size, taken.length)
    await comeAgain(shuffled(taken))
    // Moments outlive the process.
    await shop.close()
    await shop.open(project(false))
    await comeAgain(shuffled(taken).slice(0, 50))
  })

  async function comesAgain({ name, ask, answer }: (typeof taken)[number]): Promise<void> {
    const us = microsOf(answer.at)
    const again = await ask({ moment: { kind: 'reported', us }, timeoutMs: 60_000 })
    const of = ({ cut, versions, json, columns, truncated }: Answer) => ({
      cut,
      versions,
      json,
      columns,
      truncated,
    })
    assert.deepEqual(of(again), of(answer), `${name} at ${answer.at}`)
  }

  /** A few at a time, as several readers would. */
  async function comeAgain(answers: typeof taken): Promise<void> {
    const waiting = [...answers]
    const reader = async () => {
      for (let one = waiting.pop(); one !== undefined; one = waiting.pop()) await comesAgain(one)
    }
    await Promise.all([1, 2, 3, 4].map(reader))
  }

  async function sendAlways(): Promise<void> {
    while (flowing) {
      await shop.send(1 + Math.floor(random() * 20))
      await sleep(random() * 12)
    }
  }

  /** A deploy, one that is rolled back, and one that is taken over as a save under `refold dev` is. */
  async function changeAlways(): Promise<void> {
    const author = { who: 'tester' }
    for (let step = 0; flowing; step++) {
      await sleep(100 + random() * 250)
      const change = step % 8
      if (change === 0) await shop.deploy(project(true))
      else if (change === 2) await shop.server.deploys.rollback({ reason: 'a test', author })
      else if (change === 4) await shop.server.reload(project(true))
      else if (change === 6) await shop.server.reload(project(false))
      else if (change === 1 || change === 5) await shop.server.flush()
      else if (random() < 0.8) process.kill(shop.server.enginePid() ?? 0, 'SIGKILL')
    }
  }

  async function readUntil(count: number): Promise<void> {
    while (taken.length < count) {
      const { name, ask } = anyQuestion()
      const answer = await ask({ timeoutMs: 30_000 })
      if (taken.length < count) taken.push({ name, ask, answer })
      await sleep(random() * 20)
    }
  }

  function anyQuestion(): { readonly name: string; readonly ask: Ask } {
    const { core } = shop.server
    const read = (view: string, more: Partial<Parameters<typeof core.readView>[0]> = {}) => ({
      name: `${view} ${JSON.stringify(more)}`,
      ask: (options: ReadOptions) =>
        shop.server.core.readView({ view, where: {}, order: [], limit: 100, ...more }, options),
    })
    const sql = (text: string) => ({
      name: text,
      ask: (options: ReadOptions) => shop.server.core.sql({ sql: text, limit: 1000 }, options),
    })
    const user = `u${Math.floor(random() * 13)}`
    return pick([
      read('totals'),
      read('per_user', { limit: 5 }),
      read('per_user', { where: { user } }),
      read('per_user', { order: [{ column: 'total', descending: true }], limit: 4 }),
      read('best'),
      read('large', { where: { user }, order: [{ column: 'amount', descending: true }], limit: 3 }),
      sql(
        'SELECT p."user", p.total, t.n FROM per_user AS p, totals AS t ORDER BY p.total DESC, p."user" LIMIT 7',
      ),
      sql('SELECT count(*) AS sales, (SELECT n FROM totals) AS n FROM sales'),
      sql(`SELECT b.*, l.amount FROM best AS b LEFT JOIN large AS l USING ("user") ORDER BY ALL LIMIT 9`),
    ])
  }

  function pick<T>(values: readonly T[]): T {
    return values[Math.floor(random() * values.length)] as T
  }

  function shuffled<T>(values: readonly T[]): T[] {
    return values
      .map((value) => [random(), value] as const)
      .sort(([a], [b]) => a - b)
      .map(([, value]) => value)
  }
})

function microsOf(at: string | null): number {
  const match = /^(.*\.\d{3})(\d{3})Z$/.exec(at ?? '')
  assert.ok(match !== null, `an answer has a moment, not ${at}`)
  return Date.parse(`${match[1]}Z`) * 1000 + Number(match[2])
}
