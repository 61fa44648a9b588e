/** JSON of the engine as values that lose no digits: an integer beyond 2^53 becomes its text. Pure. */

import type { JsonValue } from '../model/schema.ts'

type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown

const keepDigits: Reviver = (_key, value, { source }) =>
  typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(source ?? '') ? source : value

export function exactValues(json: string): JsonValue {
  const parse = JSON.parse as (text: string, reviver?: Reviver) => JsonValue
  return /\d{16}/.test(json) ? parse(json, keepDigits) : parse(json)
}
