/**
 * `refold backup` and `refold restore`, with the real server and commands: what was restored gives what plain DuckDB
 * gives over the events up to the backup's cut, however events flow, and whatever is killed on the way.
 */

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { runCommand } from '../src/cli/cli-fixture.ts'
import { loadProject } from '../src/define/load.ts'
import { openServer } from '../src/server/open-server.ts'
import { eventually, SalesServer } from './support/sales-server.ts'
import { ServerProcess } from './support/server-process.ts'

const MAIN = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))

let shop: SalesServer
let dest: string
beforeEach(() => {
  shop = new SalesServer()
  dest = join(shop.folder, 'backup')
})
afterEach(() => shop.dispose())

interface Manifest {
  readonly cut: number
  readonly files: readonly { path: string; stored: string; bytes: number }[]
}

async function refold(...args: string[]) {
  const ran = await runCommand(args, { cwd: shop.folder })
  return {
    ...ran,
    json: () => JSON.parse(ran.out) as { cut: number; files: number; bytes: number; kept: number },
  }
}

async function served(): Promise<string> {
  await shop.open(shop.project(), { http: true })
  return shop.server?.http?.url ?? ''
}

function manifest(): Manifest {
  return JSON.parse(readFileSync(join(dest, 'backup.json'), 'utf8')) as Manifest
}

/** Opens what was restored in the place of the data folder, and forgets what was sent after the backup. */
async function openRestored(cut: number): Promise<void> {
  await shop.close()
  rmSync(shop.dataDir, { recursive: true, force: true })
  const restored = await refold('restore', dest, '--data', shop.dataDir)
  assert.equal(restored.code, 0, restored.err)
  shop.sent.length = shop.sentAt.get(cut) ?? 0
  await shop.open()
}

test('under 20,000 events a second: the restored views are those of the cut, and ids are still known', async () => {
  const url = await served()
  for (let round = 0; round < 3; round++) {
    await shop.send(500)
    await shop.server?.flush()
  }
  let stopped = false
  let longestMs = 0
  const load = (async () => {
    const startedMs = performance.now()
    while (!stopped) {
      const sentMs = performance.now()
      await shop.send(200)
      longestMs = Math.max(longestMs, performance.now() - sentMs)
      const dueMs = startedMs + ((shop.sent.length - 1500) / 20_000) * 1000
      await sleep(Math.max(0, dueMs - performance.now()))
    }
  })()
  await sleep(300)
  const first = await refold('backup', dest, '--url', url, '--json')
  assert.equal(first.code, 0, first.err)
  await shop.server?.flush()
  const second = await refold('backup', dest, '--url', url, '--json')
  stopped = true
  await load
  assert.equal(second.code, 0, second.err)
  const { cut, kept } = second.json()
  assert.ok(cut > first.json().cut && shop.sentAt.has(cut))
  assert.ok(kept >= 4, `${kept} files were there`)
  const sent = [...shop.sent]
  await openRestored(cut)
  await shop.check()
  const ids = (await shop.logged()).map(({ json }) => JSON.parse(json).id)
  assert.ok(
    isDeepStrictEqual(
      ids,
      shop.sent.map(({ id }) => id),
    ),
    'the log is that of the cut',
  )
  // Of these the log has no segment any more; their ids lie beside it.
  const oldest = await shop.resend(sent.slice(0, 100))
  assert.deepEqual([oldest.duplicates, oldest.accepted], [100, 0])
  const again = await shop.resend(sent.slice(shop.sent.length - 300, shop.sent.length + 100))
  assert.deepEqual([again.duplicates, again.accepted], [300, 100])
  shop.sent.push(...sent.slice(shop.sent.length, shop.sent.length + 100))
  shop.sentAt.set(again.cut, shop.sent.length)
  await shop.check(again.cut)
  console.log(`  longest append beside the backups: ${Math.round(longestMs)} ms`)
})

