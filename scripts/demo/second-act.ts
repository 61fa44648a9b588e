/**
 * The second act: one view's logic is changed while flights go on arriving. A first version of the change is wrong and
 * is held at the gate by a check of the project; the mended one is compared, checked and put in place; it is rolled
 * back and put in place again; then the demo asks for what was reported before, and why it differs. All of it through
 * the commands and routes that people use. State: none beside the stage.
 */

import { copyFileSync } from 'node:fs'
import path from 'node:path'
import { root } from '../steps.ts'
import { compareViews } from './compare-views.ts'
import { type Deployed, deployAndWatch } from './deploy-watch.ts'
import { flightsSql, flightsTotal } from './flights-source.ts'
import { flightsPerSecond, type LiveInput, startLiveInput } from './live-input.ts'
import { indented, table } from './picture.ts'
import { askAgain, type Report, takeReport } from './reports.ts'
import { at, mustHold, pause, refold, type Stage, shown, viewFile } from './stage.ts'
import { whyItDiffers } from './why-act.ts'

const view = 'route_delays'
const checkName = 'average_fits_total'

export async function secondAct(
  stage: Stage,
  file: string,
  views: readonly string[],
  earlier: readonly Report[],
): Promise<void> {
  const { picture } = stage
  picture.say('')
  picture.say(`Second act: early flights shall count as 0 minutes of delay, not as less. ${view} is changed`)
  picture.say(`while ${shown(flightsPerSecond)} flights a second arrive and somebody reads it all the time.`)
  const reports = [...earlier]
  const input = startLiveInput(stage, file)
  try {
    await gateHolds(stage, input)
    const mended = await mendedPasses(stage, input, reports)
    await backAndForth(stage, input, mended, reports)
  } finally {
    await input.stop()
  }
  tellReader(stage, input)
  const [before, beganMs] = [stage.counts.sent, performance.now()]
  await input.sendRest()
  const rest = `${shown(stage.counts.sent - before)} events in ${((performance.now() - beganMs) / 1000).toFixed(1)} s`
  picture.say(`${at(stage)} the rest, ${rest}: all ${shown(flightsTotal)} flights are in`)
  mustHold(stage, stage.counts.rejected === 0, `${stage.counts.rejected} flights were rejected`)
  picture.say('')
  picture.say(
    `${at(stage)} what was reported before? The server is asked for moments of which the demo kept the rows:`,
  )
  await askAgain(stage, reports)
  const shownThen = reports.find(({ what }) => what === 'at the end of the first act') as Report
  await whyItDiffers(stage, shownThen)
  picture.say('')
  const exact = await compareViews(stage, views, flightsSql('all'))
  picture.say(`agreement: ${exact} of ${views.length} views exact, ${view} with its new logic`)
  mustHold(stage, exact === views.length, 'after the second act views differ from plain DuckDB')
}

/** The first version of the change: the average of late flights alone, which the project's check finds. */
async function gateHolds(stage: Stage, input: LiveInput): Promise<void> {
  const { picture } = stage
  change(stage, 'route_delays_at_first.sql')
  picture.say('')
  picture.say(`${at(stage)} $ refold plan          # the change as somebody wrote it at first`)
  picture.say(indented(await refold(stage, ['plan'])))
  picture.say(`${at(stage)} $ refold deploy`)
  const deployed = await deployAndWatch(stage, input)
  const { info } = deployed
  mustHold(stage, info.state === 'refused', `deploy ${info.id} should have been refused and is ${info.state}`)
  const red = info.checks.find(({ verdict }) => verdict === 'red')
  mustHold(stage, red?.name === checkName, `check ${checkName} should have been red`)
  tellBuild(stage, deployed)
  picture.say(`    refused at the gate: ${wrapped(info.reason ?? '')}`)
  const first = info.views[0]?.compare?.sample.find((row) => row.first !== undefined)?.first
  const { flight, origin, destination, delay } = (first?.event ?? {}) as Readonly<Record<string, unknown>>
  picture.say(`    that event is flight ${flight}, ${origin} to ${destination}, with a delay of ${delay}`)
  // Late flights alone count the same in both; the first difference is made by one that was not late.
  mustHold(stage, Number(delay) <= 0, `the first event that differs should be a flight that was not late`)
  mustHold(stage, input.figures.versions.length === 1, 'somebody read a version that the gate held')
  await refold(stage, ['deploys', 'cancel', String(info.id), '--reason', 'the average is wrong'])
}

async function mendedPasses(stage: Stage, input: LiveInput, reports: Report[]): Promise<Deployed> {
  const { picture } = stage
  change(stage, 'route_delays.sql')
  picture.say('')
  picture.say(`${at(stage)} $ refold plan          # mended`)
  picture.say(indented(await refold(stage, ['plan'])))
  reports.push(await takeReport(stage, 'before the cutover'))
  picture.say(`${at(stage)} $ refold deploy`)
  const deployed = await deployAndWatch(stage, input)
  const { info } = deployed
  mustHold(
    stage,
    info.state === 'live',
    `deploy ${info.id} should be live and is ${info.state}: ${info.reason}`,
  )
  tellBuild(stage, deployed)
  tellCompare(stage, deployed)
  const green = info.checks.filter(({ verdict }) => verdict === 'green').map(({ name }) => name)
  picture.say(`    green: ${green.join(', ')}; live from cut ${info.cutoverAt}`)
  const after = await takeReport(stage, 'after the cutover')
  reports.push(after)
  await input.untilRead(after.version)
  return deployed
}

