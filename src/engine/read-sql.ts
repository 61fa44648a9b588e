/**
 * People's read-only SQL over views, streams and system tables: checked in the planner's jail, then run with every
 * exposed name bound to what it stands for, all of it at one cut. State: the parser, opened at its first use.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { PlannedFunction } from '../define/function-def.ts'
import { hotRelation, lakeRelation, systemColumns } from '../lake/relation.ts'
import type { CommitSeq } from '../model/cut.ts'
import { type ErrorBody, fromErrorBody, RefoldError } from '../model/errors.ts'
import { quoteIdentifier, quoteLiteral, type StreamDef, sqlType } from '../model/schema.ts'
import type { Column } from '../plan/plan.ts'
import {
  bindReadOnlySql,
  checkReadOnlySql,
  type ExposedRelations,
  type UsedRelation,
} from '../plan/read-only-sql.ts'
import { must } from '../std/assert.ts'
import { runCancellable } from './duckdb.ts'
import type { LogSources, Rows, SqlRead } from './engine.ts'
import { hotFilesOf } from './hot-files.ts'
import { limitedRows } from './read-view.ts'
import { resultColumns, rowTexts } from './rows-json.ts'
import { type DuckDbSyntax, openSqlSyntax } from './sql-syntax.ts'

export interface SqlContext {
  readonly streams: ReadonlyMap<string, StreamDef>
  readonly sources: LogSources
  readonly views: readonly SqlView[]
  /** Cut of the answer: the views' common cut, at which streams end too. */
  readonly cut: CommitSeq
  readonly scratchDir: string
  /** Makes functions in TypeScript known to the connection's DuckDB. */
  readonly useFunctions?: (functions: readonly PlannedFunction[]) => Promise<void>
  /** Names that exist but cannot be read, each with why; told when the SQL names one. System tables are refold.NAME. */
  readonly refused?: Readonly<Record<string, ErrorBody>>
}

export interface SqlView {
  /** Of one layer: `batch.VIEW` or `speed.VIEW`. */
  readonly name: string
  readonly columns: readonly Column[]
  /** SELECT of its rows; asked for only when the SQL names the view. */
  rows(): string | Promise<string>
}

let syntax: Promise<DuckDbSyntax> | undefined

/** Also says which views the SQL reads. */
export async function readSql(
  connection: DuckDBConnection,
  context: SqlContext,
  request: SqlRead,
  signal: AbortSignal,
): Promise<{ rows: Rows; views: ReadonlySet<string> }> {
  syntax ??= openSqlSyntax()
  const opened = await syntax
  const checked = await checkReadOnlySql({
    sql: request.sql,
    syntax: request.functions === undefined ? opened : opened.withFunctions(request.functions),
    relations: exposedRelations(context, request),
  })
  if (!checked.ok) throw mistakesError(checked.mistakes)
  for (const { kind, name } of checked.used) {
    const refused = context.refused?.[kind === 'system' ? `refold.${name}` : name]
    if (refused !== undefined) throw fromErrorBody(refused)
  }
  await context.useFunctions?.(checked.functions)
  const copies = await mkdtemp(join(context.scratchDir, 'sql-'))
  try {
    const system = namesSystemColumns(checked.sql)
    const bound = new Map<string, string>()
    for (const used of checked.used)
      bound.set(used.bindName, await relationSql(context, request, used, system, copies))
    const sql = bindReadOnlySql(checked, (used) =>
      must(bound.get(used.bindName), 'every used relation is bound'),
    )
    const result = await runCancellable(connection, `SELECT * FROM (${sql}) LIMIT ${request.limit + 1}`, {
      timeoutMs: request.timeoutMs,
      signal,
    })
    const views = new Set(checked.used.filter((used) => used.kind === 'view').map((used) => used.name))
    return { rows: limitedRows(rowTexts(result), resultColumns(result), request.limit), views }
  } finally {
    await rm(copies, { recursive: true, force: true })
  }
}

