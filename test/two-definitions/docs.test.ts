/**
 * The page about two definitions: its texts are those of `examples/customer-values`, which is started and run as the page
 * says; what comes out is held against the batch SQL run by plain DuckDB over the same events and file.
 */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { DuckDBInstance } from '@duckdb/node-api'
import { runCommand } from '../../src/cli/cli-fixture.ts'
import { ServerProcess } from '../support/server-process.ts'
import { read } from '../support/source-files.ts'

const page = read('docs/two-definitions.md')
const example = (name: string) => read(`examples/customer-values/${name}`)
const files = [
  'refold.config.ts',
  'views/customer_values.batch.sql',
  'views/customer_values.speed.sql',
] as const

test('the texts of the page are those of the example', () => {
  const blocks = [...page.matchAll(/```(?:ts|sql)\n([\s\S]*?)```/g)].map(([, text]) => text)
  assert.deepEqual(
    blocks,
    files.map((name) => example(name)),
  )
})

const orders = [
  { order_id: 'o1', customer_id: 'ann', amount: '10.00', ordered_at: '2024-05-01T10:00:00Z' },
  { order_id: 'o2', customer_id: 'ann', amount: '30.00', ordered_at: '2024-05-04T10:00:00Z' },
  { order_id: 'o3', customer_id: 'bob', amount: '7.50', ordered_at: '2024-05-02T10:00:00Z' },
]
const shipments = [{ order_id: 'o1', shipped_at: '2024-05-03T12:00:00Z' }]
const later = { order_id: 'o4', customer_id: 'ann', amount: '50.00', ordered_at: '2024-05-20T10:00:00Z' }

test('the example runs as the page says', async (t) => {
  const config = example('refold.config.ts').replace(
    'views: [customerValues] })',
    'views: [customerValues], server: { port: PORT } })',
  )
  const beside = Object.fromEntries(
    [...files.slice(1), 'ref/customers.csv'].map((name) => [name, example(name)]),
  )
  const server = await ServerProcess.create(config, beside)
  t.after(() => server.dispose())
  await server.start()
  await server.post(
    'shipments',
    shipments.map((event) => JSON.stringify(event)),
  )
  const { body } = await server.post(
    'orders',
    orders.map((event) => JSON.stringify(event)),
  )
  await server.get(`/v1/views/customer_values?after=${body.cut}`)
  const command = async (line: string) => {
    const args = [...line.replace(/^refold /, '').matchAll(/"([^"]*)"|(\S+)/g)].map(
      ([, quoted, plain]) => quoted ?? plain ?? '',
    )
    const { code, out, err } = await runCommand([...args, '--url', server.url], { cwd: server.folder })
    assert.equal(code, 0, `${line}\n${err}`)
    return out
  }
  const commands = [...page.matchAll(/^ {4}(refold .*)$/gm)].map(([, line = '']) => line)
  const outputs = []
  for (const line of commands) outputs.push(await command(line))
  assert.match(outputs.at(-1) ?? '', /batch reads orders .*\n.*shipments .*\n.*ref\/customers\.csv/)

  interface Answer {
    readonly rows: readonly Readonly<Record<string, unknown>>[]
    readonly batch?: { readonly cut: number; readonly approximate?: readonly string[] }
  }
  const settled = await server.get<Answer>('/v1/views/customer_values?layer=batch')
  assert.deepEqual(texts(settled.rows), texts(await expectedBatch()))

  const { body: next } = await server.post('orders', [JSON.stringify(later)])
  const answer = await server.get<Answer>(`/v1/views/customer_values?after=${next.cut}`)
  assert.deepEqual(answer.batch?.approximate, ['p90', 'longest_gap_days', 'days_to_ship', 'country'])
  const ann = answer.rows.find((row) => row['customer_id'] === 'ann')
  assert.deepEqual(texts([ann ?? {}]), [
    JSON.stringify([
      ['country', 'FR'],
      ['customer_id', 'ann'],
      ['days_to_ship', '2'],
      ['largest', '50'],
      ['last_order', '2024-05-20 10:00:00'],
      ['longest_gap_days', '3'],
      ['mean', '30'],
      ['orders', '3'],
      ['p90', '50'],
      ['revenue', '90'],
    ]),
  ])
})

/** The batch SQL as it stands, by plain DuckDB in the example's folder. */
async function expectedBatch(): Promise<Readonly<Record<string, unknown>>[]> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    await connection.run("SET TimeZone = 'UTC'")
    await connection.run(
      'CREATE TABLE orders (order_id VARCHAR, customer_id VARCHAR, amount DECIMAL(18, 2), ordered_at TIMESTAMP)',
    )
    await connection.run('CREATE TABLE shipments (order_id VARCHAR, shipped_at TIMESTAMP)')
    for (const { order_id, customer_id, amount, ordered_at } of orders)
      await connection.run(
        `INSERT INTO orders VALUES ('${order_id}', '${customer_id}', ${amount}, '${ordered_at}')`,
      )
    for (const { order_id, shipped_at } of shipments)
      await connection.run(`INSERT INTO shipments VALUES ('${order_id}', '${shipped_at}')`)
    const folder = join(import.meta.dirname, '../../examples/customer-values')
    const sql = example('views/customer_values.batch.sql').replace(
      'ref/customers.csv',
      join(folder, 'ref/customers.csv'),
    )
    return (await connection.runAndReadAll(sql)).getRowObjectsJson()
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

function texts(rows: readonly Readonly<Record<string, unknown>>[]): readonly string[] {
  const text = (value: unknown) => {
    if (value === null || value === undefined) return null
    const plain = String(value)
    return /^-?\d+(\.\d+)?$/.test(plain)
      ? String(Number(plain))
      : plain
          .replace(/[TZ]/g, ' ')
          .replace(/\.0+\s*$/, '')
          .trim()
  }
  return rows
    .map((row) =>
      JSON.stringify(
        Object.entries(row)
          .map(([name, value]) => [name, text(value)])
          .sort(),
      ),
    )
    .sort()
}
