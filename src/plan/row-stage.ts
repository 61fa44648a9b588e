/**
 * Plans a SELECT that looks at one event at a time: its rows are the partial rows. Columns `c0`, `c1`, … are the
 * select list, then what only ORDER BY needs. Pure but for the syntax seam.
 */

import { foldSource, positionList, positionTypes } from './fold-source.ts'
import { parseTypes, type StageEvents } from './group-stage.ts'
import type { Column, RowStage } from './plan.ts'
import {
  columnsUsed,
  type PlannedLink,
  type PlanStream,
  type PlanTools,
  printExpressions,
} from './planned-link.ts'
import type { SqlNode } from './sql-syntax.ts'
import { hasUnnamedStruct, storageType } from './storage-types.ts'
import { castTo, mergedRef, structuralKey } from './syntax-tree.ts'

export interface PlannedRows {
  readonly stage: RowStage
  /** The columns of each event, with its position. */
  readonly events: StageEvents
  /** Columns by which rows are told apart. */
  readonly tieBreakers: readonly string[]
  /** The column of "$merged" that an expression of the SELECT became, with its own type. */
  lift(expression: SqlNode): SqlNode
}

export async function planRows(
  planned: PlannedLink,
  below: readonly PlannedLink[],
  stream: PlanStream,
  tools: PlanTools,
): Promise<PlannedRows | undefined> {
  const { items, where, orders } = planned.resolved
  const sorted = planned.limitSql === '' && orders.length === 0 ? [] : orders.map((order) => order.expression)
  const wanted = [...items, ...sorted.filter((expression) => expression.class !== 'CONSTANT')]
  const expressions = [...new Map(wanted.map((node) => [structuralKey(node), node])).values()]
  const columnIndex = new Map(expressions.map((node, index) => [structuralKey(node), index]))
  const actual = planned.source.columns.map((column) => column.actual)
  const used = columnsUsed([expressions, where], actual)
  const source = await foldSource(below, stream.fields, used, tools.syntax, true)
  const whereSql = where === undefined ? '' : ` WHERE ${(await printExpressions([where], tools.syntax))[0]}`
  const printed = await printExpressions(expressions, tools.syntax)
  const list = (columns: readonly string[]): string =>
    columns.map((sql, index) => `${sql} AS c${index}`).join(', ')
  const select = (columns: readonly string[]): string =>
    `SELECT ${list(columns)} FROM ${source.fromSql}${whereSql}`
  const types = await tools.syntax.describe(select(printed), {
    $events: [...stream.columns, ...positionTypes],
  })
  const stored = types.map(({ name, type }, index): Column => {
    const storage = storageType(type)
    if (storage === undefined || hasUnnamedStruct(type)) {
      tools.mistakes.add({
        code: 'VIEW_TYPE',
        message: `a view cannot keep a value of type ${type}`,
        hint: hasUnnamedStruct(type)
          ? 'Name the fields of the struct: {a: x, b: y} instead of (x, y).'
          : 'Cast it, e.g. to VARCHAR.',
        at: expressions[index]!,
      })
    }
    return { name, type: storage ?? type }
  })
  if (tools.mistakes.found) return undefined
  const castTypes = await parseTypes(
    types.map(({ type }) => type),
    tools.syntax,
  )
  const columns = printed.map((sql, index) =>
    stored[index]!.type === types[index]!.type ? sql : `CAST(${sql} AS ${stored[index]!.type})`,
  )
  const foldSql = `SELECT ${list(columns)}, ${positionList} FROM ${source.fromSql}${whereSql}`
  return {
    events: { sql: foldSql, fields: source.fields },
    tieBreakers: stored.map(({ name }) => name),
    stage: {
      kind: 'rows',
      name: 'rows',
      source: { kind: 'stream', stream: stream.name, fields: source.fields, positions: true },
      foldSql,
      columns: [...stored, ...positionTypes],
    },
    lift(expression) {
      const index = columnIndex.get(structuralKey(expression))
      if (index === undefined) return expression
      const reference = mergedRef(`c${index}`)
      const type = types[index]!.type
      return stored[index]!.type === type ? reference : castTo(reference, castTypes.get(type))
    },
  }
}
