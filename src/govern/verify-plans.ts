/**
 * Plans by which the past engine gives what `verify` compares: a version's merged rows before `finish`, folded from the
 * log or as the live engine captured them, and the positions of the events behind a group. Pure: from plans to plans.
 *
 * Rows are compared before `finish`, because there each group has one row with everything that the fold kept of it,
 * and equal merged rows finish to equal answers.
 */

import { quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import { positionHash } from '../plan/fold-source.ts'
import type { Column, EventsPlan, FinishPlan, RowStage, StagePlan, ViewPlan } from '../plan/plan.ts'
import { mergedColumns } from '../plan/queries.ts'
import { must } from '../std/assert.ts'

/** The columns that tell groups apart; rows without grouping are told apart by their events. */
export function keysOf(stage: StagePlan): readonly Column[] {
  if (stage.kind === 'group') return stage.keys
  return stage.columns.filter(({ name }) => name === '$commit' || name === '$index')
}

/** A condition on keys that holds for a share of the groups; another share for another salt. Undefined: all. */
export function sampleCondition(stage: StagePlan, share: number, salt: number): string | undefined {
  const keys = keysOf(stage).map(({ name }) => quoteIdentifier(name))
  if (share >= 1 || keys.length === 0) return undefined
  return `hash(${[...keys, salt].join(', ')}) % 1000000 < ${Math.ceil(share * 1_000_000)}`
}

/** A condition that holds for the groups with these keys, given as text. */
export function keyCondition(
  stage: StagePlan,
  keys: readonly Readonly<Record<string, string | null>>[],
): string | undefined {
  const names = keysOf(stage)
  if (names.length === 0) return undefined
  const one = (key: Readonly<Record<string, string | null>>) =>
    names.map(({ name }) => {
      const value = key[name] ?? null
      const column = quoteIdentifier(name)
      return value === null ? `${column} IS NULL` : `CAST(${column} AS VARCHAR) = ${quoteLiteral(value)}`
    })
  return keys.map((key) => `(${one(key).join(' AND ')})`).join(' OR ')
}

/** The version's merged rows. */
export function mergedPlan(plan: ViewPlan, condition?: string): ViewPlan {
  const stage = soleStage(plan)
  return {
    ...plan,
    columns: mergedColumns(stage),
    stages: [condition === undefined ? stage : restricted(stage, condition)],
    finish: everything(condition),
  }
}

/** The merged rows that a captured file holds, as a slice of the part `rows`. */
export function capturedPlan(plan: ViewPlan, condition?: string): ViewPlan {
  const { name, source } = soleStage(plan)
  const columns = mergedColumns(soleStage(plan))
  const stage: RowStage = { kind: 'rows', name, source, foldSql: '', columns }
  return { ...plan, columns, stages: [stage], finish: everything(condition) }
}

/** The finished rows that a file holds, as a slice of the part `rows`. */
export function rowsPlan(plan: ViewPlan): ViewPlan {
  const { name, source } = soleStage(plan)
  const { columns, batch: _, ...rest } = plan
  const stage: RowStage = { kind: 'rows', name, source, foldSql: '', columns }
  return { ...rest, columns, stages: [stage], finish: everything(undefined) }
}

/** Positions of the events that the version folds, one row each: `c0` commit, `c1` index, `c2` hash. */
export function positionsPlan(plan: ViewPlan, events: EventsPlan, condition?: string): ViewPlan {
  const where = condition === undefined ? '' : ` WHERE ${condition}`
  const columns: readonly Column[] = [
    { name: 'c0', type: 'BIGINT' },
    { name: 'c1', type: 'INTEGER' },
    { name: 'c2', type: 'BIGINT' },
  ]
  const foldSql = `SELECT "$commit" AS c0, "$index" AS c1, ${positionHash} AS c2 FROM (${events.sql})${where}`
  const source = { ...soleStage(plan).source, fields: events.fields, positions: true } as const
  const stage: RowStage = { kind: 'rows', name: 'rows', source, foldSql, columns }
  return { ...plan, columns, stages: [stage], finish: everything(undefined) }
}

function restricted(stage: StagePlan, condition: string): StagePlan {
  const fold = <T extends { readonly foldSql: string }>(part: T): T => ({
    ...part,
    foldSql: `SELECT * FROM (${part.foldSql}) AS f WHERE ${condition}`,
  })
  if (stage.kind === 'rows') return fold(stage)
  const [main, ...distinct] = stage.parts
  // Folded one by one: the text for both at once has no such condition.
  const alone = distinct.map(({ withMainSql: _, ...part }) => fold(part))
  return { ...stage, parts: [fold(main), ...alone] }
}

function everything(condition: string | undefined): FinishPlan {
  const where = condition === undefined ? '' : ` WHERE ${condition}`
  return { sql: `SELECT * FROM "$merged"${where}`, ordered: false, limited: false, keyColumns: {} }
}

export function soleStage(plan: ViewPlan): StagePlan {
  return must(plan.stages[0], 'a plan has a stage')
}
