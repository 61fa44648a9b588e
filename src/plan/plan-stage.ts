/** From planned SELECTs to the stage and the finish of a plan. Pure but for the syntax seam. */

import { must } from '../std/assert.ts'
import { type FinishOrder, outerFinishSql, passedOn, stageFinishSql, throughLinks } from './finish-sql.ts'
import { type Grouping, type PlannedGroup, planGroup, type StageEvents } from './group-stage.ts'
import type { Column, FinishPlan, StagePlan, ViewPlan } from './plan.ts'
import { columnsUsed, hasUnnest, type PlannedLink, type PlanStream, type PlanTools } from './planned-link.ts'
import { freeColumns, usesColumn } from './resolve-names.ts'
import { planRows } from './row-stage.ts'
import type { SqlNode } from './sql-syntax.ts'
import { columnNames, columnRef, contains, rewrite, structuralKey } from './syntax-tree.ts'

type Staged = Pick<ViewPlan, 'stages' | 'finish' | 'inexact' | 'events'>

export async function planFromLinks(
  links: readonly PlannedLink[],
  stream: PlanStream,
  tools: PlanTools,
): Promise<Staged | undefined> {
  const found = links.findIndex((link) => link.aggregates || link.distinct || link.limitSql !== '')
  const index = found < 0 ? links.length - 1 : found
  const below = links.slice(0, index)
  const above = links.slice(index + 1)
  const link = must(links[index], 'a chain has a link')
  refuseAbove(above, tools)
  if (tools.mistakes.found) return undefined
  const stage = await planStage(link, below, stream, tools)
  if (stage === undefined) return undefined
  const limited = [link, ...above].some((one) => one.limitSql !== '') || isDistinctOver(link, above)
  const keyColumns = throughLinks(stage.keyColumns, above, passedOn)
  const inexact = throughLinks(stage.inexact, above, readsInexact)
  const top = links.at(-1)!
  const finish: FinishPlan = {
    sql: await outerFinishSql(stage.finishSql, above, tools),
    ordered: top.resolved.orders.length > 0 || top.limitSql !== '',
    limited,
    keyColumns: limited ? {} : keyColumns,
  }
  return {
    stages: [stage.plan],
    finish,
    inexact: Object.entries(inexact).map(([column, why]) => ({ column, why })),
    events: { ...stage.events, columns: throughLinks(stage.eventColumns, above, passedOn) },
  }
}

interface PlannedStage {
  readonly plan: StagePlan
  readonly finishSql: string
  /** Output name → key name. */
  readonly keyColumns: Readonly<Record<string, string>>
  readonly inexact: Readonly<Record<string, string>>
  readonly events: StageEvents
  /** Output name → key or column of the stage that it is. */
  readonly eventColumns: Readonly<Record<string, string>>
}

/** DISTINCT over finished rows makes a row depend on others. DISTINCT over events is the grouping itself. */
function isDistinctOver(link: PlannedLink, above: readonly PlannedLink[]): boolean {
  return (link.aggregates && link.distinct) || above.some((one) => one.distinct)
}

function readsInexact(expression: SqlNode, facts: Readonly<Record<string, string>>): string | undefined {
  const used = [...columnsUsed(expression, Object.keys(facts))]
  return used[0] === undefined ? undefined : facts[used[0]]
}

function refuseAbove(above: readonly PlannedLink[], tools: PlanTools): void {
  for (const link of above) {
    if (link.aggregates) {
      tools.mistakes.add({
        code: 'VIEW_NOT_YET',
        message: 'a view cannot aggregate the rows of another GROUP BY, DISTINCT or LIMIT yet',
        hint: 'Make a view of the inner SELECT and aggregate when you query it; for distinct values use count(DISTINCT x).',
        at: link.link.select,
      })
    }
    if (contains(link.resolved.items, (node) => node.function_name === 'unnest')) {
      tools.mistakes.add({
        code: 'VIEW_NOT_YET',
        message: 'a view cannot unnest the rows of a GROUP BY, DISTINCT or LIMIT yet',
        hint: 'Unnest in a subquery below the GROUP BY.',
        at: link.link.select,
      })
    }
  }
}

async function planStage(
  link: PlannedLink,
  below: readonly PlannedLink[],
  stream: PlanStream,
  tools: PlanTools,
): Promise<PlannedStage | undefined> {
  if (link.aggregates) return planGrouping(link, below, stream, tools)
  if (link.distinct) return planDistinct(link, below, stream, tools)
  const rows = await planRows(link, below, stream, tools)
  if (rows === undefined) return undefined
  const finishSql = await stageFinishSql(
    {
      items: link.resolved.items.map(rows.lift),
      types: link.outputs.map((_, index) =>
        typeOf(rows.lift(link.resolved.items[index]!), rows.stage.columns),
      ),
      outputs: link.outputs,
      having: undefined,
      orders: link.resolved.orders.map((order) => ({ ...order, expression: rows.lift(order.expression) })),
      tieBreakers: rows.tieBreakers,
      distinct: false,
      limitSql: link.limitSql,
    },
    tools.syntax,
  )
  const eventColumns: Record<string, string> = {}
  link.resolved.items.forEach((item, index) => {
    const names = columnNames(rows.lift(item))
    if (names?.[0] === '$merged') eventColumns[link.outputs[index]!.name] = names[1]!
  })
  return { plan: rows.stage, finishSql, keyColumns: {}, inexact: {}, events: rows.events, eventColumns }
}

