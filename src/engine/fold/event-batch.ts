/**
 * Events on their way from DuckDB to functions: whole columns as texts, because one long text costs little to hand over,
 * where a value or a row at a time costs several times what a function does with it. No state.
 *
 *   numbers and the like   the values' texts, with commas between them; a NULL is an N
 *   all other columns      a JSON array of texts and nulls: a text cut out of a long one would keep all of that in memory
 *
 * Why not the log's own text: it has neither defaults nor the names that fields have now, lake files have no text, and
 * ticks and bulk folds shall give functions exactly the same. So both read the one relation over lake and hot log.
 */

import type { DuckDBConnection } from '@duckdb/node-api'
import type { CommitRange } from '../../model/cut.ts'
import { type Field, type FieldType, quoteIdentifier } from '../../model/schema.ts'
import { exactIntegerJson } from '../../plan/queries.ts'
import { unreachable } from '../../std/assert.ts'
import { queryRows } from '../duckdb.ts'

/** As it goes to a thread. */
export interface EventBatch {
  readonly count: number
  readonly commits: string
  readonly indexes: string
  readonly columns: readonly string[]
  /** Which columns are JSON arrays. */
  readonly json: readonly boolean[]
}

/** As functions' values are made of it. */
export interface OpenBatch {
  readonly count: number
  readonly commits: readonly number[]
  readonly indexes: readonly number[]
  /** By field; a value that is NULL is `NULL_TEXT`, which no other text is but one that was made to be. */
  readonly columns: readonly (readonly string[])[]
  /** Rows in the order of the log; undefined: as they are. */
  readonly order: readonly number[] | undefined
}

export const NULL_TEXT = '\u001eN'

/** Into how many batches the events of a range are cut, of about so many commits each. */
export interface Cutting extends CommitRange {
  readonly batches: number
}

/** Values of a batch live while it is stepped through: of a small one they die young, which costs a collector little. */
const BATCH_EVENTS = 16_000
const BATCHES_MAX = 64

export function cuttingOf(range: CommitRange, events: number): Cutting {
  const commits = Math.max(1, range.to - range.from)
  const batches = Math.min(BATCHES_MAX, commits, Math.ceil(events / BATCH_EVENTS))
  return { ...range, batches: Math.max(1, batches) }
}

/** The events of a relation with positions, by the number that `laneSql` gives them; each lane's batches in order. */
export async function readBatches(
  connection: DuckDBConnection,
  fields: readonly Field[],
  eventsSql: string,
  laneSql: string,
  { from, to, batches }: Cutting,
): Promise<ReadonlyMap<number, readonly EventBatch[]>> {
  const json = fields.map(({ type }) => isJson(type))
  const batchOf = batches === 1 ? '0' : `("$commit" - ${from + 1}) * ${batches} // ${to - from}`
  const rows = await queryRows(connection, batchSql(fields, eventsSql, laneSql, batchOf))
  const lanes = new Map<number, EventBatch[]>()
  for (const row of rows) {
    const lane = Number(row['lane'])
    const own = lanes.get(lane) ?? []
    lanes.set(lane, own)
    own.push({
      count: Number(row['events']),
      commits: String(row['commits']),
      indexes: String(row['indexes']),
      columns: fields.map((_, at) => String(row[`f${at}`])),
      json,
    })
  }
  return lanes
}

/** Texts of the others are short, and have no comma in them. */
function isJson(type: FieldType): boolean {
  if (type.kind === 'decimal') return type.precision > 10
  return !['boolean', 'integer', 'double', 'date'].includes(type.kind)
}

