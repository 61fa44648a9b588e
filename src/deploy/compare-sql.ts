/**
 * The statements by which two versions are compared at one cut. Pure text over these relations, which the past engine
 * binds to finished rows: `old_rows` and `new_rows`; `old_same` and `new_same`, both logics over the events that
 * neither version leaves out; `old_again` and `new_again`, each version folded again from the log.
 *
 * The way: `$raw` has one row for each row that differs, with the first rule that takes it; `$hurt` the rows in which
 * a version folded again differs from itself; `$diffs` is `$raw` with the cause. Rows are found again by `$k0`, `$k1`, …,
 * the values that pair them in a form in which equal values are equal.
 */

import { quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import type { Column, ViewPlan } from '../plan/plan.ts'
import {
  amount,
  type ComparedColumn,
  cell,
  comparableForm,
  differenceSql,
  type Pairing,
  sameCells,
  sameWithin,
} from './compare-columns.ts'
import type { RuleSql } from './compare-rules.ts'

export interface CompareQuestion {
  readonly pairing: Pairing
  readonly old: ViewPlan
  readonly new: ViewPlan
  readonly rules: readonly RuleSql[]
  /** Relations of both logics over the same events; left out when both versions have the same events. */
  readonly events?: { readonly old: string; readonly new: string }
  readonly folded: boolean
  readonly sampleRows: number
}

export type Statement = { readonly sql: string; readonly limit: number }

/** A sum of HUGEINTs is taken in two halves, so that it cannot overflow. */
export const HALF = 10n ** 19n
const half = `CAST(${HALF} AS HUGEINT)`

/** In order; the last four answer, with the shapes that `compare-summary.ts` reads. */
export function compareStatements(question: CompareQuestion): readonly Statement[] {
  const hurt = question.folded ? [hurtTable(question, 'old'), hurtTable(question, 'new')] : []
  const making = [rawTable(question), ...hurt, diffsTable(question)]
  return [
    ...making.map((sql) => ({ sql, limit: 1 })),
    { sql: countsQuery(question), limit: 1 },
    { sql: causesQuery, limit: 100_000 },
    { sql: columnsQuery(question), limit: 1 },
    { sql: sampleQuery(question), limit: Math.max(1, question.sampleRows) },
  ]
}

/** Columns of each side in `$raw`: `o0`, … and `n0`, …; of whole rows only what both have. */
export function shownColumns(question: CompareQuestion): {
  readonly old: readonly Column[]
  readonly new: readonly Column[]
} {
  if (question.pairing.kind !== 'rows') return { old: question.old.columns, new: question.new.columns }
  const { columns } = question.pairing
  return { old: columns.map((column) => column.old), new: columns.map((column) => column.new) }
}

// ---- what differs ---------------------------------------------------------------------------------------------

function rawTable(question: CompareQuestion): string {
  const { pairing } = question
  return pairing.kind === 'rows' ? rawBags(question) : rawPairs(question)
}

function rawPairs(question: CompareQuestion): string {
  const { pairing } = question
  const shown = shownColumns(question)
  const both = 'old."$there" IS NOT NULL AND new."$there" IS NOT NULL'
  const same = pairing.columns.map((column) => sameCells(column, 'old', 'new'))
  const columns = [
    kindSql('old."$there" IS NULL', 'new."$there" IS NULL'),
    '1 AS times',
    ruleCase(question.rules),
    ...pairing.keys.map((key, index) => `${keyForm(key)} AS ${keyName(index)}`),
    ...pairing.columns.flatMap((column, index) => numberColumns(column, index, both)),
    ...shown.old.map((column, index) => `${cell('old', column)} AS o${index}`),
    ...shown.new.map((column, index) => `${cell('new', column)} AS n${index}`),
  ]
  const equal = [both, ...same].map((part) => `(${part})`).join(' AND ')
  return (
    `CREATE OR REPLACE TEMP TABLE "$raw" AS SELECT ${columns.join(', ')} ` +
    `FROM ${there('old_rows')} AS old FULL JOIN ${there('new_rows')} AS new ON ${onKeys(pairing.keys)} ` +
    `WHERE NOT (${equal})`
  )
}

/** Whether the rows of one key differ: one row with `differs`. Values by the key's columns as text, null for NULL. */
export function rowDiffersQuery(pairing: Pairing, key: Readonly<Record<string, string | null>>): string {
  const rowOf = (side: 'old' | 'new'): string => {
    const conditions = pairing.keys.map((column) => {
      const { name, type } = column[side]
      const value = key[column.name] ?? null
      const own = quoteIdentifier(name)
      return value === null ? `${own} IS NULL` : `${own} = CAST(${quoteLiteral(value)} AS ${type})`
    })
    const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`
    return `(SELECT *, 1 AS "$there" FROM ${side}_rows${where}) AS ${side}`
  }
  const both = 'old."$there" IS NOT NULL AND new."$there" IS NOT NULL'
  const equal = [both, ...pairing.columns.map((column) => sameCells(column, 'old', 'new'))]
  return (
    `SELECT count(*) > 0 AS differs FROM ${rowOf('old')} FULL JOIN ${rowOf('new')} ON old."$there" = new."$there" ` +
    `WHERE NOT (${equal.map((part) => `(${part})`).join(' AND ')})`
  )
}

function kindSql(oldIsMissing: string, newIsMissing: string): string {
  return `CASE WHEN ${oldIsMissing} THEN 'added' WHEN ${newIsMissing} THEN 'removed' ELSE 'changed' END AS kind`
}

function there(relation: string): string {
  return `(SELECT *, 1 AS "$there" FROM ${relation})`
}

function onKeys(keys: readonly ComparedColumn[]): string {
  if (keys.length === 0) return 'old."$there" = new."$there"'
  return keys.map((key) => sameCells(key, 'old', 'new')).join(' AND ')
}

function keyForm(key: ComparedColumn): string {
  const older = comparableForm(key, cell('old', key.old), key.old.type)
  const newer = comparableForm(key, cell('new', key.new), key.new.type)
  return `CASE WHEN old."$there" IS NULL THEN ${newer} ELSE ${older} END`
}

/** Whether the column changed (`x`), by how much (`d`), and what counts as the size of the difference (`s`). */
function numberColumns(column: ComparedColumn, index: number, both: string): string[] {
  const changes = `${both} AND NOT (${sameCells(column, 'old', 'new')})`
  const changed = `(${changes}) AS x${index}`
  const difference = differenceSql(column, 'old', 'new')
  if (difference === undefined || column.number === undefined) return [changed]
  const older = amount(cell('old', column.old), column.old.type, column.number)
  const newer = amount(cell('new', column.new), column.new.type, column.number)
  const size = `abs(CAST(coalesce(${difference}, ${newer}, ${older}) AS DOUBLE))`
  return [changed, `CASE WHEN ${changes} THEN ${difference} END AS d${index}`, `${size} AS s${index}`]
}

/** A rule that fails on a row does not take it, so the row stays unexpected. */
function ruleCase(rules: readonly RuleSql[]): string {
  if (rules.length === 0) return 'CAST(NULL AS INTEGER) AS rule'
  const cases = rules.map(({ sql }, index) => `WHEN coalesce(TRY(${sql}), false) THEN ${index}`)
  return `CASE ${cases.join(' ')} END AS rule`
}

/** Each distinct row with how often it is there. */
function bag(relation: string, pairing: Pairing, side: 'old' | 'new'): string {
  const keys = pairing.columns.map((column, index) => {
    const own = side === 'old' ? column.old : column.new
    return `${comparableForm(column, cell('r', own), own.type)} AS ${keyName(index)}`
  })
  // Without a column in common no row equals another.
  const list = keys.length === 0 ? [`${quoteLiteral(side)} AS ${keyName(0)}`] : keys
  const shown = pairing.columns.map((column, index) => {
    const own = side === 'old' ? column.old : column.new
    return `min(${cell('r', own)}) AS c${index}`
  })
  const groups = list.map((_, index) => index + 1).join(', ')
  return `(SELECT ${[...list, ...shown, 'count(*) AS n'].join(', ')} FROM ${relation} AS r GROUP BY ${groups})`
}

/** What pairs rows, under names that no column of a user has. */
function keyNames(pairing: Pairing): readonly string[] {
  const count = pairing.kind === 'rows' ? Math.max(1, pairing.columns.length) : pairing.keys.length
  return Array.from({ length: count }, (_, index) => keyName(index))
}

function keyName(index: number): string {
  return `"$k${index}"`
}

function rawBags(question: CompareQuestion): string {
  const { pairing } = question
  const keys = keyNames(pairing)
  const count = (side: string) => `coalesce(${side}.n, 0)`
  const columns = [
    ...keys.map((key) => `CASE WHEN o.n IS NULL THEN n.${key} ELSE o.${key} END AS ${key}`),
    ...pairing.columns.flatMap((_, index) => [`o.c${index} AS o${index}`, `n.c${index} AS n${index}`]),
    `${count('o')} AS oldTimes`,
    `${count('n')} AS newTimes`,
  ]
  const on = keys.map((key) => `o.${key} IS NOT DISTINCT FROM n.${key}`).join(' AND ')
  const bags =
    `SELECT ${columns.join(', ')} FROM ${bag('old_rows', pairing, 'old')} AS o ` +
    `FULL JOIN ${bag('new_rows', pairing, 'new')} AS n ON ${on} WHERE ${count('o')} <> ${count('n')}`
  const side = (name: 'old' | 'new', letter: 'o' | 'n', more: string): string => {
    const list = pairing.columns.map((column, index) => {
      const own = name === 'old' ? column.old : column.new
      return `CASE WHEN ${more} THEN b.${letter}${index} END AS ${quoteIdentifier(own.name)}`
    })
    return `(SELECT ${list.length === 0 ? '1 AS "$none"' : list.join(', ')}) AS ${name}`
  }
  const outer = [
    `CASE WHEN b.oldTimes > b.newTimes THEN 'removed' ELSE 'added' END AS kind`,
    'abs(b.oldTimes - b.newTimes) AS times',
    ruleCase(question.rules),
    ...keys.map((key) => `b.${key}`),
    ...pairing.columns.map(({ old }, index) => `${cell('old', old)} AS o${index}`),
    ...pairing.columns.map((column, index) => `${cell('new', column.new)} AS n${index}`),
  ]
  return (
    `CREATE OR REPLACE TEMP TABLE "$raw" AS SELECT ${outer.join(', ')} FROM (${bags}) AS b, ` +
    `LATERAL ${side('old', 'o', 'b.oldTimes > b.newTimes')}, LATERAL ${side('new', 'n', 'b.newTimes > b.oldTimes')}`
  )
}

// ---- why it differs -------------------------------------------------------------------------------------------

/** Rows in which a version folded again differs from what it serves, by what pairs them. */
function hurtTable(question: CompareQuestion, side: 'old' | 'new'): string {
  const { pairing } = question
  const create = `CREATE OR REPLACE TEMP TABLE ${hurtName(side)} AS`
  if (pairing.kind === 'rows') {
    const keys = keyNames(pairing)
    const on = keys.map((key) => `a.${key} IS NOT DISTINCT FROM b.${key}`).join(' AND ')
    const list = keys.map((key) => `CASE WHEN a.n IS NULL THEN b.${key} ELSE a.${key} END AS ${key}`)
    return (
      `${create} SELECT ${list.join(', ')}, abs(coalesce(a.n, 0) - coalesce(b.n, 0)) AS times ` +
      `FROM ${bag(`${side}_rows`, pairing, side)} AS a FULL JOIN ${bag(`${side}_again`, pairing, side)} AS b ` +
      `ON ${on} WHERE coalesce(a.n, 0) <> coalesce(b.n, 0)`
    )
  }
  const plan = question[side]
  const inexact = new Set(plan.inexact.map(({ column }) => column))
  const keys = pairing.keys.map((key) => ({ key, own: key[side] }))
  const isNear = (column: Column): boolean =>
    inexact.has(column.name) && pairing.columns.some((one) => one[side].name === column.name && one.near)
  const same = plan.columns
    .filter((column) => !keys.some(({ own }) => own.name === column.name))
    .map((column) => sameWithin(column, isNear(column), 'a', 'b'))
  const both = 'a."$there" IS NOT NULL AND b."$there" IS NOT NULL'
  const on = keys.map(({ own }) => `${cell('a', own)} IS NOT DISTINCT FROM ${cell('b', own)}`)
  const list = keys.map(({ key, own }, index) => {
    const value = `CASE WHEN a."$there" IS NULL THEN ${cell('b', own)} ELSE ${cell('a', own)} END`
    return `${comparableForm(key, value, own.type)} AS ${keyName(index)}, `
  })
  return (
    `${create} SELECT ${list.join('')}1 AS times FROM ${there(`${side}_rows`)} AS a ` +
    `FULL JOIN ${there(`${side}_again`)} AS b ON ${on.length === 0 ? 'a."$there" = b."$there"' : on.join(' AND ')} ` +
    `WHERE NOT (${[both, ...same].map((part) => `(${part})`).join(' AND ')})`
  )
}

function hurtName(side: 'old' | 'new'): string {
  return `"$hurt_${side}"`
}

function diffsTable(question: CompareQuestion): string {
  const { folded, events, pairing } = question
  const on = (relation: string): string => {
    const keys = keyNames(pairing)
    if (keys.length === 0) return 'true'
    return keys.map((key) => `${relation}.${key} IS NOT DISTINCT FROM raw.${key}`).join(' AND ')
  }
  const joins: string[] = []
  const cases: string[] = []
  if (folded) {
    for (const side of ['old', 'new'] as const) {
      const name = `hurt_${side}`
      joins.push(`LEFT JOIN (SELECT *, true AS hurt FROM ${hurtName(side)}) AS ${name} ON ${on(name)}`)
    }
    cases.push(`WHEN hurt_old.hurt OR hurt_new.hurt THEN 'unexplained'`)
  }
  cases.push(`WHEN raw.rule IS NOT NULL THEN 'expected'`)
  if (events !== undefined) {
    for (const side of ['old', 'new'] as const) {
      joins.push(
        `LEFT JOIN ${sameEvents(question, events[side], side)} AS same_${side} ON ${on(`same_${side}`)}`,
      )
    }
    cases.push(`WHEN ${agree(question)} THEN 'events'`)
  }
  return (
    `CREATE OR REPLACE TEMP TABLE "$diffs" AS SELECT raw.*, CASE ${cases.join(' ')} ELSE 'logic' END AS cause ` +
    `FROM "$raw" AS raw ${joins.join(' ')}`
  )
}

/** One logic over the events of both, with the columns by which its rows are found. */
function sameEvents(question: CompareQuestion, relation: string, side: 'old' | 'new'): string {
  const { pairing } = question
  if (pairing.kind === 'rows') return bag(relation, pairing, side)
  const keys = pairing.keys.map(
    (key, index) => `${comparableForm(key, cell('r', key[side]), key[side].type)} AS ${keyName(index)}, `,
  )
  return `(SELECT ${keys.join('')}r.*, 1 AS "$there" FROM ${relation} AS r)`
}

/** Whether both logics give the same row over the same events. */
function agree({ pairing }: CompareQuestion): string {
  if (pairing.kind === 'rows') return 'coalesce(same_old.n, 0) = coalesce(same_new.n, 0)'
  const same = pairing.columns.map((column) => `(${sameCells(column, 'same_old', 'same_new')})`)
  const both = ['same_old."$there" IS NOT NULL', 'same_new."$there" IS NOT NULL', ...same].join(' AND ')
  return `((same_old."$there" IS NULL AND same_new."$there" IS NULL) OR (${both}))`
}

// ---- answers --------------------------------------------------------------------------------------------------

function countsQuery({ folded }: CompareQuestion): string {
  const hurt = (side: 'old' | 'new') =>
    folded ? `(SELECT coalesce(sum(times), 0) FROM ${hurtName(side)})` : '0'
  return (
    'SELECT CAST((SELECT count(*) FROM old_rows) AS BIGINT) AS oldRows, ' +
    'CAST((SELECT count(*) FROM new_rows) AS BIGINT) AS newRows, ' +
    `CAST(${hurt('old')} AS BIGINT) AS hurtOld, CAST(${hurt('new')} AS BIGINT) AS hurtNew`
  )
}

const causesQuery =
  'SELECT kind, cause, rule, CAST(sum(times) AS BIGINT) AS rows FROM "$diffs" GROUP BY kind, cause, rule ORDER BY ALL'

/** One wide row: for each column how many rows changed in it, and the distribution of new minus old as text. */
function columnsQuery({ pairing }: CompareQuestion): string {
  if (pairing.kind === 'rows') return 'SELECT 0 AS x0'
  const columns = pairing.columns.flatMap((column, index) => {
    const changed = `CAST(count(*) FILTER (WHERE x${index}) AS BIGINT) AS x${index}`
    if (column.number === undefined) return [changed]
    const d = `d${index}`
    const text = (sql: string, name: string) => `CAST(${sql} AS VARCHAR) AS ${name}${index}`
    const sums =
      column.number.kind === 'units'
        ? [text(`sum(${d} // ${half})`, 'high'), text(`sum(${d} % ${half})`, 'low')]
        : [text(`sum(${d})`, 'sum')]
    const at = (share: number) => `quantile_disc(${d}, ${share})`
    return [
      changed,
      text(`min(${d})`, 'min'),
      ...[text(at(0.05), 'p05'), text(at(0.5), 'median'), text(at(0.95), 'p95')],
      ...[text(`max(${d})`, 'max'), ...sums],
    ]
  })
  return `SELECT ${['0 AS zero', ...columns].join(', ')} FROM "$diffs"`
}

/**
 * Rows of every kind and cause in turn, of each the largest difference, the smallest, and those evenly between them.
 * Sizes of several columns are added as shares of the largest in each.
 */
function sampleQuery(question: CompareQuestion): string {
  const { pairing, sampleRows } = question
  const shown = shownColumns(question)
  const finite = (index: number) => `CASE WHEN isfinite(s${index}) THEN s${index} END`
  const sizes = pairing.columns.flatMap((column, index) =>
    pairing.kind === 'rows' || column.number === undefined
      ? []
      : [`coalesce(${finite(index)} / nullif(max(${finite(index)}) OVER (), 0), 0)`],
  )
  const cells = [...shown.old.map((_, index) => `o${index}`), ...shown.new.map((_, index) => `n${index}`)]
  const size = sizes.length === 0 ? '0' : sizes.join(' + ')
  const order = ['size DESC', ...cells].join(', ')
  const ranked =
    `SELECT *, row_number() OVER (PARTITION BY kind, cause ORDER BY ${order}) AS rank, ` +
    `count(*) OVER (PARTITION BY kind, cause) AS size_of_class ` +
    `FROM (SELECT *, ${size} AS size FROM "$diffs")`
  const share =
    `SELECT greatest(1, CAST(floor(${sampleRows} / greatest(1, count(*))) AS BIGINT)) AS share ` +
    `FROM (SELECT DISTINCT kind, cause FROM "$diffs")`
  const place = '1 + CAST(round(i * (size_of_class - 1) / greatest(1, share - 1)) AS BIGINT)'
  const chosen = `list_contains(list_transform(range(share), lambda i: ${place}), rank)`
  const causes = `CASE cause WHEN 'unexplained' THEN 0 WHEN 'logic' THEN 1 WHEN 'events' THEN 2 ELSE 3 END`
  return (
    `SELECT kind, cause, rule, times${cells.map((name) => `, ${name}`).join('')} FROM (${ranked}), (${share}) ` +
    `WHERE ${chosen} ORDER BY ${causes}, kind, rank LIMIT ${sampleRows}`
  )
}
