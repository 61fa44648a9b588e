/**
 * Scanners of single values for the fast way: each walks over one value in the source text and gives the position
 * after it, or -1 for anything it is not sure of. Pure, apart from the `ScanState` that they are handed.
 */

import type { FieldType, IntegerType, ObjectType } from '../model/schema.ts'
import { numberCheck, stringCheck } from '../model/value-checks.ts'
import { daysSinceEpoch, isDay, twoDigits } from '../model/value-time.ts'

export interface ScanState {
  /** The value's canonical text, where the source is not canonical. */
  replaced: string | undefined
  /** Microseconds since the epoch of the last timestamp scanned. */
  timeUs: number
}

export type Scan = (text: string, position: number, state: ScanState) => number

const giveUp: Scan = () => -1

export function scanOf(type: FieldType, scanObject: (type: ObjectType) => Scan): Scan {
  switch (type.kind) {
    case 'boolean':
      return scanBoolean
    case 'string': {
      const check = stringCheck(type)
      if (check === undefined) return scanString
      return (text, position) => {
        const end = scanString(text, position)
        return end < 0 || check(text.slice(position + 1, end - 1)) !== undefined ? -1 : end
      }
    }
    case 'integer':
      return integerScan(type)
    case 'double':
      return doubleScan(type)
    case 'decimal':
      return decimalScan(type.precision, type.scale)
    case 'timestamp':
      return scanTimestamp
    case 'date':
      return scanDate
    case 'uuid':
      return uuidScan(type.version)
    case 'array':
      return arrayScan(type, scanOf(type.element, scanObject))
    case 'object':
      return scanObject(type)
    case 'map':
    case 'json':
      return giveUp
  }
}

function scanBoolean(text: string, position: number): number {
  if (text.startsWith('true', position)) return position + 4
  return text.startsWith('false', position) ? position + 5 : -1
}

export function scanString(text: string, position: number): number {
  if (text.charCodeAt(position) !== 34) return -1
  for (let at = position + 1; ; at++) {
    const code = text.charCodeAt(at)
    if (code === 34) return at + 1
    // NaN, the code beyond the end, fails the first comparison
    if (!(code >= 32) || code === 92 || (code >= 0xd800 && code <= 0xdfff)) return -1
  }
}

/** At most 15 digits, which a double counts exactly. */
function integerScan(type: IntegerType): Scan {
  if (type.multipleOf !== undefined || type.values !== undefined) return giveUp
  const edge = 2 ** (type.bits - 1)
  const low = Math.max(Number(type.minimum ?? -edge), -edge)
  const high = Math.min(Number(type.maximum ?? edge - 1), edge - 1)
  return (text, position) => {
    let at = position
    const negative = text.charCodeAt(at) === 45
    if (negative) at++
    const first = at
    let value = 0
    let code = text.charCodeAt(at)
    while (code >= 48 && code <= 57) {
      value = value * 10 + (code - 48)
      code = text.charCodeAt(++at)
    }
    const digits = at - first
    if (digits === 0 || digits > 15 || !isValueEnd(code)) return -1
    if (text.charCodeAt(first) === 48 && (digits > 1 || negative)) return -1
    if (negative) value = -value
    return value < low || value > high ? -1 : at
  }
}

function doubleScan(type: Extract<FieldType, { kind: 'double' }>): Scan {
  if (Object.keys(type).length === 1) return scanDouble
  const faultOf = numberCheck(type)
  return (text, position) => {
    const end = scanDouble(text, position)
    return end < 0 || faultOf(Number(text.slice(position, end))) !== undefined ? -1 : end
  }
}

/** Up to 15 digits without an exponent and without needless zeros print as they stand. */
function scanDouble(text: string, position: number): number {
  let at = position
  if (text.charCodeAt(at) === 45) at++
  const whole = at
  while (isDigit(text.charCodeAt(at))) at++
  const wholeDigits = at - whole
  if (wholeDigits === 0 || wholeDigits > 15) return -1
  const zero = text.charCodeAt(whole) === 48
  if (zero && wholeDigits > 1) return -1
  if (text.charCodeAt(at) !== 46) {
    return isValueEnd(text.charCodeAt(at)) && !(zero && whole > position) ? at : -1
  }
  const point = at++
  while (isDigit(text.charCodeAt(at))) at++
  if (!isValueEnd(text.charCodeAt(at)) || at - whole > 16 || at === point + 1) return -1
  if (text.charCodeAt(at - 1) === 48) return -1
  // below a millionth JavaScript prints an exponent
  return zero && text.startsWith('00000', point + 1) ? -1 : at
}

/** As a string or a plain numeral; zeros at the end of the fraction are left out. */
function decimalScan(precision: number, scale: number): Scan {
  const wholeMax = precision - scale
  return (text, position, state) => {
    const quoted = text.charCodeAt(position) === 34
    const first = quoted ? position + 1 : position
    let at = first
    if (text.charCodeAt(at) === 45) at++
    const whole = at
    while (isDigit(text.charCodeAt(at))) at++
    const wholeDigits = at - whole
    const zero = text.charCodeAt(whole) === 48
    if (wholeDigits === 0 || (zero ? wholeDigits > 1 || whole > first : wholeDigits > wholeMax)) return -1
    let significant = at
    if (text.charCodeAt(at) === 46) {
      const point = at++
      while (isDigit(text.charCodeAt(at))) at++
      significant = at
      while (text.charCodeAt(significant - 1) === 48) significant--
      if (at === point + 1 || significant - point - 1 > scale) return -1
      if (significant === point + 1) significant = point
    }
    if (!quoted) {
      if (!isValueEnd(text.charCodeAt(at))) return -1
      state.replaced = `"${text.slice(first, significant)}"`
      return at
    }
    if (text.charCodeAt(at) !== 34) return -1
    if (significant !== at) state.replaced = `"${text.slice(first, significant)}"`
    return at + 1
  }
}

