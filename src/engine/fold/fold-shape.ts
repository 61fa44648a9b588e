/** The key and the rows of a fold between JSON values and what its functions see. Pure; made once for each fold. */

import type { Field } from '../../model/schema.ts'
import { compileWriter } from '../../model/value-writer.ts'
import { compileValue } from './event-rows.ts'

/** Characters of the JSON text of one state, or of one row. */
export const TEXT_MAX = 4 << 20

/** The key as functions see it: a value, or an object of several; from its values as DuckDB's JSON has them. */
export function keyReader(fields: readonly Field[]): (raw: readonly unknown[]) => unknown {
  const reads = fields.map(({ type }) => compileValue(type))
  const [only] = reads
  if (reads.length === 1 && only !== undefined) return (raw) => only(raw[0])
  return (raw) =>
    Object.freeze(Object.fromEntries(fields.map(({ name }, at) => [name, reads[at]?.(raw[at])])))
}

/** JSON text of the rows that `finish` gave; throws where they do not fit the view's columns. */
export function rowsWriter(row: readonly Field[], several: boolean): (given: unknown) => string {
  const writer = compileWriter({ kind: 'object', fields: row })
  const write = (given: unknown): string => {
    const text = writer.write(given)
    if (text === undefined) {
      const { place, clause } = writer.fault()
      throw new Error(`what \`finish\` gave does not fit the view's columns: ${place || 'the row'} ${clause}`)
    }
    if (text.length > TEXT_MAX) throw new Error(`a row has ${text.length} characters, more than ${TEXT_MAX}`)
    return text
  }
  if (!several) return (given) => (given === null ? '[]' : `[${write(given)}]`)
  return (given) => {
    if (!Array.isArray(given))
      throw new Error('`finish` of a fold with `several` has to give an array of rows')
    return `[${given.map(write).join(',')}]`
  }
}

/**
 * A state as it is stored. Where states are merged, in one form whatever the order in which functions made its keys, so
 * that states of the same events are the same text however their ranges were merged.
 */
export function stateText(state: unknown, merges: boolean): string {
  const text = merges ? sortedJson(state) : JSON.stringify(state)
  if (text.length <= TEXT_MAX) return text
  throw new Error(`the state has ${text.length} characters as JSON, more than ${TEXT_MAX}`)
}

function sortedJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(sortedJson).join(',')}]`
  const object = value as Readonly<Record<string, unknown>>
  const members = Object.keys(object)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${sortedJson(object[key])}`)
  return `{${members.join(',')}}`
}
