/** What `as_of` and `as_reported_at` say, from their texts. Pure. */

import { canonicalTimestamp, timestampUs, timeUsMax } from '../model/value-time.ts'
import type { Moment } from './core.ts'

export const momentNames = ['as_of', 'as_reported_at'] as const

export type MomentTexts = Readonly<Record<(typeof momentNames)[number], string | undefined>>

/** `mistake` is told what is wrong: the parameter, the end of a sentence about it, and a hint. */
export function momentOf(
  texts: MomentTexts,
  mistake: (parameter: string, fact: string, hint?: string) => void,
): Moment | undefined {
  const { as_of: asOf, as_reported_at: reported } = texts
  if (asOf !== undefined && reported !== undefined) {
    mistake('as_of', 'and "as_reported_at" exclude each other', 'Give one of them.')
    return undefined
  }
  if (asOf !== undefined) {
    if (/^\d{1,15}$/.test(asOf)) return { kind: 'cut', cut: Number(asOf) }
    const us = microsOf(asOf)
    if (us !== undefined) return { kind: 'time', us }
    mistake('as_of', `is "${asOf}", neither a cut nor a time`, 'Write 1234 or 2026-01-31T12:00:00Z.')
  }
  if (reported !== undefined) {
    const us = microsOf(reported)
    if (us !== undefined) return { kind: 'reported', us }
    mistake('as_reported_at', `is "${reported}", not a time`, 'Write 2026-01-31T12:00:00.000000Z.')
  }
  return undefined
}

/** A plus sign in a query string reads as a space. */
function microsOf(text: string): number | undefined {
  const canonical = canonicalTimestamp(text.replace(' ', '+'), true)
  const us = canonical === undefined ? Number.NaN : timestampUs(canonical)
  return Math.abs(us) <= timeUsMax ? us : undefined
}
