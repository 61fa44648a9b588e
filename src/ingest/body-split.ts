/**
 * Finds the texts of the single events in a body, as byte ranges, without parsing them: numerals stay as they were
 * sent, and limits can be checked first. Pure.
 *
 * A range is found by counting brackets outside of strings, whatever their kind; the parser that later reads each
 * text finds the rest of the syntax errors. So the ranges are right for every body whose texts all parse.
 */

import { RefoldError } from '../model/errors.ts'

export type BodyFormat = 'array' | 'lines' | 'object' | 'empty'

const TAB = 0x09
const NEWLINE = 0x0a
const RETURN = 0x0d
const SPACE = 0x20
const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/**
 * Tells how events stand in a body. An object over several lines is one event; `lines` says that the sender stated
 * NDJSON, where every line is an event by itself.
 */
export function bodyFormat(body: Buffer, lines: boolean): BodyFormat {
  const start = textStart(body)
  if (start === body.length) return 'empty'
  if (body[start] === OPEN_ARRAY) return 'array'
  if (lines || body[start] !== OPEN_OBJECT) return 'lines'
  if (!body.includes(NEWLINE, start)) return 'object'
  return skipSpace(body, valueEnd(body, start)) === body.length ? 'object' : 'lines'
}

/** Position of the first byte that is neither white space nor a byte order mark. */
export function textStart(body: Buffer): number {
  const marked = body.length >= 3 && body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf
  return skipSpace(body, marked ? 3 : 0)
}

/** Start and end of each element of the array that is the whole body, flat. Throws REQUEST_BODY with the position. */
export function arrayElements(body: Buffer, countMax: number): number[] {
  const ranges: number[] = []
  let position = skipSpace(body, textStart(body) + 1)
  if (body[position] === CLOSE_ARRAY) return endOfArray(body, position + 1, ranges)
  for (;;) {
    const end = valueEnd(body, position)
    if (end === position) throw arrayError(body, position, 'a value is missing')
    if (end > body.length) throw arrayError(body, body.length, 'the array is not closed')
    ranges.push(position, end)
    if (ranges.length > countMax * 2) throw tooManyEvents(countMax)
    position = skipSpace(body, end)
    const byte = body[position]
    if (byte === CLOSE_ARRAY) return endOfArray(body, position + 1, ranges)
    if (byte === undefined) throw arrayError(body, position, 'the array is not closed')
    if (byte !== COMMA) throw arrayError(body, position, 'a comma or "]" is missing')
    position = skipSpace(body, position + 1)
  }
}

function endOfArray(body: Buffer, end: number, ranges: number[]): number[] {
  const rest = skipSpace(body, end)
  if (rest !== body.length) throw arrayError(body, rest, 'something follows the array')
  return ranges
}

export function skipSpace(body: Buffer, position: number): number {
  while (position < body.length) {
    const byte = body[position]
    if (byte !== SPACE && byte !== NEWLINE && byte !== RETURN && byte !== TAB) break
    position++
  }
  return position
}

/** End of the value that begins at `position`; beyond the body when it is not closed. */
function valueEnd(body: Buffer, position: number): number {
  const first = body[position]
  if (first === QUOTE) return stringEnd(body, position)
  if (first !== OPEN_OBJECT && first !== OPEN_ARRAY) return scalarEnd(body, position)
  let depth = 0
  for (let at = position; at < body.length; at++) {
    const byte = body[at]
    if (byte === QUOTE) at = stringEnd(body, at) - 1
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth++
    else if ((byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) && --depth === 0) return at + 1
  }
  return body.length + 1
}

/** Position after the closing quote of the string that begins at `position`. */
function stringEnd(body: Buffer, position: number): number {
  for (let at = position + 1; at < body.length; at++) {
    const byte = body[at]
    if (byte === QUOTE) return at + 1
    if (byte === BACKSLASH) at++
  }
  return body.length + 1
}

function scalarEnd(body: Buffer, position: number): number {
  let at = position
  for (; at < body.length; at++) {
    const byte = body[at]
    if (byte === COMMA || byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) break
    if (byte === SPACE || byte === NEWLINE || byte === RETURN || byte === TAB) break
  }
  return at
}

export function tooManyEvents(countMax: number): RefoldError {
  return new RefoldError('REQUEST_TOO_LARGE', `the request holds more than ${countMax} events`, {
    details: { limitEvents: countMax },
  })
}

/** A syntax error in an array spoils the request: what follows it cannot be told apart. */
export function arrayError(body: Buffer, position: number, fact: string): RefoldError {
  let line = 1
  let lineStart = 0
  for (let at = body.indexOf(NEWLINE); at >= 0 && at < position; at = body.indexOf(NEWLINE, at + 1)) {
    line++
    lineStart = at + 1
  }
  const column = body.toString('utf8', lineStart, position).length + 1
  return new RefoldError(
    'REQUEST_BODY',
    `the body is not a JSON array: ${fact} at line ${line}, column ${column}`,
    { hint: 'Correct the array, or send NDJSON, where a bad line spoils no other.', place: { line, column } },
  )
}