function exposedRelations(context: SqlContext, request: SqlRead): ExposedRelations {
  const streams = [...context.streams.values()].map((stream) => [stream.name, streamColumns(stream)] as const)
  const isLayer = ({ name }: SqlView) => name.includes('.')
  const columnsOf = (views: readonly SqlView[]) =>
    Object.fromEntries(views.map((view) => [view.name, view.columns]))
  return {
    views: columnsOf(context.views.filter((view) => !isLayer(view))),
    layers: columnsOf(context.views.filter(isLayer)),
    streams: Object.fromEntries(streams),
    system: Object.fromEntries(Object.entries(request.system).map(([name, table]) => [name, table.columns])),
  }
}

function streamColumns(stream: StreamDef): readonly Column[] {
  return [
    ...stream.schema.fields.map((field) => ({ name: field.name, type: sqlType(field.type) })),
    ...systemColumns,
  ]
}

/** One mistake is itself; several are told together, the first one's code and place leading. */
function mistakesError(mistakes: readonly RefoldError[]): RefoldError {
  const first = must(mistakes[0], 'a refused query has a mistake')
  if (mistakes.length === 1) return first
  return new RefoldError(first.code, mistakes.map((mistake) => mistake.message).join('; '), {
    hint: first.hint,
    ...(first.place === undefined ? {} : { place: first.place }),
  })
}

async function relationSql(
  context: SqlContext,
  request: SqlRead,
  used: UsedRelation,
  system: boolean,
  copies: string,
): Promise<string> {
  switch (used.kind) {
    case 'view':
      return await must(
        context.views.find((view) => view.name === used.name),
        `view ${used.name} is exposed`,
      ).rows()
    case 'stream':
      return streamSql(
        context,
        must(context.streams.get(used.name), `stream ${used.name} is exposed`),
        system,
        copies,
      )
    case 'system':
      return systemSql(must(request.system[used.name], `system table ${used.name} is exposed`))
  }
}

/** A stream's events up to the answer's cut: the lake's, then those in closed segments, then the open one's. */
async function streamSql(
  context: SqlContext,
  stream: StreamDef,
  system: boolean,
  copies: string,
): Promise<string> {
  const { lake, log } = context.sources
  const border = Math.min(lake.through, context.cut)
  const range = { from: border, to: context.cut }
  const files = lake.files.filter((file) => file.stream === stream.name)
  const parts = [lakeRelation(stream, 'all', files, { from: 0, to: border }, { system })]
  const hot = await hotFilesOf(log, range, copies, { growing: true })
  const still = hot.filter((file) => file.growing !== true).map((file) => file.path)
  const growing = hot.filter((file) => file.growing === true).map((file) => file.path)
  if (still.length > 0) parts.push(hotRelation(stream, 'all', still, undefined, { system }))
  if (growing.length > 0) parts.push(hotRelation(stream, 'all', growing, range, { system, growing: true }))
  return parts.join(' UNION ALL ')
}

/** Whether a checked SQL may speak of the system columns: they cost a second pass over the hot log. */
function namesSystemColumns(sql: string): boolean {
  const text = sql.replaceAll(/count(_star)?\(\*?\)/gi, '')
  return /\*|columns|_(partition|offset|commit|index|ingested_at)/i.test(text)
}

/** Rows that the server gave, every cell as text first: JSON numbers, booleans and texts all cast to their type. */
function systemSql(table: SqlRead['system'][string]): string {
  const cells = table.columns.map(({ name, type }) => {
    return `CAST(r.${quoteIdentifier(name)} AS ${type}) AS ${quoteIdentifier(name)}`
  })
  const shape = JSON.stringify([Object.fromEntries(table.columns.map(({ name }) => [name, 'VARCHAR']))])
  const rows = quoteLiteral(JSON.stringify(table.rows))
  return `SELECT ${cells.join(', ')} FROM (SELECT unnest(from_json(${rows}, ${quoteLiteral(shape)})) AS r)`
}
