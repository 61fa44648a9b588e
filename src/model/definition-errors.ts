/** Rows of the error table: what can be wrong with what a user wrote, project and SQL. Pure data. */

import { type ErrorRow, row } from './error-row.ts'

export const definitionErrors = {
  // define: mistakes in a project
  PROJECT_NOT_FOUND: row(
    500,
    false,
    'No project file was found.',
    'Run `refold init` here, or name the folder with --project.',
  ),
  PROJECT_SYNTAX: row(
    500,
    false,
    'A project file is not valid TypeScript.',
    'Correct the line that is named.',
  ),
  PROJECT_FAILED: row(
    500,
    false,
    'A project file failed while it was loaded.',
    'Correct the line that is named; a project file only declares things.',
  ),
  PROJECT_INVALID: row(
    500,
    false,
    'A project file does not declare a project as it should.',
    'End it with `export default project({ streams, views })`.',
  ),
  PROJECT_NAME: row(
    500,
    false,
    'The name of a stream or view is not allowed, or is there twice.',
    'Use letters, digits and "_", beginning with a letter; streams and views share their names.',
  ),
  PROJECT_SETTING: row(
    500,
    false,
    'A setting of the project has no valid value, or does not exist.',
    'Correct the setting, or leave it out for its default.',
  ),
  PROJECT_RECEIVED: row(
    400,
    false,
    'What was sent to the server is not a project as Refold loads it.',
    'Send it with `refold plan` or `refold deploy` of the same release as the server.',
  ),
  PROJECT_REFUSED: row(
    422,
    false,
    'A project that was sent has mistakes: in its SQL, or in how its streams changed.',
    'Correct all that is named in details, then send it again.',
  ),
  STREAM_FIELD: row(
    500,
    false,
    'The id, key or time of a stream is not a field that can be one.',
    'Name a top-level field of the schema that fits.',
  ),
  STREAM_SCHEMA: row(
    500,
    false,
    'The schema of a stream says what JSON Schema cannot say.',
    'Use the alternative that is named.',
  ),
  STREAM_CHANGED: row(
    500,
    false,
    'A stream was changed in a way that events in its log do not fit.',
    'Take the change back, or declare a stream with another name.',
  ),
  // plan: a view's SQL
  VIEW_SYNTAX: row(400, false, 'The SQL of a view cannot be parsed.', 'Correct the SQL at the named place.'),
  VIEW_INVALID: row(
    400,
    false,
    'The SQL of a view does not bind: a type or a rule of SQL is violated.',
    'Correct the SQL at the named place.',
  ),
  VIEW_NOT_SELECT: row(
    400,
    false,
    'The SQL of a view is something other than one SELECT over a stream.',
    'Write one SELECT statement over one stream.',
  ),
  VIEW_STREAM_UNKNOWN: row(
    400,
    false,
    'A view reads a stream that the project does not have.',
    'Name one of the streams of the project.',
  ),
  VIEW_COLUMN_UNKNOWN: row(
    400,
    false,
    'A view uses a column that its stream or subquery does not have.',
    'Name one of the columns that are there.',
  ),
  VIEW_FUNCTION_UNKNOWN: row(
    400,
    false,
    'A view calls a function that the engine does not have.',
    'Correct the name of the function.',
  ),
  VIEW_COLUMN_DUPLICATE: row(
    400,
    false,
    'Two columns of a view have the same name.',
    'Give each column its own name with AS.',
  ),
  VIEW_VOLATILE: row(
    400,
    false,
    'A view calls a function whose result is not decided by the events alone.',
    "Use the event's own time or another of its fields.",
  ),
  VIEW_NOT_MERGEABLE: row(
    400,
    false,
    'A view uses an aggregate whose results over two ranges cannot be combined exactly.',
    'Use count, sum, avg, min, max, count(DISTINCT), sum(DISTINCT), bool_and or bool_or.',
  ),
  VIEW_TYPE: row(
    400,
    false,
    'A view computes something of a type that partial rows cannot keep exactly.',
    'Cast to a type that is kept exactly, e.g. BIGINT, DECIMAL or VARCHAR.',
  ),
  VIEW_NOT_YET: row(
    400,
    false,
    'A view uses a form of SQL that Refold does not fold yet.',
    'Write the view over one stream, with at most one GROUP BY.',
  ),
  VIEW_UNSUPPORTED: row(
    400,
    false,
    'A view uses a form of SQL that has no exact incremental result.',
    'Write the view without it.',
  ),
  VIEW_LATE: row(
    400,
    false,
    'A view holds late events back, and its stream does not say what is late.',
    'Give the stream `time` and `lateness`, or leave `late` out.',
  ),
  VIEW_LAYERS: row(
    400,
    false,
    'The two definitions of a view do not fit each other, or its key.',
    'Give both the same columns with the same types, and group the speed SQL by the key.',
  ),
  VIEW_MERGE: row(
    400,
    false,
    'A merge rule of a view with two definitions does not fit its column, or is not associative.',
    'Use a rule that fits: add, replace, min, max, or an associative expression over batch.COLUMN and speed.COLUMN.',
  ),
  VIEW_KEY_TWICE: row(
    500,
    false,
    'The batch SQL of a view gives more than one row with the same key.',
    'Group it by the columns of the key, or pick one row of each.',
  ),
  VIEW_FILE: row(
    400,
    false,
    'A reference file of a batch definition cannot be read.',
    "Name one file below the project's folder, e.g. read_csv('ref/countries.csv').",
  ),
  VIEW_EXPECT: row(
    400,
    false,
    'A rule of `expect` is no condition over one old and one new row.',
    'Write a condition over old.COLUMN and new.COLUMN, e.g. `new.total > old.total`.',
  ),
} as const satisfies Record<string, ErrorRow>
