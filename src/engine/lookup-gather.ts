/**
 * Lookups by key that arrive at the same time are answered by one query: while a query runs, the next lookups of the
 * same view and columns gather, and go together when it ends. Planning a query costs about a millisecond whatever it
 * asks for, so a hundred lookups in one cost little more than one.
 *
 * State: the waiting lookups per view and column set. A gathered answer has one read set, so all of its lookups are
 * at one cut; a lookup never waits for more than the query before its own.
 */

import type { DuckDBConnection } from '@duckdb/node-api'
import { type JsonValue, quoteLiteral } from '../model/schema.ts'
import type { Column, ViewPlan } from '../plan/plan.ts'
import { must } from '../std/assert.ts'
import { runCancellable } from './duckdb.ts'
import type { Rows, ViewRead } from './engine.ts'
import { keyHash, soleStage, viewQuery } from './merged-relation.ts'
import type { ReadSet } from './read-set.ts'
import { coversKeys, limitedRows } from './read-view.ts'
import { resultColumns, resultRows, rowTexts, valueText } from './rows-json.ts'

const BATCH_MAX = 256
const EXACT_TYPES = new Set(['VARCHAR', 'INTEGER', 'BIGINT', 'BOOLEAN'])

interface Lookup {
  /** Canonical JSON texts of the wanted key values, in the order of the columns. */
  readonly texts: readonly string[]
  readonly limit: number
  readonly resolve: (answer: { rows: Rows; readSet: ReadSet }) => void
  readonly reject: (error: unknown) => void
}

/** Runs `read` on the view's read set of the moment, which is held while it runs, on a connection of its own. */
export type WithReadSet = <T>(
  read: (readSet: ReadSet, connection: DuckDBConnection) => Promise<T>,
) => Promise<T>

export class LookupGather {
  readonly #queues = new Map<string, { waiting: Lookup[]; running: boolean }>()

  /** The columns and texts of a lookup that can be gathered, or undefined when it has to be read by itself. */
  static keyOf(
    plan: ViewPlan,
    request: ViewRead,
  ): { columns: readonly Column[]; texts: string[] } | undefined {
    if (plan.finish.limited || request.order.length > 0 || !coversKeys(plan)) return undefined
    const columns: Column[] = []
    const texts: string[] = []
    for (const [name, value] of Object.entries(request.where).sort(([a], [b]) => (a < b ? -1 : 1))) {
      const column = plan.columns.find((candidate) => candidate.name === name)
      if (column === undefined || plan.finish.keyColumns[name] === undefined || !EXACT_TYPES.has(column.type))
        return undefined
      const text = canonicalText(column, value)
      if (text === undefined) return undefined
      columns.push(column)
      texts.push(text)
    }
    const keys = new Set(columns.map((column) => plan.finish.keyColumns[column.name]))
    const stage = soleStage(plan)
    if (stage.kind === 'rows' || keys.size !== stage.keys.length) return undefined
    return { columns, texts }
  }

  read(
    queue: string,
    key: { columns: readonly Column[]; texts: readonly string[] },
    request: ViewRead,
    withReadSet: WithReadSet,
  ): Promise<{ rows: Rows; readSet: ReadSet }> {
    const name = `${queue}\n${key.columns.map((column) => column.name).join('\n')}`
    let entry = this.#queues.get(name)
    if (entry === undefined) {
      entry = { waiting: [], running: false }
      this.#queues.set(name, entry)
    }
    const { waiting } = entry
    const answer = new Promise<{ rows: Rows; readSet: ReadSet }>((resolve, reject) => {
      waiting.push({ texts: key.texts, limit: request.limit, resolve, reject })
    })
    if (!entry.running) void this.#drain(name, entry, key.columns, request.timeoutMs, withReadSet)
    return answer
  }

  async #drain(
    name: string,
    entry: { waiting: Lookup[]; running: boolean },
    columns: readonly Column[],
    timeoutMs: number,
    withReadSet: WithReadSet,
  ): Promise<void> {
    entry.running = true
    while (entry.waiting.length > 0) {
      const batch = entry.waiting.splice(0, BATCH_MAX)
      try {
        await withReadSet((readSet, connection) =>
          answerBatch(connection, readSet, columns, batch, timeoutMs),
        )
      } catch (error) {
        for (const lookup of batch) lookup.reject(error)
      }
    }
    entry.running = false
    this.#queues.delete(name)
  }
}

async function answerBatch(
  connection: DuckDBConnection,
  readSet: ReadSet,
  columns: readonly Column[],
  batch: readonly Lookup[],
  timeoutMs: number,
): Promise<void> {
  const { plan } = readSet
  const sql = viewQuery(readSet, { kind: 'hashes', expressions: wantedHashes(plan, columns, batch) })
  const result = await runCancellable(connection, sql, { timeoutMs })
  const positions = columns.map((column) =>
    plan.columns.findIndex((candidate) => candidate.name === column.name),
  )
  const byKey = new Map<string, string[]>()
  const texts = rowTexts(result)
  const types = result.columnTypes()
  resultRows(result).forEach((row, index) => {
    const key = positions.map((position) => valueText(row[position] ?? null, types[position])).join('\n')
    const found = byKey.get(key)
    const text = must(texts[index], 'every row has its text')
    if (found === undefined) byKey.set(key, [text])
    else found.push(text)
  })
  const outputColumns = resultColumns(result)
  for (const lookup of batch) {
    const rows = limitedRows([...(byKey.get(lookup.texts.join('\n')) ?? [])], outputColumns, lookup.limit)
    lookup.resolve({ rows, readSet })
  }
}

/**
 * Hashes alone find the groups, because DuckDB uses the image's index only when nothing else is asked of the scan.
 * A group that shares a hash with a wanted one is read too, and nobody takes it.
 */
function wantedHashes(
  plan: ViewPlan,
  columns: readonly Column[],
  batch: readonly Lookup[],
): readonly string[] {
  const stage = soleStage(plan)
  const keys = stage.kind === 'rows' ? [] : stage.keys
  const positions = keys.map((key) =>
    columns.findIndex((column) => plan.finish.keyColumns[column.name] === key.name),
  )
  const hashes = batch.map((lookup) =>
    keyHash(
      keys.map((key, index) =>
        sqlLiteral(key, must(lookup.texts[positions[index] ?? -1], 'a lookup has a text per key')),
      ),
    ),
  )
  return [...new Set(hashes)]
}

function sqlLiteral(column: Column, jsonText: string): string {
  const value = column.type === 'VARCHAR' ? quoteLiteral(JSON.parse(jsonText) as string) : jsonText
  return `CAST(${value} AS ${column.type})`
}

/** The JSON text that an answer's cell has for this value, or undefined when the value is not of the column's type. */
function canonicalText(column: Column, value: JsonValue): string | undefined {
  switch (column.type) {
    case 'VARCHAR':
      return typeof value === 'string' ? JSON.stringify(value) : undefined
    case 'BOOLEAN':
      return value === true || value === 'true'
        ? 'true'
        : value === false || value === 'false'
          ? 'false'
          : undefined
    default: {
      const text = String(value)
      return /^(0|-?[1-9][0-9]{0,17})$/.test(text) ? text : undefined
    }
  }
}
