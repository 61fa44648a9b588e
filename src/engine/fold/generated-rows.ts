/**
 * Rows of events that a stream could have, for trying functions before a version is made with them: a few keys, values
 * of every kind, times that mostly go on. The same in every run. No state.
 *
 * Numbers with a fraction are multiples of a quarter, so that sums of them are exact in whatever order they are added:
 * what a check finds shall not be the rounding of doubles.
 */

import type { Field, FieldType } from '../../model/schema.ts'
import { must, unreachable } from '../../std/assert.ts'

/** `[commit, index, value, …]`, values as texts, as DuckDB gives them. */
export type GeneratedRow = readonly [commit: number, index: number, ...values: (string | null)[]]

const EVENTS_A_COMMIT = 7
const KEYS = 3
const START_MS = Date.UTC(2024, 0, 1)
const gapsMs = [0, 1, 1_000, 7_000, 31_000, 61_000, 1_801_000, 86_400_000, -5_000]

export function generatedRows(
  fields: readonly Field[],
  keys: readonly string[],
  count: number,
  seed: number,
): readonly GeneratedRow[] {
  const random = generator(seed)
  let atMs = START_MS
  return Array.from({ length: count }, (_, at) => {
    atMs += gapsMs[random(gapsMs.length)] ?? 0
    const values = fields.map((field) => {
      if (keys.includes(field.name))
        return textOf(generatedValue(field.type, random(KEYS), atMs, random, true))
      const mayMiss = field.nullable || (field.optional && field.defaultValue === undefined)
      if (mayMiss && random(4) === 0) return null
      return textOf(generatedValue(field.type, random(12), atMs, random, false), field.type.kind === 'json')
    })
    return [1 + Math.floor(at / EVENTS_A_COMMIT), at % EVENTS_A_COMMIT, ...values]
  })
}

function textOf(value: unknown, isJson = false): string {
  return isJson || typeof value === 'object' ? JSON.stringify(value) : String(value)
}

type Random = (below: number) => number

function generator(seed: number): Random {
  let state = seed >>> 0
  return (below) => {
    // A step of a linear congruential generator, of which the upper bits are the better ones.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** The `number`th of a few values of the type. */
function generatedValue(
  type: FieldType,
  number: number,
  atMs: number,
  random: Random,
  isKey: boolean,
): unknown {
  switch (type.kind) {
    case 'boolean':
      return number % 2 === 0
    case 'string':
      if (type.values !== undefined && type.values.length > 0) return type.values[number % type.values.length]
      return ['a', 'b', 'c', '', 'ä😀', '/x?y=1', 'A', '10', 'true', ' ', '"', 'long text'.repeat(5)][number]
    case 'integer':
      return integerOf(type, number)
    case 'double':
      return clamp([0, 1, -1, 0.25, 100.5, -7.75, 3, 1e6, 2, 0.5, 12, -0.25][number] ?? 0, type)
    case 'decimal':
      return decimalOf(number, type.precision, type.scale)
    case 'timestamp':
      return timeText(isKey ? START_MS + number * 60_000 : atMs)
    case 'date':
      return timeText(isKey ? START_MS + number * 86_400_000 : atMs).slice(0, 10)
    case 'uuid':
      return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`
    case 'array':
      return Array.from({ length: number % 3 }, () =>
        generatedValue(type.element, random(12), atMs, random, false),
      )
    case 'object': {
      const entries = type.fields.map(
        ({ name, type: inner }) => [name, generatedValue(inner, random(12), atMs, random, false)] as const,
      )
      return Object.fromEntries(entries)
    }
    case 'map':
      return { a: generatedValue(type.value, random(12), atMs, random, false) }
    case 'json':
      return [null, 1, 'text', [1, 2], { a: 1 }, true][number % 6]
    default:
      return unreachable(type)
  }
}

function integerOf(type: Extract<FieldType, { kind: 'integer' }>, number: number): unknown {
  if (type.values !== undefined && type.values.length > 0) {
    return Number(type.values[number % type.values.length])
  }
  const wanted = must([0, 1, 2, -1, 7, 100, 1000, 3, 65_536, -20, 12, 5][number], 'one of twelve')
  const least = type.minimum === undefined ? Number.NEGATIVE_INFINITY : Number(type.minimum)
  const most = type.maximum === undefined ? Number.POSITIVE_INFINITY : Number(type.maximum)
  return Math.min(most, Math.max(least, wanted))
}

function clamp(wanted: number, { minimum, maximum }: { minimum?: number; maximum?: number }): number {
  return Math.min(maximum ?? wanted, Math.max(minimum ?? wanted, wanted))
}

function decimalOf(number: number, precision: number, scale: number): string {
  const whole = precision > scale ? String(number) : '0'
  return scale === 0 ? whole : `${whole}.${'25'.padEnd(scale, '0').slice(0, scale)}`
}

/** As DuckDB writes a time. */
function timeText(ms: number): string {
  const iso = new Date(ms).toISOString()
  return `${iso.slice(0, 10)} ${iso.slice(11, 23).replace(/\.?0+$/, '')}`
}
