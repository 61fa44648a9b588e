/** The text of `refold plan`, and of a plan wherever else it is shown. No state. */

import type {
  BuildEstimate,
  DeployPlan,
  Reason,
  RunChange,
  StreamChange,
  ViewChange,
} from '../deploy/types.ts'
import type { Style } from './colours.ts'
import { grouped } from './ingest-meter.ts'
import { shortVersion } from './query.ts'

/** `next` stands behind the summary: what to run to carry it out. */
export function formatPlan(
  plan: DeployPlan,
  style: Style,
  next = ' `refold deploy` carries it out.',
): string {
  if (plan.empty) return `${style.green('Nothing to do:')} what runs is what the project says.\n`
  const blocks = [
    ...plan.streams.map((stream) => streamText(stream, style)),
    ...plan.views.map((view) => viewText(view, style)),
    ...(plan.checks ?? []).map(({ check, change }) => title(change, `check ${check}`, style)),
  ]
  return `${blocks.join('\n')}\n${style.bold(summary(plan) + next)}\n`
}

const signs = { new: '+', changed: '~', removed: '-' } as const

function title(change: keyof typeof signs, text: string, style: Style): string {
  const paint = { new: style.green, changed: style.yellow, removed: style.red }[change]
  return `${paint(`${signs[change]} ${text}`)}\n`
}

function streamText({ stream, change, reasons }: StreamChange, style: Style): string {
  return title(change, `stream ${stream}`, style) + reasonLines(reasons, style)
}

function viewText(change: ViewChange, style: Style): string {
  const { view, from, to, reasons, run, estimate, trimmed } = change
  const versions =
    from === to
      ? style.dim('the version stays')
      : style.dim(
          [from, to]
            .map((id) => (id === undefined ? '' : shortVersion(id)))
            .join(' → ')
            .trim(),
        )
  const lines = title(change.change, `view ${view}  ${versions}`, style) + reasonLines(reasons, style)
  const isMove = from === to && run !== undefined
  const build = estimate === undefined ? '' : estimateLines(estimate, style)
  const cost = isMove ? moveLine(run, estimate, style) : build
  return lines + cost + (trimmed === undefined ? '' : trimmedLine(trimmed, style))
}

function reasonLines(reasons: readonly Reason[], style: Style): string {
  return reasons.map(({ what, text }) => `    ${style.dim(what.padEnd(8))}${text}\n`).join('')
}

function estimateLines(estimate: BuildEstimate, style: Style): string {
  const { events, bytes, reusedEvents, seconds, diskBytes, foldRate, inputRate, catchesUp } = estimate
  const reused = reusedEvents === 0 ? '' : `, ${grouped(reusedEvents)} are folded already`
  const disk = diskBytes === 0 ? '' : `, about ${sizeText(diskBytes)} on disk`
  const basis =
    estimate.basis === 'measured' ? 'as earlier builds here' : 'a guess: nothing was built here yet'
  const build =
    `folds ${grouped(events)} events (${sizeText(bytes)})${reused}; ` +
    `${secondsText(seconds.low)} to ${secondsText(seconds.high)}, likely ${secondsText(seconds.likely)}${disk}`
  const rates = `folds ${grouped(foldRate)} events/s (${basis}), ${grouped(inputRate)}/s arrive`
  const verdict = catchesUp ? 'it catches up' : style.red('it cannot catch up at this rate')
  return `    ${style.dim('build   ')}${build}\n    ${style.dim('rate    ')}${rates}: ${verdict}\n`
}

/** What stands behind a change of how a view runs. */
function moveLine({ proof }: RunChange, estimate: BuildEstimate | undefined, style: Style): string {
  if (estimate === undefined) return `    ${style.dim('cost    ')}nothing is folded\n`
  const { events, bytes, seconds, diskBytes } = estimate
  const disk = diskBytes === 0 ? '' : `, about ${sizeText(diskBytes)} on disk`
  const folds =
    `folds ${grouped(events)} events (${sizeText(bytes)}), compared with what is served; ` +
    `${secondsText(seconds.low)} to ${secondsText(seconds.high)}, likely ${secondsText(seconds.likely)}${disk}`
  return proof === 'batch'
    ? `    ${style.dim('batch   ')}the first one ${folds}\n`
    : `    ${style.dim('proof   ')}nothing is built; it ${folds}\n`
}

function trimmedLine({ cut, events }: NonNullable<ViewChange['trimmed']>, style: Style): string {
  const text = `${grouped(events)} events up to cut ${cut} are no longer in the log: the new version cannot count them`
  return `    ${style.yellow('trimmed ')}${text}\n`
}

function summary({ streams, views, checks = [] }: DeployPlan): string {
  const kinds = [
    counted(streams.length, 'stream'),
    counted(views.length, 'view'),
    counted(checks.length, 'check'),
  ]
  const parts = kinds.filter((part) => part !== '')
  const change = streams.length + views.length + checks.length === 1 ? 'changes' : 'change'
  return `${[parts.slice(0, -1).join(', '), ...parts.slice(-1)].filter(Boolean).join(' and ')} ${change}.`
}

function counted(count: number, noun: string): string {
  return count === 0 ? '' : `${count} ${noun}${count === 1 ? '' : 's'}`
}

function sizeText(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

function secondsText(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return `${(seconds / 3600).toFixed(1)} h`
}
