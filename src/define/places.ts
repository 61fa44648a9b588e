/**
 * Finds where something a user wrote stands in the source: the builder's call from its stack, and names, options
 * and fields by a search of the text from there. A place that is not found becomes the nearest one around it, so a
 * mistake always has a place. State: the texts that were read.
 */

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { SourcePlace } from './types.ts'

export class SourcePlaces {
  readonly #texts = new Map<string, string>()

  /** Where a builder was called, by the stack it kept. */
  call(stack: string, fallbackFile: string): CallSite {
    const frame = framePattern.exec(stack)
    if (frame === null) return new CallSite(fallbackFile, this.#text(fallbackFile), 0)
    const [, location = '', line = '1', column = '1'] = frame
    const file = fileOf(location)
    const text = this.#text(file)
    return new CallSite(file, text, offsetOf(text, Number(line), Number(column)))
  }

  #text(file: string): string {
    let text = this.#texts.get(file)
    if (text === undefined) {
      try {
        text = readFileSync(file, 'utf8')
      } catch {
        text = ''
      }
      this.#texts.set(file, text)
    }
    return text
  }
}

/** The files of all calls on a stack, the innermost first. */
export function filesOnStack(stack: string): readonly string[] {
  const frames = stack.matchAll(new RegExp(framePattern, 'g'))
  return [...new Set([...frames].map(([, location = '']) => fileOf(location)))]
}

const framePattern = /(?:\(|at )((?:file:\/\/|\/|[A-Za-z]:\\)[^\n]*?):(\d+):(\d+)\)?(?:\n|$)/

