/**
 * The answers of `why`'s statements as parts of a difference. Pure. Parts are computed from the exact text of the
 * numbers, so they add up to the last digit; doubles are taken by the shortest text that stands for them. What is not
 * there counts as 0.
 */

import type { JsonValue } from '../model/schema.ts'
import { must } from '../std/assert.ts'
import { numberKind } from './compare-columns.ts'
import { HALF } from './compare-sql.ts'
import { add, type Exact, exactText, parseExact, subtract, ZERO } from './exact-decimal.ts'
import { exactValues } from './exact-values.ts'
import type { WhyColumn, WhyParts, WhyReport, WhyRow, WhyStep, WhyValue } from './types.ts'
import { type WhyField, type WhyQuestion, whyFields } from './why-sql.ts'

type Row = Readonly<Record<string, JsonValue>>
type Four = readonly [first: string | null, late: string | null, arrived: string | null, last: string | null]

const steps: readonly WhyStep[] = ['late', 'arrived', 'logic']

/** `answers` are the JSON texts of the statements, in order. */
export function whyParts(
  question: WhyQuestion,
  answers: readonly string[],
): Pick<WhyReport, 'key' | 'rowCount' | 'totals' | 'rows' | 'truncated'> {
  const [totals = [], rows = []] = answers.map((json) => exactValues(json) as unknown as readonly Row[])
  const fields = whyFields(question)
  return {
    key: question.pairing.keys.map(({ name }) => name),
    rowCount: partsOf(fourOf((step) => String(totals[step]?.n ?? 0))),
    totals: fields.flatMap((field, index) =>
      field.isNumber
        ? [{ column: field.name, ...partsOf(fourOf((step) => totalOf(field, index, step, totals[step]))) }]
        : [],
    ),
    rows: rows.slice(0, question.limit).map((row) => whyRow(question, fields, row)),
    truncated: rows.length > question.limit,
  }
}

function fourOf(at: (step: number) => string | null): Four {
  return [at(0), at(1), at(2), at(3)]
}

function totalOf(field: WhyField, index: number, step: number, row: Row | undefined): string | null {
  const own = step === 3 ? field.new : field.old
  const kind = own === undefined ? undefined : numberKind(own.type)
  if (kind === undefined || row === undefined) return null
  const [sum, high, low] = ['s', 'h', 'l'].map((part) => textOf(row[`${part}${index}`])) as [
    string | null,
    string | null,
    string | null,
  ]
  if (kind.kind === 'double' || high === null || low === null) return sum
  const large = { units: BigInt(high) * HALF + BigInt(low), scale: kind.scale }
  return exactText(sum === null ? large : add(large, must(parseExact(sum), 'a sum is a number')))
}

function textOf(value: JsonValue | undefined): string | null {
  return value === undefined || value === null ? null : String(value)
}

/** The parts between four values of one number. */
export function partsOf([first, late, arrived, last]: Four): WhyParts {
  return {
    first,
    late: part(first, late),
    arrived: part(late, arrived),
    logic: part(arrived, last),
    last,
  }
}

function part(before: string | null, after: string | null): string {
  if (before === after) return '0'
  const [a, b] = [numberOf(before), numberOf(after)]
  // Between a number and infinity there is no difference that could be added.
  if (a === undefined || b === undefined) return 'nan'
  const difference = subtract(b, a)
  return difference.units === 0n ? '0' : exactText(difference)
}

function numberOf(text: string | null): Exact | undefined {
  return text === null ? ZERO : parseExact(text)
}

function whyRow(question: WhyQuestion, fields: readonly WhyField[], row: Row): WhyRow {
  const key = Object.fromEntries(
    question.pairing.keys.map(({ name }, index) => [name, row[`k${index}`] ?? null]),
  )
  const columns: WhyColumn[] = []
  const values: WhyValue[] = []
  fields.forEach((field, index) => {
    const at = (step: number): JsonValue => row[`v${index}_${step}`] ?? null
    if (field.isNumber) {
      columns.push({ column: field.name, ...partsOf(fourOf((step) => textOf(at(step)))) })
      return
    }
    const texts = [0, 1, 2, 3].map((step) => JSON.stringify(at(step)))
    const changed = steps.filter((_, step) => texts[step] !== texts[step + 1])
    if (changed.length > 0) values.push({ column: field.name, first: at(0), last: at(3), changed })
  })
  return { key, columns, values }
}
