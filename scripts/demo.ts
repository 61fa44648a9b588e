/**
 * `npm run demo`: three million real flights through the whole of Refold. It starts the server, sends the flights
 * through HTTP, some twice, some late, some out of order; kills the engine once and the whole server once with
 * SIGKILL on the way; and at the end compares every view, row by row, with one plain DuckDB query over the Parquet
 * file that the flights came from. Exit code 0 only when all views agree and all of that has happened.
 */

import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { type Agreement, compareView } from './agreement.ts'
import { DemoServer } from './demo/demo-server.ts'
import { type SenderCounts, sendAll } from './demo/flights-sender.ts'
import { batches, flightsSql, writeFlights } from './demo/flights-source.ts'
import { Picture } from './demo/picture.ts'
import { root } from './steps.ts'
import { readWholeView } from './view-rows.ts'

const total = 3_000_000
const eventsPerBatch = 1000
const requestsInFlight = 6
const slicesWanted = 5

const startedMs = performance.now()
const scratch = path.join(root, '.refold', `demo-${process.pid}`)
rmSync(scratch, { recursive: true, force: true })
mkdirSync(scratch, { recursive: true })
const picture = new Picture(process.stdout)
const counts: SenderCounts = {
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
}

const server = new DemoServer(path.join(root, 'examples/flights'), path.join(scratch, 'data'))
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
  failed = !(await demo())
} catch (error) {
  failed = true
  picture.say(`the demo failed: ${error instanceof Error ? (error.stack ?? error.message) : error}`)
  picture.say(server.output())
} finally {
  await server.stop()
  rmSync(scratch, { recursive: true, force: true })
}
process.exit(failed ? 1 : 0)

async function demo(): Promise<boolean> {
  const file = path.join(scratch, 'flights.ndjson')
  picture.say('Refold, and three million real US flights of 2001 (vega-datasets, flights-3m.parquet)')
  await Promise.all([server.start(), writeFlights(file)])
  picture.say(`server is up at ${server.url}; sending ${total.toLocaleString('en-US')} flights over HTTP`)
  const stopDrawing = draw()
  const sendingMs = performance.now()
  await Promise.all([
    sendAll(() => server.url, batches(file, eventsPerBatch), requestsInFlight, counts),
    mishaps(),
  ])
  const sentSeconds = (performance.now() - sendingMs) / 1000
  await untilFolded()
  const seconds = (performance.now() - sendingMs) / 1000
  const slices = await untilSealed()
  stopDrawing()
  report(sentSeconds, seconds, slices)
  const agreements = await compareAll()
  const exact = agreements.filter((one) => one.exact).length
  picture.say(`agreement: ${exact} of ${agreements.length} views exact`)
  picture.say(`${elapsed().toFixed(1)} s in all`)
  return exact === agreements.length && slices.sealed >= slicesWanted && slices.compactions > 0
}

/** Kills the engine at a third of the way and the server at two thirds. */
async function mishaps(): Promise<void> {
  await untilSent(total / 3)
  server.killEngine()
  picture.say(
    `${at()} killed the engine with SIGKILL at ${shown(counts.sent)} events; the server starts another`,
  )
  await untilSent((total * 2) / 3)
  await server.kill()
  const acknowledged = [...counts.acks]
  picture.say(`${at()} killed the server with SIGKILL at ${shown(counts.sent)} events`)
  const restartMs = performance.now()
  await server.start()
  const seconds = ((performance.now() - restartMs) / 1000).toFixed(1)
  const sealed = Math.min(...(await server.sealedCuts()))
  const events = (from: number) =>
    acknowledged.reduce((sum, ack) => sum + (ack.cut > from ? ack.events : 0), 0)
  picture.say(
    `${at()} it answers again after ${seconds} s; of ${shown(events(0))} events it folds ${shown(events(sealed))} again, those after its last slices`,
  )
}

async function untilSent(events: number): Promise<void> {
  while (counts.sent < events) await pause(20)
}

async function untilFolded(): Promise<void> {
  for (const view of viewFiles()) {
    await server.get(`/v1/views/${view.name}?limit=1&after=${counts.cut}&timeout=60000`)
  }
}

