/**
 * How a value is refused while it is written: the fault slot that the writers of one type share. State: the slot,
 * written only when a value is refused, read before the next value.
 */

import type { ErrorCode } from './errors.ts'
import { ExactNumeral } from './value-number.ts'

/** Canonical JSON text of a value, or undefined with the fault slot set. */
export type WriteText = (value: unknown) => string | undefined

/** Why a value was refused. */
export interface Fault {
  readonly code: ErrorCode
  /** The end of a sentence whose subject is the place. */
  readonly clause: string
  /** JSON pointer, '' for the whole. */
  readonly place: string
}

/** The fault of the value being refused; `place` grows towards the root while the writers return. */
export interface FaultSlot {
  code: ErrorCode
  clause: string
  place: string
}

/** Sets the fault of a value and refuses it. */
export function refuse(slot: FaultSlot, code: ErrorCode, clause: string): undefined {
  slot.code = code
  slot.clause = clause
  slot.place = ''
  return undefined
}

export function refuseType(slot: FaultSlot, value: unknown, wanted: string): undefined {
  return refuse(slot, 'EVENT_FIELD_TYPE', `is ${nameOfType(value)}, not ${wanted}`)
}

/** Says that the fault lies in this key or index. */
export function within(slot: FaultSlot, name: string): undefined {
  slot.place = `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}${slot.place}`
  return undefined
}

/** A text as JSON. Half of a surrogate pair is no character: no reader of UTF-8 would keep it. */
export function writeString(text: string, slot: FaultSlot): string | undefined {
  if (!specialPattern.test(text)) return `"${text}"`
  if (!text.isWellFormed()) return refuse(slot, 'EVENT_FIELD_TEXT', 'holds half of a surrogate pair')
  return JSON.stringify(text)
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON must escape exactly these
const specialPattern = /["\\\u0000-\u001f\ud800-\udfff]/

function nameOfType(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (value instanceof ExactNumeral) return 'a number'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
