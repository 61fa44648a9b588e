/**
 * What a check's findings amount to: green or red, with one sentence for people and a few rows. Pure.
 */

import type { CheckRule } from '../define/types.ts'
import type { JsonValue } from '../model/schema.ts'
import type { Column } from '../plan/plan.ts'
import type { Cell, TotalsComparison, TotalsDifference } from './check-totals.ts'
import type { CheckResult, ComparedRow, CompareSummary } from './types.ts'

export type CheckVerdict = Pick<CheckResult, 'verdict' | 'text' | 'rows'>

export type RuleOf<Kind extends CheckRule['kind']> = Extract<CheckRule, { kind: Kind }>

/** Rows that a result shows. */
export const ROWS_SHOWN = 10

/** The SELECT of an invariant gave these rows; `truncated` when there were more. */
export function nothingVerdict(rows: readonly JsonValue[], truncated: boolean): CheckVerdict {
  if (rows.length === 0) return { verdict: 'green', text: 'no row breaks it', rows: [] }
  const count = truncated
    ? `more than ${rows.length} rows break it`
    : counted(rows.length, 'row breaks it', 'rows break it')
  const first = `; the first: ${shownRow(rows[0]!)}`
  return { verdict: 'red', text: `${count}${first}`, rows: rows.slice(0, ROWS_SHOWN) }
}

export function totalsVerdict(comparison: TotalsComparison): CheckVerdict {
  const { keys, differing, notInTruth, onlyInTruth, samples } = comparison
  if (differing + notInTruth + onlyInTruth === 0) {
    return { verdict: 'green', text: `${counted(keys, 'row equals', 'rows equal')} the truth`, rows: [] }
  }
  const parts = [
    differing === 0
      ? []
      : [`${differing} of ${counted(keys, 'row', 'rows')} ${differing === 1 ? 'differs' : 'differ'}`],
    notInTruth === 0 ? [] : [`${counted(notInTruth, 'row is', 'rows are')} not in the truth`],
    onlyInTruth === 0 ? [] : [`${counted(onlyInTruth, 'row is', 'rows are')} only in the truth`],
  ].flat()
  return { verdict: 'red', text: `${parts.join(', ')}; ${differenceText(samples[0]!)}`, rows: samples }
}

function differenceText(first: TotalsDifference): string {
  const key = Object.entries(first.key ?? {}).map(([name, value]) => `${name} ${JSON.stringify(value)}`)
  const row = key.join(', ')
  if ('missing' in first)
    return `${row || 'the row'} is ${first.missing === 'truth' ? 'not' : 'only'} in the truth`
  const of = row === '' ? '' : ` of ${row}`
  const said = (value: Cell) => (value === null ? 'NULL' : String(value))
  return `${first.column}${of} is ${said(first.result)}, the truth says ${said(first.truth)}`
}

/** Rows that a rule of the view expects to differ are not counted: somebody has said why they do. */
export function changedVerdict(rule: RuleOf<'changed'>, compare: CompareSummary): CheckVerdict {
  const { changed, added, removed, causes, oldRows } = compare
  const differing = changed + added + removed - causes.expected
  const share = differing === 0 ? 0 : differing / Math.max(1, oldRows)
  const isRed = 'rows' in rule.limit ? differing > rule.limit.rows : share > rule.limit.share
  const limit =
    'rows' in rule.limit ? `at most ${rule.limit.rows} may` : `at most ${percent(rule.limit.share)} may`
  const expected = causes.expected === 0 ? '' : `, beside ${causes.expected} that a rule expects`
  const text = `${counted(differing, 'row', 'rows')} of view "${rule.view}" (${percent(share)}) ${differing === 1 ? 'differs' : 'differ'}${expected}; ${limit}`
  const sample = compare.sample.filter((row) => row.cause !== 'expected').slice(0, ROWS_SHOWN)
  return { verdict: isRed ? 'red' : 'green', text, rows: isRed ? sample.map(shownChange) : [] }
}

function shownChange({ kind, cause, old = null, new: now = null }: ComparedRow): JsonValue {
  return { kind, cause, old, new: now }
}

/** Nothing answers for the view yet. */
export function newViewVerdict(view: string): CheckVerdict {
  return {
    verdict: 'green',
    text: `view "${view}" is as it was, or new: there is nothing to compare`,
    rows: [],
  }
}

export function rowsVerdict(rule: RuleOf<'rows'>, count: number): CheckVerdict {
  const { view, min = 0, max = Number.POSITIVE_INFINITY } = rule
  const bounds =
    rule.max === undefined
      ? `at least ${min}`
      : rule.min === undefined
        ? `at most ${max}`
        : `${min} to ${max}`
  const isRed = count < min || count > max
  const text = `view "${view}" has ${counted(count, 'row', 'rows')}; it must have ${bounds}`
  return { verdict: isRed ? 'red' : 'green', text, rows: isRed ? [{ rows: count }] : [] }
}

/** Column types whose values have no place in a list of totals. */
export function isNested(column: Column): boolean {
  return /^(STRUCT|MAP|UNION)\b|\[\d*\]$/.test(column.type)
}

function shownRow(row: JsonValue): string {
  const text = JSON.stringify(row)
  return text.length <= 200 ? text : `${text.slice(0, 199)}…`
}

function percent(share: number): string {
  return `${Number((share * 100).toPrecision(3))} %`
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`
}