/** Seals come by rows and by age: the last ones a few seconds after the last event. */
async function untilSealed() {
  const untilMs = performance.now() + 15_000
  for (;;) {
    const slices = await server.slices()
    const enough = slices.sealed >= slicesWanted && slices.compactions > 0
    if (enough || performance.now() > untilMs) return slices
    await pause(200)
  }
}

function report(
  sentSeconds: number,
  seconds: number,
  slices: { readonly sealed: number; readonly compactions: number; readonly now: number },
): void {
  const rate = (events: number, time: number) => `${shown(Math.round(events / time))}/s`
  picture.say('')
  picture.say(
    `sent       ${shown(counts.sent)} events in ${sentSeconds.toFixed(1)} s (${rate(counts.sent, sentSeconds)}), kills and restart included`,
  )
  picture.say(
    `           ${shown(counts.late)} late, ${shown(counts.reversed)} in reverse order, ${shown(counts.again)} on purpose twice, ${counts.retries} requests again after no answer`,
  )
  picture.say(
    `taken      ${shown(counts.accepted)} accepted, ${shown(counts.duplicates)} duplicates, ${shown(counts.rejected)} rejected`,
  )
  picture.say(
    `folded     into ${viewFiles().length} views after ${seconds.toFixed(1)} s (${rate(counts.sent, seconds)})`,
  )
  picture.say(`slices     ${slices.sealed} sealed, ${slices.compactions} compactions, ${slices.now} now`)
}

async function compareAll(): Promise<readonly Agreement[]> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(`CREATE VIEW flights AS ${flightsSql}`)
  const agreements: Agreement[] = []
  for (const view of viewFiles()) {
    const answers = await readWholeView(server.url, view.name, counts.cut)
    const agreement = await compareView(connection, view, answers, path.join(scratch, 'answer.json'))
    agreements.push(agreement)
    const verdict = agreement.exact
      ? 'exact'
      : `${agreement.surplus} rows too many, ${agreement.missing} missing\n${agreement.examples.join('\n')}`
    picture.say(`compared   ${view.name.padEnd(18)} ${shown(agreement.rows).padStart(8)} rows  ${verdict}`)
  }
  connection.closeSync()
  instance.closeSync()
  return agreements
}

function viewFiles(): readonly { readonly name: string; readonly sql: string; readonly ordered: boolean }[] {
  const folder = path.join(root, 'examples/flights/views')
  return readdirSync(folder)
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => {
      const sql = readFileSync(path.join(folder, file), 'utf8')
      return { name: path.basename(file, '.sql'), sql, ordered: /\bORDER BY\b/.test(sql) }
    })
}

/** Redraws the picture until the returned function is called; a server that is away is no reason to stop. */
function draw(): () => void {
  let over = false
  const loop = async () => {
    let last = { ms: performance.now(), sent: 0 }
    while (!over) {
      await pause(400)
      const answer = await server.look('/v1/views/worst_routes?limit=5')
      const slices = await server.slices().catch(() => undefined)
      if (over) return
      const now = { ms: performance.now(), sent: counts.sent }
      picture.show({
        seconds: elapsed(),
        sent: counts.sent,
        done: counts.accepted / total,
        perSecond: ((now.sent - last.sent) / (now.ms - last.ms)) * 1000,
        cut: counts.cut,
        viewCut: answer?.cut ?? 0,
        lagMs: answer?.lagMs ?? 0,
        slices:
          slices === undefined
            ? 'server away'
            : `${slices.sealed} slices sealed, ${slices.compactions} compactions`,
        title: 'worst routes so far (origin, destination, flights, average delay)',
        rows: answer?.rows ?? [],
      })
      last = now
    }
  }
  void loop()
  return () => {
    over = true
  }
}

function elapsed(): number {
  return (performance.now() - startedMs) / 1000
}

function at(): string {
  return `${elapsed().toFixed(0).padStart(3)} s `
}

function shown(value: number): string {
  return value.toLocaleString('en-US')
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