async function planGrouping(
  link: PlannedLink,
  below: readonly PlannedLink[],
  stream: PlanStream,
  tools: PlanTools,
): Promise<PlannedStage | undefined> {
  const { resolved, source } = link
  const isKey = (item: SqlNode): boolean => !contains(item, tools.isAggregate) && usesColumn(item)
  // To DuckDB the columns of HAVING belong to GROUP BY ALL too, so they make the groups finer.
  const havingColumns = resolved.having === undefined ? [] : freeColumns(resolved.having, tools.isAggregate)
  const orders = resolved.orders.map((order) => order.expression)
  const group = await planGroup(
    {
      keys: resolved.groupAll ? [...resolved.items.filter(isKey), ...havingColumns] : resolved.groups,
      where: resolved.where,
      finished: [...resolved.items, ...(resolved.having === undefined ? [] : [resolved.having]), ...orders],
      columns: source.columns.map((column) => column.actual),
      below,
    },
    stream,
    tools,
  )
  return group && finishGroup(link, group, resolved.items, link.distinct, tools)
}

/** SELECT DISTINCT over events groups by all columns of the SELECT. */
async function planDistinct(
  link: PlannedLink,
  below: readonly PlannedLink[],
  stream: PlanStream,
  tools: PlanTools,
): Promise<PlannedStage | undefined> {
  const { items, where } = link.resolved
  if (items.some(hasUnnest)) return planDistinctElements(link, below, stream, tools)
  const columns = link.source.columns.map((column) => column.actual)
  const group = await planGroup({ keys: items, where, finished: items, columns, below }, stream, tools)
  return group && finishGroup(link, group, items, false, tools)
}

/** With unnest, which cannot be grouped by, the SELECT itself becomes a link below. */
async function planDistinctElements(
  link: PlannedLink,
  below: readonly PlannedLink[],
  stream: PlanStream,
  tools: PlanTools,
): Promise<PlannedStage | undefined> {
  // The columns get names of our own, because those of the SELECT may be twice the same.
  const names = link.outputs.map((_, index) => `c${index}`)
  const outputs: readonly Column[] = link.outputs.map(({ type }, index) => ({ name: names[index]!, type }))
  const keys = names.map((name) => columnRef(name))
  const asKeys = new Map(link.resolved.items.map((item, index) => [structuralKey(item), keys[index]!]))
  const grouping: Grouping = {
    keys,
    where: undefined,
    finished: keys,
    columns: names,
    below: [...below, { ...link, outputs }],
  }
  const group = await planGroup(grouping, stream, tools)
  if (group === undefined) return undefined
  const orders = link.resolved.orders.map((order) => ({
    ...order,
    expression: replaceAll(order.expression, asKeys),
  }))
  const renamed = { ...link, resolved: { ...link.resolved, orders, having: undefined } }
  return finishGroup(renamed, group, keys, false, tools)
}

function replaceAll(expression: SqlNode, replacements: ReadonlyMap<string, SqlNode>): SqlNode {
  return rewrite(expression, (node) => replacements.get(structuralKey(node)))
}

async function finishGroup(
  link: PlannedLink,
  group: PlannedGroup,
  items: readonly SqlNode[],
  distinct: boolean,
  tools: PlanTools,
): Promise<PlannedStage | undefined> {
  const { outputs, resolved } = link
  const orders = finishOrders(link, group, items, distinct, tools)
  if (orders === undefined) return undefined
  const lifted = items.map(group.lift)
  const columns = [...group.stage.keys, ...group.stage.parts.flatMap(valueColumns)]
  const finishSql = await stageFinishSql(
    {
      items: lifted,
      types: lifted.map((node) => typeOf(node, columns)),
      outputs,
      having: resolved.having && group.lift(resolved.having),
      orders,
      tieBreakers: group.stage.keys.map((key) => key.name),
      distinct,
      limitSql: link.limitSql,
    },
    tools.syntax,
  )
  const keyColumns: Record<string, string> = {}
  const inexact: Record<string, string> = {}
  items.forEach((item, index) => {
    const key = group.keyOf(item)
    if (key !== undefined) keyColumns[outputs[index]!.name] = `k${key}`
    const why = group.inexactIn(item)
    if (why !== undefined) inexact[outputs[index]!.name] = why
  })
  return { plan: group.stage, finishSql, keyColumns, inexact, events: group.events, eventColumns: keyColumns }
}

function finishOrders(
  link: PlannedLink,
  group: PlannedGroup,
  items: readonly SqlNode[],
  distinct: boolean,
  tools: PlanTools,
): readonly FinishOrder[] | undefined {
  const orders: FinishOrder[] = []
  for (const order of link.resolved.orders) {
    const index = items.findIndex((item) => structuralKey(item) === structuralKey(order.expression))
    if ((distinct && index < 0) || !group.covers(order.expression)) {
      tools.mistakes.add({
        code: 'VIEW_INVALID',
        message: 'ORDER BY of a SELECT DISTINCT uses something that is not in the select list',
        hint: 'Add it to the select list, or leave it out of ORDER BY.',
        at: order.expression,
      })
      return undefined
    }
    const position = distinct ? { position: index + 1 } : {}
    orders.push({ ...order, expression: group.lift(order.expression), ...position })
  }
  return orders
}

function valueColumns(part: Extract<StagePlan, { kind: 'group' }>['parts'][number]): readonly Column[] {
  return part.kind === 'main' ? part.aggregates : part.results
}

/** Type of a plain reference to a merged column. */
function typeOf(node: SqlNode, columns: readonly Column[]): string | undefined {
  const names = columnNames(node)
  if (names?.length !== 2 || names[0] !== '$merged') return undefined
  return columns.find((column) => column.name === names[1])?.type
}
