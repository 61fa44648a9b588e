/**
 * The SQL of a check before anything runs: it passes the same jail as people's SQL, and it binds over empty tables of
 * the views and streams that it names. Pure but for the syntax seam.
 */

import { type ErrorPlace, RefoldError } from '../model/errors.ts'
import { nearestName } from '../std/nearest-name.ts'
import { placeOfDuckDbError } from './duckdb-error-place.ts'
import { placeInFile } from './mistakes.ts'
import type { Column } from './plan.ts'
import { firstSentence } from './planned-link.ts'
import { checkReadOnlySql, type ExposedRelations, type UsedRelation } from './read-only-sql.ts'
import type { SqlSyntax } from './sql-syntax.ts'

export interface CheckSqlRequest {
  readonly sql: string
  readonly place: ErrorPlace
  readonly relations: ExposedRelations
  readonly syntax: SqlSyntax
}

export type CheckSqlResult =
  | { readonly ok: true; readonly columns: readonly Column[]; readonly views: readonly string[] }
  | { readonly ok: false; readonly mistakes: readonly RefoldError[] }

/** Columns of a check's SQL, or everything that is wrong with it. */
export async function checkSql(request: CheckSqlRequest): Promise<CheckSqlResult> {
  const { sql, place, relations, syntax } = request
  const jailed = await checkReadOnlySql({ sql, syntax, relations, place })
  if (!jailed.ok) return { ok: false, mistakes: jailed.mistakes }
  const tables = Object.fromEntries(jailed.used.map((used) => [used.name, columnsOf(relations, used)]))
  try {
    const columns = await syntax.describe(sql, tables)
    const views = jailed.used.filter(({ kind }) => kind === 'view').map(({ name }) => name)
    return { ok: true, columns, views }
  } catch (error) {
    return { ok: false, mistakes: [bindMistake(request, error, Object.values(tables).flat())] }
  }
}

function columnsOf(relations: ExposedRelations, { kind, name }: UsedRelation): readonly Column[] {
  const group = { view: relations.views, stream: relations.streams, system: relations.system }[kind]
  return group[name] ?? []
}

function bindMistake(
  { sql, place }: CheckSqlRequest,
  error: unknown,
  columns: readonly Column[],
): RefoldError {
  const at = placeInFile(sql, place, placeOfDuckDbError(error, sql))
  const message = firstSentence(error)
  const unknown = /column named "([^"]+)"|[Cc]olumn "([^"]+)" not found/.exec(message)
  const name = unknown?.[1] ?? unknown?.[2]
  if (name === undefined) {
    return new RefoldError('CHECK_INVALID', `the SQL does not bind: ${message}`, { place: at })
  }
  const names = new Set(columns.map((column) => column.name))
  const nearest = nearestName(name, names)
  const hint = nearest === undefined ? `There are: ${[...names].join(', ')}.` : `Did you mean "${nearest}"?`
  return new RefoldError('COLUMN_UNKNOWN', `there is no column "${name}"`, { place: at, hint })
}
