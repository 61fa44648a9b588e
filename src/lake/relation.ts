/**
 * Relations over the files of the log and the lake, as SQL text for DuckDB. Pure functions, no state.
 *
 * All of them give the same columns in the same order: the fields asked for, typed by the schema, with defaults
 * applied; then, when `positions` are asked for, `$commit` and `$index`; then, when `system` is asked for,
 * `_partition`, `_offset`, `_commit`, `_index` and `_ingested_at`.
 *
 * `logRelation` is the one reader over cold and hot: it hands over at the lake's cut, from Parquet at or before it
 * to hot segments after it, so an event that is in both for a while (sealed, segment not yet deleted) is read once.
 * A NULL in a raw column means "missing or null"; a default stands only where null is not allowed, so filling a
 * default into NULL is exact.
 */

import type { CommitRange } from '../model/cut.ts'
import {
  type Field,
  namesOf,
  quoteIdentifier,
  quoteLiteral,
  type ReadField,
  type StreamDef,
  sqlType,
} from '../model/schema.ts'
import { must } from '../std/assert.ts'
import { rawType, typedField } from './default-values.ts'
import { needsText, textColumn } from './event-text.ts'
import { type LateRule, lateCondition, type WatermarkSql, watermarkColumn } from './late-rule.ts'
import type { LakeFile, LakeManifest } from './types.ts'

export interface RelationOptions {
  /** Adds the position of each event, under the names by which a fold knows it. */
  readonly positions?: boolean
  /** Adds the five system columns. */
  readonly system?: boolean
  /** Events to leave out. */
  readonly skipped?: readonly { readonly commit: number; readonly index: number }[]
  /** `false` gives the values as they were sent, without defaults. */
  readonly defaults?: boolean
  /**
   * Where hot files' ingest times come from. Without it the header lines in the
   * files are read for it, at the cost of a second pass and of the order of the lines.
   */
  readonly ingestTime?: IngestTime
  /** The files may end within a line that is still being written, which is beyond the range: pass it over. */
  readonly growing?: boolean
  /** Leaves late events out, or takes them alone. */
  readonly late?: LateRule
}

/** The ingest time (TIMESTAMP) of a commit: from the SQL of the commit's number to the SQL of the time. */
export type IngestTime = (commit: string) => string

export const systemColumns = [
  { name: '_partition', type: 'INTEGER' },
  { name: '_offset', type: 'BIGINT' },
  { name: '_commit', type: 'BIGINT' },
  { name: '_index', type: 'INTEGER' },
  { name: '_ingested_at', type: 'TIMESTAMP' },
] as const

const positionTypes = [
  { name: '$commit', type: 'BIGINT' },
  { name: '$index', type: 'INTEGER' },
] as const

/** The columns that say where an event stands, where a fold asks for them. */
export const positionNames = positionTypes.map((column) => column.name)

function positionColumns(commit: string, index: string): readonly string[] {
  return [`${commit} AS "$commit"`, `${index} AS "$index"`]
}

/** Bytes of a line that DuckDB accepts; its buffers are twice as large, so this also decides how files are shared. */
const LINE_BYTES_MAX = 16 * 1024 * 1024

/** Events of a stream in NDJSON files of the log, whole or cut out at line ends. Other lines are passed over. */
export function hotRelation(
  stream: StreamDef,
  fields: readonly string[] | 'all',
  files: readonly string[],
  range?: CommitRange,
  options: RelationOptions = {},
): string {
  const selected = selectFields(stream, fields)
  if (files.length === 0 || lacksLate(stream, options)) return emptyRelation(selected, options)
  const value = quoteIdentifier(stream.name)
  const columns = selected.map((field) => hotColumn(value, field, options))
  const system = options.system
    ? [
        'p AS _partition',
        'o AS _offset',
        'c AS _commit',
        'i AS _index',
        `${options.ingestTime?.('c') ?? 'make_timestamp_ms(t)'} AS _ingested_at`,
      ]
    : []
  const positions = options.positions ? positionColumns('c', 'i') : []
  const marks = watermarkColumns(options, () => options.late?.watermark('c') ?? 'NULL')
  const time = options.late === undefined ? undefined : timeField(stream)
  const conditions = [`${value} IS NOT NULL`, ...filterConditions('c', 'i', range, options)]
  if (options.late !== undefined && time !== undefined) {
    const raws = namesOf(time).map((name) => `${value}.${quoteIdentifier(name)}`)
    conditions.push(lateCondition(options.late, typedField(raws, time), 'c', options.late.watermark('c')))
  }
  const decoded = time === undefined || selected.includes(time) ? selected : [...selected, time]
  const lines = readLines(
    files,
    { ...eventColumns, [stream.name]: structOf(stream, decoded) },
    options.growing,
  )
  const times = options.system && options.ingestTime === undefined
  return (
    `SELECT ${selectList([...columns, ...positions, ...marks, ...system])} FROM ${lines}` +
    (times ? ` JOIN (${commitTimes(files, options.growing)}) ON "commit" = c` : '') +
    ` WHERE ${conditions.join(' AND ')}`
  )
}

