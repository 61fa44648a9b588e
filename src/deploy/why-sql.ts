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

/**
 * Per step the number of rows (`n`), and for each numeric field its sum `s`; what might overflow a sum is left out of
 * it and summed in halves, `h` and `l`.
 */
function totalsQuery(question: WhyQuestion): string {
  const fields = whyFields(question)
  const steps = STEPS.map((step) => {
    const sums = fields.flatMap((field, index) => {
      if (!field.isNumber) return []
      const { sum, large } = sumsOf(field[sideOf(step)])
      return [
        `CAST(${sum} AS VARCHAR) AS s${index}`,
        `CAST(sum(${large} // ${half}) AS VARCHAR) AS h${index}`,
        `CAST(sum(${large} % ${half}) AS VARCHAR) AS l${index}`,
      ]
    })
    const list = [`${step} AS step`, 'CAST(count(*) AS BIGINT) AS n', ...sums].join(', ')
    return `SELECT ${list} FROM step${step} AS r${where(question, step)}`
  })
  return `SELECT * FROM (${steps.join(' UNION ALL ')}) ORDER BY step`
}

const NO_UNITS = 'CAST(NULL AS HUGEINT)'
/** Numbers of up to so many digits are summed as they are: a hundred thousand million of them do not overflow. */
const SAFE_DIGITS = 27

/** `sum` of what is small enough, and as units each value that is not. */
function sumsOf(own: Column | undefined): { readonly sum: string; readonly large: string } {
  if (own === undefined) return { sum: 'NULL', large: NO_UNITS }
  const column = `r.${quoteIdentifier(own.name)}`
  const kind = numberKind(own.type)
  if (kind?.kind !== 'units') return { sum: `sum(CAST(${column} AS DOUBLE))`, large: NO_UNITS }
  if (!isWide(own.type)) return { sum: `sum(${column})`, large: NO_UNITS }
  const limit = `CAST(1${'0'.repeat(Math.max(0, SAFE_DIGITS - kind.scale))} AS ${own.type})`
  const isSafe = kind.scale > SAFE_DIGITS ? 'false' : `${column} BETWEEN -${limit} AND ${limit}`
  return {
    sum: `sum(CASE WHEN ${isSafe} THEN ${column} END)`,
    large: `CASE WHEN NOT (${isSafe}) THEN ${wholeUnits(own)} END`,
  }
}

/** Whether values may have more digits than a sum has room for. */
function isWide(type: string): boolean {
  const digits = /^DECIMAL\((\d+),/.exec(type)?.[1]
  return digits === undefined ? /HUGEINT/.test(type) : Number(digits) > SAFE_DIGITS
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
  // The one row of a view without groups is found by a constant.
  const keys = pairing.keys.length === 0 ? ['"$one"'] : pairing.keys.map((_, index) => `"$k${index}"`)
  const relations = STEPS.map((step) => {
    const side = sideOf(step)
    const list = [
      ...(pairing.keys.length === 0 ? ['1 AS "$one"'] : []),
      ...pairing.keys.map((key, index) => `${form(key, key[side])} AS ${keys[index]}`),
      ...fields.map((field, index) => `${stepValue(field, side)} AS "$v${index}"`),
      '1 AS "$there"',
    ]
    return `(SELECT ${list.join(', ')} FROM step${step} AS r${where(question, step)}) AS s${step}`
  })
  // A row that a step does not have is NULL in it, so of the steps' keys those that are not NULL are the row's.
  const keyUpTo = (step: number, key: string): string =>
    `coalesce(${STEPS.slice(0, step + 1)
      .map((each) => `s${each}.${key}`)
      .join(', ')})`
  const joined = relations.slice(1).map((relation, index) => {
    const on = keys.map((key) => `${keyUpTo(index, key)} IS NOT DISTINCT FROM s${index + 1}.${key}`)
    return ` FULL JOIN ${relation} ON ${on.join(' AND ')}`
  })
  const sides = [
    ...keys.map((key) => `${keyUpTo(3, key)} AS ${key}`),
    ...STEPS.map((step) => `CAST(s${step}."$there" IS NOT NULL AS INTEGER) AS p${step}`),
    ...fields.flatMap((_, index) => STEPS.map((step) => `s${step}."$v${index}" AS v${index}_${step}`)),
  ]
  const changed = [
    'p0 <> p1 OR p1 <> p2 OR p2 <> p3',
    ...fields.flatMap((field, index) => [0, 1, 2].map((step) => changes(field, index, step))),
  ]
  const shown = [
    ...pairing.keys.map((_, index) => `${keys[index]} AS k${index}`),
    ...STEPS.map((step) => `p${step}`),
    ...fields.flatMap((field, index) =>
      STEPS.map((step) => {
        const cell = `v${index}_${step}`
        return field.isNumber ? `CAST(${cell} AS VARCHAR) AS ${cell}` : cell
      }),
    ),
  ]
  const { most, size } = sizeSql(fields)
  return (
    `WITH changed AS MATERIALIZED (SELECT * FROM (SELECT ${sides.join(', ')} FROM ${relations[0]}${joined.join('')}) ` +
    `WHERE ${changed.join(' OR ')}) ` +
    `SELECT ${shown.join(', ')} FROM (SELECT changed.* FROM changed, (SELECT ${most} FROM changed) ` +
    `ORDER BY ${[...size, ...keys].join(', ')} LIMIT ${limit + 1})`
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

/** How much all steps change, each column as a share of the largest change in it; `most` are those. */
function sizeSql(fields: readonly WhyField[]): { readonly most: string; readonly size: readonly string[] } {
  const sizes = fields.flatMap((field, index) => {
    if (!field.isNumber) return []
    const at = (step: number) => `coalesce(CAST(v${index}_${step} AS DOUBLE), 0)`
    const size = [0, 1, 2].map((step) => `abs(${at(step + 1)} - ${at(step)})`).join(' + ')
    return [{ index, finite: `CASE WHEN isfinite(${size}) THEN ${size} END` }]
  })
  const shares = sizes.map(({ index, finite }) => `coalesce((${finite}) / nullif(most${index}, 0), 0)`)
  return {
    most: ['1 AS one', ...sizes.map(({ index, finite }) => `max(${finite}) AS most${index}`)].join(', '),
    size: shares.length === 0 ? [] : [`${shares.join(' + ')} DESC`],
  }
}
