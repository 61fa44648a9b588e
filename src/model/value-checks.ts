/**
 * The writers of texts and numbers, with the bounds that a schema may state. Used by `value-writer.ts`; no state
 * but the fault slot that it hands in.
 */

import type { FieldType, IntegerType, StringType } from './schema.ts'
import { type FaultSlot, refuse, refuseType, type WriteText, writeString } from './value-fault.ts'
import { canonicalDecimal, canonicalInteger, decimalFault, ExactNumeral, isNumeral } from './value-number.ts'

export function stringWriter(type: StringType, slot: FaultSlot): WriteText {
  const check = stringCheck(type)
  if (check === undefined) {
    return (value) =>
      typeof value === 'string' ? writeString(value, slot) : refuseType(slot, value, 'a string')
  }
  return (value) => {
    if (typeof value !== 'string') return refuseType(slot, value, 'a string')
    const fault = check(value)
    return fault === undefined ? writeString(value, slot) : refuse(slot, fault.code, fault.clause)
  }
}

export interface TextFault {
  readonly code: 'EVENT_FIELD_RANGE' | 'EVENT_FIELD_FORMAT' | 'EVENT_FIELD_VALUE'
  readonly clause: string
}

/** What a text of this type must hold beyond being a text; undefined when nothing. */
export function stringCheck(type: StringType): ((text: string) => TextFault | undefined) | undefined {
  const { minLength = 0, maxLength = Number.POSITIVE_INFINITY, url } = type
  const patterns = (type.patterns ?? []).map(compilePattern)
  const values = type.values === undefined ? undefined : new Set(type.values)
  const isUrl = url === undefined ? undefined : urlCheck(url)
  if (minLength === 0 && maxLength === Number.POSITIVE_INFINITY && patterns.length === 0) {
    if (values === undefined && isUrl === undefined) return undefined
  }
  return (text) => {
    if (text.length < minLength) return range(`has fewer than ${minLength} characters`)
    if (text.length > maxLength) return range(`has more than ${maxLength} characters`)
    if (values !== undefined && !values.has(text)) {
      return { code: 'EVENT_FIELD_VALUE', clause: `is not one of ${listed(type.values ?? [])}` }
    }
    for (const pattern of patterns) {
      if (!pattern.test(text)) return { code: 'EVENT_FIELD_FORMAT', clause: `does not match ${pattern}` }
    }
    if (isUrl !== undefined && !isUrl(text))
      return { code: 'EVENT_FIELD_FORMAT', clause: 'is not such a URL' }
    return undefined
  }
}

/** Patterns are read by code points, as JSON Schema has it, where they can be. */
export function compilePattern(source: string): RegExp {
  try {
    return new RegExp(source, 'u')
  } catch {
    return new RegExp(source)
  }
}

function urlCheck(url: NonNullable<StringType['url']>): (text: string) => boolean {
  const protocol = url.protocol === undefined ? undefined : compilePattern(url.protocol)
  const hostname = url.hostname === undefined ? undefined : compilePattern(url.hostname)
  return (text) => {
    const parsed = text.trim() === text ? URL.parse(text) : null
    if (parsed === null) return false
    if (protocol !== undefined && !protocol.test(parsed.protocol.replace(/:$/, ''))) return false
    return hostname === undefined || hostname.test(parsed.hostname)
  }
}

export function integerWriter(type: IntegerType, slot: FaultSlot): WriteText {
  const check = integerCheck(type)
  const simple = type.multipleOf === undefined && type.values === undefined
  const { low, high } = integerBounds(type)
  const lowNumber = Math.max(Number(low), Number.MIN_SAFE_INTEGER)
  const highNumber = Math.min(Number(high), Number.MAX_SAFE_INTEGER)
  return (value) => {
    if (simple && typeof value === 'number' && Number.isSafeInteger(value)) {
      if (value >= lowNumber && value <= highNumber) return value === 0 ? '0' : String(value)
    }
    const source = sourceOf(value, type.text === true)
    if (source === undefined) return refuseType(slot, value, 'an integer')
    const text = canonicalInteger(source)
    if (text === undefined) return refuse(slot, 'EVENT_FIELD_TYPE', 'is not an integer of 64 bits')
    const fault = check(text)
    return fault === undefined ? text : refuse(slot, fault.code, fault.clause)
  }
}

