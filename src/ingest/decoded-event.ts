/** What decoding gives, and which fields of a stream it looks at on the way. Pure data. */

import type { ErrorCode } from '../model/errors.ts'
import type { StreamDef } from '../model/schema.ts'

export interface DecodedEvent {
  readonly ok: true
  /** Canonical JSON text. */
  readonly json: string
  /**
   * Value of the stream's id field: a string's value, else its JSON text. It may share memory with the text that
   * was decoded: whoever keeps it for long keeps a copy.
   */
  readonly id: string | undefined
  /** Text of the key field, which chooses the partition; undefined where it is missing or null. */
  readonly key: string | undefined
  /** Event time in microseconds since the epoch. */
  readonly timeUs: number | undefined
}

export interface RefusedEvent {
  readonly ok: false
  readonly code: ErrorCode
  readonly reason: string
  /** JSON pointer into the event, '' for the whole. */
  readonly place: string
}

/** Which fields of the stream are its id, key and time, by position; -1 for none. */
export function rolesOf(stream: StreamDef): {
  readonly idIndex: number
  readonly keyIndex: number
  readonly timeIndex: number
  readonly keyDefault: string | undefined
} {
  const { fields } = stream.schema
  const position = (name: string | undefined) => fields.findIndex((field) => field.name === name)
  const keyDefault = fields[position(stream.key)]?.defaultValue
  return {
    idIndex: position(stream.id),
    keyIndex: position(stream.key),
    timeIndex: position(stream.time),
    keyDefault: keyDefault === undefined || keyDefault === null ? undefined : String(keyDefault),
  }
}