/**
 * What a seal writes: all fields as they were sent, the system columns, for streams with a time field the watermark
 * that the event's commit stores, and for streams whose events could not be told from their values alone `_json`, the
 * event's text; in the order of the log.
 */
export function sealRelation(
  stream: StreamDef,
  files: readonly string[],
  range: CommitRange,
  { ingestTime, watermark }: { readonly ingestTime: IngestTime; readonly watermark: WatermarkSql },
): string {
  const events = needsText(stream.schema)
    ? textRelation(stream, files, range, ingestTime)
    : hotRelation(stream, 'all', files, range, { system: true, defaults: false, ingestTime })
  const mark = `${watermark('_commit')} AS ${watermarkColumn}`
  const list = stream.time === undefined ? '*' : `*${textExcept(stream)}, ${mark}${textAtEnd(stream)}`
  return `SELECT ${list} FROM (${events}) ORDER BY _commit, _index`
}

function textExcept({ schema }: StreamDef): string {
  return needsText(schema) ? ` EXCLUDE (${textColumn})` : ''
}

function textAtEnd({ schema }: StreamDef): string {
  return needsText(schema) ? `, ${textColumn}` : ''
}

/** Reads each line once as text and decodes it from there, so that the text is the one that was written. */
function textRelation(
  stream: StreamDef,
  files: readonly string[],
  range: CommitRange,
  ingestTime: IngestTime,
): string {
  const fields = stream.schema.fields
  const structure = JSON.stringify({ ...eventColumns, [stream.name]: structOf(stream, fields) })
  const key = `,${JSON.stringify(stream.name)}:`
  const value = `line.${quoteIdentifier(stream.name)}`
  const columns = fields.map((field) => hotColumn(value, field, { defaults: false }))
  const start = `strpos(text, ${quoteLiteral(key)}) + ${[...key].length}`
  return (
    `SELECT ${[...columns, ''].join(', ')}line.p AS _partition, line.o AS _offset, line.c AS _commit, ` +
    `line.i AS _index, ${ingestTime('line.c')} AS _ingested_at, ` +
    `substring(text, ${start}, length(text) - (${start})) AS ${textColumn} ` +
    `FROM (SELECT json_transform(json, ${quoteLiteral(structure)}) AS line, CAST(json AS VARCHAR) AS text ` +
    `FROM read_ndjson_objects(${fileList(files)}, maximum_object_size = ${LINE_BYTES_MAX})) ` +
    `WHERE ${[`${value} IS NOT NULL`, ...rangeConditions('line.c', range)].join(' AND ')}`
  )
}

/** A field of the struct that a line was decoded to. */
function hotColumn(value: string, field: ReadField, options: RelationOptions): string {
  const raws = namesOf(field).map((name) => `${value}.${quoteIdentifier(name)}`)
  return `${typedField(raws, field, options)} AS ${quoteIdentifier(field.name)}`
}

/** Events of a stream in Parquet files of the lake; a field that a file does not have yet is missing in its events. */
export function lakeRelation(
  stream: StreamDef,
  fields: readonly string[] | 'all',
  files: readonly LakeFile[],
  range?: CommitRange,
  options: RelationOptions = {},
): string {
  const selected = selectFields(stream, fields)
  const skipped = options.skipped ?? []
  if (lacksLate(stream, options)) return emptyRelation(selected, options)
  const groups = new Map<string, LakeFile[]>()
  for (const file of files) {
    if (file.rows === 0 || (range !== undefined && !overlaps(file, range))) continue
    // Files that are read whole need no filter, and most are.
    const inRange = range === undefined || (file.from >= range.from && file.to <= range.to)
    const whole = inRange && !skipped.some(({ commit }) => commit > file.from && commit <= file.to)
    const mayBeLate = hasLate(stream, file, options)
    if (options.late?.take === 'only' && !mayBeLate) continue
    const key = JSON.stringify([whole, mayBeLate, [...file.fields].sort()])
    groups.set(key, [...(groups.get(key) ?? []), file])
  }
  const parts = [...groups].map(([key, group]) => {
    const [whole, mayBeLate] = JSON.parse(key) as [boolean, boolean, unknown]
    const filter = whole ? [] : filterConditions('_commit', '_index', range, options)
    const late = mayBeLate ? lakeLateCondition(stream, group, options) : []
    return parquetRelation(selected, group, options, [...filter, ...late])
  })
  return parts.length === 0 ? emptyRelation(selected, options) : unionAll(parts)
}

