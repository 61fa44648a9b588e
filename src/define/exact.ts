/**
 * `decimal` and `int64`: Zod types for numbers that a float cannot carry. JSON Schema can say them (a string or
 * number with a format); decoding keeps them exact from the source text on. No state.
 *
 * What they are is kept in the schema's `def`, which every copy that Zod makes of a schema shares, also when a
 * project brings its own copy of Zod.
 */

import { z } from 'zod'
import { canonicalDecimal, canonicalInteger } from '../model/value-number.ts'

/** Precision 1 to 38, scale 0 to precision. Values come as strings or numbers and read as canonical strings. */
export function decimal(precision: number, scale: number): z.ZodType<string, string | number> {
  const schema = z
    .union([z.string(), z.number()])
    .refine((value) => canonicalDecimal(String(value), precision, scale) !== undefined, {
      error: `must be a decimal of at most ${precision} digits, ${scale} of them after the point`,
      abort: true,
    })
    .overwrite((value) => canonicalDecimal(String(value), precision, scale) ?? value)
    .meta({ format: `decimal(${precision},${scale})` })
  return withExact(schema, { kind: 'decimal', precision, scale }) as unknown as z.ZodType<
    string,
    string | number
  >
}

/** A 64-bit integer. Values come as numbers or strings and read as numbers where those are exact, else strings. */
export function int64(): z.ZodType<number | string, number | string> {
  const schema = z
    .union([z.string(), z.number()])
    .refine((value) => isInt64(String(value)), { error: 'must be a 64-bit integer', abort: true })
    .overwrite((value) => {
      const text = canonicalInteger(String(value)) ?? String(value)
      return Number.isSafeInteger(Number(text)) ? Number(text) : text
    })
    .meta({ format: 'int64' })
  return withExact(schema, { kind: 'int64' })
}

export type ExactKind =
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number }
  | { readonly kind: 'int64' }

/** What `decimal` or `int64` made this schema, or undefined for any other schema. */
export function exactKind(def: object): ExactKind | undefined {
  return (def as { [exactKey]?: ExactKind })[exactKey]
}

const exactKey = 'refold:exact'

function withExact<Schema extends z.ZodType>(schema: Schema, kind: ExactKind): Schema {
  Object.assign(schema._zod.def, { [exactKey]: kind })
  return schema
}

function isInt64(text: string): boolean {
  const canonical = canonicalInteger(text)
  if (canonical === undefined) return false
  const value = BigInt(canonical)
  return value >= -(2n ** 63n) && value < 2n ** 63n
}
