/** The text of `refold compare`: what differs, why, in which columns, and rows of it, old above new. No state. */

import type { ComparedRow, CompareSummary, DifferenceCause } from '../deploy/types.ts'
import type { Style } from './colours.ts'
import { type ExactJson, printExactJson } from './exact-json.ts'
import { grouped } from './ingest-meter.ts'
import { shortVersion } from './query.ts'
import { cellText, formatTable, type TableRow } from './table.ts'

export interface TextOptions {
  readonly style: Style
  readonly width: number | undefined
}

export function hasDifferences(summary: CompareSummary): boolean {
  const { changed, added, removed, shape, damaged } = summary
  return changed + added + removed + shape.length + (damaged?.old ?? 0) + (damaged?.new ?? 0) > 0
}

export function formatCompare(summary: CompareSummary, options: TextOptions): string {
  const { style } = options
  const blocks = [
    headLines(summary, style),
    countLines(summary, style),
    shapeLines(summary, style),
    hasDifferences(summary) ? causeLines(summary, style) : [],
    columnLines(summary, options),
    sampleLines(summary, options),
    firstLines(summary, style),
  ]
  return `${blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')}\n`
}

function headLines(summary: CompareSummary, style: Style): readonly string[] {
  const { view, from, to, cut, pairing, key } = summary
  const how = {
    key: `rows are paired by ${key.join(', ')}`,
    single: 'one row on each side',
    rows: 'rows have no key in common: whole rows are compared',
  }[pairing]
  return [`${style.bold(view)} · ${shortVersion(from)} → ${shortVersion(to)} · cut ${cut}`, style.dim(how)]
}

function countLines(summary: CompareSummary, style: Style): readonly string[] {
  const { oldRows, newRows, equal, changed, added, removed } = summary
  const of = style.dim(`of ${grouped(oldRows)} old and ${grouped(newRows)} new rows`)
  if (changed + added + removed === 0) return [`${style.green('equal')}  ${grouped(equal)}  ${of}`]
  const plain = (text: string) => text
  const lines = aligned([
    { name: 'equal', count: equal, paint: plain, words: '' },
    { name: 'changed', count: changed, paint: changed === 0 ? plain : style.yellow, words: '' },
    { name: 'added', count: added, paint: added === 0 ? plain : style.green, words: '' },
    { name: 'removed', count: removed, paint: removed === 0 ? plain : style.red, words: '' },
  ])
  return lines.map((line, index) => (index === 0 ? `${line}  ${of}` : line))
}

interface CountLine {
  readonly name: string
  readonly count: number
  readonly words: string
  readonly paint: (text: string) => string
}

/** Name, count to the right, words. */
function aligned(lines: readonly CountLine[]): readonly string[] {
  const names = Math.max(...lines.map(({ name }) => name.length))
  const counts = Math.max(...lines.map(({ count }) => grouped(count).length))
  return lines.map(({ name, count, words, paint }) =>
    `  ${paint(name.padEnd(names))}  ${grouped(count).padStart(counts)}  ${words}`.trimEnd(),
  )
}

function shapeLines({ shape }: CompareSummary, style: Style): readonly string[] {
  if (shape.length === 0) return []
  const lines = shape.map(({ column, change, old, new: now }) => {
    switch (change) {
      case 'added':
        return `  ${style.green('+')} ${column} ${style.dim(now ?? '')}`
      case 'removed':
        return `  ${style.red('-')} ${column} ${style.dim(old ?? '')}`
      default:
        return `  ${style.yellow('~')} ${column} ${style.dim(`${old} → ${now}`)}`
    }
  })
  return [style.bold('columns that are not the same'), ...lines]
}

const causeWords: Readonly<Record<DifferenceCause, string>> = {
  unexplained: 'a version folded again from the log gives something else than it serves',
  expected: 'by a rule of the project',
  events: 'with the same events both versions agree',
  logic: 'the new logic',
}

function causeLines(summary: CompareSummary, style: Style): readonly string[] {
  const { causes, expectations, folded, damaged } = summary
  const order: readonly DifferenceCause[] = ['unexplained', 'expected', 'events', 'logic']
  const rules = expectations
    .filter(({ rows }) => rows > 0)
    .map(({ rule, rows }) => `${rule}: ${grouped(rows)}`)
    .join(', ')
  const words = (cause: DifferenceCause): string => {
    if (cause === 'unexplained' && !folded) return 'not looked for: add --folded'
    return cause === 'expected' && rules !== '' ? rules : causeWords[cause]
  }
  const lines = order.map((cause): CountLine => {
    const isAlarm = cause === 'unexplained' && causes[cause] > 0
    const paint = isAlarm ? style.red : (text: string) => text
    return { name: cause, count: causes[cause], paint, words: style.dim(words(cause)) }
  })
  const missing = expectations.flatMap(({ rule, missing: names = [] }) =>
    names.map((name) =>
      style.dim(`  rule "${rule}" speaks of ${name}, which that version does not have: NULL`),
    ),
  )
  const hurt =
    damaged !== undefined && damaged.old + damaged.new > 0
      ? [
          style.red(
            `  served state differs from the log in ${grouped(damaged.old)} old and ${grouped(damaged.new)} new rows`,
          ),
        ]
      : []
  const notes = (summary.notes ?? []).map((note) => style.yellow(`  ${note}`))
  return [style.bold('why'), ...aligned(lines), ...missing, ...hurt, ...notes]
}

