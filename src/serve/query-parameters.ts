/**
 * The query parameters of one request. All mistakes are collected and named at once. State: which parameters were
 * read, and the mistakes found so far; `finish` turns both into one error.
 */

import { RefoldError } from '../model/errors.ts'
import type { JsonValue } from '../model/schema.ts'
import { nearestName } from '../std/nearest-name.ts'

export class QueryParameters {
  readonly #values = new Map<string, string>()
  readonly #mistakes: { parameter: string; message: string; hint?: string }[] = []
  readonly #known = new Set<string>()
  readonly #bare = new Set<string>()

  /** `text` is what follows the question mark. */
  constructor(text: string) {
    if (text === '') return
    for (const pair of text.split('&')) {
      if (pair === '') continue
      const equals = pair.indexOf('=')
      const name = decode(equals < 0 ? pair : pair.slice(0, equals))
      const value = decode(equals < 0 ? '' : pair.slice(equals + 1))
      if (name === undefined || value === undefined) {
        this.mistake(name ?? pair, 'is not valid percent-encoding of UTF-8')
      } else if (this.#values.has(name)) this.mistake(name, 'is given twice')
      else {
        this.#values.set(name, value)
        if (equals < 0) this.#bare.add(name)
      }
    }
  }

  names(): Iterable<string> {
    return this.#values.keys()
  }

  text(name: string): string | undefined {
    this.#known.add(name)
    return this.#values.get(name)
  }

  /** Whether the name came without an equals sign. */
  isBare(name: string): boolean {
    return this.#bare.has(name)
  }

  /** A whole number within bounds. */
  integer(name: string, min: number, max: number): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    this.mistake(name, `is "${text}", not a whole number from ${min} to ${max}`)
    return undefined
  }

  /** `1`, `true` or nothing after the name mean yes; `0` and `false` no. */
  flag(name: string): boolean {
    const text = this.text(name)
    if (text === undefined || text === '0' || text === 'false') return false
    if (text === '' || text === '1' || text === 'true') return true
    this.mistake(name, `is "${text}", not 1 or 0`)
    return false
  }

  mistake(parameter: string, fact: string, hint?: string): void {
    const message = `parameter "${parameter}" ${fact}`
    this.#mistakes.push({ parameter, message, ...(hint === undefined ? {} : { hint }) })
  }

  /** Throws when a parameter is wrong, or was sent and is none that the route reads. */
  finish(): void {
    for (const name of this.#values.keys()) {
      if (!this.#known.has(name)) this.mistake(name, 'is unknown', nearestHint(name, this.#known))
    }
    if (this.#mistakes.length > 0) throw parameterError(this.#mistakes)
  }
}

export function nearestHint(name: string, candidates: Iterable<string>): string {
  const list = [...candidates]
  const nearest = nearestName(name, list)
  if (nearest !== undefined) return `Did you mean "${nearest}"?`
  return list.length === 0 ? 'There are none here.' : `There are: ${list.slice(0, 20).join(', ')}.`
}

export function parameterError(
  mistakes: readonly { readonly parameter: string; readonly message: string; readonly hint?: string }[],
): RefoldError {
  const message = mistakes.map((mistake) => mistake.message).join('; ')
  const hints = mistakes.flatMap((mistake) => mistake.hint ?? [])
  return new RefoldError('REQUEST_PARAMETER', message, {
    details: { mistakes: mistakes as unknown as JsonValue },
    ...(hints.length === 0 ? {} : { hint: hints.join(' ') }),
  })
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}
