/**
 * Laws 1, 2, 3, 5 and 8 on the real server: random histories with duplicates, disorder and bad events; seals,
 * compactions and the lake forced by small limits; restarts, SIGKILLs, lost and
 * damaged slices in between. After every step each
 * view equals its own SQL run by plain DuckDB over the events that were accepted, and the counts conserve.
 * REFOLD_SEED sets the seed, REFOLD_STEPS the steps.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { cellsOf, Oracle, sorted } from '../support/oracle.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { ServerProcess } from '../support/server-process.ts'

const SEED = Number(process.env.REFOLD_SEED ?? randomBytes(4).readUInt32LE())
const STEPS = Number(process.env.REFOLD_STEPS ?? 60)

/** Each view's SQL; where DuckDB's own answer is not defined (ties), the order is made total in the SQL itself. */
const VIEWS: Readonly<Record<string, string>> = {
  totals: 'SELECT count(*) AS n, sum(amount) AS total, min(ts) AS first, max(ts) AS last FROM orders',
  by_user:
    'SELECT user_id, count(*) AS n, sum(amount) AS total, avg(quantity) AS mean FROM orders GROUP BY user_id',
  by_hour: `SELECT date_trunc('hour', ts) AS hour, country, count(*) AS n, max(amount) AS highest FROM orders GROUP BY ALL`,
  buyers:
    'SELECT country, count(DISTINCT user_id) AS buyers, sum(DISTINCT quantity) AS sizes FROM orders GROUP BY country',
  paid: `SELECT country, count(*) FILTER (paid) AS paid, count(*) FILTER (NOT paid) AS open, bool_or(paid) AS any_paid FROM orders GROUP BY 1 HAVING count(*) > 2`,
  top: 'SELECT user_id, sum(amount) AS total FROM orders GROUP BY user_id ORDER BY total DESC, user_id LIMIT 5',
  large: 'SELECT order_id, user_id, amount * quantity AS value FROM orders WHERE amount > 900',
  nested: `WITH big AS (SELECT upper(country) AS land, amount FROM orders WHERE quantity >= 5)
    SELECT land, count(*) AS n, sum(amount) / count(*) AS share FROM big GROUP BY land`,
}

const CONFIG = `
import { decimal, int64, project, stream, view } from 'refold'
import { z } from 'zod'
const orders = stream('orders', {
  schema: z.object({
    order_id: z.string(), user_id: z.string(), country: z.string().optional(), amount: decimal(18, 2),
    quantity: int64(), paid: z.boolean().default(false), ts: z.iso.datetime(),
  }),
  id: 'order_id', key: 'user_id', time: 'ts', partitions: 3,
})
export default project({
  streams: [orders],
  views: [${Object.entries(VIEWS)
    .map(([name, sql]) => `view('${name}', { sql: ${JSON.stringify(sql)} })`)
    .join(', ')}],
  server: { port: PORT },
  seal: { rows: 300, age: '1s' },
})
`

interface Order {
  readonly order_id: string
  readonly user_id: string
  readonly country?: string
  readonly amount: string
  readonly quantity: number
  readonly paid?: boolean
  readonly ts: string
}

