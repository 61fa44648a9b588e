/**
 * The finished rows that changed between two cuts. Only groups that ticks in between have touched are computed, old
 * and new, so a delta costs by what changed. Where a LIMIT makes rows depend on each other, whole answers are compared.
 * No state.
 */

import type { DuckDBConnection, DuckDBMaterializedResult } from '@duckdb/node-api'
import type { CommitSeq } from '../model/cut.ts'
import { must } from '../std/assert.ts'
import { runCancellable } from './duckdb.ts'
import type { Delta } from './engine.ts'
import { ALL_GROUPS, type Restriction, soleStage, touchedGroups, viewQuery } from './merged-relation.ts'
import type { ReadSet } from './read-set.ts'
import { coversKeys } from './read-view.ts'
import { resultColumns, resultRows, rowTexts, valueText } from './rows-json.ts'

/** `before` and `after` are read sets of one version at the two cuts; `from` 0 makes every row an insert. */
export async function viewDelta(
  connection: DuckDBConnection,
  before: ReadSet,
  after: ReadSet,
  timeoutMs: number,
): Promise<Delta> {
  const from = before.cut
  const to = after.cut
  const sql =
    from === 0 ? { oldSql: emptyAnswer(after), newSql: viewQuery(after) } : changedSql(before, after)
  return { from, to, ...(await difference(connection, after, sql, timeoutMs)) }
}

/** All rows that differ between two read sets at one cut. */
export async function repairDelta(
  connection: DuckDBConnection,
  before: ReadSet,
  after: ReadSet,
  timeoutMs: number,
): Promise<Delta> {
  const sql = {
    oldSql: `SELECT * FROM (${viewQuery(before)})`,
    newSql: `SELECT * FROM (${viewQuery(after)})`,
  }
  return { from: after.cut, to: after.cut, ...(await difference(connection, after, sql, timeoutMs)) }
}

async function difference(
  connection: DuckDBConnection,
  after: ReadSet,
  { oldSql, newSql }: { readonly oldSql: string; readonly newSql: string },
  timeoutMs: number,
): Promise<Pick<Delta, 'columns' | 'json' | 'count'>> {
  const removed = await runCancellable(connection, `(${oldSql}) EXCEPT ALL (${newSql})`, { timeoutMs })
  const added = await runCancellable(connection, `(${newSql}) EXCEPT ALL (${oldSql})`, { timeoutMs })
  const changes = pairChanges(after, removed, added)
  return { columns: resultColumns(added), json: `[${changes.join(',')}]`, count: changes.length }
}

function changedSql(before: ReadSet, after: ReadSet): { oldSql: string; newSql: string } {
  const stage = soleStage(after.plan)
  // An image in between has taken in generations that only the earlier read set still lists.
  const generations = [...new Set([...before.generations, ...after.generations])]
  if (after.plan.finish.limited)
    return { oldSql: `SELECT * FROM (${viewQuery(before)})`, newSql: `SELECT * FROM (${viewQuery(after)})` }
  if (stage.kind === 'rows') {
    // A bag only grows: what came after the first cut is what changed.
    const grown: ReadSet = {
      ...after,
      slices: [],
      generations: generations.filter(
        (generation) => generation.to === undefined || generation.to > before.cut,
      ),
    }
    return { oldSql: emptyAnswer(after), newSql: `SELECT * FROM (${viewQuery(since(grown, before.cut))})` }
  }
  const restriction: Restriction =
    stage.keys.length === 0
      ? ALL_GROUPS
      : { kind: 'groups', sql: touchedGroups(generations, before.cut, after.cut) }
  return {
    oldSql: `SELECT * FROM (${viewQuery(before, restriction)})`,
    newSql: `SELECT * FROM (${viewQuery(after, restriction)})`,
  }
}

/** A row stage's read set that shows only the rows after a cut. */
function since(readSet: ReadSet, from: CommitSeq): ReadSet {
  return { ...readSet, rowsAfter: from }
}

function emptyAnswer(readSet: ReadSet): string {
  return `SELECT * FROM (${viewQuery(readSet)}) WHERE false`
}

/** A row that went and a row that came with the same keys are one update. */
function pairChanges(
  readSet: ReadSet,
  removed: DuckDBMaterializedResult,
  added: DuckDBMaterializedResult,
): string[] {
  const oldRows = rowTexts(removed)
  const newRows = rowTexts(added)
  if (!coversKeys(readSet.plan)) {
    return [
      ...oldRows.map((row) => `{"op":"delete","old":${row}}`),
      ...newRows.map((row) => `{"op":"insert","new":${row}}`),
    ]
  }
  const keyOf = keyTexts(readSet)
  const oldByKey = new Map(
    keyOf(removed).map((key, index) => [key, must(oldRows[index], 'every row has its text')]),
  )
  const changes: string[] = []
  keyOf(added).forEach((key, index) => {
    const row = must(newRows[index], 'every row has its text')
    const old = oldByKey.get(key)
    oldByKey.delete(key)
    changes.push(
      old === undefined ? `{"op":"insert","new":${row}}` : `{"op":"update","old":${old},"new":${row}}`,
    )
  })
  for (const old of oldByKey.values()) changes.push(`{"op":"delete","old":${old}}`)
  return changes
}

function keyTexts(readSet: ReadSet): (result: DuckDBMaterializedResult) => string[] {
  const names = new Set(Object.keys(readSet.plan.finish.keyColumns))
  const positions = readSet.plan.columns.flatMap((column, index) => (names.has(column.name) ? [index] : []))
  return (result) => {
    const types = result.columnTypes()
    return resultRows(result).map((row) =>
      positions.map((position) => valueText(row[position] ?? null, types[position])).join('\n'),
    )
  }
}