test('the copy is folded again: exact, and a wrong slice is found', async () => {
  const url = await served()
  await shop.send(500)
  await shop.server?.flush()
  await shop.send(500)
  await shop.server?.flush()
  const good = await refold('backup', dest, '--url', url, '--check')
  assert.equal(good.code, 0, good.err)
  assert.match(good.err, /view "per_user" folded again up to cut 2: 13 rows, the same/)
  assert.match(good.err, /view "totals" folded again up to cut 2: 1 rows, the same/)
  assert.equal(existsSync(join(dest, 'checking')), false)
  // A catalog that names the slice of another view's version as its own would be sound by every checksum.
  await shop.close()
  const { DatabaseSync } = await import('node:sqlite')
  const catalog = new DatabaseSync(join(shop.dataDir, 'catalog.sqlite'))
  const [one, two] = catalog
    .prepare(`SELECT path, rows, bytes, checksum FROM slices WHERE view = 'totals' ORDER BY from_cut`)
    .all()
  const swap = catalog.prepare('UPDATE slices SET path = ?, rows = ?, bytes = ?, checksum = ? WHERE path = ?')
  assert.ok(one !== undefined && two !== undefined)
  const path = join(shop.dataDir, String(one['path']))
  writeFileSync(`${path}.copy`, readFileSync(path))
  const { rows = 0, bytes = 0, checksum = 0 } = one
  swap.run(`${one['path']}.copy`, rows, bytes, checksum, two['path'] ?? '')
  catalog.close()
  const bad = await refold('backup', join(shop.folder, 'other'), '--data', shop.dataDir, '--check')
  assert.equal(bad.code, 7)
  assert.match(bad.err, /view "totals" folded again up to cut 2: 2 rows differ of 1/)
})

test('without slices: bases come along, everything else is folded again', async () => {
  const url = await served()
  for (let round = 0; round < 3; round++) {
    await shop.send(100)
    await shop.server?.flush()
  }
  await shop.core.lake.trim({ stream: 'sales', to: { cut: 2 }, promote: true })
  const cut = await shop.send(50)
  const made = await refold('backup', dest, '--url', url, '--no-slices', '--check')
  assert.equal(made.code, 0, made.err)
  const slices = manifest().files.filter(({ path }) => path.startsWith('slices/'))
  assert.ok(slices.length > 0)
  await openRestored(cut)
  await shop.check(await shop.send(10))
  await assert.rejects(shop.logged(), { code: 'HISTORY_TRIMMED' })
})

test('a stopped server: its folder is copied under its lock, and a running one is left alone', async () => {
  await shop.open()
  const cut = await shop.send(200)
  const held = await refold('backup', dest, '--data', shop.dataDir)
  assert.equal(held.code, 1)
  assert.match(held.err, /is held by process/)
  await shop.close()
  const made = await refold('backup', dest, '--data', shop.dataDir, '--check', '--json')
  assert.equal(made.code, 0, made.err)
  assert.equal(made.json().cut, cut)
  await openRestored(cut)
  await shop.check()
})

test('what is damaged or missing in a backup is named, and nothing is put in place', async () => {
  const url = await served()
  await shop.send(300)
  await shop.server?.flush()
  await refold('backup', dest, '--url', url)
  const target = join(shop.folder, 'restored')
  const lake = manifest().files.find(({ path }) => path.startsWith('lake/'))!
  const segment = manifest().files.find(({ path }) => path.endsWith('.ndjson'))!
  const path = (file: { stored: string }) => join(dest, 'files', file.stored)
  const bytes = readFileSync(path(lake))
  const flipped = Buffer.from(bytes)
  flipped[100] = flipped[100]! ^ 1
  writeFileSync(path(lake), flipped)
  rmSync(path(segment))
  const bad = await refold('restore', dest, '--data', target)
  assert.equal(bad.code, 7)
  assert.ok(bad.err.includes(`"${path(lake)}" does not match its checksum`), bad.err)
  assert.ok(bad.err.includes(`"${path(segment)}" is missing`), bad.err)
  assert.deepEqual([existsSync(target), existsSync(`${target}.restoring`)], [false, false])
  // The next backup mends both.
  const again = await refold('backup', dest, '--url', url, '--json')
  assert.equal(again.code, 0, again.err)
  assert.equal((await refold('restore', dest, '--data', target)).code, 0)
  const full = await refold('restore', dest, '--data', target)
  assert.deepEqual([full.code, /is not empty/.test(full.err)], [2, true])
  const text = readFileSync(join(dest, 'backup.json'), 'utf8')
  writeFileSync(join(dest, 'backup.json'), text.replace('"cut":1', '"cut":9'))
  const wrong = await refold('restore', dest, '--data', `${target}2`)
  assert.match(wrong.err, /manifest .* does not match its checksum/)
  assert.equal((await refold('restore', shop.folder, '--data', `${target}2`)).code, 7)
})

test('a flipped byte in the lake of the server is named while it is copied', async () => {
  const url = await served()
  await shop.send(300)
  await shop.server?.flush()
  const folder = join(shop.dataDir, 'lake', 'sales')
  const [name] = readdirSync(folder)
  const path = join(folder, name!)
  const bytes = readFileSync(path)
  bytes[50] = bytes[50]! ^ 1
  writeFileSync(path, bytes)
  const made = await refold('backup', dest, '--url', url)
  assert.equal(made.code, 7)
  assert.ok(made.err.includes(`"${path}" of the data folder does not match its checksum`))
  assert.equal(existsSync(join(dest, 'backup.json')), false)
})

