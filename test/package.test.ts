/**
 * The published package as a stranger gets it: packed, installed into an empty folder, and taken through the tour of
 * README.md, command by command. What the commands should answer is worked out here from the template's own events.
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
    if (server !== undefined && server.exitCode === null) {
      const ended = new Promise((resolve) => server?.once('exit', resolve))
      server.kill('SIGTERM')
      await ended
    }
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
    const outputs: string[] = []
    for (const block of blocks) {
      for (const line of block.commands) {
        const command = line
          .replace(/npm install refold\b/, `npm install --no-audit --no-fund "${tarball}"`)
          .replaceAll('127.0.0.1:7717', `127.0.0.1:${port}`)
        if (block.server) {
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
        const ran = spawnSync(`${command}\npwd`, { cwd, env, shell: '/bin/sh', encoding: 'utf8' })
        assert.equal(ran.status, 0, `${line}\n${ran.stdout}\n${ran.stderr}`)
        const lines = ran.stdout.trimEnd().split('\n')
        cwd = lines.pop() ?? cwd
        outputs.push(lines.join('\n'))
      }
    }
    const expected = expectedOfTemplate(cwd)
    const told = outputs.join('\n')
    assert.match(told, new RegExp(expected.bestProduct), 'the best product is in the answer')
    const answers = outputs
      .filter((output) => output.startsWith('{'))
      .map((output) => JSON.parse(output) as Answer)
    const [first, again, ada, wrong] = answers
    assert.deepEqual([first?.accepted, first?.duplicates], [1, 0])
    assert.deepEqual([again?.accepted, again?.duplicates], [0, 1])
    assert.equal(ada?.rows?.[0]?.['orders'], expected.ordersOfAda + 1)
    assert.equal(wrong?.rejected?.[0]?.place, '/quantity')
  })
})

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

/** Counted by hand from the events file of the project that `init` wrote. */
function expectedOfTemplate(project: string): { readonly ordersOfAda: number; readonly bestProduct: string } {
  const orders = readFileSync(path.join(project, 'events/orders.ndjson'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { customer: string; product: string; quantity: number; price: string })
  const cents = new Map<string, number>()
  for (const { product, quantity, price } of orders) {
    cents.set(product, (cents.get(product) ?? 0) + quantity * Math.round(Number(price) * 100))
  }
  const best = [...cents].sort((a, b) => b[1] - a[1])[0]?.[0] ?? ''
  return { ordersOfAda: orders.filter((order) => order.customer === 'ada').length, bestProduct: best }
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
