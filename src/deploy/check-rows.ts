/**
 * Rows as JSON text into rows whose numbers are their digits, a few at a time. Pure; like the comparison it works in
 * steps, because a hundred thousand rows take as long as a thousand requests.
 */

import type { TotalsRow } from './check-totals.ts'

const ROWS_A_STEP = 500

type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown

/** `json` is an array of objects. Nested values stay as they are. Each `yield` is a place to stop for a moment. */
export function* parseTotals(json: string): Generator<undefined, readonly TotalsRow[]> {
  const rows: TotalsRow[] = []
  let at = json.indexOf('{')
  while (at >= 0) {
    const end = endOfObject(json, at)
    rows.push(parseRow(json.slice(at, end)))
    if (rows.length % ROWS_A_STEP === 0) yield
    at = json.indexOf('{', end)
  }
  return rows
}

function parseRow(text: string): TotalsRow {
  const parse = JSON.parse as (text: string, reviver: Reviver) => TotalsRow
  return parse(text, (_key, value, { source }) =>
    typeof value === 'number' ? (source ?? String(value)) : value,
  )
}

/** Position after the brace that closes the one at `start`; braces within texts are letters. */
function endOfObject(json: string, start: number): number {
  const signs = /["{}]/g
  const text = /[^"\\]*(?:\\.[^"\\]*)*"/y
  let depth = 0
  signs.lastIndex = start
  for (let sign = signs.exec(json); sign !== null; sign = signs.exec(json)) {
    if (sign[0] === '{') depth++
    else if (sign[0] === '}') {
      if (--depth === 0) return signs.lastIndex
    } else {
      text.lastIndex = signs.lastIndex
      text.exec(json)
      signs.lastIndex = text.lastIndex
    }
  }
  return json.length
}
