/**
 * Case files: one view, what it reads, and what must come out or why it is refused. A line that begins with `@` opens
 * a section; the text before the first one says what the case shows.
 *
 *   @view                          the view's SQL, as a user would write it
 *   @oracle                        SQL for plain DuckDB where the view's own would leave something open: ties in an
 *                                  order, or avg, which is stated as sum / count
 *   @events                        NDJSON instead of the shared events
 *   @refused CODE 2:10 some words  the view is refused: code, line and column, words of the message or the hint;
 *                                  one line for each mistake, and no others
 */

import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

export interface CaseFile {
  readonly name: string
  readonly view: string
  readonly oracle: string
  readonly events: string | undefined
  readonly refusals: readonly Refusal[]
}

export interface Refusal {
  readonly code: string
  readonly line: number
  readonly column: number
  readonly words: string
}

export function readCases(folder: string): readonly CaseFile[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.case'))
    .sort()
    .map((file) => parseCase(path.basename(file, '.case'), readFileSync(path.join(folder, file), 'utf8')))
}

export function parseCase(name: string, text: string): CaseFile {
  const sections = new Map<string, string[]>()
  const refusals: Refusal[] = []
  let current: string[] = []
  for (const line of text.split('\n')) {
    const opened = /^@(\w+)\s*(.*)$/.exec(line)
    if (opened === null) current.push(line)
    else if (opened[1] === 'refused') refusals.push(parseRefusal(name, opened[2]!))
    else {
      current = []
      sections.set(opened[1]!, current)
    }
  }
  const section = (title: string): string | undefined => sections.get(title)?.join('\n').trimEnd()
  const view = section('view')
  if (view === undefined) throw new Error(`case ${name} has no @view`)
  return { name, view, oracle: section('oracle') ?? view, events: section('events'), refusals }
}

function parseRefusal(name: string, text: string): Refusal {
  const parts = /^(\w+) (\d+):(\d+) (.+)$/.exec(text)
  if (parts === null) throw new Error(`case ${name} has an unreadable @refused ${text}`)
  return { code: parts[1]!, line: Number(parts[2]), column: Number(parts[3]), words: parts[4]! }
}
