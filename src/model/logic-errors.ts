/** Rows of the error table: logic in TypeScript. Pure data. */

import { type ErrorRow, row } from './error-row.ts'

export const logicErrors = {
  LOGIC_INVALID: row(
    422,
    false,
    'A function or fold in TypeScript is not declared as it should be, or does not do what it declares.',
    'Correct what is named.',
  ),
  LOGIC_IMPURE: row(
    422,
    false,
    'Logic in TypeScript does not give the same for the same input: it uses the clock, chance or what lies outside.',
    'Let it see its arguments and its artefacts alone.',
  ),
  LOGIC_FAILED: row(
    500,
    false,
    'Logic in TypeScript failed, or took longer than it may.',
    'Correct the function at the place that is named, and deploy it.',
  ),
  LOGIC_MISSING: row(
    500,
    false,
    'The code that a version was made with is not there, or not what it was.',
    'Bring back the file or package that is named, or restore the folder `code` from a backup.',
  ),
  LOGIC_DIFFERS: row(
    409,
    false,
    "The files of the server's project are not those that the project was sent with.",
    "Bring the server's project folder to the same state, then send the project again.",
  ),
} as const satisfies Readonly<Record<string, ErrorRow>>
