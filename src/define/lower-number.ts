/** Lowers z.number(), z.int() and their like. Used by `lower.ts`; no state. */

import type { FieldType } from '../model/schema.ts'
import { canonicalInteger } from '../model/value-number.ts'
import { checksOf, type Def, isCode, type Report } from './zod-def.ts'

interface Bounds {
  integer: boolean
  bits: 32 | 64
  minimum: number
  maximum: number
  exclusiveMinimum: number
  exclusiveMaximum: number
  readonly multiples: number[]
}

const ranges: Readonly<Record<string, readonly [number, number]>> = {
  safeint: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  float32: [-3.4028234663852886e38, 3.4028234663852886e38],
}

export function lowerNumber(def: Def, path: readonly string[], report: Report): FieldType {
  const bounds: Bounds = {
    integer: false,
    bits: 64,
    minimum: Number.NEGATIVE_INFINITY,
    maximum: Number.POSITIVE_INFINITY,
    exclusiveMinimum: Number.NEGATIVE_INFINITY,
    exclusiveMaximum: Number.POSITIVE_INFINITY,
    multiples: [],
  }
  for (const check of checksOf(def)) {
    const value = Number(check['value'])
    if (check.check === 'number_format') addFormat(bounds, String(check['format']))
    else if (check.check === 'multiple_of') bounds.multiples.push(value)
    else if (check.check === 'greater_than') {
      if (check['inclusive'] === true) bounds.minimum = Math.max(bounds.minimum, value)
      else bounds.exclusiveMinimum = Math.max(bounds.exclusiveMinimum, value)
    } else if (check.check === 'less_than') {
      if (check['inclusive'] === true) bounds.maximum = Math.min(bounds.maximum, value)
      else bounds.exclusiveMaximum = Math.min(bounds.exclusiveMaximum, value)
    } else if (isCode(check)) {
      report(
        path,
        'a refinement is code, which a schema of events cannot hold',
        'Use min, max or multipleOf.',
      )
    }
  }
  if (bounds.multiples.length > 1) report(path, 'a number can have one multipleOf', 'Use their product.')
  if (bounds.integer && bounds.multiples.some((step) => !Number.isSafeInteger(step) || step === 0)) {
    report(path, 'an integer can only be a multiple of an integer', 'Use a whole number other than 0.')
    bounds.multiples.length = 0
  }
  return bounds.integer ? integerOf(bounds) : doubleOf(bounds)
}

function addFormat(bounds: Bounds, format: string): void {
  if (format !== 'float32' && format !== 'float64') bounds.integer = true
  if (format === 'int32') bounds.bits = 32
  const range = ranges[format]
  if (range === undefined) return
  bounds.minimum = Math.max(bounds.minimum, range[0])
  bounds.maximum = Math.min(bounds.maximum, range[1])
}

function integerOf(bounds: Bounds): FieldType {
  const low = Math.max(Math.ceil(bounds.minimum), Math.floor(bounds.exclusiveMinimum) + 1)
  const high = Math.min(Math.floor(bounds.maximum), Math.ceil(bounds.exclusiveMaximum) - 1)
  const [least, most] = ranges['int32'] as readonly [number, number]
  const step = bounds.multiples[0]
  return {
    kind: 'integer',
    bits: bounds.bits,
    ...(low === least && bounds.bits === 32 ? {} : { minimum: integerText(low) }),
    ...(high === most && bounds.bits === 32 ? {} : { maximum: integerText(high) }),
    ...(step === undefined ? {} : { multipleOf: integerText(Math.abs(step)) }),
  }
}

function integerText(value: number): string {
  return canonicalInteger(String(value)) ?? '0'
}

function doubleOf(bounds: Bounds): FieldType {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = bounds
  const multipleOf = bounds.multiples[0]
  return {
    kind: 'double',
    ...(Number.isFinite(minimum) ? { minimum } : {}),
    ...(Number.isFinite(maximum) ? { maximum } : {}),
    ...(Number.isFinite(exclusiveMinimum) ? { exclusiveMinimum } : {}),
    ...(Number.isFinite(exclusiveMaximum) ? { exclusiveMaximum } : {}),
    ...(multipleOf === undefined ? {} : { multipleOf }),
  }
}