function integerBounds(type: IntegerType): { low: bigint; high: bigint } {
  const edge = 2n ** BigInt(type.bits - 1)
  const low = BigInt(type.minimum ?? -edge)
  const high = BigInt(type.maximum ?? edge - 1n)
  return { low: low < -edge ? -edge : low, high: high >= edge ? edge - 1n : high }
}

function integerCheck(type: IntegerType): (text: string) => TextFault | undefined {
  const { low, high } = integerBounds(type)
  const step = type.multipleOf === undefined ? undefined : BigInt(type.multipleOf)
  return (text) => {
    const value = BigInt(text)
    if (value < low) return range(`is below ${low}`)
    if (value > high) return range(`is above ${high}`)
    if (step !== undefined && value % step !== 0n) return range(`is not a multiple of ${step}`)
    if (type.values !== undefined && !type.values.includes(text)) {
      return { code: 'EVENT_FIELD_VALUE', clause: `is not one of ${type.values.join(', ')}` }
    }
    return undefined
  }
}

export function numberWriter(type: Extract<FieldType, { kind: 'double' }>, slot: FaultSlot): WriteText {
  const fault = numberCheck(type)
  return (value) => {
    const number = value instanceof ExactNumeral ? Number(value.source) : value
    if (typeof number !== 'number') return refuseType(slot, value, 'a number')
    const clause = fault(number)
    if (clause !== undefined) return refuse(slot, 'EVENT_FIELD_RANGE', clause)
    return number === 0 ? '0' : String(number)
  }
}

/** What is wrong with a number of this type, as the end of a sentence; undefined when nothing is. */
export function numberCheck(
  type: Extract<FieldType, { kind: 'double' }>,
): (value: number) => string | undefined {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = type
  return (value) => {
    if (!Number.isFinite(value)) return 'is not within the range of a double'
    if (minimum !== undefined && value < minimum) return `is below ${minimum}`
    if (maximum !== undefined && value > maximum) return `is above ${maximum}`
    if (exclusiveMinimum !== undefined && value <= exclusiveMinimum) return `is not above ${exclusiveMinimum}`
    if (exclusiveMaximum !== undefined && value >= exclusiveMaximum) return `is not below ${exclusiveMaximum}`
    if (multipleOf !== undefined && !isMultiple(value, multipleOf))
      return `is not a multiple of ${multipleOf}`
    return undefined
  }
}

/** In decimal, as people mean it: 0.3 is a multiple of 0.1 although no double is. */
function isMultiple(value: number, step: number): boolean {
  const places = Math.max(placesOf(value), placesOf(step))
  if (places > 300) return false
  return scaled(value, places) % scaled(step, places) === 0n
}

function placesOf(value: number): number {
  const match = /^-?\d+(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value))
  return Math.max(0, (match?.[1] ?? '').length - Number(match?.[2] ?? 0))
}

function scaled(value: number, places: number): bigint {
  const text = canonicalDecimal(String(value), 700, 350) ?? '0'
  const [whole = '0', fraction = ''] = text.split('.')
  return BigInt(whole + fraction.padEnd(places, '0'))
}

export function writeDecimal(precision: number, scale: number, slot: FaultSlot): WriteText {
  return (value) => {
    const source = sourceOf(value, true)
    if (source === undefined) return refuseType(slot, value, 'a decimal')
    const text = canonicalDecimal(source, precision, scale)
    if (text !== undefined) return `"${text}"`
    const code = isNumeral(source) ? 'EVENT_FIELD_RANGE' : 'EVENT_FIELD_FORMAT'
    return refuse(slot, code, decimalFault(source, precision, scale))
  }
}

/** The numeral of a value. A double that came without source text says what it prints. */
function sourceOf(value: unknown, textAllowed: boolean): string | undefined {
  if (typeof value === 'number') return String(value)
  if (value instanceof ExactNumeral) return value.source
  return textAllowed && typeof value === 'string' ? value : undefined
}

function range(clause: string): TextFault {
  return { code: 'EVENT_FIELD_RANGE', clause }
}

function listed(values: readonly string[]): string {
  const shown = values.slice(0, 10).map((value) => JSON.stringify(value))
  return shown.join(', ') + (values.length > shown.length ? ', …' : '')
}
