/** The text of a deploy: one line of progress, and the whole of it for `refold deploys show`. No state. */

import { runText } from '../deploy/plan-run.ts'
import type { BuildProgress, DeployInfo, DeployView } from '../deploy/types.ts'
import type { Style } from './colours.ts'
import { duration, grouped } from './ingest-meter.ts'
import { shortVersion } from './query.ts'

/** What is going on now, in one line. */
export function deployLine(info: DeployInfo): string {
  const building = info.views.filter(({ progress }) => progress !== undefined)
  const now = building.at(-1)
  if (info.state !== 'building' || now?.progress === undefined) return stateText(info.state)
  return `building ${now.view} ${progressText(now.progress)}`
}

function progressText({ percent, rate, etaMs, held, done, total }: BuildProgress): string {
  const parts = [`${percent} %`, `${grouped(done)} of ${grouped(total)} events`, `${grouped(rate)}/s`]
  if (held !== undefined) parts.push(held === 'paused' ? 'paused' : `held by its ${held}`)
  else if (etaMs !== undefined && done < total) {
    const seconds = (ms: number) => duration(ms / 1000)
    parts.push(`${seconds(etaMs.likely)} left (${seconds(etaMs.low)} to ${seconds(etaMs.high)})`)
  }
  return parts.join(', ')
}

export function stateText(state: string): string {
  return state.replace('_', ' ')
}

/** The end of a deploy, for whoever waited for it. */
export function deployEnd(info: DeployInfo, style: Style): string {
  const { id, state, reason } = info
  const why = reason === undefined || reason === '' ? '' : `: ${reason}`
  switch (state) {
    case 'live':
      return `${style.green('✓')} deploy ${id} is live at cut ${info.cutoverAt ?? 0}${acceptedText(info)}`
    case 'shadow':
      return `${style.green('✓')} deploy ${id} is built and compared at cut ${info.comparedAt ?? 0}; it never serves${why}`
    case 'refused':
      return (
        `${style.red('✗')} deploy ${id} is refused at the gate${why}\n` +
        `  \`refold deploys accept ${id} --reason "…"\` passes it, \`refold deploys cancel ${id}\` ends it`
      )
    default:
      return `${style.red('✗')} deploy ${id} is ${stateText(state)}${why}`
  }
}

function acceptedText({ accepted }: DeployInfo): string {
  return accepted === undefined ? '' : `; a red gate was passed: ${accepted}`
}

export function formatDeploy(info: DeployInfo, style: Style): string {
  const { id, state, author, options, createdMs } = info
  const from =
    author.source === undefined ? '' : `, from ${author.source.slice(0, 12)}${dirtyMark(author.source)}`
  const lines = [
    `${style.bold(`deploy ${id}`)}  ${stateText(state)}  by ${author.who}${from}, ${new Date(createdMs).toISOString()}`,
    ...(options.shadow ? ['shadow: it never serves'] : []),
    ...(info.reason === undefined || info.reason === '' ? [] : [`reason: ${info.reason}`]),
    ...(info.accepted === undefined ? [] : [`a red gate was passed: ${info.accepted}`]),
    ...(info.error === undefined ? [] : [style.red(`${info.error.code}: ${info.error.message}`)]),
    ...cutLine(info),
    '',
    ...info.views.flatMap((view) => viewLines(view, style)),
    ...checkLines(info, style),
    ...tookLines(info),
  ]
  return `${lines.join('\n').trimEnd()}\n`
}

function dirtyMark(source: string): string {
  return source.endsWith('+changes') ? '+changes' : ''
}

function cutLine({ comparedAt, cutoverAt }: DeployInfo): readonly string[] {
  const parts = [
    ...(comparedAt === undefined ? [] : [`compared at cut ${comparedAt}`]),
    ...(cutoverAt === undefined ? [] : [`live from cut ${cutoverAt}`]),
  ]
  return parts.length === 0 ? [] : [parts.join(', ')]
}

function viewLines(info: DeployView, style: Style): readonly string[] {
  const { view, change, from, to, run, state, progress, compare } = info
  const versions = [from, to].map((id) => (id === undefined ? '–' : shortVersion(id))).join(' → ')
  const sign = { new: '+', changed: '~', removed: '-' }[change]
  const lines = [`${sign} view ${view}  ${style.dim(versions)}  ${stateText(state)}`]
  if (run !== undefined) lines.push(`    runs as ${runText(run.to)}; before: ${runText(run.from)}`)
  if (progress !== undefined && state === 'building') lines.push(`    ${progressText(progress)}`)
  if (compare !== undefined) {
    const { equal, changed, added, removed, causes } = compare
    lines.push(
      `    ${grouped(equal)} rows equal, ${grouped(changed)} changed, ${grouped(added)} added, ${grouped(removed)} removed` +
        ` (${Object.entries(causes)
          .filter(([, rows]) => rows > 0)
          .map(([cause, rows]) => `${cause} ${grouped(rows)}`)
          .join(', ')})`.replace(' ()', ''),
    )
  }
  return lines
}

function checkLines({ checks }: DeployInfo, style: Style): readonly string[] {
  if (checks.length === 0) return []
  return [
    '',
    ...checks.map(({ name, verdict, text }) => {
      const paint = verdict === 'green' ? style.green : style.red
      return `${paint(verdict.padEnd(5))} ${name}: ${text}`
    }),
  ]
}

/** What the build took beside what the plan said. */
function tookLines({ outcome, plan }: DeployInfo): readonly string[] {
  if (outcome === undefined) return []
  const estimates = plan.views.flatMap(({ estimate }) => (estimate === undefined ? [] : [estimate]))
  const sum = (pick: (estimate: (typeof estimates)[number]) => number) =>
    estimates.reduce((total, estimate) => total + pick(estimate), 0)
  const seconds = (value: number) => (value < 10 ? value.toFixed(1) : String(Math.round(value)))
  const planned =
    estimates.length === 0
      ? ''
      : `; the plan said ${grouped(sum(({ events }) => events))} events in ${seconds(sum(({ seconds: s }) => s.likely))} s` +
        ` (${seconds(sum(({ seconds: s }) => s.low))} to ${seconds(sum(({ seconds: s }) => s.high))})`
  return [
    '',
    `folded ${grouped(outcome.events)} events in ${seconds(outcome.seconds)} s, ${grouped(outcome.rate)}/s${planned}`,
  ]
}
