/** Rows of the error table: why an event is refused. Pure data. */

import { type ErrorRow, row } from './error-row.ts'

export const eventErrors = {
  EVENT_NOT_UTF8: row(422, false, 'The bytes of the event are not valid UTF-8.', 'Send JSON as UTF-8.'),
  EVENT_TOO_LARGE: row(
    422,
    false,
    'The event is larger than the limit for one event.',
    'Send less in one event, or raise `limits.eventBytes`.',
  ),
  EVENT_TOO_DEEP: row(
    422,
    false,
    'Arrays and objects are nested deeper than the limit.',
    'Send flatter events, or raise `limits.depth`.',
  ),
  EVENT_NOT_JSON: row(422, false, 'The event is not valid JSON.', 'Send one JSON object for each event.'),
  EVENT_NOT_OBJECT: row(
    422,
    false,
    'The event is JSON, but not an object.',
    'Send one JSON object for each event.',
  ),
  EVENT_FIELD_MISSING: row(
    422,
    false,
    'A field that the schema requires is missing.',
    'Send the field, or declare it `.optional()` or with `.default(…)`.',
  ),
  EVENT_FIELD_NULL: row(
    422,
    false,
    'A field is null that the schema does not declare nullable.',
    'Send a value, leave an optional field out, or declare the field `.nullable()`.',
  ),
  EVENT_FIELD_TYPE: row(
    422,
    false,
    'The value of a field has another type than the schema says.',
    'Send the type that GET /v1/streams shows for the field.',
  ),
  EVENT_FIELD_RANGE: row(
    422,
    false,
    'The value of a field is outside the bounds of its type or schema.',
    'Send a value within the bounds, or widen the type in the schema.',
  ),
  EVENT_FIELD_FORMAT: row(
    422,
    false,
    'The text of a field does not have the form that the schema asks for.',
    'Send the form named in the reason.',
  ),
  EVENT_FIELD_VALUE: row(
    422,
    false,
    'The value of a field is not one of those that the schema allows.',
    'Send one of the allowed values, or add the value to the schema.',
  ),
  EVENT_FIELD_TWICE: row(
    422,
    false,
    'A field that was renamed is in the event under two of its names, with different values.',
    'Send it under its new name alone, or the same value under both.',
  ),
  EVENT_FIELD_TEXT: row(
    422,
    false,
    'A text holds half of a surrogate pair, which is no character.',
    'Cut texts between characters, not within one.',
  ),
  EVENT_ID_CONFLICT: row(
    422,
    false,
    'An event with this id and other content was already accepted.',
    'Give each event an id of its own; send a retry unchanged.',
  ),
  EVENT_SKIPPED: row(
    422,
    false,
    'The logic of a view failed on the event, and the view went on without it.',
    'Mend the logic and deploy it: the new version folds the event. Or send a mended copy.',
  ),
  DEAD_LETTER_UNKNOWN: row(
    404,
    false,
    'There is no dead letter with this id.',
    '`refold dead list --all` shows the ids.',
  ),
  DEAD_LETTER_CUT: row(
    422,
    false,
    'Only the beginning of the event was kept, so it cannot be sent again as it is.',
    'Give the whole event with --event.',
  ),
  DEAD_LETTER_FOLDED: row(
    409,
    false,
    'The event is in the log, and other views folded it; a copy would count there once more.',
    'Mend the view instead: its new version folds the event. Or send the copy all the same with --force.',
  ),
} as const satisfies Record<string, ErrorRow>