describe(`random histories agree with plain DuckDB (seed ${SEED})`, () => {
  const random = seededRandom(SEED)
  let server: ServerProcess
  let oracle: Oracle
  const accepted: Order[] = []
  let next = 0
  let cut = 0
  let duplicates = 0
  let rejected = 0

  before(async () => {
    server = await ServerProcess.create(CONFIG)
    oracle = await Oracle.create(
      'orders',
      'order_id VARCHAR, user_id VARCHAR, country VARCHAR, amount DECIMAL(18,2), quantity BIGINT, paid BOOLEAN, ts TIMESTAMP',
    )
    await server.start()
  })
  after(async () => {
    oracle.close()
    await server.dispose()
  })

  test(`${STEPS} steps`, async () => {
    for (let step = 0; step < STEPS; step++) {
      const requests = 1 + Math.floor(random() * 4)
      for (let request = 0; request < requests; request++) await sendBatch()
      const dice = random()
      if (dice < 0.06) await restart('SIGTERM')
      else if (dice < 0.14) await restart('SIGKILL')
      else if (dice < 0.2) await killEngine()
      else if (dice < 0.24) await loseState()
      else if (dice < 0.28) await damageSlice()
      await checkViews(step)
      await checkConservation()
    }
  })

  async function sendBatch(): Promise<void> {
    const lines: string[] = []
    const fresh: Order[] = []
    let again = 0
    let bad = 0
    const size = 1 + Math.floor(random() * 120)
    for (let index = 0; index < size; index++) {
      const dice = random()
      if (dice < 0.05 && accepted.length > 0) {
        lines.push(orderLine(pick(accepted)))
        again++
      } else if (dice < 0.08) {
        lines.push(pick(BAD_LINES))
        bad++
      } else {
        const order = makeOrder()
        fresh.push(order)
        lines.push(orderLine(order))
      }
    }
    const { body } = await server.post('orders', lines)
    assert.deepEqual([body.accepted, body.duplicates, body.rejected.length], [fresh.length, again, bad])
    accepted.push(...fresh)
    duplicates += again
    rejected += bad
    await oracle.insert(fresh.map((order) => ({ ...order, paid: order.paid ?? false })))
    cut = body.cut
  }

  async function checkViews(step: number): Promise<void> {
    for (const [name, sql] of Object.entries(VIEWS)) {
      const path = `/v1/views/${name}?limit=100000&after=${cut}&timeout=60000`
      const answer = await server.get<{
        cut: number
        columns: { name: string; type: string }[]
        rows: Record<string, unknown>[]
      }>(path)
      const actual = answer.rows.map((row) => cellsOf(row, answer.columns))
      const expected = await oracle.rows(sql)
      const ordered = name === 'top'
      assert.deepEqual(
        ordered ? actual : sorted(actual),
        ordered ? expected : sorted(expected),
        `view ${name} at step ${step}`,
      )
    }
  }

  /** Law 5, to the event, per stream and view. */
  async function checkConservation(): Promise<void> {
    const status = await server.get<{ conservation: Record<string, unknown>[] }>('/v1/status')
    const received = accepted.length + duplicates + rejected
    const expected = Object.keys(VIEWS).map((view) => ({
      stream: 'orders',
      received,
      accepted: accepted.length,
      duplicate: duplicates,
      rejected,
      view,
      folded: accepted.length,
      pending: 0,
      skipped: 0,
      held: 0,
    }))
    const byView = (a: Record<string, unknown>, b: Record<string, unknown>) =>
      String(a.view) < String(b.view) ? -1 : 1
    assert.deepEqual([...status.conservation].sort(byView), expected.sort(byView))
  }

  async function restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    await server.kill(signal)
    await server.start()
  }

  async function killEngine(): Promise<void> {
    const { engine } = await server.get<{ engine: { pid: number | null } }>('/v1/status')
    if (engine.pid !== null) process.kill(engine.pid, 'SIGKILL')
  }

  /** Law 8: slices are only a memory of what the log says. */
  async function loseState(): Promise<void> {
    await server.kill('SIGKILL')
    const slices = join(server.folder, '.refold', 'slices')
    for (const view of await readdir(slices).catch(() => []))
      await rm(join(slices, view), { recursive: true })
    await server.start()
  }

  /** A slice that does not match its checksum is set aside and its range folded again. */
  async function damageSlice(): Promise<void> {
    await server.kill('SIGKILL')
    const folder = join(server.folder, '.refold', 'slices')
    const files = (await readdir(folder, { recursive: true }).catch(() => [])).filter((name) =>
      name.endsWith('.parquet'),
    )
    if (files.length > 0) {
      const path = join(folder, pick(files))
      const bytes = await readFile(path)
      const place = Math.floor(random() * bytes.length)
      bytes.writeUInt8(bytes.readUInt8(place) ^ 0x40, place)
      await writeFile(path, bytes)
    }
    await server.start()
  }

  function makeOrder(): Order {
    const country = random() < 0.15 ? {} : { country: pick(['de', 'fr', 'it', 'O\u2019Land', 'ch']) }
    const paid = random() < 0.3 ? {} : { paid: random() < 0.5 }
    const day = 1 + Math.floor(random() * 5)
    const hour = Math.floor(random() * 24)
    return {
      order_id: `o-${next++}`,
      user_id: `user-${Math.floor(random() ** 2 * 60)}`,
      ...country,
      amount: (Math.floor(random() * 100_000) / 100).toFixed(2),
      quantity: Math.floor(random() * 10),
      ...paid,
      ts: `2026-03-0${day}T${String(hour).padStart(2, '0')}:15:00Z`,
    }
  }

  function pick<T>(values: readonly T[]): T {
    return values[Math.floor(random() * values.length)] as T
  }
})

const BAD_LINES = [
  'not json',
  '{"order_id":"x"}',
  '{"order_id":"x","user_id":"u","amount":"12.345","quantity":1,"ts":"2026-03-01T00:00:00Z"}',
  '{"order_id":"x","user_id":"u","amount":"1.00","quantity":1.5,"ts":"2026-03-01T00:00:00Z"}',
  '{"order_id":"x","user_id":"u","amount":"1.00","quantity":1,"ts":"2026-02-30T00:00:00Z"}',
]

function orderLine(order: Order): string {
  return JSON.stringify(order)
}