/** A rollback, timed until a read gives the old version again, and the same deploy once more. */
async function backAndForth(
  stage: Stage,
  input: LiveInput,
  { info }: Deployed,
  reports: Report[],
): Promise<void> {
  const { picture, server } = stage
  const changed = info.views.find((one) => one.view === view)
  const beganMs = performance.now()
  await server.post('/v1/rollback', { reason: 'the demo goes back once', author: { who: 'demo' } })
  const read = JSON.parse(await server.get(`/v1/views/${view}?origin=LAX`)) as { readonly version: string }
  const tookMs = performance.now() - beganMs
  mustHold(stage, read.version === changed?.from, 'a read after the rollback gives another version')
  const back = await takeReport(stage, 'after the rollback')
  reports.push(back)
  mustHold(stage, tookMs < 1000, `the rollback took ${tookMs.toFixed(0)} ms`)
  picture.say('')
  picture.say(`${at(stage)} rolled back: ${tookMs.toFixed(0)} ms later a read gives the old logic again`)
  await input.untilRead(back.version)
  const again = await deployAndWatch(stage, input)
  const forth = await takeReport(stage, 'when it was put in place again')
  reports.push(forth)
  mustHold(
    stage,
    forth.version === changed?.to,
    'after the second deploy another version than the new one answers',
  )
  picture.say(
    `${at(stage)} deployed again in ${again.seconds.toFixed(1)} s: its version had stayed warm, ${shown(again.info.outcome?.events ?? 0)} events were folded`,
  )
  await input.untilRead(forth.version)
  // A while of the new logic under live input.
  await pause(1000)
}

function change(stage: Stage, file: string): void {
  copyFileSync(path.join(root, 'examples/flights/changes', file), viewFile(stage, view))
}

function tellBuild({ picture }: Stage, { info, seconds }: Deployed): void {
  const took = info.outcome
  const likely = info.plan.views[0]?.estimate?.seconds.likely
  if (took === undefined) return
  picture.say(
    `    built from ${shown(took.events)} events in ${took.seconds.toFixed(1)} s, ${shown(Math.round(took.rate))}/s` +
      `${likely === undefined ? '' : ` (the plan said ${likely.toFixed(1)} s)`}; with compare and checks ${seconds.toFixed(1)} s`,
  )
}

function tellCompare({ picture }: Stage, { info }: Deployed): void {
  const compare = info.views.find((one) => one.view === view)?.compare
  if (compare === undefined) return
  const { cut, equal, changed, added, removed, causes, sample } = compare
  picture.say(
    `    compared at cut ${cut}: ${shown(equal)} routes equal, ${shown(changed)} changed, ${added} added, ${removed} removed; ${shown(causes.logic)} by the new logic`,
  )
  const rows = sample.slice(0, 3).map(({ old, new: fresh }) => {
    const before = (old ?? {}) as Readonly<Record<string, number>>
    const after = (fresh ?? {}) as Readonly<Record<string, number>>
    return [
      `${after['origin']} to ${after['destination']}`,
      `${shown(Number(after['flights']))} flights`,
      `total ${shown(Number(before['delay_total']))} → ${shown(Number(after['delay_total']))}`,
      `average ${Number(before['delay_average']).toFixed(2)} → ${Number(after['delay_average']).toFixed(2)}`,
    ]
  })
  for (const line of table(rows)) picture.say(`      ${line}`)
}

function tellReader(stage: Stage, { figures }: LiveInput): void {
  const { answers, errors, lagMsMax, versions } = figures
  stage.picture.say(
    `${at(stage)} all the while ${shown(answers)} reads: ${errors.length} errors, at most ${Math.round(lagMsMax)} ms behind, versions ${versions.map((id) => id.slice(0, 8)).join(' → ')}`,
  )
  mustHold(stage, errors.length === 0, `reads failed: ${errors.slice(0, 3).join('; ')}`)
  // Old, new, old again by the rollback, new again: nobody saw anything else.
  const [old, fresh] = versions
  const expected = [old, fresh, old, fresh].join()
  mustHold(stage, versions.join() === expected, `versions were read in the order ${versions.join(', ')}`)
}

/** Long sentences continue below their beginning. */
function wrapped(text: string): string {
  const lines: string[] = ['']
  for (const word of text.split(' ')) {
    const line = `${lines.at(-1)}${lines.at(-1) === '' ? '' : ' '}${word}`
    if (line.length <= 90) lines[lines.length - 1] = line
    else lines.push(word)
  }
  return lines.join('\n      ')
}