function batchSql(fields: readonly Field[], eventsSql: string, laneSql: string, batchOf: string): string {
  const columns = fields.map(({ name, type }, at) => {
    const text = textSql(quoteIdentifier(name), type)
    const column = isJson(type)
      ? `CAST(to_json(list(${text})) AS VARCHAR)`
      : `string_agg(coalesce(${text}, 'N'), ',')`
    return `${column} AS f${at}`
  })
  const positions = [
    `string_agg(CAST("$commit" AS VARCHAR), ',') AS commits`,
    `string_agg(CAST("$index" AS VARCHAR), ',') AS indexes`,
  ]
  return (
    `SELECT ${laneSql} AS lane, ${batchOf} AS batch, count(*) AS events, ${[...positions, ...columns].join(', ')} ` +
    `FROM (${eventsSql}) GROUP BY ALL ORDER BY lane, batch`
  )
}

/** A value as text, exactly. */
function textSql(value: string, type: FieldType): string {
  switch (type.kind) {
    case 'string':
      return value
    case 'boolean':
    case 'integer':
    case 'double':
    case 'decimal':
    case 'timestamp':
    case 'date':
    case 'uuid':
    case 'json':
      return `CAST(${value} AS VARCHAR)`
    case 'array':
    case 'object':
    case 'map':
      return `CAST(to_json(${jsonSql(value, type, 0)}) AS VARCHAR)`
    default:
      return unreachable(type)
  }
}

/** A value within another, in a form that DuckDB's JSON writer keeps exact. */
function jsonSql(value: string, type: FieldType, depth: number): string {
  switch (type.kind) {
    case 'integer':
      return type.bits === 32 ? value : exactIntegerJson(value)
    case 'decimal':
    case 'timestamp':
    case 'uuid':
    case 'date':
      return `CAST(${value} AS VARCHAR)`
    case 'boolean':
    case 'string':
    case 'double':
    case 'json':
      return value
    case 'array': {
      const inner = `e${depth}`
      const element = jsonSql(inner, type.element, depth + 1)
      return element === inner ? value : `list_transform(${value}, lambda ${inner}: ${element})`
    }
    case 'object': {
      const inner = `e${depth}`
      const entries = type.fields.map((field) => {
        const member = `${inner}.${quoteIdentifier(field.name)}`
        return `${quoteIdentifier(field.name)} := ${jsonSql(member, field.type, depth + 1)}`
      })
      return `list_transform([${value}], lambda ${inner}: CASE WHEN ${inner} IS NULL THEN NULL ELSE struct_pack(${entries.join(', ')}) END)[1]`
    }
    case 'map': {
      const inner = `e${depth}`
      const member = jsonSql(`${inner}."value"`, type.value, depth + 1)
      return `map_from_entries(list_transform(map_entries(${value}), lambda ${inner}: struct_pack("key" := ${inner}."key", "value" := ${member})))`
    }
    default:
      return unreachable(type)
  }
}

export function openBatch({ count, commits, indexes, columns, json }: EventBatch): OpenBatch {
  const opened = {
    count,
    commits: JSON.parse(`[${commits}]`) as number[],
    indexes: JSON.parse(`[${indexes}]`) as number[],
    columns: columns.map((text, at) => (json[at] === true ? jsonColumn(text) : shortColumn(text))),
  }
  return { ...opened, order: orderOf(opened) }
}

function jsonColumn(text: string): string[] {
  const values = JSON.parse(text) as (string | null)[]
  for (let at = 0; at < values.length; at++) if (values[at] === null) values[at] = NULL_TEXT
  return values as string[]
}

function shortColumn(text: string): string[] {
  const values = text.split(',')
  if (text.includes('N'))
    for (let at = 0; at < values.length; at++) if (values[at] === 'N') values[at] = NULL_TEXT
  return values
}

/** DuckDB gives rows in any order, though mostly in that of the files. */
function orderOf({ count, commits, indexes }: Omit<OpenBatch, 'order'>): readonly number[] | undefined {
  const compare = (a: number, b: number): number =>
    (commits[a] ?? 0) - (commits[b] ?? 0) || (indexes[a] ?? 0) - (indexes[b] ?? 0)
  let at = 1
  while (at < count && compare(at - 1, at) < 0) at++
  if (at >= count) return undefined
  return Array.from({ length: count }, (_, row) => row).sort(compare)
}
