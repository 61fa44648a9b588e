/** Cron expressions, always in UTC: whether one is sound, and when it is due next. No state. */

import { Cron } from 'croner'

/** What is wrong with a cron expression; undefined when nothing is. */
export function cronMistake(given: unknown): string | undefined {
  if (typeof given !== 'string' || given.trim() === '') return 'it is not a text'
  try {
    if (nextCronMs(given, Date.now()) === undefined) return `"${given}" names no moment to come`
    return undefined
  } catch (error) {
    return `"${given}" is no cron expression: ${error instanceof Error ? error.message : String(error)}`
  }
}

/** The first moment after `afterMs` (ms since 1970) that the expression names; undefined when there is none. */
export function nextCronMs(cron: string, afterMs: number): number | undefined {
  const parsed = new Cron(cron, { timezone: 'UTC', paused: true })
  return parsed.nextRun(new Date(afterMs))?.getTime()
}
