/**
 * The command line as a stranger uses it: init → dev → ingest → query → tail → status → explain → save → Ctrl-C, each
 * command its own process against the real server. What the rows must be is worked out from the sample events here.
 */

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'refold-cli-'))
const shop = join(folder, 'shop')

interface Running {
  readonly child: ChildProcess
  out: string
  err: string
  /** Resolves once stderr and stdout together match; fails when the process ends before. */
  until(pattern: RegExp): Promise<RegExpExecArray>
  readonly ended: Promise<number | null>
}

function start(args: readonly string[], cwd = shop, url = ''): Running {
  const child = spawn(process.execPath, [main, ...args], {
    cwd,
    env: { ...process.env, REFOLD_URL: url, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that a test can press Ctrl-C on the command and its children.
    detached: true,
  })
  const listeners = new Set<() => void>()
  const running: Running = {
    child,
    out: '',
    err: '',
    ended: once(child, 'exit').then(([code]) => code as number | null),
    async until(pattern) {
      for (;;) {
        const found = pattern.exec(running.err + running.out)
        if (found !== null) return found
        if (child.exitCode !== null)
          throw new Error(`it ended (${child.exitCode}):\n${running.err}${running.out}`)
        await new Promise<void>((resolve) => listeners.add(resolve))
        listeners.clear()
      }
    },
  }
  const heard = (part: 'out' | 'err') => (chunk: Buffer) => {
    running[part] += chunk.toString()
    for (const listener of listeners) listener()
  }
  child.stdout?.on('data', heard('out'))
  child.stderr?.on('data', heard('err'))
  child.on('exit', () => {
    for (const listener of listeners) listener()
  })
  return running
}

function pressCtrlC(running: Running): void {
  process.kill(-running.child.pid!, 'SIGINT')
}

async function run(args: readonly string[], url = '', cwd = shop) {
  const running = start(args, cwd, url)
  const code = await running.ended
  await new Promise((resolve) => setImmediate(resolve))
  return { code, out: running.out, err: running.err }
}

interface Order {
  readonly customer: string
  readonly product: string
}

describe('the command line from the first day on', () => {
  let dev: Running
  let url = ''

  before(async () => {
    assert.equal((await run(['init', 'shop'], '', folder)).code, 0)
    dev = start(['dev', '--port', '0'])
    url = (await dev.until(/runs at (http:\S+)/))[1] ?? ''
  })

  after(async () => {
    if (dev.child.exitCode === null) {
      dev.child.kill('SIGKILL')
      await dev.ended
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  })

  test('ingest sends the sample once, however often it is run', async () => {
    const first = await run(['ingest', 'events/orders.ndjson', '--stream', 'orders', '--json'], url)
    assert.equal(first.code, 0, first.err)
    assert.deepEqual(JSON.parse(first.out).total, { accepted: 240, duplicates: 0, rejected: 0 })
    const again = await run(['ingest', 'events/orders.ndjson', '--stream', 'orders', '--json'], url)
    assert.equal(JSON.parse(again.out).sent, 0)
    const restarted = await run(
      ['ingest', 'events/orders.ndjson', '--stream', 'orders', '--json', '--restart'],
      url,
    )
    assert.deepEqual(JSON.parse(restarted.out).total, { accepted: 0, duplicates: 240, rejected: 0 })
  })

  test('query answers with what the events say', async () => {
    const orders = readFileSync(join(shop, 'events/orders.ndjson'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Order)
    const ada = orders.filter(({ customer }) => customer === 'ada')
    const lookup = await run(['query', '--view', 'customers', '--where', 'customer=ada', '--ndjson'], url)
    assert.equal(lookup.code, 0, lookup.err)
    const row = JSON.parse(lookup.out) as { orders: number; products: number }
    assert.equal(row.orders, ada.length)
    assert.equal(row.products, new Set(ada.map(({ product }) => product)).size)
    const table = await run(['query', 'SELECT product, orders FROM products'], url)
    assert.equal(table.out.split('\n').length, 3 + new Set(orders.map(({ product }) => product)).size)
    assert.match(table.err, /^7 rows · cut \d+ · products [0-9a-f]{12} · lag \d+ ms\n$/)
  })

  test('tail shows a change as it happens, and a reader that goes away ends it quietly', async () => {
    const tail = start(['tail', 'customers', '--from', '1', '--json'], shop, url)
    const body = {
      order_id: 'late',
      customer: 'ada',
      product: 'espresso',
      quantity: 1,
      price: '2.40',
      ordered_at: '2026-03-03T09:00:00Z',
    }
    const posted = await fetch(`${url}/v1/streams/orders/events`, {
      method: 'POST',
      body: JSON.stringify(body),
    })
    assert.equal(posted.status, 200)
    const [line] = await tail.until(/^\{.*"op":"update".*\}$/m)
    const change = JSON.parse(line) as { old: { orders: number }; new: { orders: number; customer: string } }
    assert.equal(change.new.customer, 'ada')
    assert.equal(change.new.orders, change.old.orders + 1)
    pressCtrlC(tail)
    assert.equal(await tail.ended, 0)
    const cut = start(['tail', 'customers'], shop, url)
    await cut.until(/\+ customer=/)
    cut.child.stdout?.destroy()
    await fetch(`${url}/v1/streams/orders/events`, {
      method: 'POST',
      body: JSON.stringify({ ...body, order_id: 'last' }),
    })
    assert.equal(await cut.ended, 0)
  })

  test('status and explain', async () => {
    const status = await run(['status'], url)
    assert.equal(status.code, 0, status.err)
    assert.match(status.out, /^orders +4 +242 +240 +0 /m)
    assert.match(status.out, /^customers +[0-9a-f]{12} +kappa +live /m)
    const live = await run(['explain', 'customers', '--json'], url)
    const local = await run(['explain', 'customers', '--json', '--local'])
    assert.deepEqual(JSON.parse(live.out).plan, JSON.parse(local.out).plan)
    assert.equal(JSON.parse(live.out).version, JSON.parse(local.out).version)
    const wrong = await run(['explain', 'custmers'], url)
    assert.equal(wrong.code, 1)
    assert.match(wrong.err, /Did you mean "customers"/)
  })

  test('dev shows all mistakes at once, keeps what ran, and swaps in what is right', async () => {
    const file = join(shop, 'views/hourly.sql')
    const right = readFileSync(file, 'utf8')
    const config = join(shop, 'refold.config.ts')
    const rightConfig = readFileSync(config, 'utf8')
    dev.err = ''
    writeFileSync(file, right.replace('ordered_at', 'orderd_at'))
    writeFileSync(config, rightConfig.replace('quantity * price', 'quantty * price'))
    await dev.until(/2 mistakes\nthe last good project keeps running/)
    assert.match(
      dev.err,
      /refold\.config\.ts:25:16\n.*\n.*sum\(quantty \* price\).*\n +│ +\^{7}\n +hint Did you mean "quantity"\?/,
    )
    assert.match(dev.err, /views\/hourly\.sql:2:39\n/)
    assert.equal((await run(['query', '--view', 'hourly'], url)).code, 0)
    dev.err = ''
    writeFileSync(config, rightConfig)
    writeFileSync(file, right.replace('1 hour', '1 day'))
    await dev.until(/view "hourly" [0-9a-f]{12} → [0-9a-f]{12} live at cut \d+/)
    const { out } = await run(['query', 'SELECT hour FROM hourly', '--ndjson'], url)
    assert.deepEqual(out.trim().split('\n').sort(), [
      '{"hour":"2026-03-02T00:00:00Z"}',
      '{"hour":"2026-03-03T00:00:00Z"}',
    ])
  })

  test('Ctrl-C ends dev in order; start goes on from there and ends on SIGTERM', async () => {
    pressCtrlC(dev)
    assert.equal(await dev.ended, 0)
    const server = start(['start', '--port', '0', '--json'])
    const ready = JSON.parse((await server.until(/^\{"ready":true.*\}$/m))[0]) as { url: string; pid: number }
    assert.equal(ready.pid, server.child.pid)
    const second = await run(['start', '--port', '0'])
    assert.equal(second.code, 1)
    assert.match(second.err, /LOG_LOCKED/)
    const { out } = await run(['query', 'SELECT sum(orders) AS n FROM products', '--ndjson'], ready.url)
    assert.equal(out, '{"n":242}\n')
    server.child.kill('SIGTERM')
    assert.equal(await server.ended, 0, server.err)
    assert.match(server.err, /"message":"stopped"/)
  })

  test('a project with mistakes does not start, exit code 2; what is deployed does', async () => {
    appendFileSync(join(shop, 'views/products.sql'), '\nGROUP')
    const deployed = start(['start', '--port', '0', '--json'])
    await deployed.until(/^\{"ready":true.*\}$/m)
    while (!/differs from what is deployed/.test(deployed.err)) await sleep(20)
    deployed.child.kill('SIGTERM')
    assert.equal(await deployed.ended, 0, deployed.err)
    const { code, err, out } = await run(['start', '--port', '0', '--data', join(folder, 'fresh')])
    assert.deepEqual([code, out], [2, ''])
    assert.match(err, /views\/products\.sql:10:1/)
    const elsewhere = await run(['start'], '', folder)
    assert.equal(elsewhere.code, 2)
    assert.match(elsewhere.err, /PROJECT_NOT_FOUND/)
  })
})
