/** The answers of the compare's statements as a summary. Pure. */

import type { CommitSeq, VersionId } from '../model/cut.ts'
import type { JsonValue } from '../model/schema.ts'
import { must } from '../std/assert.ts'
import { type CompareQuestion, HALF, shownColumns } from './compare-sql.ts'
import { unitsText } from './exact-decimal.ts'
import { exactValues } from './exact-values.ts'
import type { ColumnDifference, ComparedRow, CompareSummary, DifferenceCause } from './types.ts'

export interface ComparedVersions {
  readonly view: string
  readonly from: VersionId
  readonly to: VersionId
  readonly cut: CommitSeq
}

type Row = Readonly<Record<string, JsonValue>>

/** `answers` are the JSON texts of all statements, in order. */
export function compareSummary(
  compared: ComparedVersions,
  question: CompareQuestion,
  answers: readonly string[],
): CompareSummary {
  const [counts, classes, columns, sample] = answers
    .slice(-4)
    .map((json) => exactValues(json) as unknown as readonly Row[])
  const sizes = must(counts?.[0], 'the counts are one row')
  const found = (classes ?? []).map((row) => ({
    kind: String(row.kind),
    cause: String(row.cause) as DifferenceCause,
    rule: row.rule === null ? undefined : Number(row.rule),
    rows: Number(row.rows),
  }))
  const rowsOf = (test: (one: (typeof found)[number]) => boolean): number =>
    found.filter(test).reduce((sum, one) => sum + one.rows, 0)
  const of = (kind: string) => rowsOf((one) => one.kind === kind)
  const because = (cause: DifferenceCause) => rowsOf((one) => one.cause === cause)
  const [changed, added, removed] = [of('changed'), of('added'), of('removed')]
  return {
    ...compared,
    pairing: question.pairing.kind,
    key: question.pairing.keys.map(({ name }) => name),
    shape: question.pairing.shape,
    oldRows: Number(sizes.oldRows),
    newRows: Number(sizes.newRows),
    equal: Number(sizes.oldRows) - changed - removed,
    ...{ changed, added, removed },
    columns: columnDifferences(question, columns?.[0] ?? {}),
    causes: {
      unexplained: because('unexplained'),
      expected: because('expected'),
      events: because('events'),
      logic: because('logic'),
    },
    expectations: question.rules.map(({ name, missing }, index) => ({
      rule: name,
      rows: rowsOf((one) => one.cause === 'expected' && one.rule === index),
      ...(missing.length === 0 ? {} : { missing }),
    })),
    folded: question.folded,
    ...(question.folded ? { damaged: { old: Number(sizes.hurtOld), new: Number(sizes.hurtNew) } } : {}),
    sample: (sample ?? []).map((row) => comparedRow(question, row)),
  }
}

function columnDifferences(question: CompareQuestion, row: Row): readonly ColumnDifference[] {
  const { pairing } = question
  if (pairing.kind === 'rows') return []
  return pairing.columns.map(({ name, number }, index): ColumnDifference => {
    const changed = Number(row[`x${index}`] ?? 0)
    const at = (what: string) => row[`${what}${index}`]
    if (number === undefined || typeof at('min') !== 'string') return { column: name, changed }
    const text = (value: JsonValue | undefined) =>
      number.kind === 'units' ? unitsText(BigInt(String(value)), number.scale) : String(value)
    const sum =
      number.kind === 'units'
        ? unitsText(BigInt(String(at('high'))) * HALF + BigInt(String(at('low'))), number.scale)
        : String(at('sum'))
    return {
      column: name,
      changed,
      difference: {
        min: text(at('min')),
        p05: text(at('p05')),
        median: text(at('median')),
        p95: text(at('p95')),
        max: text(at('max')),
        sum,
      },
    }
  })
}

function comparedRow(question: CompareQuestion, row: Row): ComparedRow {
  const shown = shownColumns(question)
  const kind = String(row.kind) as ComparedRow['kind']
  const cause = String(row.cause) as DifferenceCause
  const cells = (columns: readonly { readonly name: string }[], letter: string): JsonValue =>
    Object.fromEntries(columns.map(({ name }, index) => [name, row[`${letter}${index}`] ?? null]))
  const rule = cause === 'expected' ? question.rules[Number(row.rule)]?.name : undefined
  return {
    ...{ kind, cause },
    ...(rule === undefined ? {} : { rule }),
    ...(Number(row.times) === 1 ? {} : { times: Number(row.times) }),
    ...(kind === 'added' ? {} : { old: cells(shown.old, 'o') }),
    ...(kind === 'removed' ? {} : { new: cells(shown.new, 'n') }),
  }
}