function fileOf(location: string): string {
  const bare = location.replace(/[?#].*$/, '')
  return bare.startsWith('file://') ? fileURLToPath(bare) : bare
}

/** One call of a builder in a text. */
export class CallSite {
  readonly #file: string
  readonly #text: string
  readonly #start: number
  readonly #end: number

  constructor(file: string, text: string, start: number) {
    this.#file = file
    this.#text = text
    this.#start = start
    this.#end = endOfCall(text, start)
  }

  get place(): SourcePlace {
    return this.#at(this.#start)
  }

  /** The first text in the call: the name of what it declares. */
  get name(): SourcePlace {
    const quote = this.#search(/['"`]/g, this.#start, this.#end)
    return this.#at(quote ?? this.#start)
  }

  /** The value of a possibly nested option; the innermost part of the path that was found. */
  option(names: readonly string[]): SourcePlace {
    let from = this.#text.indexOf('{', this.#start)
    let found: number | undefined
    for (const name of names) {
      const next = from < 0 ? undefined : keyIn(this.#text, from, this.#end, name)
      if (next === undefined) break
      found = this.#afterColon(next)
      from = this.#text[found] === '{' ? found : -1
    }
    return this.#at(found ?? this.#start)
  }

  /** A field of the schema: in the call, else anywhere in the file; else the schema option. */
  field(names: readonly string[]): SourcePlace {
    const real = names.filter((name) => name !== '[]' && name !== '{}')
    const brace = this.#text.indexOf('{', this.#start)
    const inCall = (brace < 0 ? undefined : keyIn(this.#text, brace, this.#end, 'schema')) ?? this.#start
    const last = real.slice(-1)
    // an object that is declared elsewhere in the file has the field's own name somewhere
    const tries = [
      { path: real, start: inCall, end: this.#end },
      { path: real, start: 0, end: this.#text.length },
      { path: last, start: 0, end: this.#text.length },
      { path: real.slice(0, 1), start: inCall, end: this.#end },
    ]
    for (const { path, start, end } of tries) {
      let from: number | undefined = start
      for (const name of path)
        from = from === undefined ? undefined : this.#search(keyPattern(name), from, end)
      if (from !== undefined && path.length > 0) return this.#at(from)
    }
    return this.#at(inCall)
  }

  /** The first character of the text that an option holds. */
  text(name: string): SourcePlace {
    const brace = this.#text.indexOf('{', this.#start)
    const found = brace < 0 ? undefined : keyIn(this.#text, brace, this.#end, name)
    if (found === undefined) return this.place
    const value = this.#afterColon(found)
    return this.#at(/['"`]/.test(this.#text[value] ?? '') ? value + 1 : value)
  }

  /** The first character of each text that stands under `key` within an option, in order. */
  texts(option: string, key: string): readonly SourcePlace[] {
    const brace = this.#text.indexOf('{', this.#start)
    const found = brace < 0 ? undefined : keyIn(this.#text, brace, this.#end, option)
    if (found === undefined) return []
    const places: SourcePlace[] = []
    let at = this.#search(keyPattern(key), found, this.#end)
    while (at !== undefined) {
      const value = this.#afterColon(at)
      places.push(this.#at(/['"`]/.test(this.#text[value] ?? '') ? value + 1 : value))
      at = this.#search(keyPattern(key), value, this.#end)
    }
    return places
  }

  /** The value of the key at `found`; the key itself in the short form `{ key }`. */
  #afterColon(found: number): number {
    const colon = /^['"]?[\w$-]+['"]?\s*:/.exec(this.#text.slice(found, found + 200))
    if (colon === null) return found
    const after = /\s*(?:\/\*.*?\*\/\s*)?/y
    after.lastIndex = found + colon[0].length
    return after.lastIndex + (after.exec(this.#text)?.[0].length ?? 0)
  }

  #search(pattern: RegExp, from: number, end: number): number | undefined {
    pattern.lastIndex = from
    const match = pattern.exec(this.#text)
    return match === null || match.index >= end ? undefined : match.index
  }

  #at(offset: number): SourcePlace {
    return { file: this.#file, ...positionOf(this.#text, offset) }
  }
}

/** Line and column, from 1, of a character in a text. */
export function positionOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset)
  return { line: before.split('\n').length, column: offset - before.lastIndexOf('\n') }
}

/** The place of a character of a text whose first character stands at `start`. */
export function placeWithin(start: SourcePlace, text: string, offset: number): SourcePlace {
  const { line, column } = positionOf(text, offset)
  return {
    file: start.file,
    line: start.line + line - 1,
    column: line === 1 ? start.column + column - 1 : column,
  }
}

function offsetOf(text: string, line: number, column: number): number {
  let offset = 0
  for (let at = 1; at < line; at++) {
    const newline = text.indexOf('\n', offset)
    if (newline < 0) break
    offset = newline + 1
  }
  return offset + column - 1
}

function keyPattern(name: string): RegExp {
  const escaped = name.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
  return new RegExp(`(?<![\\w$.])(?:${escaped}|'${escaped}'|"${escaped}")\\s*:`, 'g')
}

/** Position of a key of the object whose brace stands at `brace`, not of one within its values. */
function keyIn(text: string, brace: number, end: number, name: string): number | undefined {
  let depth = 0
  let before = ''
  for (const { token, at } of tokensOf(text, brace, end)) {
    if (/^[([{]/.test(token)) depth++
    else if (/^[)\]}]/.test(token)) {
      if (--depth === 0) return undefined
    } else if (depth === 1 && (before === '{' || before === ',')) {
      const bare = /^['"]/.test(token) ? token.slice(1, -1) : token
      if (bare === name) return at
    }
    before = token
  }
  return undefined
}

/** Position after the bracket that closes the call. */
function endOfCall(text: string, start: number): number {
  let depth = 0
  for (const { token, at } of tokensOf(text, start, text.length)) {
    if (token === '(') depth++
    else if (token === ')' && --depth <= 0) return at + 1
  }
  return text.length
}

/** Words, texts, brackets and other signs; comments and white space are left out. */
function* tokensOf(text: string, start: number, end: number): Generator<{ token: string; at: number }> {
  const pattern =
    /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\/[^\n]*|\/\*[\s\S]*?\*\/|[\w$]+|[^\s\w$]/g
  pattern.lastIndex = start
  for (let match = pattern.exec(text); match !== null && match.index < end; match = pattern.exec(text)) {
    const token = match[0]
    if (!token.startsWith('//') && !token.startsWith('/*')) yield { token, at: match.index }
  }
}
