/** Tells what ingest would make of an event, for tests of a project's schemas. No state. */

import { lowerSchema } from '../define/lower.ts'
import type { StreamSpec } from '../define/spec.ts'
import { RefoldError } from '../model/errors.ts'
import type { DecodedEvent, RefusedEvent } from './decoded-event.ts'
import { compileDecoder } from './decoder.ts'

/**
 * Decodes an event as POST /v1/streams/{stream}/events would: a JSON text as it stands, or a value. Gives the
 * canonical form, or the code, reason and place of the refusal. Throws when the stream's schema is itself refused.
 */
export function tryEvent(spec: StreamSpec, event: unknown): DecodedEvent | RefusedEvent {
  const schema = lowerSchema(spec.schema, (path, message, hint) => {
    throw new RefoldError('STREAM_SCHEMA', `stream "${spec.name}": field "${path.join('.')}": ${message}`, {
      hint,
    })
  })
  if (schema === undefined) throw new RefoldError('STREAM_SCHEMA', `stream "${spec.name}" has no schema`)
  const { id, key, time } = spec
  const decoder = compileDecoder({
    name: spec.name,
    schema,
    ...(id === undefined ? {} : { id }),
    ...(key === undefined ? {} : { key }),
    ...(time === undefined ? {} : { time }),
    partitions: 1,
    dedupe: { timeMs: 0, count: 0 },
    latenessMs: 0,
  })
  return typeof event === 'string' ? decoder.decode(event) : decoder.decodeValue(event)
}
