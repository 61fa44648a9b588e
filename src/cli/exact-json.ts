/**
 * Reading an answer without losing digits: integers beyond 2^53 become bigint, every other number stays a number
 * (an answer's decimals are strings). Printing is the inverse. No state.
 */

export type ExactJson =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly ExactJson[]
  | { readonly [key: string]: ExactJson }

type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown

export function parseExactJson(text: string): ExactJson {
  const parse = JSON.parse as (text: string, reviver: Reviver) => ExactJson
  return /\d{16}/.test(text) ? parse(text, keepDigits) : (JSON.parse(text) as ExactJson)
}

const keepDigits: Reviver = (_key, value, context) => {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
  return /^-?\d+$/.test(context.source ?? '') ? BigInt(context.source!) : value
}

export function printExactJson(value: ExactJson): string {
  if (typeof value === 'bigint') return value.toString()
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (isList(value)) return `[${value.map(printExactJson).join(',')}]`
  const members = Object.entries(value).map(
    ([key, member]) => `${JSON.stringify(key)}:${printExactJson(member)}`,
  )
  return `{${members.join(',')}}`
}

function isList(value: ExactJson): value is readonly ExactJson[] {
  return Array.isArray(value)
}
