/**
 * The statements by which a difference between two reports is taken apart. Pure text over four relations, which the
 * past engine binds to finished rows: `step0`, the old logic at the first cut; `step1`, with the late events; `step2`,
 * with the other new events too; `step3`, the new logic at the second cut.
 *
 * Rows of the four are put side by side by the key that both versions have. Numbers come as text, so that what is
 * computed from them loses no digit.
 */

import { quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import type { Column, ViewPlan } from '../plan/plan.ts'
import { type ComparedColumn, comparableForm, nearSql, numberKind, type Pairing } from './compare-columns.ts'
import { HALF, type Statement } from './compare-sql.ts'

/** A column of either version, with what each side calls it; one that a side lacks is NULL there. */
export interface WhyField {
  readonly name: string
  readonly old?: Column
  readonly new?: Column
  /** A number on both sides, or on the only one. */
  readonly isNumber: boolean
  readonly compared?: ComparedColumn
}

export interface WhyQuestion {
  readonly old: ViewPlan
  readonly new: ViewPlan
  readonly pairing: Pairing
  /** Key column → value as text, null for NULL. */
  readonly key: Readonly<Record<string, string | null>>
  readonly limit: number
}

const STEPS = [0, 1, 2, 3] as const
const half = `CAST(${HALF} AS HUGEINT)`

export function whyFields({ old, new: newer, pairing }: WhyQuestion): readonly WhyField[] {
  const isKey = (name: string): boolean =>
    pairing.keys.some((key) => key.name.toLowerCase() === name.toLowerCase())
  const common = new Map(pairing.columns.map((column) => [column.name.toLowerCase(), column]))
  const later = newer.columns.flatMap((column): WhyField[] => {
    if (isKey(column.name)) return []
    const compared = common.get(column.name.toLowerCase())
    const isNumber =
      numberKind(column.type) !== undefined && (compared === undefined || compared.number !== undefined)
    return [
      {
        ...{ name: column.name, new: column, isNumber },
        ...(compared === undefined ? {} : { old: compared.old, compared }),
      },
    ]
  })
  const gone = old.columns.filter(({ name }) => !isKey(name) && !common.has(name.toLowerCase()))
  return [
    ...later,
    ...gone.map(
      (column): WhyField => ({
        ...{ name: column.name, old: column, isNumber: numberKind(column.type) !== undefined },
      }),
    ),
  ]
}

/** Totals of each step in order, then the rows that differ. */
export function whyStatements(question: WhyQuestion): readonly Statement[] {
  const totals = { sql: totalsQuery(question), limit: STEPS.length }
  return question.pairing.kind === 'rows'
    ? [totals]
    : [totals, { sql: rowsQuery(question), limit: question.limit }]
}

function sideOf(step: number): 'old' | 'new' {
  return step === 3 ? 'new' : 'old'
}

function where(question: WhyQuestion, step: number): string {
  const conditions = Object.entries(question.key).map(([name, value]) => {
    const key = question.pairing.keys.find((known) => known.name.toLowerCase() === name.toLowerCase())
    const own = key?.[sideOf(step)]
    if (own === undefined) return 'false'
    const column = `r.${quoteIdentifier(own.name)}`
    return value === null ? `${column} IS NULL` : `${column} = CAST(${quoteLiteral(value)} AS ${own.type})`
  })
  return conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`
}

/** Per step the number of rows (`n`), and for each numeric field its sum: `s`, or of exact numbers the halves `h`, `l`. */
function totalsQuery(question: WhyQuestion): string {
  const fields = whyFields(question)
  const steps = STEPS.map((step) => {
    const sums = fields.flatMap((field, index) => {
      if (!field.isNumber) return []
      const own = field[sideOf(step)]
      const units = own === undefined ? 'CAST(NULL AS HUGEINT)' : wholeUnits(own)
      const isDouble = own !== undefined && numberKind(own.type)?.kind === 'double'
      const value = isDouble ? `CAST(r.${quoteIdentifier(own.name)} AS DOUBLE)` : 'CAST(NULL AS DOUBLE)'
      const exact = isDouble ? 'CAST(NULL AS HUGEINT)' : units
      return [
        `CAST(sum(${exact} // ${half}) AS VARCHAR) AS h${index}`,
        `CAST(sum(${exact} % ${half}) AS VARCHAR) AS l${index}`,
        `CAST(sum(${value}) AS VARCHAR) AS s${index}`,
      ]
    })
    const list = [`${step} AS step`, 'CAST(count(*) AS BIGINT) AS n', ...sums].join(', ')
    return `SELECT ${list} FROM step${step} AS r${where(question, step)}`
  })
  return `SELECT * FROM (${steps.join(' UNION ALL ')}) ORDER BY step`
}

