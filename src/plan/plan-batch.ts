/**
 * Plans the batch definition of a view with two: a SELECT that may be anything the engine can do over streams and
 * reference files, checked in the jail of people's SQL and for what is not decided by events and files; that its rows
 * have the columns of the speed definition; and that both can be merged by the view's rules. Pure but for the syntax
 * seam and the files.
 */

import type { PlannedFunction } from '../define/function-def.ts'
import type { BatchDef, SourcePlace } from '../define/types.ts'
import { type ErrorCode, RefoldError } from '../model/errors.ts'
import { type StreamDef, sqlType } from '../model/schema.ts'
import { nearestName } from '../std/nearest-name.ts'
import { systemFields } from './batch-columns.ts'
import { fieldsNamed } from './batch-fields.ts'
import { checkReproducible } from './batch-functions.ts'
import { placeOfDuckDbError } from './duckdb-error-place.ts'
import { FunctionRules } from './function-rules.ts'
import { checkLayers } from './layer-fit.ts'
import { Mistakes } from './mistakes.ts'
import type { BatchFile, BatchPlan, BatchStream, Column, ViewPlan } from './plan.ts'
import { firstSentence } from './planned-link.ts'
import { checkReadOnlySql, type UsedRelation } from './read-only-sql.ts'
import { type FileUse, takeFiles } from './reference-files.ts'
import type { SqlNode, SqlSyntax } from './sql-syntax.ts'

/** Reads reference files of a project. */
export interface ReferenceFiles {
  /** Hash and columns of a file as it is read; throws a RefoldError that says why not. */
  describe(use: Pick<FileUse, 'path' | 'reader' | 'options'>): Promise<{
    readonly path: string
    readonly hash: string
    readonly columns: readonly Column[]
    /** Where it was read, absolute. */
    readonly source: string
  }>
}

export interface BatchRequest {
  readonly name: string
  readonly batch: BatchDef
  /** The plan of the speed definition, and where its SQL begins. */
  readonly speed: ViewPlan
  readonly speedPlace: SourcePlace
  readonly streams: readonly StreamDef[]
  readonly views: readonly string[]
  readonly syntax: SqlSyntax
  readonly files: ReferenceFiles
}

/** Where a reference file was read, for whoever keeps a copy of it. */
export type FileSource = Pick<BatchFile, 'path' | 'hash'> & { readonly source: string }

export type BatchResult =
  | {
      readonly ok: true
      readonly batch: BatchPlan
      readonly printedSql: string
      readonly sources: readonly FileSource[]
      /** Functions in TypeScript that the SQL calls. */
      readonly functions: readonly PlannedFunction[]
    }
  | { readonly ok: false; readonly mistakes: readonly RefoldError[] }

export async function planBatch(request: BatchRequest): Promise<BatchResult> {
  const { batch, syntax, name } = request
  const mistakes = new Mistakes(batch.sql, batch.sqlPlace)
  const statement = await parseOne(request, mistakes)
  if (statement === undefined) return { ok: false, mistakes: mistakes.errors }
  const printedSql = await syntax.print(statement)
  const known = request.streams.flatMap(columnsOf).map((column) => column.name.toLowerCase())
  checkReproducible(statement, new Set(known), new FunctionRules(await syntax.functions()), mistakes)
  const taken = await takeFiles(statement, syntax, mistakes)
  const read = await readFiles(request, taken.files, mistakes)
  const files = read.map(({ source: _, ...file }) => file)
  if (mistakes.found) return { ok: false, mistakes: mistakes.errors }
  const jailed = await checkReadOnlySql({
    sql: batch.sql,
    statement: taken.statement,
    syntax,
    place: batch.sqlPlace,
    relations: {
      views: Object.fromEntries(files.map(({ bindName, columns }) => [bindName, columns])),
      streams: Object.fromEntries(request.streams.map((stream) => [stream.name, columnsOf(stream)])),
      system: {},
    },
  })
  if (!jailed.ok) return { ok: false, mistakes: jailed.mistakes.map((one) => asViewMistake(one, request)) }
  const columns = await describe(request, jailed, files, mistakes)
  if (columns === undefined) return { ok: false, mistakes: mistakes.errors }
  const fit = await checkLayers({ ...request, view: name, columns })
  if (!fit.ok) return { ok: false, mistakes: fit.mistakes }
  const used = jailed.used.filter(({ kind }) => kind === 'stream')
  const plan: BatchPlan = {
    sql: batch.sql,
    boundSql: jailed.sql,
    streams: used.map((one) => streamOf(one, request.streams, taken.statement)),
    files: files.map((file) => ({ ...file, bindName: `$view:${file.bindName}` })),
    key: fit.key,
    merge: fit.merge,
    approximate: batch.approximate,
  }
  const { functions } = jailed
  const sources = read.map(({ path, hash, source }) => ({ path, hash, source }))
  return { ok: true, batch: plan, printedSql, sources, functions }
}

