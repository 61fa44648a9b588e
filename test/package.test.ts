/**
 * The published package as a stranger gets it: packed, installed into an empty folder, and taken through the tour of
 * README.md and its section on changing a view, command by command. What the commands should answer is worked out here from the template's own events.
 */

import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { read, root } from './support/source-files.ts'

interface TourBlock {
  readonly server: boolean
  readonly commands: readonly string[]
}

const blocks: readonly TourBlock[] = [
  ...read('README.md').matchAll(/^```sh( server)?\n([\s\S]*?)^```/gm),
].map((match) => ({
  server: match[1] !== undefined,
  commands: (match[2] ?? '').trimEnd().split('\n'),
}))

interface PackedFile {
  readonly path: string
}

describe('the packed package', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'refold-package-'))
  const environment = { ...process.env, npm_config_update_notifier: 'false' }
  let tarball = ''
  let files: readonly string[] = []
  let server: ChildProcess | undefined

  before(() => {
    const packed = spawnSync('npm', ['pack', '--json', '--pack-destination', folder], {
      cwd: root,
      encoding: 'utf8',
      shell: process.platform === 'win32',
    })
    assert.equal(packed.status, 0, packed.stderr)
    // The build, run by npm before packing, may print lines of its own first.
    const report = packed.stdout.slice(packed.stdout.search(/^[[{]/m))
    const parsed = JSON.parse(report) as PackedReport[] | Record<string, PackedReport>
    const [first] = Object.values(parsed)
    tarball = path.join(folder, first?.filename ?? '')
    files = (first?.files ?? []).map((file) => file.path)
  })

  after(async () => {
    await ended(server)
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 })
  })

  test('has what it needs and nothing else', () => {
    for (const file of [
      'dist/index.js',
      'dist/index.d.ts',
      'dist/cli/main.js',
      'LICENSE',
      'NOTICE',
      'README.md',
    ]) {
      assert.ok(files.includes(file), `${file} is packed`)
    }
    assert.ok(files.some((file) => file.startsWith('templates/')))
    const strays = files.filter((file) => /\.test\.|\.ts$/.test(file) && !/\.d\.ts$|^templates\//.test(file))
    assert.deepEqual(strays, [])
  })

  test('takes a stranger through the tour', async () => {
    const port = await freePort()
    const bin = path.join(folder, 'bin')
    mkdirSync(bin)
    writeFileSync(
      path.join(bin, 'curl'),
      `#!/bin/sh\nexec "${process.execPath}" "${root}/test/support/curl.ts" "$@"\n`,
    )
    chmodSync(path.join(bin, 'curl'), 0o755)
    const env = {
      ...environment,
      PATH: [bin, path.dirname(process.execPath), process.env['PATH']].join(path.delimiter),
      REFOLD_URL: `http://127.0.0.1:${port}`,
      NO_COLOR: '1',
    }
    let cwd = folder
    const outputs: Output[] = []
    for (const block of blocks) {
      for (const line of block.commands) {
        const command = line
          .replace(/npm install refold\b/, `npm install --no-audit --no-fund "${tarball}"`)
          .replaceAll('127.0.0.1:7717', `127.0.0.1:${port}`)
        if (block.server) {
          await ended(server)
          server = spawn(
            `exec ${command.replace('npx refold', './../node_modules/.bin/refold')} --port ${port}`,
            {
              cwd,
              env,
              shell: '/bin/sh',
              stdio: ['ignore', 'pipe', 'pipe'],
            },
          )
          await untilReady(server, port)
          continue
        }
        const ran = spawnSync(`${command}\ncode=$?; pwd; exit $code`, {
          cwd,
          env,
          shell: '/bin/sh',
          encoding: 'utf8',
        })
        // The README says so: something differs.
        const code = line.startsWith('npx refold compare') ? 5 : 0
        assert.equal(ran.status, code, `${line}\n${ran.stdout}\n${ran.stderr}`)
        const lines = ran.stdout.trimEnd().split('\n')
        cwd = lines.pop() ?? cwd
        outputs.push({ command: line, text: lines.join('\n') })
      }
    }
    checkTour(outputs, cwd)
    checkChange(outputs, cwd)
  })
})

/** The tour: what was ingested is answered, counted once, and turned away where it does not fit. */
function checkTour(outputs: readonly Output[], project: string): void {
  const [best] = productsOf(ordersOf(project))
  assert.match(textOf(outputs, 'npx refold query "SELECT * FROM products'), new RegExp(best?.product ?? ''))
  const answers = outputs
    .filter(({ text }) => text.startsWith('{'))
    .map(({ text }) => JSON.parse(text) as Answer)
  const [first, again, ada, wrong] = answers
  assert.deepEqual([first?.accepted, first?.duplicates], [1, 0])
  assert.deepEqual([again?.accepted, again?.duplicates], [0, 1])
  const ofAda = ordersOf(project).filter(({ customer }) => customer === 'ada').length
  assert.equal(ada?.rows?.[0]?.['orders'], ofAda + 1)
  assert.equal(wrong?.rejected?.[0]?.place, '/quantity')
}