function wholeUnits({ name, type }: Column): string {
  const column = `r.${quoteIdentifier(name)}`
  const kind = numberKind(type)
  return kind?.kind === 'units' && kind.scale > 0
    ? `CAST(replace(CAST(${column} AS VARCHAR), '.', '') AS HUGEINT)`
    : `TRY_CAST(${column} AS HUGEINT)`
}

/**
 * Rows in which some step changes something, those with the largest changes first: `k0`, … the key, `p0` to `p3`
 * whether the row is there, `v<field>_<step>` its values, numbers as text.
 */
function rowsQuery(question: WhyQuestion): string {
  const { pairing, limit } = question
  const fields = whyFields(question)
  const keys = pairing.keys.map((_, index) => `"$k${index}"`)
  const union = STEPS.map((step) => {
    const side = sideOf(step)
    const list = [
      `${step} AS "$step"`,
      ...pairing.keys.map((key, index) => `${form(key, key[side])} AS ${keys[index]}`),
      ...fields.map((field, index) => `${stepValue(field, side)} AS "$v${index}"`),
    ]
    return `SELECT ${list.join(', ')} FROM step${step} AS r${where(question, step)}`
  }).join(' UNION ALL ')
  const pivot = [
    ...keys,
    ...STEPS.map((step) => `count(*) FILTER (WHERE "$step" = ${step}) AS p${step}`),
    ...fields.flatMap((_, index) =>
      STEPS.map((step) => `any_value("$v${index}") FILTER (WHERE "$step" = ${step}) AS v${index}_${step}`),
    ),
  ]
  const grouping = keys.length === 0 ? '' : ` GROUP BY ${keys.join(', ')}`
  const changed = [
    'p0 <> p1 OR p1 <> p2 OR p2 <> p3',
    ...fields.flatMap((field, index) => [0, 1, 2].map((step) => changes(field, index, step))),
  ]
  const shown = [
    ...keys.map((key, index) => `${key} AS k${index}`),
    ...STEPS.map((step) => `p${step}`),
    ...fields.flatMap((field, index) =>
      STEPS.map((step) => {
        const cell = `v${index}_${step}`
        return field.isNumber ? `CAST(${cell} AS VARCHAR) AS ${cell}` : cell
      }),
    ),
  ]
  return (
    `SELECT ${shown.join(', ')} FROM (SELECT *, ${sizeSql(fields)} AS "$size" FROM (` +
    `SELECT ${pivot.join(', ')} FROM (${union})${grouping}) WHERE ${changed.join(' OR ')}) ` +
    `ORDER BY ${['"$size" DESC', ...keys].join(', ')} LIMIT ${limit + 1}`
  )
}

function form(column: ComparedColumn, own: Column): string {
  return comparableForm({ ...column, near: false }, `r.${quoteIdentifier(own.name)}`, own.type)
}

function stepValue(field: WhyField, side: 'old' | 'new'): string {
  const own = field[side]
  if (own === undefined) return `CAST(NULL AS ${(field.old ?? field.new)?.type ?? 'VARCHAR'})`
  if (isRetyped(field)) return `CAST(r.${quoteIdentifier(own.name)} AS VARCHAR)`
  return `r.${quoteIdentifier(own.name)}`
}

/** Values of two types are put under each other as texts. */
function isRetyped({ old, new: newer }: WhyField): boolean {
  return old !== undefined && newer !== undefined && old.type !== newer.type
}

/** One text for each number: 2.00 and 2, .50 and 0.5 are the same. */
function numberText(sql: string): string {
  const led = String.raw`regexp_replace(${sql}, '^(-?)\.', '\10.')`
  return String.raw`regexp_replace(regexp_replace(${led}, '(\.\d*?)0+$', '\1'), '\.$', '')`
}

function changes(field: WhyField, index: number, step: number): string {
  const normal = (sql: string) => (isRetyped(field) && field.isNumber ? numberText(sql) : sql)
  const [a, b] = [`v${index}_${step}`, `v${index}_${step + 1}`].map(normal)
  if (field.compared?.near === true) return `NOT ${nearSql(`CAST(${a} AS DOUBLE)`, `CAST(${b} AS DOUBLE)`)}`
  return `${a} IS DISTINCT FROM ${b}`
}

/** Changes of all steps, each column's as a share of the largest in it. */
function sizeSql(fields: readonly WhyField[]): string {
  const shares = fields.flatMap((field, index) => {
    if (!field.isNumber) return []
    const at = (step: number) => `coalesce(CAST(v${index}_${step} AS DOUBLE), 0)`
    const size = [0, 1, 2].map((step) => `abs(${at(step + 1)} - ${at(step)})`).join(' + ')
    const finite = `CASE WHEN isfinite(${size}) THEN ${size} END`
    return [`coalesce((${finite}) / nullif(max(${finite}) OVER (), 0), 0)`]
  })
  return shares.length === 0 ? '0' : shares.join(' + ')
}
