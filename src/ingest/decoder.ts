/**
 * Turns one event's JSON text into its canonical form, or says why it is refused. A decoder is compiled once for
 * each stream; state: the buffers of the event being decoded, so it decodes one event at a time.
 *
 * Two ways lead to the same text. The fast one (`decode-fast.ts`) scans the source in place and gives up on
 * everything unusual; it never refuses. The general one parses, and is the only place that decides what is refused.
 * A property test holds them to the same answers. Numbers are taken from the source text wherever a double may not
 * carry them, on both ways.
 */

import type { ErrorCode } from '../model/errors.ts'
import { defaultIngestLimits, type IngestLimits } from '../model/limits.ts'
import type { StreamDef } from '../model/schema.ts'
import { ExactNumeral } from '../model/value-number.ts'
import { timestampUs, timeUsMax } from '../model/value-time.ts'
import { compileFields } from '../model/value-writer.ts'
import { compileFastScan } from './decode-fast.ts'
import { type DecodedEvent, type RefusedEvent, rolesOf } from './decoded-event.ts'

export interface Decoder {
  /** Decodes a text, or its part from `start` to `end`, which must hold one event and nothing else but white space. */
  decode(text: string, start?: number, end?: number): DecodedEvent | RefusedEvent
  /** Decodes a value that was parsed elsewhere; its numbers are taken as they print. */
  decodeValue(value: unknown): DecodedEvent | RefusedEvent
}

/** `fast: false` leaves the fast way out, for comparing the two. */
export function compileDecoder(
  stream: StreamDef,
  limits: Pick<IngestLimits, 'depth'> = defaultIngestLimits,
  options: { readonly fast?: boolean } = {},
): Decoder {
  const fastScan = options.fast === false ? undefined : compileFastScan(stream)
  const decodeValue = compileGeneral(stream)
  const decode = (text: string, start = 0, end = text.length): DecodedEvent | RefusedEvent => {
    const fast = fastScan?.(text, start, end)
    if (fast !== undefined) return fast
    const part = start === 0 && end === text.length ? text : text.slice(start, end)
    if (isDeeperThan(part, limits.depth)) {
      return refused('EVENT_TOO_DEEP', `is nested deeper than ${limits.depth}`, '')
    }
    let value: unknown
    try {
      value = parseExactly(part)
    } catch (error) {
      return refused('EVENT_NOT_JSON', `is not valid JSON: ${shortMessage(error)}`, '')
    }
    return decodeValue(value)
  }
  return { decode, decodeValue }
}

function compileGeneral(stream: StreamDef): (value: unknown) => DecodedEvent | RefusedEvent {
  const { fields, fault } = compileFields(stream.schema)
  const { idIndex, keyIndex, timeIndex, keyDefault } = rolesOf(stream)
  return (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return refused('EVENT_NOT_OBJECT', 'is not a JSON object', '')
    }
    const event = value as Readonly<Record<string, unknown>>
    let out = ''
    let id: string | undefined
    let key = keyDefault
    let timeUs: number | undefined
    for (let index = 0; index < fields.length; index++) {
      const { name, prefix, find, write } = fields[index]!
      const found = find(event)
      const text = write(found)
      if (text === undefined) return refusedField(fault(), name)
      if (text === '') continue
      out += out === '' ? prefix + text : `,${prefix}${text}`
      if (index === idIndex) id = text === 'null' ? undefined : plainValue(text, found)
      if (index === keyIndex) key = text === 'null' ? undefined : plainValue(text, found)
      if (index === timeIndex) {
        timeUs = timestampUs(plainValue(text, found))
        if (Math.abs(timeUs) > timeUsMax) return refusedTime(name)
      }
    }
    return { ok: true, json: `{${out}}`, id, key, timeUs }
  }
}

/** A string's value, another value's JSON text. */
function plainValue(text: string, found: unknown): string {
  if (text.charCodeAt(0) !== 34) return text
  // mostly the value came as it is written, and comparing is quicker than cutting
  if (typeof found === 'string' && text.length === found.length + 2 && text === `"${found}"`) return found
  return text.includes('\\') ? (JSON.parse(text) as string) : text.slice(1, -1)
}

/** A numeral that may say more than a double: 16 characters or more, or with an exponent. */
const exactNumeralPattern = /[:[,]\s*-?(?:\d[\d.eE+-]{15}|[\d.]+[eE])/

function parseExactly(text: string): unknown {
  return exactNumeralPattern.test(text) ? JSON.parse(text, keepExactly) : JSON.parse(text)
}

function keepExactly(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || context?.source === undefined) return value
  return context.source === String(value) ? value : new ExactNumeral(context.source)
}

/** Whether brackets outside of strings are nested deeper than the limit; the outermost is 1. */
function isDeeperThan(text: string, limit: number): boolean {
  if (text.length <= limit * 2) return false
  let openers = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 123 || code === 91) openers++
  }
  if (openers <= limit) return false
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 34) {
      for (at++; at < text.length && text.charCodeAt(at) !== 34; at++) {
        if (text.charCodeAt(at) === 92) at++
      }
    } else if (code === 123 || code === 91) {
      if (++depth > limit) return true
    } else if (code === 125 || code === 93) depth--
  }
  return false
}

function refused(code: ErrorCode, clause: string, place: string): RefusedEvent {
  const subject = place === '' ? 'the event' : `"${place.slice(1)}"`
  return { ok: false, code, reason: `${subject} ${clause}`, place }
}

function refusedField(
  fault: { readonly code: ErrorCode; readonly clause: string; readonly place: string },
  name: string,
): RefusedEvent {
  const place = `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}${fault.place}`
  return refused(fault.code, fault.clause, place)
}

function refusedTime(name: string): RefusedEvent {
  const clause = 'is outside the years 1684 to 2255, which event time must keep to'
  return refusedField({ code: 'EVENT_FIELD_RANGE', clause, place: '' }, name)
}

function shortMessage(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.length > 200 ? `${message.slice(0, 200)}…` : message
}
