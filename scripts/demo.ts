/**
 * `npm run demo`: three million real flights through the whole of Refold, in two acts. The first starts the server,
 * sends most of the flights through HTTP, some twice, some late, some out of order, kills the engine once and the whole
 * server once with SIGKILL on the way, and compares every view, row by row, with one plain DuckDB query over the
 * Parquet file that the flights came from. The second changes a view while the rest arrives. Exit code 0 only when all
 * views agree and everything has happened as it should.
 */

import { cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { DemoServer } from './demo/demo-server.ts'
import { firstAct } from './demo/first-act.ts'
import { writeFlights } from './demo/flights-source.ts'
import { Picture } from './demo/picture.ts'
import { secondAct } from './demo/second-act.ts'
import type { Stage } from './demo/stage.ts'
import { root } from './steps.ts'

const startedMs = performance.now()
const scratch = path.join(root, '.refold', `demo-${process.pid}`)
const project = path.join(scratch, 'flights')
rmSync(scratch, { recursive: true, force: true })
mkdirSync(scratch, { recursive: true })
cpSync(path.join(root, 'examples/flights'), project, { recursive: true })

const stage: Stage = {
  server: new DemoServer(project, path.join(scratch, 'data')),
  picture: new Picture(process.stdout),
  counts: {
    sent: 0,
    accepted: 0,
    duplicates: 0,
    rejected: 0,
    late: 0,
    again: 0,
    reversed: 0,
    retries: 0,
    cut: 0,
    acks: [],
  },
  scratch,
  project,
  wrong: [],
  elapsed: () => (performance.now() - startedMs) / 1000,
}
const { picture, server } = stage

process.once('SIGINT', () => {
  rmSync(scratch, { recursive: true, force: true })
  process.exit(130)
})
// Nothing here takes minutes: when it does, something that should answer does not.
setTimeout(() => {
  picture.say(`the demo gave up after five minutes\n${server.output()}`)
  process.exit(1)
}, 300_000).unref()
let failed = false
try {
  await demo()
  failed = stage.wrong.length > 0
} catch (error) {
  failed = true
  picture.say(`the demo failed: ${error instanceof Error ? (error.stack ?? error.message) : error}`)
  picture.say(server.output())
} finally {
  await server.stop()
  rmSync(scratch, { recursive: true, force: true })
}
process.exit(failed ? 1 : 0)

async function demo(): Promise<void> {
  const files = { first: path.join(scratch, 'first.ndjson'), second: path.join(scratch, 'second.ndjson') }
  const views = readdirSync(path.join(project, 'views'))
    .map((file) => path.basename(file, '.sql'))
    .sort()
  picture.say('Refold, and three million real US flights of 2001 (vega-datasets, flights-3m.parquet)')
  await Promise.all([server.start(), writeFlights(files)])
  const reports = await firstAct(stage, files.first, views)
  await secondAct(stage, files.second, views, reports)
  picture.say(`${stage.elapsed().toFixed(1)} s in all`)
}
