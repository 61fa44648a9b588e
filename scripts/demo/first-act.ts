/**
 * The first act: flights through HTTP, some twice, some late, some out of order, while the engine is killed once and
 * the whole server once; at the end every view is compared, row by row, with one plain DuckDB query. State: none
 * beside the stage.
 */

import { compareViews } from './compare-views.ts'
import { sendAll } from './flights-sender.ts'
import { batches, firstActFlights, flightsSql } from './flights-source.ts'
import { bar, table } from './picture.ts'
import { type Report, takeReport } from './reports.ts'
import { at, mustHold, pause, type Stage, shown } from './stage.ts'

const eventsPerBatch = 1000
const requestsInFlight = 6
const slicesWanted = 5

/** What was reported in the first act, for the second. */
export async function firstAct(stage: Stage, file: string, views: readonly string[]): Promise<Report[]> {
  const { picture, server, counts } = stage
  picture.say(`server is up at ${server.url}; sending ${shown(firstActFlights)} flights over HTTP`)
  const reports: Report[] = []
  const stopDrawing = draw(stage)
  const sendingMs = performance.now()
  const sending = sendAll(() => server.url, batches(file, eventsPerBatch), requestsInFlight, counts)
  await Promise.all([sending, mishaps(stage, reports)])
  const sentSeconds = (performance.now() - sendingMs) / 1000
  for (const view of views) {
    await server.get(`/v1/views/${view}?limit=1&after=${counts.cut}&timeout=60000`)
  }
  const seconds = (performance.now() - sendingMs) / 1000
  const slices = await untilSealed(stage)
  stopDrawing()
  report(stage, { sentSeconds, seconds, views: views.length })
  picture.say(`slices     ${slices.sealed} sealed, ${slices.compactions} compactions, ${slices.now} now`)
  mustHold(stage, slices.sealed >= slicesWanted, `only ${slices.sealed} slices were sealed`)
  mustHold(stage, slices.compactions > 0, 'no slices were compacted')
  const exact = await compareViews(stage, views, flightsSql('first'))
  picture.say(`agreement: ${exact} of ${views.length} views exact`)
  mustHold(stage, exact === views.length, 'views differ from plain DuckDB')
  reports.push(await takeReport(stage, 'at the end of the first act'))
  return reports
}

/** Kills the engine at a third of the way and the server at two thirds. */
async function mishaps(stage: Stage, reports: Report[]): Promise<void> {
  const { picture, server, counts } = stage
  await untilSent(stage, firstActFlights / 3)
  server.killEngine()
  picture.say(
    `${at(stage)} killed the engine with SIGKILL at ${shown(counts.sent)} events; the server starts another`,
  )
  await untilSent(stage, (firstActFlights * 2) / 3)
  reports.push(await takeReport(stage, 'before the server is killed'))
  await server.kill()
  const acknowledged = [...counts.acks]
  picture.say(`${at(stage)} killed the server with SIGKILL at ${shown(counts.sent)} events`)
  const restartMs = performance.now()
  await server.start()
  const seconds = ((performance.now() - restartMs) / 1000).toFixed(1)
  const sealed = Math.min(...(await server.sealedCuts()))
  const events = (from: number) =>
    acknowledged.reduce((sum, ack) => sum + (ack.cut > from ? ack.events : 0), 0)
  picture.say(
    `${at(stage)} it answers again after ${seconds} s; of ${shown(events(0))} events it folds ${shown(events(sealed))} again, those after its last slices`,
  )
}

async function untilSent({ counts }: Stage, events: number): Promise<void> {
  while (counts.sent < events) await pause(20)
}

/** Seals come by rows and by age: the last ones a few seconds after the last event. */
async function untilSealed({ server }: Stage) {
  const untilMs = performance.now() + 15_000
  for (;;) {
    const slices = await server.slices()
    const enough = slices.sealed >= slicesWanted && slices.compactions > 0
    if (enough || performance.now() > untilMs) return slices
    await pause(200)
  }
}

interface Took {
  readonly sentSeconds: number
  /** Until the views had folded it all. */
  readonly seconds: number
  readonly views: number
}

function report({ picture, counts }: Stage, { sentSeconds, seconds, views }: Took): void {
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
  picture.say(`folded     into ${views} views after ${seconds.toFixed(1)} s (${rate(counts.sent, seconds)})`)
}

/** Redraws the picture until the returned function is called; a server that is away is no reason to stop. */
function draw(stage: Stage): () => void {
  const { picture, server, counts } = stage
  let over = false
  const loop = async () => {
    let last = { ms: performance.now(), sent: 0 }
    while (!over) {
      await pause(400)
      const answer = await server.look('/v1/views/worst_routes?limit=5')
      const slices = await server.slices().catch(() => undefined)
      if (over) return
      const now = { ms: performance.now(), sent: counts.sent }
      const rate = Math.round(((now.sent - last.sent) / (now.ms - last.ms)) * 1000)
      last = now
      const state =
        slices === undefined
          ? 'server away'
          : `${slices.sealed} slices sealed, ${slices.compactions} compactions`
      const plain = `${at(stage)} ${shown(counts.sent)} events, ${shown(rate)}/s, cut ${counts.cut}, views at ${answer?.cut ?? 0}, lag ${Math.round(answer?.lagMs ?? 0)} ms, ${state}`
      const rows = (answer?.rows ?? []).map((row) => Object.values(row).map(cell))
      picture.show({
        plain,
        lines: [
          '',
          `  ${bar(counts.accepted / firstActFlights)}`,
          `  ${plain}`,
          '',
          '  worst routes so far (origin, destination, flights, average delay)',
          ...table(rows).map((line) => `    ${line}`),
          '',
        ],
      })
    }
  }
  void loop()
  return () => {
    over = true
  }
}

function cell(value: unknown): string {
  return typeof value === 'number' && !Number.isInteger(value) ? value.toFixed(2) : String(value)
}
