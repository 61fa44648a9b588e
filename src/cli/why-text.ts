/** The text of `refold why`: the parts of a difference as a table, first in total, then row by row. No state. */

import type { WhyParts, WhyReport, WhyRow } from '../deploy/types.ts'
import type { Style } from './colours.ts'
import type { TextOptions } from './compare-text.ts'
import { grouped } from './ingest-meter.ts'
import { shortVersion } from './query.ts'
import { cellText, formatTable, type TableRow } from './table.ts'

const parts = ['first', 'late', 'arrived', 'logic', 'last'] as const
/** As people read them, in sequence. */
const titles = ['was', '+ late', '+ new', '+ logic', '= is'] as const

interface WhyTextOptions extends TextOptions {
  /** Only some rows were asked for, by key. */
  readonly some: boolean
}

export function formatWhy(report: WhyReport, options: WhyTextOptions): string {
  const { style } = options
  const blocks = [headLines(report, style), totalLines(report, options), rowLines(report, options)]
  return `${blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')}\n`
}

function headLines(report: WhyReport, style: Style): readonly string[] {
  const { view, from, to, watermark, lateEvents, newEvents, lateCuts } = report
  const place = ({ at, cut, version }: WhyReport['from']): string =>
    `${at === null ? '' : `${at} · `}cut ${cut} · version ${shortVersion(version)}`
  const logic = from.version === to.version ? 'the logic is the same' : 'the logic changed'
  const border =
    lateCuts !== undefined
      ? `late events wait for a batch: the first report had those up to cut ${lateCuts.from}, the second those up to cut ${lateCuts.to}`
      : watermark === null
        ? 'no event is late: the stream had no watermark'
        : `late is before ${watermark}`
  return [
    style.bold(view),
    `  from  ${place(from)}`,
    `  to    ${place(to)}`,
    `  ${grouped(lateEvents)} late and ${grouped(newEvents)} other new events; ${logic}`,
    style.dim(`  ${border}`),
  ]
}

function totalLines(report: WhyReport, { style, width, some }: WhyTextOptions): readonly string[] {
  const rows = [
    { column: '(rows)', ...cells(report.rowCount) },
    ...report.totals.map((total) => ({ column: total.column, ...cells(total) })),
  ]
  return [
    style.bold(some ? 'sums over the rows asked for' : 'sums over all rows'),
    formatTable(columnsOf(['column']), rows, { style, width }).trimEnd(),
  ]
}

function rowLines(report: WhyReport, { style, width }: TextOptions): readonly string[] {
  const { rows, key, truncated } = report
  if (rows.length === 0) return []
  const table = rows.flatMap((row) => linesOf(row, key))
  const title = `rows, the largest changes first${truncated ? '; there are more (--rows)' : ''}`
  return [style.bold(title), formatTable(columnsOf([...key, 'column']), table, { style, width }).trimEnd()]
}

/** A line for each column that some step changed; the key stands in the first. */
function linesOf(row: WhyRow, key: readonly string[]): readonly TableRow[] {
  const changed = row.columns.filter(
    (column) => column.late !== '0' || column.arrived !== '0' || column.logic !== '0',
  )
  const numbers = changed.map((column): TableRow => ({ column: column.column, ...cells(column) }))
  const values = row.values.map(({ column, first, last, changed: steps }): TableRow => {
    const marks = (['late', 'arrived', 'logic'] as const).map((step, index) => [
      titles[index + 1]!,
      steps.includes(step) ? 'changed' : '',
    ])
    return { column, was: shown(first), ...Object.fromEntries(marks), '= is': shown(last) }
  })
  const lines = [...numbers, ...values]
  if (lines.length === 0)
    lines.push({ column: '', ...Object.fromEntries(titles.map((title) => [title, ''])) })
  return lines.map((line, index) => ({
    ...Object.fromEntries(key.map((name) => [name, index === 0 ? shown(row.key[name] ?? null) : ''])),
    ...line,
  }))
}

function shown(value: WhyRow['key'][string]): string {
  return cellText(value as Parameters<typeof cellText>[0]).text
}

/** A part of nothing is left empty, so that the eye finds what counts. */
function cells(column: WhyParts): TableRow {
  return Object.fromEntries(
    parts.map((part, index) => {
      const value = column[part]
      const isPart = part !== 'first' && part !== 'last'
      const signed = isPart && value !== null && !value.startsWith('-') ? `+${value}` : value
      return [titles[index]!, isPart && value === '0' ? '' : signed]
    }),
  )
}

function columnsOf(names: readonly string[]) {
  return [
    ...names.map((name) => ({ name, type: 'VARCHAR' })),
    ...titles.map((name) => ({ name, type: 'DECIMAL' })),
  ]
}
