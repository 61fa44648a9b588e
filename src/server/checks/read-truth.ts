/**
 * The rows of a check's source of truth: a file, read by the past engine, or a function, called in a process of its
 * own. Numbers come as their digits, never through a float. No state.
 */

import { stat } from 'node:fs/promises'
import { relative } from 'node:path'
import { callTruth } from '../../define/call-truth.ts'
import type { TruthDef } from '../../define/types.ts'
import { parseTotals } from '../../deploy/check-rows.ts'
import type { Cell, TotalsRow } from '../../deploy/check-totals.ts'
import { RefoldError } from '../../model/errors.ts'
import { quoteLiteral } from '../../model/schema.ts'
import { inTurns } from '../../std/turn.ts'
import type { Past } from '../past/past.ts'

/** Totals, not events: more rows than this are summed up further before they are compared. */
export const TOTALS_ROWS_MAX = 100_000

export interface TruthRequest {
  readonly check: string
  readonly truth: TruthDef
  /** Folder of the project, for shorter names in messages. */
  readonly root: string
  readonly past: Past
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

/** Throws CHECK_TRUTH. */
export async function readTruth(request: TruthRequest): Promise<readonly TotalsRow[]> {
  const { check, truth, timeoutMs, signal } = request
  if (truth.kind === 'file') return readFile(request, truth)
  const rowsMax = TOTALS_ROWS_MAX
  const call = { check, file: truth.file, timeoutMs, rowsMax, ...(signal === undefined ? {} : { signal }) }
  return await inTurns(parseTotals(await callTruth(call)))
}

async function readFile(
  { check, root, past, timeoutMs, signal }: TruthRequest,
  { path, format }: Extract<TruthDef, { kind: 'file' }>,
): Promise<readonly TotalsRow[]> {
  const name = shortName(root, path)
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => error)
  if (found instanceof Error || !found.isFile()) {
    const why = !(found instanceof Error) || found.code === 'ENOENT' ? 'there is no file' : 'one cannot read'
    throw new RefoldError('CHECK_TRUTH', `the truth of check "${check}": ${why} "${name}"`)
  }
  const asked = { timeoutMs, ...(signal === undefined ? {} : { signal }) }
  const statement = { sql: fileSql(path, format), limit: TOTALS_ROWS_MAX }
  const answers = await past
    .query({ states: {}, statements: [statement], ...asked })
    .catch((error: unknown) => {
      if (!(error instanceof RefoldError) || error.code !== 'QUERY_FAILED') throw error
      throw new RefoldError(
        'CHECK_TRUTH',
        `the truth of check "${check}" cannot be read from "${name}": ${error.message}`,
      )
    })
  const [answer] = answers
  if (answer === undefined || answer.truncated) {
    const hint = 'Sum the rows up further, on both sides.'
    throw new RefoldError('CHECK_TRUTH', `"${name}" has more than ${TOTALS_ROWS_MAX} rows`, { hint })
  }
  const rows = await inTurns(parseTotals(answer.json))
  return format === 'json' ? rows.map((row, index) => jsonRow(row['row'] ?? null, index, name)) : rows
}

/** CSV as texts; objects of JSON as they stand in the file: a reader that guesses types would make floats of both. */
function fileSql(path: string, format: 'csv' | 'json' | 'parquet'): string {
  const file = quoteLiteral(path)
  switch (format) {
    case 'csv':
      return `SELECT * FROM read_csv(${file}, all_varchar = true, header = true)`
    case 'json':
      return `SELECT json AS "row" FROM read_json_objects(${file})`
    case 'parquet':
      return `SELECT * FROM read_parquet(${file})`
  }
}

function jsonRow(row: Cell | object, index: number, name: string): TotalsRow {
  if (typeof row === 'object' && row !== null && !Array.isArray(row)) return row as TotalsRow
  throw new RefoldError('CHECK_TRUTH', `row ${index + 1} of "${name}" is no JSON object`)
}

function shortName(root: string, path: string): string {
  const short = relative(root, path)
  return short.startsWith('..') ? path : short
}
