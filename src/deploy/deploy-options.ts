/** What a deploy does where nobody says otherwise, and options that came over the wire, checked field by field. Pure. */

import type { ProjectDef } from '../define/types.ts'
import { RefoldError } from '../model/errors.ts'
import type { DeployAuthor, DeployOptions, ReplayBudget, StartPoint } from './types.ts'

/** A replay makes way when a live view is further behind than this. */
const LAG_MS = 1_000
export const WARM_MS = 24 * 3_600_000
const TEXT_CHARS_MAX = 2_000

export function defaultDeployOptions({ warmMs }: Pick<ProjectDef, 'warmMs'>): DeployOptions {
  return {
    shadow: false,
    from: { kind: 'zero' },
    budget: { lagMs: LAG_MS },
    warmMs: warmMs ?? WARM_MS,
    autoRollback: { checks: true },
  }
}

type Fields = Readonly<Record<string, unknown>>

/** Throws REQUEST_BODY with the first fault. */
export function receivedOptions(sent: unknown, project: Pick<ProjectDef, 'warmMs'>): DeployOptions {
  const standard = defaultDeployOptions(project)
  if (sent === undefined) return standard
  const fields = object(sent, 'options', ['shadow', 'from', 'budget', 'warmMs', 'accept', 'autoRollback'])
  const { shadow, from, budget, warmMs, accept, autoRollback } = fields
  return {
    shadow: shadow === undefined ? standard.shadow : flag(shadow, 'options.shadow'),
    from: from === undefined ? standard.from : startPoint(from),
    budget: budget === undefined ? standard.budget : replayBudget(budget),
    warmMs: warmMs === undefined ? standard.warmMs : number(warmMs, 'options.warmMs', 0, true),
    ...(accept === undefined ? {} : { accept: receivedReason(accept, 'options.accept') }),
    autoRollback: autoRollback === undefined ? standard.autoRollback : rollbackRule(autoRollback),
  }
}

export function receivedAuthor(sent: unknown): DeployAuthor {
  if (sent === undefined) return { who: 'unknown' }
  const { who, source } = object(sent, 'author', ['who', 'source'])
  return {
    who: who === undefined ? 'unknown' : receivedReason(who, 'author.who'),
    ...(source === undefined ? {} : { source: receivedReason(source, 'author.source') }),
  }
}

/** A text that goes on record. */
export function receivedReason(value: unknown, name: string): string {
  if (typeof value === 'string' && value.trim() !== '' && value.length <= TEXT_CHARS_MAX) return value
  throw fault(name, `is not a text of 1 to ${TEXT_CHARS_MAX} characters`)
}

function startPoint(sent: unknown): StartPoint {
  const fields = object(sent, 'options.from', ['kind', 'cut', 'partition', 'offset', 'timeMs'])
  const whole = (name: string) => number(fields[name], `options.from.${name}`, 0, true)
  switch (fields['kind']) {
    case 'zero':
    case 'trimmed':
      return { kind: fields['kind'] }
    case 'cut':
      return { kind: 'cut', cut: whole('cut') }
    case 'offset':
      return { kind: 'offset', partition: whole('partition'), offset: whole('offset') }
    case 'time':
      return { kind: 'time', timeMs: whole('timeMs') }
    default:
      throw fault('options.from.kind', 'is not one of zero, trimmed, cut, offset, time')
  }
}

function replayBudget(sent: unknown): ReplayBudget {
  const fields = object(sent, 'options.budget', ['eventsPerSecond', 'cpuShare', 'lagMs'])
  const { eventsPerSecond, cpuShare, lagMs } = fields
  if (cpuShare !== undefined && !(typeof cpuShare === 'number' && cpuShare > 0 && cpuShare <= 1)) {
    throw fault('options.budget.cpuShare', 'is not a number above 0 up to 1')
  }
  return {
    ...(eventsPerSecond === undefined
      ? {}
      : { eventsPerSecond: number(eventsPerSecond, 'options.budget.eventsPerSecond', 1, false) }),
    ...(cpuShare === undefined ? {} : { cpuShare: cpuShare as number }),
    ...(lagMs === undefined ? {} : { lagMs: number(lagMs, 'options.budget.lagMs', 1, false) }),
  }
}

function rollbackRule(sent: unknown): DeployOptions['autoRollback'] {
  const { checks, lagMs } = object(sent, 'options.autoRollback', ['checks', 'lagMs'])
  return {
    checks: checks === undefined ? true : flag(checks, 'options.autoRollback.checks'),
    ...(lagMs === undefined ? {} : { lagMs: number(lagMs, 'options.autoRollback.lagMs', 1, false) }),
  }
}

function object(value: unknown, name: string, known: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw fault(name, 'is not an object')
  const unknown = Object.keys(value).find((key) => !known.includes(key))
  if (unknown !== undefined) throw fault(`${name}.${unknown}`, `is unknown; there are ${known.join(', ')}`)
  return value as Fields
}

function flag(value: unknown, name: string): boolean {
  if (typeof value === 'boolean') return value
  throw fault(name, 'is neither true nor false')
}

function number(value: unknown, name: string, min: number, whole: boolean): number {
  const fits = typeof value === 'number' && Number.isFinite(value) && value >= min
  if (fits && (!whole || Number.isSafeInteger(value))) return value as number
  throw fault(name, `is not a ${whole ? 'whole ' : ''}number of at least ${min}`)
}

function fault(name: string, what: string): RefoldError {
  return new RefoldError('REQUEST_BODY', `field "${name}" ${what}`, {
    hint: 'Send {"project": …, "options": {…}, "author": {"who": …}}, as `refold deploy` does.',
  })
}
