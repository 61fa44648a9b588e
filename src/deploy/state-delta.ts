/**
 * The difference between two states of a view as ordinary changes: insert, update, delete. The states may be of two
 * versions, with other columns, so what is compared is the text in which rows are shown: a row whose text is the same
 * did not change. Pure: SQL for the past engine, and changes from its answers.
 */

import type { PastState } from '../engine/past.ts'
import { coversKeys } from '../engine/read-view.ts'
import { arrayElements } from '../ingest/body-split.ts'
import { quoteIdentifier } from '../model/schema.ts'
import type { ViewPlan } from '../plan/plan.ts'
import { must } from '../std/assert.ts'

export interface StateDelta {
  /** JSON array of `{"op":…,"old":{…},"new":{…}}`. */
  readonly json: string
  readonly count: number
}

interface Statement {
  readonly sql: string
  readonly limit: number
}

const ROWS_MAX = 2 ** 31 - 1

/** Over tables `old_rows` and `new_rows`: rows that went and rows that came, each with their keys where they have some. */
export function deltaStatements(older: PastState, newer: PastState): readonly Statement[] {
  const same = JSON.stringify(older.plan.columns) === JSON.stringify(newer.plan.columns)
  const removed = same ? 'SELECT * FROM old_rows EXCEPT ALL SELECT * FROM new_rows' : 'SELECT * FROM old_rows'
  const added = same ? 'SELECT * FROM new_rows EXCEPT ALL SELECT * FROM old_rows' : 'SELECT * FROM new_rows'
  const keys = sharedKeys(older.plan, newer.plan)?.map(quoteIdentifier).join(', ')
  const texts =
    keys === undefined
      ? [removed, added]
      : [removed, added].flatMap((rows) => [
          `SELECT * FROM (${rows}) ORDER BY ${keys}`,
          `SELECT ${keys} FROM (${rows}) ORDER BY ${keys}`,
        ])
  return texts.map((sql) => ({ sql, limit: ROWS_MAX }))
}

/** `answers` are the JSON texts of the statements' rows, in order. */
export function deltaOf(answers: readonly string[]): StateDelta {
  const rows = answers.map(elements)
  const changes =
    rows.length === 4
      ? paired(must(rows[0], 'rows'), must(rows[1], 'keys'), must(rows[2], 'rows'), must(rows[3], 'keys'))
      : [
          ...must(rows[0], 'rows that went').map((row) => `{"op":"delete","old":${row}}`),
          ...must(rows[1], 'rows that came').map((row) => `{"op":"insert","new":${row}}`),
        ]
  return { json: `[${changes.join(',')}]`, count: changes.length }
}

/** Output columns that tell rows apart in both versions alike; undefined where there are none. */
function sharedKeys(older: ViewPlan, newer: ViewPlan): readonly string[] | undefined {
  if (!coversKeys(older) || !coversKeys(newer)) return undefined
  const keysOf = (plan: ViewPlan) =>
    plan.columns
      .filter(({ name }) => name in plan.finish.keyColumns)
      .map(({ name, type }) => `${type} ${name}`)
  const keys = keysOf(newer)
  if (JSON.stringify([...keys].sort()) !== JSON.stringify(keysOf(older).sort())) return undefined
  return newer.columns.filter(({ name }) => name in newer.finish.keyColumns).map(({ name }) => name)
}

/** A row that went and a row that came with the same key are one update, or nothing where they look the same. */
function paired(
  removed: readonly string[],
  removedKeys: readonly string[],
  added: readonly string[],
  addedKeys: readonly string[],
): readonly string[] {
  const oldByKey = new Map(
    removed.map((row, index) => [must(removedKeys[index], 'every row has its key'), row]),
  )
  const changes: string[] = []
  added.forEach((row, index) => {
    const key = must(addedKeys[index], 'every row has its key')
    const old = oldByKey.get(key)
    oldByKey.delete(key)
    if (old === undefined) changes.push(`{"op":"insert","new":${row}}`)
    else if (old !== row) changes.push(`{"op":"update","old":${old},"new":${row}}`)
  })
  for (const old of oldByKey.values()) changes.push(`{"op":"delete","old":${old}}`)
  return changes
}

function elements(json: string): readonly string[] {
  const bytes = Buffer.from(json)
  const ranges = arrayElements(bytes, Number.POSITIVE_INFINITY)
  const texts: string[] = []
  for (let at = 0; at < ranges.length; at += 2) {
    texts.push(bytes.toString('utf8', must(ranges[at], 'a start'), must(ranges[at + 1], 'an end')))
  }
  return texts
}
