/**
 * What goes on all through the second act: flights at a steady rate, and a reader who asks for the view that is being
 * changed, over and over. State: what the reader saw.
 */

import { sendAll, sendSteadily } from './flights-sender.ts'
import { batches } from './flights-source.ts'
import { pause, type Stage } from './stage.ts'

const eventsPerBatch = 250
const requestsInFlight = 6
export const flightsPerSecond = 4000
const readEveryMs = 25

export interface ReaderFigures {
  answers: number
  /** Answers that were no answers, and such that went back to an earlier cut. */
  errors: string[]
  lagMsMax: number
  cut: number
  /** Versions in the order in which they answered. */
  readonly versions: string[]
}

export interface LiveInput {
  readonly figures: ReaderFigures
  /** Resolves once the reader has had an answer of this version. */
  untilRead(version: string): Promise<void>
  /** Ends the steady input and the reader. */
  stop(): Promise<void>
  /** Sends what is left as fast as it goes. */
  sendRest(): Promise<void>
}

export function startLiveInput(stage: Stage, file: string): LiveInput {
  const figures: ReaderFigures = { answers: 0, errors: [], lagMsMax: 0, cut: 0, versions: [] }
  const { server, counts } = stage
  const source = batches(file, eventsPerBatch, 20010701)
  let over = false
  const sending = sendSteadily(
    () => server.url,
    source,
    flightsPerSecond,
    counts,
    () => over,
  )
  const reading = readOn(stage, figures, () => over)
  // What went wrong is told by `stop`, also when the act ends early.
  const both = Promise.all([sending, reading])
  both.catch(() => undefined)
  const untilRead = async (version: string) => {
    while (!over && figures.versions.at(-1) !== version) await pause(10)
  }
  const stop = async () => {
    over = true
    await both
  }
  const sendRest = () => sendAll(() => server.url, source, requestsInFlight, counts)
  return { figures, untilRead, stop, sendRest }
}

async function readOn(stage: Stage, figures: ReaderFigures, over: () => boolean): Promise<void> {
  while (!over()) {
    try {
      const body = await stage.server.get('/v1/views/route_delays?origin=LAX&limit=200')
      const { cut, version, lagMs } = JSON.parse(body) as { cut: number; version: string; lagMs: number }
      figures.answers += 1
      if (cut < figures.cut) figures.errors.push(`an answer at cut ${cut} after one at ${figures.cut}`)
      figures.cut = cut
      figures.lagMsMax = Math.max(figures.lagMsMax, lagMs)
      if (figures.versions.at(-1) !== version) figures.versions.push(version)
    } catch (error) {
      figures.errors.push(error instanceof Error ? error.message : String(error))
    }
    await pause(readEveryMs)
  }
}
