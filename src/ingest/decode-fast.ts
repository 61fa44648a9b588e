/**
 * The fast way through an event: one scan over the source text, value by value, without parsing it into objects.
 * Where the text already is canonical, it is the answer. It gives up (undefined) on escapes, repeated keys,
 * unusual white space or numerals, former names of fields, untyped JSON, and on everything that is wrong; the general way then
 * decides. So it is right as long as it only accepts what the general way accepts, with the same result.
 *
 * State: for each object type the positions of the event being scanned.
 */

import type { Field, ObjectType, StreamDef } from '../model/schema.ts'
import { timeUsMax } from '../model/value-time.ts'
import { type Scan, type ScanState, scanAnyScalar, scanOf, scanString } from './decode-scan.ts'
import { type DecodedEvent, rolesOf } from './decoded-event.ts'

export type FastScan = (text: string, start: number, end: number) => DecodedEvent | undefined

export function compileFastScan(stream: StreamDef): FastScan {
  const { idIndex, keyIndex, timeIndex, keyDefault } = rolesOf(stream)
  const state: ScanState = { replaced: undefined, timeUs: 0 }
  const object = new ObjectScan(stream.schema, timeIndex)
  return (text, start, end) => {
    let from = start
    let to = end
    while (to > from && text.charCodeAt(to - 1) <= 32) to--
    while (from < to && text.charCodeAt(from) <= 32) from++
    if (object.scan(text, from, state) !== to) return undefined
    const timeUs = timeIndex < 0 || !object.has(timeIndex) ? undefined : object.timeUs
    if (timeUs !== undefined && (timeUs > timeUsMax || timeUs < -timeUsMax)) return undefined
    const json = state.replaced ?? (from === 0 && to === text.length ? text : text.slice(from, to))
    const id = idIndex < 0 ? undefined : object.value(text, idIndex)
    let key: string | undefined
    if (keyIndex >= 0) key = object.has(keyIndex) ? object.value(text, keyIndex) : keyDefault
    return { ok: true, json, id, key, timeUs }
  }
}

interface ScannedField {
  /** The key in quotes. */
  readonly token: string
  /** The key in quotes with its colon. */
  readonly prefix: string
  readonly required: boolean
  readonly nullable: boolean
  readonly scan: Scan
}

class ObjectScan {
  readonly #fields: readonly ScannedField[]
  /** Former names, in quotes. */
  readonly #aliases: readonly string[]
  readonly #requiredCount: number
  readonly #timeIndex: number
  /** Where each value starts and ends, for those whose `seen` is the current pass. */
  readonly #starts: number[]
  readonly #ends: number[]
  readonly #replaced: (string | undefined)[]
  readonly #seen: number[]
  #pass = 0
  timeUs = 0

  constructor(type: ObjectType, timeIndex = -1) {
    this.#fields = type.fields.map(scannedField)
    this.#aliases = type.fields.flatMap((field) => (field.aliases ?? []).map((name) => JSON.stringify(name)))
    this.#requiredCount = this.#fields.filter((field) => field.required).length
    this.#timeIndex = timeIndex
    this.#starts = this.#fields.map(() => 0)
    this.#ends = this.#fields.map(() => 0)
    this.#replaced = this.#fields.map(() => undefined)
    this.#seen = this.#fields.map(() => 0)
  }

  has(index: number): boolean {
    return this.#seen[index] === this.#pass
  }

  /** A string's value, another value's text, undefined for null. Only for scalars. */
  value(text: string, index: number): string | undefined {
    const replaced = this.#replaced[index]
    const value = replaced ?? text.slice(this.#starts[index], this.#ends[index])
    if (value.charCodeAt(0) === 34) return value.slice(1, -1)
    return value === 'null' ? undefined : value
  }

  /** Position after the object, or -1 to give up; `state.replaced` is its text where the source is not canonical. */
  scan(text: string, start: number, state: ScanState): number {
    if (text.charCodeAt(start) !== 123) return -1
    const fields = this.#fields
    const pass = ++this.#pass
    let position = start + 1
    let last = -1
    let required = 0
    let inPlace = true
    if (text.charCodeAt(position) === 125) return this.#requiredCount === 0 ? position + 1 : -1
    for (;;) {
      if (text.charCodeAt(position) === 32) {
        position++
        inPlace = false
      }
      let index = last + 1
      if (index >= fields.length || !text.startsWith(fields[index]!.token, position)) {
        index = this.#find(text, position)
        if (index < last) inPlace = false
      }
      if (index < 0) {
        if (this.#aliases.some((token) => text.startsWith(token, position))) return -1
        inPlace = false
        const end = skipUnknown(text, position)
        if (end < 0) return -1
        const code = text.charCodeAt(end)
        position = end + 1
        if (code === 125) break
        if (code !== 44) return -1
        continue
      }
      const field = fields[index]!
      if (this.#seen[index] === pass) return -1
      this.#seen[index] = pass
      position += field.token.length
      if (text.charCodeAt(position++) !== 58) return -1
      if (text.charCodeAt(position) === 32) {
        position++
        inPlace = false
      }
      state.replaced = undefined
      const end = scanField(field, text, position, state)
      if (end < 0) return -1
      if (index === this.#timeIndex) this.timeUs = state.timeUs
      if (state.replaced !== undefined) inPlace = false
      this.#replaced[index] = state.replaced
      this.#starts[index] = position
      this.#ends[index] = end
      if (field.required) required++
      last = index
      const code = text.charCodeAt(end)
      position = end + 1
      if (code === 125) break
      if (code !== 44) return -1
    }
    if (required !== this.#requiredCount) return -1
    state.replaced = inPlace ? undefined : this.#rebuilt(text)
    return position
  }

  #find(text: string, position: number): number {
    const fields = this.#fields
    for (let index = 0; index < fields.length; index++) {
      if (text.startsWith(fields[index]!.token, position)) return index
    }
    return -1
  }

  #rebuilt(text: string): string {
    let out = ''
    for (let index = 0; index < this.#fields.length; index++) {
      if (this.#seen[index] !== this.#pass) continue
      const value = this.#replaced[index] ?? text.slice(this.#starts[index], this.#ends[index])
      out += (out === '' ? '{' : ',') + this.#fields[index]!.prefix + value
    }
    return `${out}}`
  }
}

/** Position after an unknown key and its value, which are dropped. */
function skipUnknown(text: string, position: number): number {
  const keyEnd = scanString(text, position)
  if (keyEnd < 0 || text.charCodeAt(keyEnd) !== 58) return -1
  return scanAnyScalar(text, text.charCodeAt(keyEnd + 1) === 32 ? keyEnd + 2 : keyEnd + 1)
}

function scannedField(field: Field): ScannedField {
  const token = JSON.stringify(field.name)
  return {
    token,
    prefix: `${token}:`,
    required: !field.optional && field.defaultValue === undefined,
    nullable: field.nullable,
    scan: scanOf(field.type, scanObject),
  }
}

function scanObject(type: ObjectType): Scan {
  const object = new ObjectScan(type)
  return (text, position, state) => object.scan(text, position, state)
}

function scanField(field: ScannedField, text: string, position: number, state: ScanState): number {
  if (text.charCodeAt(position) !== 110) return field.scan(text, position, state)
  return field.nullable && text.startsWith('null', position) ? position + 4 : -1
}
