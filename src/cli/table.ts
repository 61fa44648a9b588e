/**
 * Rows as a table of text: numbers to the right, NULL dimmed, wide letters counted as wide, and columns shortened
 * when they would not fit the terminal. No state.
 */

import type { Column } from '../plan/plan.ts'
import type { Style } from './colours.ts'
import { type ExactJson, printExactJson } from './exact-json.ts'
import { cutToWidth, escapeControls, padToWidth, textWidth } from './text-width.ts'

export type TableRow = Readonly<Record<string, ExactJson>>

export interface TableOptions {
  /** Cells to fit into; unlimited when undefined, as in a file or a pipe. */
  readonly width?: number | undefined
  readonly style: Style
}

const gap = '  '
const narrowestColumn = 6

export function formatTable(
  columns: readonly Column[],
  rows: readonly TableRow[],
  options: TableOptions,
): string {
  const { style } = options
  const cells = rows.map((row) => columns.map((column) => cellText(row[column.name])))
  const names = columns.map((column) => escapeControls(column.name))
  const natural = names.map((name, index) =>
    cells.reduce((widest, row) => Math.max(widest, textWidth(row[index]!.text)), textWidth(name)),
  )
  const widths = fitWidths(natural, options.width)
  const sides = columns.map((column) => (isNumeric(column.type) ? ('left' as const) : ('right' as const)))
  const line = (parts: readonly { text: string; paint?: (text: string) => string }[]): string =>
    parts
      .map(({ text, paint }, index) => {
        const last = index === parts.length - 1 && sides[index] === 'right'
        const cut = cutToWidth(text, widths[index]!)
        const padded = last ? cut : padToWidth(cut, widths[index]!, sides[index]!)
        return paint === undefined ? padded : paint(padded)
      })
      .join(gap)
  return [
    line(names.map((text) => ({ text, paint: style.bold }))),
    line(widths.map((width) => ({ text: '─'.repeat(width), paint: style.dim }))),
    ...cells.map((row) => line(row.map((cell) => (cell.isNull ? { ...cell, paint: style.dim } : cell)))),
  ]
    .map((text) => `${text}\n`)
    .join('')
}

/** A value as people read it: text without quotes, nested values as JSON. */
export function cellText(value: ExactJson | undefined): { readonly text: string; readonly isNull: boolean } {
  if (value === null || value === undefined) return { text: 'NULL', isNull: true }
  const text = typeof value === 'string' ? value : printExactJson(value)
  return { text: escapeControls(text), isNull: false }
}

export function isNumeric(type: string): boolean {
  return /^(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|REAL|DOUBLE|DECIMAL(\(.*\))?)$/.test(type)
}

/** Takes from the widest column until the line fits or every column is as narrow as a column may be. */
function fitWidths(natural: readonly number[], limit: number | undefined): readonly number[] {
  if (limit === undefined) return natural
  const widths = [...natural]
  let excess = widths.reduce((sum, width) => sum + width, 0) + gap.length * (widths.length - 1) - limit
  while (excess > 0) {
    const widest = widths.indexOf(Math.max(...widths))
    if (widest === -1 || widths[widest]! <= narrowestColumn) break
    widths[widest]! -= 1
    excess -= 1
  }
  return widths
}