/** Whether a file may have events that the rule asks about; files of earlier releases have no watermarks. */
function hasLate(stream: StreamDef, file: LakeFile, { late }: RelationOptions): boolean {
  if (late === undefined || stream.time === undefined) return false
  return file.to > late.after && file.fields.includes(watermarkColumn)
}

function lakeLateCondition(
  stream: StreamDef,
  files: readonly LakeFile[],
  { late }: RelationOptions,
): readonly string[] {
  const time = timeField(stream)
  if (late === undefined || time === undefined) return []
  return [lateCondition(late, lakeValue(time, files, {}), '_commit', watermarkColumn)]
}

/** Late events are asked for alone, and without event times none is late. */
function lacksLate(stream: StreamDef, { late }: RelationOptions): boolean {
  return late?.take === 'only' && stream.time === undefined
}

function watermarkColumns({ late }: RelationOptions, watermark: () => string): readonly string[] {
  return late?.take === 'only' ? [`${watermark()} AS "$watermark"`] : []
}

function timeField(stream: StreamDef): Field | undefined {
  return stream.time === undefined ? undefined : fieldNamed(stream, stream.time)
}

/** Where `logRelation` reads a range from. */
export interface RangeSources {
  readonly lake: LakeManifest
  /** Whole hot segments or copies of parts of them; together they hold at least the range's events after the lake. */
  readonly hotFiles: readonly string[]
}

/** Events of a stream in a range of the log, from the lake up to its cut and from hot files after it. */
export function logRelation(
  stream: StreamDef,
  fields: readonly string[] | 'all',
  range: CommitRange,
  sources: RangeSources,
  options: RelationOptions = {},
): string {
  const { lake, hot } = splitRange(range, sources.lake)
  const lakeFiles = sources.lake.files.filter((file) => file.stream === stream.name && overlaps(file, lake))
  const readHot = hot.to > hot.from && sources.hotFiles.length > 0
  const parts = [
    ...(lakeFiles.length === 0 ? [] : [lakeRelation(stream, fields, lakeFiles, lake, options)]),
    ...(readHot ? [hotRelation(stream, fields, sources.hotFiles, hot, options)] : []),
  ]
  return parts.length === 0 ? emptyRelation(selectFields(stream, fields), options) : unionAll(parts)
}

/** Divides a range at the lake's cut. */
export function splitRange(
  range: CommitRange,
  lake: LakeManifest,
): { readonly lake: CommitRange; readonly hot: CommitRange } {
  const border = Math.max(range.from, Math.min(range.to, lake.through))
  return { lake: { from: range.from, to: border }, hot: { from: border, to: range.to } }
}

export function overlaps(a: CommitRange, b: CommitRange): boolean {
  return a.from < b.to && b.from < a.to
}

/** Ingest time per commit, from the header lines of hot files. */
function commitTimes(files: readonly string[], growing = false): string {
  const lines = readLines(files, { commit: 'BIGINT', t: 'BIGINT' }, growing)
  return `SELECT "commit", t FROM ${lines} WHERE "commit" IS NOT NULL`
}

/** The keys of an event line beside the stream's own. */
const eventColumns = { c: 'BIGINT', i: 'INTEGER', p: 'INTEGER', o: 'BIGINT' } as const

function readLines(
  files: readonly string[],
  columns: Readonly<Record<string, string>>,
  growing = false,
): string {
  const list = Object.entries(columns).map(([name, type]) => `${quoteLiteral(name)}: ${quoteLiteral(type)}`)
  return (
    `read_ndjson(${fileList(files)}, columns = {${list.join(', ')}}, auto_detect = false, ` +
    `maximum_object_size = ${LINE_BYTES_MAX}${growing ? ', ignore_errors = true' : ''})`
  )
}

