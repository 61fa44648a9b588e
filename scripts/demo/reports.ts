/**
 * Reports that the demo keeps as a reader would: the whole of the view that is changed later, as it was shown, with the
 * moment that the answer named. Later the server is asked for those moments again. No state.
 */

import { mustHold, type Stage, shown } from './stage.ts'

/** Every row is in one answer. */
const path = '/v1/views/route_delays?limit=100000'

export interface Report {
  readonly what: string
  readonly at: string
  readonly cut: number
  readonly version: string
  /** The rows as they stood in the answer, byte for byte. */
  readonly bytes: string
}

export interface Route {
  readonly origin: string
  readonly destination: string
  readonly flights: number
  readonly delay_total: number
  readonly delay_average: number
}

export async function takeReport(stage: Stage, what: string): Promise<Report> {
  return reportOf(what, await stage.server.get(path))
}

/** Asks for each moment again and compares what comes with what was kept. */
export async function askAgain(stage: Stage, reports: readonly Report[]): Promise<void> {
  for (const report of reports) {
    const beganMs = performance.now()
    const body = await stage.server.get(`${path}&as_reported_at=${report.at}`)
    const seconds = ((performance.now() - beganMs) / 1000).toFixed(1)
    const again = reportOf(report.what, body)
    const same = again.bytes === report.bytes && again.version === report.version && again.cut === report.cut
    stage.picture.say(
      `    ${report.at}  ${report.what.padEnd(31)} version ${report.version.slice(0, 8)}  ` +
        `${shown(report.bytes.length)} bytes, ${same ? 'the same' : 'NOT the same'}  ${seconds} s`,
    )
    mustHold(stage, same, `what was reported ${report.what} (${report.at}) is now another answer`)
  }
}

export function routesOf(report: Report): readonly Route[] {
  return JSON.parse(report.bytes) as Route[]
}

function reportOf(what: string, body: string): Report {
  const { at, cut, version } = JSON.parse(body) as Report
  const bytes = body.slice(body.indexOf('"rows":') + '"rows":'.length, body.lastIndexOf(',"truncated"'))
  return { what, at, cut, version, bytes }
}