async function parseOne(request: BatchRequest, mistakes: Mistakes): Promise<SqlNode | undefined> {
  const what = `the batch SQL of view "${request.name}"`
  const parsed = await request.syntax.parse(request.batch.sql)
  if (!parsed.ok) {
    const isSelectOnly = parsed.message.startsWith('Only SELECT')
    mistakes.add({
      code: isSelectOnly ? 'VIEW_NOT_SELECT' : 'VIEW_SYNTAX',
      message: isSelectOnly ? `${what} is not a SELECT` : `${what} cannot be parsed: ${parsed.message}`,
      ...(parsed.position === undefined ? {} : { at: parsed.position }),
    })
    return undefined
  }
  if (parsed.statements.length !== 1) {
    const count = parsed.statements.length
    mistakes.add({ code: 'VIEW_NOT_SELECT', message: `${what} has ${count} statements instead of one` })
    return undefined
  }
  return parsed.statements[0]
}

async function readFiles(
  { files }: BatchRequest,
  uses: readonly FileUse[],
  mistakes: Mistakes,
): Promise<readonly (BatchFile & FileSource)[]> {
  const read: (BatchFile & FileSource)[] = []
  for (const use of uses) {
    try {
      const found = await files.describe(use)
      read.push({ bindName: use.name, reader: use.reader, options: use.options, ...found })
    } catch (error) {
      if (!(error instanceof RefoldError)) throw error
      mistakes.add({ code: 'VIEW_FILE', message: error.message, hint: error.hint, at: use.at })
    }
  }
  return read
}

function columnsOf(stream: StreamDef): readonly Column[] {
  return [
    ...stream.schema.fields.map((field) => ({ name: field.name, type: sqlType(field.type) })),
    ...systemFields,
  ]
}

async function describe(
  request: BatchRequest,
  jailed: { readonly sql: string; readonly used: readonly UsedRelation[] },
  files: readonly BatchFile[],
  mistakes: Mistakes,
): Promise<readonly Column[] | undefined> {
  const relations = jailed.used.map(({ kind, name, bindName }) => {
    const stream = kind === 'stream' ? request.streams.find((one) => one.name === name) : undefined
    const file = files.find((one) => one.bindName === name)
    return [bindName, stream === undefined ? (file?.columns ?? []) : columnsOf(stream)] as const
  })
  try {
    return await request.syntax.describe(jailed.sql, Object.fromEntries(relations))
  } catch (error) {
    // The message speaks of the printed SQL: its words are looked for in the one that the user wrote.
    const message = firstSentence(error)
    const [, word = ''] = /"([^"]+)"/.exec(message) ?? []
    const at = placeOfDuckDbError(error, request.batch.sql) ?? mistakes.placeOf(word || '\0')
    mistakes.add({
      code: 'VIEW_INVALID',
      message: `the batch SQL of view "${request.name}" does not bind: ${message}`,
      ...(at === undefined ? {} : { at }),
    })
    return undefined
  }
}

function streamOf(
  { name, bindName }: UsedRelation,
  streams: readonly StreamDef[],
  statement: SqlNode,
): BatchStream {
  const fields = (streams.find((one) => one.name === name)?.schema.fields ?? []).map((field) => field.name)
  const system = systemFields.map((column) => column.name)
  const named = fieldsNamed(statement, [...fields, ...system])
  return {
    bindName,
    stream: name,
    fields: fields.filter((field) => named.has(field)),
    system: system.some((column) => named.has(column)),
  }
}

const viewCodes: Readonly<Record<string, ErrorCode>> = {
  SQL_SYNTAX: 'VIEW_SYNTAX',
  SQL_FORBIDDEN: 'VIEW_UNSUPPORTED',
}

/** What the jail says of people's SQL, said of a view. */
function asViewMistake(mistake: RefoldError, { name, streams, views }: BatchRequest): RefoldError {
  const unknown = /no view or stream "([^"]+)"/.exec(mistake.message)?.[1]
  const place = mistake.place === undefined ? {} : { place: mistake.place }
  if (unknown !== undefined) {
    const isView = views.some((view) => view.toLowerCase() === unknown.toLowerCase())
    const near = nearestName(
      unknown,
      streams.map((stream) => stream.name),
    )
    const message = isView
      ? `the batch SQL of view "${name}" reads the view "${unknown}"; it may read streams and reference files`
      : `the batch SQL of view "${name}" reads "${unknown}", which is no stream`
    const hint = isView
      ? 'Write what that view computes as a subquery.'
      : near === undefined
        ? `There are: ${streams.map((stream) => stream.name).join(', ')}; files are named by their path.`
        : `Did you mean "${near}"?`
    return new RefoldError('VIEW_STREAM_UNKNOWN', message, { ...place, hint })
  }
  const code = viewCodes[mistake.code] ?? 'VIEW_FUNCTION_UNKNOWN'
  const message = mistake.message.replace(/^a query/, 'a view')
  return new RefoldError(code, message, { ...place, hint: mistake.hint })
}
