/** Turns what `kappa`, `lambda` and `hybrid` were given into plain data with every default filled in. No state. */

import { nearestName } from '../std/nearest-name.ts'
import { cronMistake } from './cron.ts'
import type { CallSite } from './places.ts'
import type { Refuse } from './refuse.ts'
import { type SettingReader, settingReader } from './settings.ts'
import type { BatchScheduleDef, RunDef } from './types.ts'

const EVERY_MS_MIN = 100
const SPAN_FACTOR = 3
const SNAPSHOTS_KEPT = 10
const SNAPSHOTS_MAX = 10_000

const knownKeys = {
  lambda: ['every', 'cron', 'afterEvents', 'incremental', 'whenSpeedFails', 'maxSpan', 'maxDivergence'],
  hybrid: ['snapshotEvery', 'keep'],
} as const

/** `what` names the view, e.g. `view "daily"`. */
export function resolveRun(what: string, given: unknown, call: CallSite, refuse: Refuse): RunDef {
  const kind = (given as { readonly kind?: unknown } | null | undefined)?.kind ?? 'kappa'
  const place = call.option(['run'])
  const fault = (message: string, hint?: string) =>
    refuse('PROJECT_SETTING', `${what}: ${message}`, place, hint)
  if (given !== undefined && (typeof given !== 'object' || given === null || !isKind(kind))) {
    fault('`run` is not a way to run views', 'Use kappa(), lambda({ … }) or hybrid({ … }), or leave it out.')
    return { kind: 'kappa' }
  }
  if (kind === 'kappa') return { kind: 'kappa' }
  const options = (given as { readonly options?: unknown }).options
  if (typeof options !== 'object' || options === null) {
    const example = kind === 'lambda' ? "lambda({ every: '15m' })" : "hybrid({ snapshotEvery: '1h' })"
    fault(`${String(kind)}() was called without options`, `Write ${example}.`)
    return { kind: 'kappa' }
  }
  const known: readonly string[] = knownKeys[kind as 'lambda' | 'hybrid']
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue
    const near = nearestName(key, known)
    fault(
      `${String(kind)}() has no option "${key}"`,
      near === undefined ? `Known: ${known.join(', ')}.` : `Did you mean "${near}"?`,
    )
  }
  const read = settingReader(options, (path, message, hint) =>
    fault(`\`${path.join('.')}\`: ${message}`, hint),
  )
  return kind === 'lambda' ? lambdaDef(options, read, fault) : hybridDef(options, read, fault)
}

function isKind(kind: unknown): boolean {
  return kind === 'kappa' || kind === 'lambda' || kind === 'hybrid'
}

type Fault = (message: string, hint?: string) => void

function lambdaDef(options: object, read: SettingReader, fault: Fault): RunDef {
  const schedule = scheduleOf(options, read, fault)
  const { whenSpeedFails = 'stale' } = options as { readonly whenSpeedFails?: unknown }
  if (whenSpeedFails !== 'stale' && whenSpeedFails !== 'refuse') {
    fault(`whenSpeedFails ${JSON.stringify(whenSpeedFails)} is not known`, 'Use "stale" or "refuse".')
  }
  const maxSpanMs =
    'maxSpan' in options && options.maxSpan !== undefined
      ? read.duration(['maxSpan'], 0, 1)
      : schedule.kind === 'every'
        ? schedule.everyMs * SPAN_FACTOR
        : undefined
  return {
    kind: 'lambda',
    schedule,
    incremental: read.flag(['incremental'], false),
    whenSpeedFails: whenSpeedFails === 'refuse' ? 'refuse' : 'stale',
    ...(maxSpanMs === undefined ? {} : { maxSpanMs }),
    maxDivergence: read.count(['maxDivergence'], 0, 0, Number.MAX_SAFE_INTEGER),
  }
}

function scheduleOf(options: object, read: SettingReader, fault: Fault): BatchScheduleDef {
  const { every, cron, afterEvents } = options as Readonly<Record<string, unknown>>
  const given = [every, cron, afterEvents].filter((value) => value !== undefined)
  if (given.length !== 1) {
    const count = given.length === 0 ? 'none' : 'several'
    fault(
      `lambda() needs one of every, cron and afterEvents, and has ${count}`,
      "Write e.g. { every: '15m' }.",
    )
  }
  if (cron !== undefined) {
    const mistake = cronMistake(cron)
    if (mistake !== undefined) fault(`\`cron\`: ${mistake}`, 'Write minute hour day month weekday, in UTC.')
    return { kind: 'cron', cron: String(cron) }
  }
  if (afterEvents !== undefined) {
    return { kind: 'events', events: read.count(['afterEvents'], 1, 1, Number.MAX_SAFE_INTEGER) }
  }
  return { kind: 'every', everyMs: read.duration(['every'], 900_000, EVERY_MS_MIN) }
}

function hybridDef(options: object, read: SettingReader, fault: Fault): RunDef {
  if ((options as { readonly snapshotEvery?: unknown }).snapshotEvery === undefined) {
    fault('hybrid() needs snapshotEvery', "Write hybrid({ snapshotEvery: '1h' }).")
  }
  return {
    kind: 'hybrid',
    snapshotEveryMs: read.duration(['snapshotEvery'], 3_600_000, EVERY_MS_MIN),
    keep: read.count(['keep'], SNAPSHOTS_KEPT, 1, SNAPSHOTS_MAX),
  }
}