/** `"YYYY-MM-DDTHH:MM:SS[.f…]Z"` with at most six digits of a second. */
function scanTimestamp(text: string, position: number, state: ScanState): number {
  const start = position + 1
  const days = scanDay(text, position)
  if (Number.isNaN(days) || text.charCodeAt(start + 10) !== 84) return -1
  if (text.charCodeAt(start + 13) !== 58 || text.charCodeAt(start + 16) !== 58) return -1
  const hour = twoDigits(text, start + 11)
  const minute = twoDigits(text, start + 14)
  const second = twoDigits(text, start + 17)
  if (!(hour <= 23 && minute <= 59 && second <= 59)) return -1
  let at = start + 19
  let fraction = 0
  if (text.charCodeAt(at) === 46) {
    let unit = 100_000
    const point = at++
    for (let code = text.charCodeAt(at); code >= 48 && code <= 57; code = text.charCodeAt(++at)) {
      fraction += (code - 48) * unit
      unit /= 10
    }
    const digits = at - point - 1
    if (digits === 0 || digits > 6) return -1
    if (text.charCodeAt(at - 1) === 48) state.replaced = `${text.slice(position, trimmed(text, at))}Z"`
  }
  if (text.charCodeAt(at) !== 90 || text.charCodeAt(at + 1) !== 34) return -1
  state.timeUs = (days * 86_400 + hour * 3600 + minute * 60 + second) * 1_000_000 + fraction
  return at + 2
}

/** End of a fraction without its last zeros, and without its point when nothing is left. */
function trimmed(text: string, end: number): number {
  let at = end
  while (text.charCodeAt(at - 1) === 48) at--
  return text.charCodeAt(at - 1) === 46 ? at - 1 : at
}

function scanDate(text: string, position: number): number {
  return !Number.isNaN(scanDay(text, position)) && text.charCodeAt(position + 11) === 34 ? position + 12 : -1
}

/** Days since the epoch of the date after the quote at `position`, or NaN. */
function scanDay(text: string, position: number): number {
  if (text.charCodeAt(position) !== 34) return Number.NaN
  if (text.charCodeAt(position + 5) !== 45 || text.charCodeAt(position + 8) !== 45) return Number.NaN
  const year = twoDigits(text, position + 1) * 100 + twoDigits(text, position + 3)
  const month = twoDigits(text, position + 6)
  const day = twoDigits(text, position + 9)
  return isDay(year, month, day) ? daysSinceEpoch(year, month, day) : Number.NaN
}

function uuidScan(version: number | undefined): Scan {
  if (version === undefined) return scanUuid
  return (text, position) => {
    const end = scanUuid(text, position)
    return end < 0 || text.charCodeAt(position + 15) !== 48 + version ? -1 : end
  }
}

function scanUuid(text: string, position: number): number {
  if (text.charCodeAt(position) !== 34 || text.charCodeAt(position + 37) !== 34) return -1
  for (let index = 0; index < 36; index++) {
    const code = text.charCodeAt(position + 1 + index)
    const isHyphen = index === 8 || index === 13 || index === 18 || index === 23
    if (isHyphen ? code !== 45 : !((code >= 48 && code <= 57) || (code >= 97 && code <= 102))) return -1
  }
  const version = text.charCodeAt(position + 15)
  const variant = text.charCodeAt(position + 20)
  if (version < 49 || version > 56) return -1
  return variant === 56 || variant === 57 || variant === 97 || variant === 98 ? position + 38 : -1
}

function arrayScan(type: Extract<FieldType, { kind: 'array' }>, scan: Scan): Scan {
  const { elementNullable, minItems = 0, maxItems = Number.POSITIVE_INFINITY } = type
  return (text, position, state) => {
    if (text.charCodeAt(position) !== 91) return -1
    if (text.charCodeAt(position + 1) === 93) return minItems === 0 ? position + 2 : -1
    let at = position + 1
    let count = 0
    let out = ''
    let copied = position
    for (;;) {
      if (text.charCodeAt(at) === 32 && count > 0) {
        out += text.slice(copied, at)
        copied = ++at
      }
      state.replaced = undefined
      let end: number
      if (text.charCodeAt(at) === 110) end = elementNullable && text.startsWith('null', at) ? at + 4 : -1
      else end = scan(text, at, state)
      if (end < 0) return -1
      if (state.replaced !== undefined) {
        out += text.slice(copied, at) + state.replaced
        copied = end
      }
      count++
      at = end + 1
      const code = text.charCodeAt(end)
      if (code === 93) break
      if (code !== 44) return -1
    }
    if (count < minItems || count > maxItems) return -1
    state.replaced = copied === position ? undefined : out + text.slice(copied, at)
    return at
  }
}

/** Comma or closing bracket: a numeral that goes on in another way is not for the fast way. */
function isValueEnd(code: number): boolean {
  return code === 44 || code === 125 || code === 93
}

/** A value of no interest: a simple text, a plain number, true, false or null. */
export function scanAnyScalar(text: string, position: number): number {
  const code = text.charCodeAt(position)
  if (code === 34) return scanString(text, position)
  if (code === 110) return text.startsWith('null', position) ? position + 4 : -1
  return code === 116 || code === 102 ? scanBoolean(text, position) : scanDouble(text, position)
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57
}
