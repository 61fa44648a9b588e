/**
 * When the lake must keep an event's text beside its values. Pure.
 *
 * A missing key and a null are both NULL in a typed column. Where a schema allows both for one field, at any depth,
 * the values alone can not give back the event as it was sent, so the file has a column `_json` with its text.
 * Everything else comes back byte for byte from the typed columns (`engine/read-events.ts`).
 */

import type { FieldType } from '../model/schema.ts'

/** The extra column; listed among a lake file's `fields` when the file has it. No field can have this name's form. */
export const textColumn = '_json'

/** Whether some field within the type may be both missing and null. */
export function needsText(type: FieldType): boolean {
  switch (type.kind) {
    case 'object':
      return type.fields.some((field) => (field.optional && field.nullable) || needsText(field.type))
    case 'array':
      return needsText(type.element)
    case 'map':
      return needsText(type.value)
    default:
      return false
  }
}
