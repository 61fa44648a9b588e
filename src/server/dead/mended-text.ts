/**
 * The text of an event with values put in at JSON pointers, without touching a digit of what stays: numbers are kept
 * as they were written. Pure.
 */

import { RefoldError } from '../../model/errors.ts'

type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown
type Json = null | boolean | string | object | Json[]

const parseExact = JSON.parse as (text: string, reviver: Reviver) => Json
const rawNumber = (JSON as unknown as { rawJSON(text: string): object }).rawJSON

/** `values` has JSON texts by pointer. Throws REQUEST_PARAMETER for a pointer that leads nowhere. */
export function mendedText(text: string, values: Readonly<Record<string, string>>): string {
  let root: Json = exact(text, 'the event')
  for (const [pointer, value] of Object.entries(values)) {
    const put = exact(value, `the value for ${pointer}`)
    root = pointer === '' ? put : putAt(root, pointer, put)
  }
  return JSON.stringify(root)
}

function exact(text: string, what: string): Json {
  try {
    return parseExact(text, (_key, value, { source }) =>
      typeof value === 'number' ? rawNumber(source ?? String(value)) : value,
    )
  } catch (error) {
    throw new RefoldError('REQUEST_PARAMETER', `${what} is not JSON: ${(error as Error).message}`, {
      hint: 'Texts need quotes: "12.50". Where the event itself is no JSON, send the whole mended event.',
    })
  }
}

function putAt(root: Json, pointer: string, value: Json): Json {
  const steps = pointer.split('/').map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
  const nowhere = (): never => {
    throw new RefoldError('REQUEST_PARAMETER', `the pointer "${pointer}" leads nowhere in the event`, {
      hint: 'Write e.g. /amount or /items/0/price.',
    })
  }
  if (steps[0] !== '') nowhere()
  const last = steps.at(-1) ?? ''
  let at: Json = root
  for (const step of steps.slice(1, -1)) {
    const next = isContainer(at) ? (at as Readonly<Record<string, Json>>)[step] : undefined
    at = next === undefined ? nowhere() : next
  }
  if (!isContainer(at)) return nowhere()
  if (Array.isArray(at) && !(Number(last) < at.length)) return nowhere()
  ;(at as Record<string, Json>)[last] = value
  return root
}

function isContainer(value: Json): value is object | Json[] {
  return typeof value === 'object' && value !== null && !isRawNumber(value)
}

function isRawNumber(value: object): boolean {
  return (JSON as unknown as { isRawJSON(value: unknown): boolean }).isRawJSON(value)
}