function columnLines(summary: CompareSummary, { style, width }: TextOptions): readonly string[] {
  const changed = summary.columns.filter((column) => column.changed > 0)
  if (changed.length === 0) return []
  const names = ['min', 'p05', 'median', 'p95', 'max', 'sum'] as const
  const columns = [
    { name: 'column', type: 'VARCHAR' },
    { name: 'changed', type: 'BIGINT' },
    ...names.map((name) => ({ name, type: 'DECIMAL' })),
  ]
  const rows = changed.map(({ column, changed: count, difference }): TableRow => {
    const numbers = names.map((name) => [name, difference?.[name] ?? ''] as const)
    return { column, changed: grouped(count), ...Object.fromEntries(numbers) }
  })
  return [style.bold('changed columns, new − old'), formatTable(columns, rows, { style, width }).trimEnd()]
}

/** Each row as a line of a difference: what was with a minus, what is with a plus. */
function sampleLines(summary: CompareSummary, { style, width }: TextOptions): readonly string[] {
  const { sample, changed, added, removed } = summary
  if (sample.length === 0) return []
  const names = [...new Set(sample.flatMap(({ old, new: now }) => [old, now].flatMap(namesOf)))]
  const columns = ['', 'cause', ...names].map((name) => ({ name, type: typeOf(sample, name) }))
  const rows = sample.flatMap((row): readonly TableRow[] => {
    const cause = row.rule === undefined ? row.cause : `${row.cause}: ${row.rule}`
    const times = row.times === undefined ? '' : ` ×${row.times}`
    const lines: TableRow[] = []
    if (row.old !== undefined) lines.push({ '': '-', cause: cause + times, ...cellsOf(row.old) })
    if (row.new !== undefined) {
      const first = lines.length === 0 ? cause + times : ''
      lines.push({ '': '+', cause: first, ...cellsOf(row.new) })
    }
    return lines
  })
  const all = changed + added + removed
  const title = `rows that differ${sample.length < all ? `, ${sample.length} of ${grouped(all)}` : ''}`
  const table = formatTable(columns, rows, { style, width }).trimEnd().split('\n')
  const painted = table.map((line) =>
    line.startsWith('-') ? style.red(line) : line.startsWith('+') ? style.green(line) : line,
  )
  return [style.bold(title), ...painted]
}

/** The events with which rows first differ. */
function firstLines({ sample, key }: CompareSummary, style: Style): readonly string[] {
  return sample.flatMap((row) => {
    if (row.first === undefined) return []
    const { stream, partition, offset, commit, index, time, event } = row.first
    const values = (row.new ?? row.old) as Readonly<Record<string, ExactJson>>
    const named = key.map((name) => `${name}=${cellText(values[name]).text}`).join(', ')
    const where = named === '' ? 'the row' : `row ${named}`
    return [
      style.bold(`first event with which ${where} differs`),
      `  ${stream} ${partition}:${offset} · commit ${commit}.${index} · ${style.dim(time)}`,
      `  ${JSON.stringify(event)}`,
    ]
  })
}

function namesOf(row: ComparedRow['old']): readonly string[] {
  return row === undefined ? [] : Object.keys(row as object)
}

function cellsOf(row: ComparedRow['old']): TableRow {
  return row as unknown as TableRow
}

/** Columns of numbers stand to the right; decimals come as text. */
function typeOf(sample: readonly ComparedRow[], name: string): string {
  if (name === '' || name === 'cause') return 'VARCHAR'
  const values = sample
    .flatMap(({ old, new: now }) => [old, now])
    .flatMap((row) => (row === undefined ? [] : [(row as Record<string, unknown>)[name]]))
    .filter((value) => value !== null && value !== undefined)
  return values.length > 0 && values.every((value) => /^-?[\d.]+(e[+-]?\d+)?$/i.test(String(value)))
    ? 'DECIMAL'
    : 'VARCHAR'
}

export interface RowEventsPage {
  readonly view: string
  readonly version: string
  readonly cut: number
  readonly total: number
  readonly gone?: number
  readonly events: readonly {
    readonly commit: number
    readonly index: number
    readonly time: string
    readonly event: ExactJson
  }[]
  readonly next?: string
}

export function formatRowEvents(page: RowEventsPage, style: Style): string {
  const { view, version, cut, total, gone, events, next } = page
  const position = ({ commit, index }: { commit: number; index: number }) => `${commit}.${index}`
  const widest = Math.max(0, ...events.map((event) => position(event).length))
  const lines = events.map(
    (event) =>
      `${position(event).padStart(widest)}  ${style.dim(event.time)}  ${printExactJson(event.event)}`,
  )
  const count = total === 1 ? '1 event' : `${grouped(total)} events`
  const head = `${style.bold(view)} · version ${shortVersion(version)} · cut ${cut} · ${count}`
  const trimmed = gone === undefined ? [] : [style.yellow(`events up to cut ${gone} were trimmed`)]
  const more = next === undefined ? [] : [style.dim(`there are more: --after ${next}`)]
  return `${[head, ...trimmed, ...lines, ...more].join('\n')}\n`
}