/** Puts a pipe in the place of a lake file, so that a copy waits there until it is let go on. */
function stopAtLakeFile(dataDir: string): { goOn(): void } {
  const folder = join(dataDir, 'lake', 'sales')
  const [name] = readdirSync(folder)
  const path = join(folder, name ?? '')
  const bytes = readFileSync(path)
  rmSync(path)
  execFileSync('mkfifo', [path])
  return {
    goOn() {
      try {
        const pipe = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
        writeSync(pipe, bytes)
        closeSync(pipe)
      } catch (error) {
        // Whoever waited for it was killed.
        assert.equal((error as { code?: string }).code, 'ENXIO')
      }
      rmSync(path)
      writeFileSync(path, bytes)
    },
  }
}

const skip = process.platform === 'win32' ? 'only on systems with named pipes' : false

test('a command killed while it copies leaves no backup, no pin and no copy of the catalog', {
  skip,
}, async () => {
  const url = await served()
  await shop.send(300)
  await shop.server?.flush()
  const held = async () => (await shop.status<{ backups: number }>()).backups
  const stopped = stopAtLakeFile(shop.dataDir)
  const child = spawn(process.execPath, [MAIN, 'backup', dest, '--url', url], { stdio: 'ignore' })
  await eventually(async () => (await held()) === 1 && existsSync(join(dest, 'files', 'log')))
  await shop.send(300)
  // It moves the log to the lake, and then waits with deleting segments until the backup lets go.
  const flushed = shop.server?.flush()
  child.kill('SIGKILL')
  await new Promise((resolve) => child.once('exit', resolve))
  await eventually(async () => (await held()) === 0)
  await flushed
  assert.equal(existsSync(join(dest, 'backup.json')), false)
  assert.equal((await refold('restore', dest, '--data', join(shop.folder, 'restored'))).code, 7)
  assert.deepEqual(
    readdirSync(join(shop.dataDir, 'scratch')).filter((name) => name.endsWith('.sqlite')),
    [],
  )
  stopped.goOn()
  const again = await refold('backup', dest, '--url', url, '--check')
  assert.equal(again.code, 0, again.err)
})

test('a server killed while it is copied leaves the backup before as it was', { skip }, async () => {
  const server = await ServerProcess.create(CONFIG)
  try {
    await server.start()
    const lines = Array.from({ length: 100 }, (_, n) => JSON.stringify({ id: `s${n}` }))
    await server.post('sales', lines)
    const first = await refold('backup', dest, '--url', server.url, '--json')
    assert.equal(first.code, 0, first.err)
    const before = readFileSync(join(dest, 'backup.json'), 'utf8')
    const lake = join(server.folder, '.refold', 'lake', 'sales')
    await server.post(
      'sales',
      lines.map((line) => line.replace('s', 't')),
    )
    await server.kill('SIGTERM')
    // The lake is filled by another process in between: a fresh start moves nothing within the test's time.
    const data = join(server.folder, '.refold')
    await openAndFlush(server.folder, data)
    const stopped = stopAtLakeFile(data)
    await server.start()
    const running = refold('backup', dest, '--url', server.url)
    const catalogs = () => readdirSync(join(dest, 'files')).filter((name) => name.startsWith('catalog.'))
    await eventually(() => catalogs().length === 2)
    await server.kill('SIGKILL')
    await sleep(50)
    stopped.goOn()
    const second = await running
    assert.deepEqual([second.code, /ended during the backup/.test(second.err)], [4, true], second.err)
    assert.equal(readFileSync(join(dest, 'backup.json'), 'utf8'), before)
    assert.equal((await refold('restore', dest, '--data', join(shop.folder, 'old'), '--check')).code, 0)
    assert.ok(existsSync(lake))
    await server.start()
    assert.equal((await server.get<{ backups: number }>('/v1/status')).backups, 0)
    assert.equal((await refold('backup', dest, '--url', server.url, '--check')).code, 0)
  } finally {
    await server.dispose()
  }
})

const CONFIG = `
import { project, stream, view } from 'refold'
import { z } from 'zod'
const sales = stream('sales', { schema: z.object({ id: z.string() }), id: 'id' })
export default project({
  streams: [sales],
  views: [view('totals', { sql: 'SELECT count(*) AS n FROM sales' })],
  server: { port: PORT },
})
`

/** Moves everything that a stopped server's log has to its lake. */
async function openAndFlush(folder: string, dataDir: string): Promise<void> {
  const loaded = await loadProject(folder)
  assert.ok(loaded.ok)
  const server = await openServer({ ...loaded.project, dataDir }, { http: false })
  await server.flush()
  await server.close()
}