/** The changed view: plan and compare say what differs, the report of before comes back, and why adds up. */
function checkChange(outputs: readonly Output[], project: string): void {
  const sent = /-d '([^']*"mine-1"[^']*)'/.exec(read('README.md'))?.[1] ?? ''
  const orders = [...ordersOf(project), JSON.parse(sent) as Order]
  const before = productsOf(orders)
  const after = productsOf(orders.filter(({ quantity }) => quantity < 4))
  const rows = (products: readonly Product[]) => new Map(products.map((row) => [row.product, rowText(row)]))
  const [old, fresh] = [rows(before), rows(after)]
  const changed = [...fresh].filter(([product, row]) => row !== old.get(product)).length
  assert.equal(fresh.size, old.size, 'each product is also sold in small orders')

  assert.match(textOf(outputs, 'npx refold plan'), /view products.*\n +sql +WHERE "quantity < 4" is new/)
  const compared = textOf(outputs, 'npx refold compare')
  assert.match(compared, new RegExp(`equal +${fresh.size - changed} `))
  assert.match(compared, new RegExp(`changed +${changed}\n`))
  for (const command of [
    'npx refold query --view products --as-reported-at',
    'npx refold query --view products',
  ]) {
    const told = textOf(outputs, command).split('\n').slice(2)
    assert.deepEqual(
      told.map((row) => row.replace(/ {2,}/g, '  ')),
      [...old.values()],
      command,
    )
  }
  const [was, is] = [centsOf(before), centsOf(after)]
  const parts = [was, is - was, is].map((cents) => (cents / 100).toFixed(2)).join(' +')
  assert.match(textOf(outputs, 'npx refold why'), new RegExp(`^revenue +${parts}$`, 'm'))
}

interface Output {
  readonly command: string
  readonly text: string
}

/** Of the last command that begins so. */
function textOf(outputs: readonly Output[], command: string): string {
  const found = outputs.findLast((output) => output.command.startsWith(command))
  assert.ok(found !== undefined, `the README has no command "${command}"`)
  return found.text
}

interface PackedReport {
  readonly filename: string
  readonly files: readonly PackedFile[]
}

interface Answer {
  readonly accepted?: number
  readonly duplicates?: number
  readonly rejected?: readonly { readonly place: string }[]
  readonly rows?: readonly Readonly<Record<string, unknown>>[]
}

interface Order {
  readonly customer: string
  readonly product: string
  readonly quantity: number
  readonly price: string
}

interface Product {
  readonly product: string
  orders: number
  sold: number
  cents: number
}

function ordersOf(project: string): readonly Order[] {
  const lines = readFileSync(path.join(project, 'events/orders.ndjson'), 'utf8').trimEnd().split('\n')
  return lines.map((line) => JSON.parse(line) as Order)
}

/** Counted by hand; what sold best comes first. */
function productsOf(orders: readonly Order[]): readonly Product[] {
  const products = new Map<string, Product>()
  for (const { product, quantity, price } of orders) {
    const row = products.get(product) ?? { product, orders: 0, sold: 0, cents: 0 }
    row.orders += 1
    row.sold += quantity
    row.cents += quantity * Math.round(Number(price) * 100)
    products.set(product, row)
  }
  return [...products.values()].sort((a, b) => b.cents - a.cents)
}

/** As the command shows it, with two spaces between columns. */
function rowText({ product, orders, sold, cents }: Product): string {
  return `${product}  ${orders}  ${sold}  ${(cents / 100).toFixed(2)}`
}

function centsOf(products: readonly Product[]): number {
  return products.reduce((sum, { cents }) => sum + cents, 0)
}

async function ended(server: ChildProcess | undefined): Promise<void> {
  if (server === undefined || server.exitCode !== null) return
  const exited = new Promise((resolve) => server.once('exit', resolve))
  server.kill('SIGTERM')
  await exited
}

async function untilReady(server: ChildProcess, port: number): Promise<void> {
  let output = ''
  server.stdout?.on('data', (chunk: Buffer) => {
    output += chunk
  })
  server.stderr?.on('data', (chunk: Buffer) => {
    output += chunk
  })
  for (;;) {
    assert.equal(server.exitCode, null, `the server ended:\n${output}`)
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`).then(
      (response) => response.ok,
      () => false,
    )
    if (ready) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
