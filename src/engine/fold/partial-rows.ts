/** Partial rows of a fold in TypeScript as SQL: those that its thread wrote into files, and states by key. Pure text. */

import { quoteIdentifier, quoteLiteral, sqlType } from '../../model/schema.ts'
import type { GroupStage } from '../../plan/plan.ts'
import { rowsType } from '../../plan/plan-fold.ts'
import { keyTexts } from '../../plan/queries.ts'
import { must } from '../../std/assert.ts'
import type { Key } from './code-folder.ts'
import { TEXT_MAX } from './fold-shape.ts'

/** A line holds a state, its text escaped once more, and the rows. */
const LINE_BYTES_MAX = 8 * TEXT_MAX

/** What "$events" of the stage means: the partial rows in the files. */
export function partialRowsSql(stage: GroupStage, files: readonly string[]): string {
  const code = must(stage.code, 'the stage has code')
  const rows = sqlType(rowsType(code.row))
  const types: Record<string, string> = {}
  for (const { name } of stage.keys) types[name] = 'VARCHAR'
  Object.assign(types, { events: 'BIGINT', positions: 'BIGINT', at: 'BIGINT', state: 'VARCHAR', rows })
  const columns = Object.entries(types).map(([name, type]) => `${quoteLiteral(name)}: ${quoteLiteral(type)}`)
  const keys = stage.keys.map(
    ({ name, type }) => `CAST(${quoteIdentifier(name)} AS ${type}) AS ${quoteIdentifier(name)}`,
  )
  const list = files.map(quoteLiteral).join(', ')
  return (
    `SELECT ${keys.join(', ')}, events, positions, "at", state, "rows" FROM read_ndjson([${list}], ` +
    `columns = {${columns.join(', ')}}, auto_detect = false, maximum_object_size = ${LINE_BYTES_MAX})`
  )
}

/** One text: `[…key, state]` of each of these partial rows, joined by commas. */
export function statesSql(stage: GroupStage, partialsSql: string): string {
  return `SELECT string_agg(CAST(json_array(${keyTexts(stage)}, state) AS VARCHAR), ',') AS rows FROM (${partialsSql})`
}

/** SELECT that gives `_h` of keys, as functions got them. */
export function keyHashesSql(stage: GroupStage, keys: readonly Key[]): string {
  const values = stage.keys.map(({ type }, index) => `CAST(k ->> ${index} AS ${type})`)
  return `SELECT hash(${values.join(', ')}) AS _h FROM (SELECT unnest(CAST(${quoteLiteral(JSON.stringify(keys))} AS JSON[])) AS k)`
}