/** DuckDB decodes only the keys named here; a struct needs one at least. */
function structOf(stream: StreamDef, selected: readonly Field[]): string {
  const fields = selected.length > 0 ? selected : stream.schema.fields.slice(0, 1)
  return fields.length === 0
    ? 'STRUCT("_" BOOLEAN)'
    : rawType({ kind: 'object', fields: fields.map(asStored) })
}

function parquetRelation(
  selected: readonly Field[],
  files: readonly LakeFile[],
  options: RelationOptions,
  conditions: readonly string[],
): string {
  const columns = selected.map(
    (field) => `${lakeValue(field, files, options)} AS ${quoteIdentifier(field.name)}`,
  )
  const positions = options.positions ? positionColumns('_commit', '_index') : []
  const marks = watermarkColumns(options, () => watermarkColumn)
  const system = options.system ? systemColumns.map((column) => column.name) : []
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`
  // By name: a type that was widened later, or a field added within an object, differs between files.
  const union = files.length > 1 ? ', union_by_name = true' : ''
  const paths = files.map((file) => file.path)
  return `SELECT ${selectList([...columns, ...positions, ...marks, ...system])} FROM read_parquet(${fileList(paths)}${union})${where}`
}

/** A field's value from the columns of files that have the same ones. */
function lakeValue(
  field: ReadField,
  files: readonly LakeFile[],
  options: Pick<RelationOptions, 'defaults'>,
): string {
  const present = new Set(files[0]?.fields)
  const type = rawType(asStored(field).type)
  const names = namesOf(field).filter((name) => present.has(name))
  const raws = names.length === 0 ? ['NULL'] : names.map(quoteIdentifier)
  const cast = raws.map((raw) => `CAST(${raw} AS ${type})`)
  return typedField(cast, field, options)
}

/** Of the type that its values have where they are stored. */
function asStored(field: ReadField): Field {
  return field.wider === undefined ? field : { ...field, type: field.wider }
}

function emptyRelation(selected: readonly Field[], options: RelationOptions): string {
  const columns = [
    ...selected.map((field) => ({ name: field.name, type: sqlType(field.type) })),
    ...(options.positions ? positionTypes : []),
    ...(options.late?.take === 'only' ? [{ name: '$watermark', type: 'TIMESTAMP' }] : []),
    ...(options.system ? systemColumns : []),
  ].map((column) => `CAST(NULL AS ${column.type}) AS ${quoteIdentifier(column.name)}`)
  return `SELECT ${selectList(columns)} WHERE false`
}

/** A SELECT needs a column even when only rows are counted. */
function selectList(columns: readonly string[]): string {
  return columns.length === 0 ? 'true AS _event' : columns.join(', ')
}

function selectFields(stream: StreamDef, fields: readonly string[] | 'all'): readonly Field[] {
  if (fields === 'all') return stream.schema.fields
  return fields.map((name) =>
    must(fieldNamed(stream, name), `stream "${stream.name}" has the field "${name}"`),
  )
}

/** By the name that a field has or had; it is given under the name that was asked for. */
function fieldNamed({ schema }: StreamDef, name: string): Field | undefined {
  const own = schema.fields.find((field) => field.name === name)
  if (own !== undefined) return own
  const former = schema.fields.find((field) => field.aliases?.includes(name))
  return former && { ...former, name, aliases: namesOf(former).filter((other) => other !== name) }
}

function filterConditions(
  commit: string,
  index: string,
  range: CommitRange | undefined,
  { skipped = [] }: RelationOptions,
): string[] {
  const positions = skipped.map((at) => `(${at.commit}, ${at.index})`).join(', ')
  return [
    ...rangeConditions(commit, range),
    ...(positions === '' ? [] : [`(${commit}, ${index}) NOT IN (${positions})`]),
  ]
}

function rangeConditions(column: string, range: CommitRange | undefined): string[] {
  return range === undefined ? [] : [`${column} > ${range.from}`, `${column} <= ${range.to}`]
}

function unionAll(parts: readonly string[]): string {
  return parts.length === 1
    ? must(parts[0], 'one part')
    : parts.map((part) => `(${part})`).join(' UNION ALL ')
}

function fileList(paths: readonly string[]): string {
  return `[${paths.map(quoteLiteral).join(', ')}]`
}
